package servers

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// shellServer is a server that is a shell script.
func shellServer(t *testing.T, script string) *server {
	t.Helper()
	s := &server{name: "thing", dir: t.TempDir(), java: "sh", args: []string{"-c", script}, ready: regexp.MustCompile("ready"),
		broken: regexp.MustCompile(`\*{5} ABORTING region server localhost,1,`)}
	if err := s.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Kill(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// awaitFault asks until there is a fault.
func awaitFault(t *testing.T, s *server) string {
	t.Helper()
	for end := time.Now().Add(80 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		text, err := s.Fault()
		if err != nil {
			t.Fatal(err)
		}
		if text != "" {
			return text
		}
	}
	t.Fatal("no fault was found")
	return ""
}

const abort = "2026-11-21T11:06:14,337 ERROR [shipper] regionserver.HRegionServer: ***** ABORTING region server localhost,1,2: Failed to operate *****\n" +
	"org.apache.ReplicationException: Failed to set log position\n\tat org.apache.A.b(A.java:1)\nCaused by: NoNode\n\tat org.apache.C.d(C.java:1)\n" +
	"2026-11-21T11:06:14,338 INFO [x] the next line\n"

func TestFaultOfOneThatGivesUp(t *testing.T) {
	file := filepath.Join(t.TempDir(), "abort")
	if err := os.WriteFile(file, []byte(abort), 0o600); err != nil {
		t.Fatal(err)
	}
	s := shellServer(t, fmt.Sprintf("echo ready; echo '***** ABORTING region server localhost,12,3'; cat %s; exec sleep 300", file))
	text := awaitFault(t, s)
	for _, want := range []string{"thing has given up", "Failed to operate", "Failed to set log position\nCaused by: NoNode", s.LogPath()} {
		if !strings.Contains(text, want) {
			t.Errorf("the fault does not say %q: %s", want, text)
		}
	}
	for _, no := range []string{"\tat", "next line", "localhost,12,"} {
		if strings.Contains(text, no) {
			t.Errorf("the fault says %q: %s", no, text)
		}
	}
	if again := awaitFault(t, s); again != text {
		t.Errorf("asked again it is %q", again)
	}
	s.args = []string{"-c", "echo ready; exec sleep 300"}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if text, err := s.Fault(); text != "" || err != nil {
		t.Errorf("after its restart: %q, %v", text, err)
	}
}

func TestFaultOfOneThatEnds(t *testing.T) {
	s := shellServer(t, "echo ready; echo its last words; exit 3")
	if text := awaitFault(t, s); !strings.Contains(text, "ended by itself (exit status 3)") || !strings.Contains(text, "its last words") {
		t.Errorf("fault %q", text)
	}
}

func TestNoFaultOfOneThatIsStopped(t *testing.T) {
	for name, end := range map[string]func(*server) error{
		"killed":  (*server).Kill,
		"stopped": func(s *server) error { return s.Stop(t.Context()) },
	} {
		s := shellServer(t, "echo ready; exec sleep 300")
		if err := end(s); err != nil {
			t.Fatal(err)
		}
		if text, err := s.Fault(); text != "" || err != nil || s.Running() {
			t.Errorf("%s: fault %q, %v; running = %t", name, text, err, s.Running())
		}
	}
}
