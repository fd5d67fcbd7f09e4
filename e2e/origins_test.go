//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/testenv"
)

// TestCommandsOfThePagesForEachOrigin runs the commands of docs/from-*.md as they stand there.
func TestCommandsOfThePagesForEachOrigin(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../docs/from-*.md")
	if err != nil || len(pages) != 4 {
		t.Fatalf("found %v, %v; want four pages", pages, err)
	}
	for _, page := range pages {
		t.Run(strings.TrimSuffix(filepath.Base(page), ".md"), func(t *testing.T) {
			t.Parallel()
			b, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			_, rest, _ := strings.Cut(string(b), "```sh\n")
			block, _, _ := strings.Cut(rest, "```")
			lines := strings.Split(strings.TrimSpace(block), "\n")
			if len(lines) < 5 {
				t.Fatalf("the page has %d commands: %q", len(lines), block)
			}
			m := newMigration(t, 1, nil, nil)
			for _, x := range m.tables {
				if err := env.Src.Write(testenv.Context(t, time.Minute), x.source, judge.Put("r", "a", "q", "v")); err != nil {
					t.Fatal(err)
				}
			}
			m.runLines(t, lines)
		})
	}
}

// runLines runs the commands of a page; one with & at its end stays behind.
func (m *migration) runLines(t *testing.T, lines []string) {
	t.Helper()
	var w *testenv.Waltap
	for _, line := range lines {
		args, ok := strings.CutPrefix(line, "waltap migrate ")
		words := strings.Fields(strings.ReplaceAll(args, "differences.jsonl", filepath.Join(t.TempDir(), "differences.jsonl")))
		if !ok || len(words) < 3 {
			t.Fatalf("%q is no command of waltap migrate", line)
		}
		if words[len(words)-1] == "&" {
			w = m.start(t)
			m.awaitFollowing(t, w)
			continue
		}
		if i := len(words) - 2; words[i] != "-f" || words[i+1] != "migration.yaml" {
			t.Fatalf("%q does not end with -f migration.yaml", line)
		}
		m.run(t, 0, words[:len(words)-2]...)
		if words[0] == "resume" {
			m.awaitFollowing(t, w)
		}
	}
	if code, err := w.Wait(testenv.Context(t, time.Minute)); err != nil || code != 0 {
		t.Errorf("waltap migrate start has ended with %d, %v; want 0 after the clean-up", code, err)
	}
	for _, c := range []*judge.Cluster{env.Src, env.Dst} {
		peers, err := c.Peers(testenv.Context(t, time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range peers {
			if strings.HasPrefix(p.ID, m.name) {
				t.Errorf("peer %s is left", p.ID)
			}
		}
	}
}
