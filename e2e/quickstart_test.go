//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/servers"
	"github.com/waltap/waltap/e2e/testenv"
)

// TestQuickstart runs the commands of docs/quickstart.md as they stand there: those of a shell in one shell, but for the addresses, and
// those of the HBase shell by the judge.
func TestQuickstart(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/quickstart.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```(sh|ruby)\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) < 8 {
		t.Fatalf("the page has %d blocks of commands", len(blocks))
	}
	(&pipe{name: "waltap_quickstart"}).cleanUp(t) // if it fails before it removes its peer
	sh := startShell(t)
	var told []string
	for _, b := range blocks {
		if b[1] == "ruby" {
			hbaseShell(t, b[2])
			continue
		}
		if strings.HasPrefix(b[2], "export ") {
			sh.setAddresses(b[2])
			continue
		}
		told = append(told, sh.run(b[2]))
	}
	text := strings.Join(told, "\n")
	for what, n := range map[string]int{"was there before, too": 2, "changed": 1, "DeleteFamily": 1, "waltap_records_total{connector=\"quickstart\"} ": 1, "waltap_connector_running{connector=\"quickstart\"} 1": 1, "waltap_quickstart": 1} {
		if strings.Count(text, what) < n {
			t.Errorf("want %q %d times:\n%s", what, n, text)
		}
	}
	peers, err := env.Src.Peers(testenv.Context(t, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range peers {
		if p.ID == "waltap_quickstart" {
			t.Error("the peer is left")
		}
	}
}

// pageShell is a bash that runs blocks of commands, one after the other.
type pageShell struct {
	*testing.T
	ctx   context.Context
	in    io.Writer
	lines chan string
	dir   string
	n     int
}

func startShell(t *testing.T) *pageShell {
	t.Helper()
	binary, err := testenv.Build(t.Context(), testenv.BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(binary, filepath.Join(dir, "waltap")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, to := io.Pipe()
	cmd.Stdout, cmd.Stderr = to, to
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &pageShell{T: t, ctx: testenv.Context(t, 3*time.Minute), in: in, lines: make(chan string, 1000), dir: dir}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(s.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			s.lines <- lines.Text()
		}
	}()
	t.Cleanup(func() {
		fmt.Fprintln(in, "kill $! 2>/dev/null; exit") // waltap, if it is still there
		in.Close()
		cmd.Wait() // the last command's code
		to.Close()
		go func() {
			for range s.lines {
			}
		}()
		<-read
		if t.Failed() {
			t.Log(servers.LogTail(filepath.Join(dir, "quickstart.log")))
		}
	})
	return s
}

// setAddresses exports what the page's block of exports does, with the addresses of the test's servers.
func (s *pageShell) setAddresses(block string) {
	s.Helper()
	values := map[string]string{"ZK": env.Source.ZKQuorum(), "KAFKA": env.Kafka.Bootstrap(), "PEER_HOST": "localhost"}
	for _, port := range []string{"PORT", "PEER_PORT"} {
		n, err := servers.FreePort()
		if err != nil {
			s.Fatal(err)
		}
		values[port] = strconv.Itoa(n)
	}
	names := regexp.MustCompile(`(?m)^export (\w+)=.+? +# .*$`).FindAllStringSubmatch(block, -1)
	if len(names) != strings.Count(block, "\n") || len(names) != len(values) {
		s.Fatalf("the exports are %q, the test has %v", block, values)
	}
	for _, m := range names {
		if values[m[1]] == "" {
			s.Fatalf("the test has no value for %s", m[1])
		}
		s.run(fmt.Sprintf("export %s=%s\n", m[1], values[m[1]]))
	}
}

// run runs a block, whose last command must end well, and returns what it says. Warnings of the doctor are none of the page's: the tests share their
// servers.
func (s *pageShell) run(block string) string {
	s.Helper()
	s.n++
	end := fmt.Sprintf("--- end of block %d ---", s.n)
	fmt.Fprintf(s.in, "{\n%s\n} </dev/null\ncode=$?; echo; echo '%s' $code\n", strings.TrimSpace(block), end) // a command that asks gets no answer
	var out strings.Builder
	for {
		select {
		case line, ok := <-s.lines:
			if !ok {
				s.Fatalf("the shell has ended:\n%s%s", block, out.String())
			}
			code, done := strings.CutPrefix(line, end+" ")
			if !done {
				out.WriteString(line + "\n")
				continue
			}
			if code != "0" && !(code == "3" && strings.HasPrefix(block, "waltap doctor ")) {
				s.Fatalf("exit code %s of\n%s%s", code, block, out.String())
			}
			return out.String()
		case <-s.ctx.Done():
			s.Fatalf("waited for\n%s%s", block, out.String())
		}
	}
}

var (
	shellCreate = regexp.MustCompile(`^create '(\w+)', \{NAME => '(\w+)', REPLICATION_SCOPE => 1\}$`)
	shellPut    = regexp.MustCompile(`^put '(\w+)', '(\w+)', '(\w+):(\w+)', '([^']*)'$`)
	shellDelete = regexp.MustCompile(`^deleteall '(\w+)', '(\w+)'$`)
)

// hbaseShell does what the HBase shell would.
func hbaseShell(t *testing.T, block string) {
	t.Helper()
	for line := range strings.Lines(block) {
		line = strings.TrimSpace(line)
		if m := shellCreate.FindStringSubmatch(line); m != nil {
			createTable(t, m[1], m[2])
		} else if m := shellPut.FindStringSubmatch(line); m != nil {
			write(t, m[1], judge.Put(m[2], m[3], m[4], m[5]))
		} else if m := shellDelete.FindStringSubmatch(line); m != nil {
			write(t, m[1], judge.DeleteRow(m[2]))
		} else {
			t.Fatalf("%q is no command that this test knows", line)
		}
	}
}
