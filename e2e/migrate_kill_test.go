//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/servers"
	"github.com/waltap/waltap/e2e/testenv"
	"github.com/waltap/waltap/internal/crash"
)

// TestMigrationKilledInEveryStep kills each step in its middle, several times, and repeats it: it ends as one that nobody has killed.
// At full size each step is killed at all of its places, 32 kills; make test takes 9 of them.
func TestMigrationKilledInEveryStep(t *testing.T) {
	t.Parallel()
	m := newMigration(t, 2, nil, nil)
	m.build = testenv.BuildOptions{Tags: []string{"waltap_crash"}}
	for _, x := range m.tables {
		if _, err := env.Src.Load(testenv.Context(t, time.Minute), x.source, judge.LoadSpec{Rows: torture[int64](200, 20_000), Seed: 7, Families: []string{"a", "b"}, ValueSize: 20}); err != nil {
			t.Fatal(err)
		}
	}
	stop := m.mutateAll(t, env.Src)
	untouched := m.trace(t)
	m.killed(t, crash.Planned, "plan")
	m.run(t, 0, "plan")
	if now := m.trace(t); now != untouched {
		t.Errorf("a plan that was killed has changed\n%s\nto\n%s", untouched, now)
	}
	for _, point := range some(crash.PeerAdded).of(crash.MigrateRecorded, crash.MigrateApplied, crash.PeerAdded, crash.Scanned) {
		w := m.start(t, "WALTAP_CRASH="+point)
		if code, err := w.Wait(testenv.Context(t, 2*time.Minute)); err != nil || code != -1 {
			t.Fatalf("start was to be killed at %s and ended with %d, %v\n%s", point, code, err, servers.LogTail(w.LogPath()))
		}
	}
	w := m.start(t)
	m.awaitFollowing(t, w)
	m.killedPauses(t)
	m.killed(t, crash.VerifyUnsaved, "verify", "-q")
	m.run(t, 0, "verify", "-q")
	m.killedRepairs(t)
	all := []string{crash.FenceSaved, crash.TableFenced + ":2", crash.FenceClosed, crash.VerifyUnsaved, crash.CutOverSaved, crash.ReverseSaved, crash.TableUnfenced + ":2"}
	for _, point := range some(crash.TableFenced+":2", crash.ReverseSaved).of(all...) {
		m.killed(t, point, "cutover", "--reverse")
	}
	stop()
	m.run(t, 0, "cutover", "--reverse")
	back := m.mutateAll(t, env.Dst)
	time.Sleep(500 * time.Millisecond)
	t.Logf("%d writes at the destination", back())
	all = []string{crash.FenceSaved, crash.TableFenced + ":2", crash.FenceClosed, crash.PeerRemoved, crash.TableUnfenced + ":4"}
	for _, point := range some(crash.PeerRemoved).of(all...) {
		m.killed(t, point, "cutover", "--undo")
	}
	m.run(t, 0, "cutover", "--undo")
	for _, x := range m.tables { // the source takes writes, the destination follows
		if err := env.Src.Write(testenv.Context(t, time.Minute), x.source, judge.Put("after the way back", "a", "q", "v")); err != nil {
			t.Fatal(err)
		}
	}
	m.identical(t)
	if r := m.run(t, 2, "cutover"); !strings.Contains(r.Stdout, "no pass of all rows was made") { // writers were at the destination
		t.Errorf("a cut-over after the way back, before a verify, says\n%s", r.Stdout)
	}
	m.run(t, 0, "verify", "-q")
	for _, point := range some().of(crash.TableFenced) {
		m.killed(t, point, "cutover")
	}
	m.run(t, 0, "cutover")
	for _, x := range m.tables {
		if err := env.Src.Write(testenv.Context(t, time.Minute), x.source, judge.Put("late", "a", "q", "v")); err == nil {
			t.Errorf("table %s takes writes behind the fence", x.source)
		}
	}
	m.identical(t)
	all = []string{crash.PeerRemoved, crash.AttributesPartly, crash.AttributesPartly + ":4", crash.TopicDeleted + ":3"}
	for _, point := range some(crash.TopicDeleted + ":3").of(all...) {
		m.killed(t, point, "cleanup", "--topics")
	}
	m.run(t, 0, "cleanup", "--topics")
	m.checkCleaned(t, true)
}

// places are those at which a step is killed in make test.
type places []string

func some(points ...string) places { return points }

// of are those of a test at full size.
func (p places) of(all ...string) []string { return torture([]string(p), all) }

// killedPauses kills pause and resume before and after each has saved what it has decided, and repeats them.
func (m *migration) killedPauses(t *testing.T) {
	t.Helper()
	for _, step := range []struct {
		name   string
		paused bool // when it is through
	}{{"pause", true}, {"resume", false}} {
		for _, point := range some().of(crash.PauseUnsaved) {
			m.killed(t, point, step.name)
			if got := m.status(t).Paused; got == step.paused {
				t.Errorf("%s was killed before it has saved anything, and the wave is paused: %v", step.name, got)
			}
		}
		m.killed(t, crash.PauseSaved, step.name)
		m.run(t, 0, step.name)
		if got := m.status(t).Paused; got != step.paused {
			t.Errorf("%s was repeated, and the wave is paused: %v", step.name, got)
		}
	}
}

// killedRepairs plants rows that the destination lacks, and kills the repair of them before, while and after it writes.
func (m *migration) killedRepairs(t *testing.T) {
	t.Helper()
	const rows = 20
	for _, x := range m.tables {
		var plants []judge.Mutation
		for i := range rows {
			p := judge.Put(fmt.Sprintf("planted %d", i), "a", "q", "v")
			p.SkipWAL = true // the stream does not have it
			plants = append(plants, p)
		}
		if err := env.Src.Write(testenv.Context(t, time.Minute), x.source, plants...); err != nil {
			t.Fatal(err)
		}
	}
	lacking := func() (n int) {
		for _, x := range m.tables {
			for i := range rows {
				cells, err := env.Dst.ReadRow(testenv.Context(t, time.Minute), x.target, fmt.Appendf(nil, "planted %d", i))
				if err != nil {
					t.Fatal(err)
				}
				if len(cells) == 0 {
					n++
				}
			}
		}
		return n
	}
	all := rows * len(m.tables)
	if torture(0, 1) > 0 {
		m.killed(t, crash.RepairFound, "repair", "-q", "--execute")
		m.run(t, 2, "repair", "-q")
	}
	if n := lacking(); n != all {
		t.Errorf("the destination lacks %d rows before anything is written, want %d", n, all)
	}
	for _, point := range some(crash.RepairWritten+":7").of(crash.RepairWritten, crash.RepairWritten+":7", crash.RepairWritten+":15") {
		before := lacking()
		m.killed(t, point, "repair", "-q", "--execute")
		if n := lacking(); n == 0 || n >= before {
			t.Errorf("the destination lacked %d rows and lacks %d after a repair that was killed in its middle", before, n)
		}
	}
	if torture(0, 1) > 0 {
		m.killed(t, crash.VerifyUnsaved, "repair", "-q", "--execute")
	}
	m.run(t, 0, "repair", "-q", "--execute")
	if n := lacking(); n != 0 {
		t.Errorf("the destination lacks %d rows after the repair", n)
	}
}

// killedWithAProbe kills the start while a peer stands there that ships nothing: waltap peer list names it, the next start removes it.
func (m *migration) killedWithAProbe(t *testing.T, old testenv.OldHBase) {
	t.Helper()
	m.build = testenv.BuildOptions{Tags: []string{"waltap_crash"}}
	w := m.start(t, "WALTAP_CRASH="+crash.PeerProbed)
	if code, err := w.Wait(testenv.Context(t, 2*time.Minute)); err != nil || code != -1 {
		t.Fatalf("start was to be killed at %s and ended with %d, %v\n%s", crash.PeerProbed, code, err, servers.LogTail(w.LogPath()))
	}
	r := testenv.RunWaltap(testenv.Context(t, time.Minute), t, "peer", "--quorum", old.ZKQuorum(), "list")
	if !strings.Contains(r.Stdout, "_probe_1") || !strings.Contains(r.Stdout, "waltap peer remove "+m.name) {
		t.Errorf("waltap peer list does not name the probe that was left: %+v", r)
	}
}
