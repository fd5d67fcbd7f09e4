//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/testenv"
)

// buildEmbed builds testdata/embed as a module of its own, which may import nothing internal.
func buildEmbed(t *testing.T) string {
	t.Helper()
	ctx := testenv.Context(t, 3*time.Minute)
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	read := func(name string) []byte {
		t.Helper()
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	mod := strings.Replace(string(read(filepath.Join(root, "go.mod"))), "module github.com/waltap/waltap\n", "module embed.example\n", 1)
	mod += "\nrequire github.com/waltap/waltap v0.0.0\n\nreplace github.com/waltap/waltap => " + root + "\n"
	for name, b := range map[string][]byte{"go.mod": []byte(mod), "go.sum": read(filepath.Join(root, "go.sum")), "main.go": read(filepath.Join("testdata", "embed", "main.go"))} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-mod=mod", "-o", "embed", ".")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the program that embeds: %v\n%s", err, out)
	}
	return filepath.Join(dir, "embed")
}

// embedded is a run of it.
type embedded struct {
	cmd      *exec.Cmd
	out, err bytes.Buffer
}

func startEmbedded(t *testing.T, program, name string, args ...string) *embedded {
	t.Helper()
	e := &embedded{}
	args = append([]string{"-from", env.Source.ZKQuorum(), "-to", env.Destination.ZKQuorum(), "-name", name, "-tables", "default:" + name}, args...)
	e.cmd = exec.CommandContext(context.WithoutCancel(t.Context()), program, args...)
	e.cmd.Stdout, e.cmd.Stderr = &e.out, &e.err
	if err := e.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if e.cmd.ProcessState == nil {
			e.cmd.Process.Kill()
			e.cmd.Wait()
		}
	})
	return e
}

// A program of another module embeds a source.Reader and a sink.Applier: both ends are equal although it refuses the first and then
// each third batch, is killed and started again. At its end it takes its peer away.
func TestReaderAndApplierAreEmbedded(t *testing.T) {
	t.Parallel()
	program := buildEmbed(t)
	name := testenv.Name(t)
	(&pipe{name: name}).cleanUp(t)
	createTable(t, name, "a", "b")
	createTableAt(t, env.Dst, name, "a", "b")
	first := startEmbedded(t, program, name, "-fail", "3")
	ctx := testenv.Context(t, 2*time.Minute)
	for { // the peer is there
		peers, err := env.Src.Peers(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if hasPeer(peers, name) {
			break
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the reader has no peer\n%s", first.err.String())
		case <-time.After(50 * time.Millisecond):
		}
	}
	stop := mutate(t, name, 300, "a", "b")
	time.Sleep(3 * time.Second)
	if err := first.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	first.cmd.Wait()
	second := startEmbedded(t, program, name, "-fail", "3", "-remove")
	time.Sleep(2 * time.Second)
	stop()
	identical(t, name, judge.ScanOptions{})
	if err := second.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := second.cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, second.err.String())
	}
	t.Logf("first run: %s%s", first.out.String(), second.out.String())
	if m := regexp.MustCompile(`(?s)peer added: false.*\d\d* batches`); !m.MatchString(second.out.String()) || !strings.Contains(second.err.String(), "is refused") {
		t.Errorf("the second run has added a peer, has read nothing or has refused nothing:\n%s%s", second.out.String(), second.err.String())
	}
	peers, err := env.Src.Peers(ctx)
	if err != nil || hasPeer(peers, name) {
		t.Errorf("the peer is there after its reader has removed it (%v)", err)
	}
}

func hasPeer(peers []judge.Peer, id string) bool {
	for _, p := range peers {
		if p.ID == id {
			return true
		}
	}
	return false
}
