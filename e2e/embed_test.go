//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/testenv"
	"github.com/waltap/waltap/source/scan"
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

// end ends it as a service manager does.
func (e *embedded) end(t *testing.T) {
	t.Helper()
	if err := e.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := e.cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, e.err.String())
	}
}

// A program of another module embeds a source.Reader and a sink.Applier: it scans a table that is written to, is killed in the middle while HBase
// keeps the changes, goes on where it was, and follows. Both ends are equal although it refuses the first and then each third batch. Then it
// reads one table more. At its end it takes its peer away, and will not go on as if nothing were lost. A reader without a peer has the whole table afterwards, once.
func TestReaderAndApplierAreEmbedded(t *testing.T) {
	t.Parallel()
	program := buildEmbed(t)
	name := testenv.Name(t)
	state := filepath.Join(t.TempDir(), "state")
	(&pipe{name: name}).cleanUp(t)
	createTable(t, name, "a", "b")
	createTableAt(t, env.Dst, name, "a", "b")
	const rows = 400
	load(t, name, rows, "a", "b")
	stop := mutate(t, name, 300, "a", "b")
	ctx := testenv.Context(t, 2*time.Minute)

	first := startEmbedded(t, program, name, "-state", state, "-fail", "3", "-stall", "4")
	for keptRows(t, state) == 0 { // that is one of the four regions at least; another one waits for its acknowledgement
		select {
		case <-ctx.Done():
			t.Fatalf("nothing is scanned\n%s", first.err.String())
		case <-time.After(50 * time.Millisecond):
		}
	}
	if err := first.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	first.cmd.Wait()
	if !peerIsHeld(t, name) {
		t.Error("the peer is not held although the scan is not complete")
	}
	kept := keptRows(t, state)
	second := startEmbedded(t, program, name, "-state", state, "-fail", "3")
	for peerIsHeld(t, name) {
		select {
		case <-ctx.Done():
			t.Fatalf("the peer is held for ever\n%s", second.err.String())
		case <-time.After(50 * time.Millisecond):
		}
	}
	stop()
	identical(t, name, judge.ScanOptions{})
	second.end(t)
	t.Logf("%d rows are kept as scanned, then: %s%s", kept, first.out.String(), second.out.String())
	if m := regexp.MustCompile(`(?s)peer added: false.*\d\d* batches: scanned [1-9]\d*, changes map\[\w+:\d`); !m.MatchString(second.out.String()) || !strings.Contains(second.err.String(), "is refused") {
		t.Errorf("the second run has added a peer, has not read both the scan and changes, or has refused nothing:\n%s%s", second.out.String(), second.err.String())
	}

	other := name + "_b" // is read from now on, too: its scan holds the changes of both
	createTable(t, other, "a")
	createTableAt(t, env.Dst, other, "a")
	write(t, other, judge.Put("1", "a", "q", "v"), judge.Put("9", "a", "q", "v"))
	write(t, name, judge.Put("behind the scan of another table", "a", "q", "v"))
	both := startEmbedded(t, program, name, "-state", state, "-tables", "default:"+name+",default:"+other, "-remove")
	identical(t, other, judge.ScanOptions{})
	identical(t, name, judge.ScanOptions{})
	both.end(t)
	if m := regexp.MustCompile(`peer added: false(?s:.*)scanned 2, changes map\[put:\d`); !m.MatchString(both.out.String()) {
		t.Errorf("two rows are in the table that is new:\n%s", both.out.String())
	}
	peers, err := env.Src.Peers(ctx)
	if err != nil || hasPeer(peers, name) {
		t.Errorf("the peer is there after its reader has removed it (%v)", err)
	}
	third := startEmbedded(t, program, name, "-state", state)
	if err := third.cmd.Wait(); err == nil || !strings.Contains(third.err.String(), "was removed while this reader knew it") {
		t.Errorf("it goes on without what was written while there was no peer (%v):\n%s", err, third.err.String())
	}

	only := startEmbedded(t, program, name, "-state", state+".only", "-snapshot", "initial_only")
	if err := only.cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, only.err.String())
	}
	t.Logf("initial_only: %s", only.out.String())
	if all, rest := scannedBy(only), scannedBy(second); all < rows || rest >= all {
		t.Errorf("a whole scan has %d rows; what was left of one with %d was %d", all, kept, rest)
	}
	again := startEmbedded(t, program, name, "-state", state+".only", "-snapshot", "initial_only")
	if err := again.cmd.Wait(); err != nil || scannedBy(again) != 0 {
		t.Errorf("a scan that was complete has brought something again: %v\n%s%s", err, again.out.String(), again.err.String())
	}
}

// scannedBy is how many records of a scan the program has handed over, -1: it does not say.
func scannedBy(e *embedded) int {
	m := regexp.MustCompile(`scanned (\d+),`).FindStringSubmatch(e.out.String())
	if m == nil {
		return -1
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// keptRows counts the rows that the program keeps as scanned.
func keptRows(t *testing.T, state string) (rows int64) {
	t.Helper()
	file, err := os.ReadFile(state)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	kept := make(map[string]int64)
	for text := range bytes.Lines(file) {
		var entry struct {
			Key   string
			Value []byte
		}
		var r scan.Range
		if !bytes.HasSuffix(text, []byte("\n")) {
			continue // being written
		}
		if err := json.Unmarshal(text, &entry); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(entry.Key, "range/") {
			continue
		}
		if err := json.Unmarshal(entry.Value, &r); err != nil {
			t.Fatal(err)
		}
		kept[entry.Key] = r.Rows // the last one counts
	}
	for _, n := range kept {
		rows += n
	}
	return rows
}

func hasPeer(peers []judge.Peer, id string) bool {
	for _, p := range peers {
		if p.ID == id {
			return true
		}
	}
	return false
}
