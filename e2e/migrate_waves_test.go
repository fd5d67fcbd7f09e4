//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/testenv"
	"github.com/waltap/waltap/internal/check"
)

// TestDoctorAndMigrationInWaves: two waves are looked at, planned, copied and followed at once by one process, and cut over and cleaned up
// one after the other: the second takes no notice of the first.
func TestDoctorAndMigrationInWaves(t *testing.T) {
	t.Parallel()
	m := newMigration(t, 1, nil, keys{"migration.waves.one": "NAME_a:.*", "migration.waves.two": "NAME_b:events"})
	for _, x := range m.tables {
		if _, err := env.Src.Load(testenv.Context(t, time.Minute), x.source, judge.LoadSpec{Rows: torture[int64](100, 20_000), Seed: 7, Families: []string{"a", "b"}, ValueSize: 20}); err != nil {
			t.Fatal(err)
		}
	}
	r := examine(t, m.yaml(t))
	if !slices.ContainsFunc(results(r, check.OK), func(x check.Result) bool {
		return x.Check == "migration" && strings.Contains(x.Found, "2 waves")
	}) {
		t.Errorf("of the waves is told %+v", r.Sections[0])
	}
	var names []string
	for _, s := range r.Sections[1:] {
		names = append(names, strings.TrimPrefix(s.Connector, m.name))
	}
	if want := []string{"_source-one", "_sink-one", "_source-two", "_sink-two"}; !slices.Equal(names, want) {
		t.Errorf("looked at were %q, want %q", names, want)
	}
	plan := m.run(t, 0, "plan").Stdout
	for _, want := range []string{"wave one: not started", "wave two: not started", "_one  ", "_two  "} {
		if !strings.Contains(plan, want) {
			t.Errorf("the plan does not show %q", want)
		}
	}
	m.run(t, 1, "verify", "-q") // of which wave?
	w := m.start(t)
	m.awaitFollowing(t, w)
	last := m.tables[2]
	for _, wave := range []string{"one", "two"} {
		m.run(t, 0, "verify", "-q", "--wave", wave)
		m.run(t, 0, "cutover", "--wave", wave)
		if wave == "one" {
			s := m.waves(t)
			if s[0].Phase != "cut over" || s[1].Phase != "started" {
				t.Errorf("the waves are %s and %s", s[0].Phase, s[1].Phase)
			}
		}
		m.run(t, 0, "cleanup", "--topics", "--unfence", "--wave", wave)
		if wave == "one" {
			if err := env.Src.Write(testenv.Context(t, time.Minute), last.source, judge.Put("after the first wave", "a", "q", "v")); err != nil {
				t.Fatal(err)
			}
			if err := env.Src.AwaitEqual(testenv.Context(t, time.Minute), last.source, env.Dst, last.target, judge.ScanOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if code, err := w.Wait(testenv.Context(t, time.Minute)); err != nil || code != 0 {
		t.Errorf("waltap migrate start has ended with %d, %v; want 0 after the clean-up of both", code, err)
	}
	m.identical(t)
	m.checkCleaned(t, false)
}

// TestMigrationOfManyTables: a start names all tables that keep it from beginning; the plan and the screen tell of all; one wave is
// cut over, the other abandoned.
func TestMigrationOfManyTables(t *testing.T) {
	t.Parallel()
	n := torture(5, 40)
	ctx := testenv.Context(t, 5*time.Minute)
	m := &migration{name: testenv.Name(t), src: env.Src}
	if err := env.Src.CreateNamespace(ctx, m.name); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		name := fmt.Sprintf("%s:%s_%02d", m.name, []string{"one", "two"}[i%2], i)
		if err := env.Src.CreateTable(ctx, judge.Table{Name: name, Families: []judge.Family{{Name: "a", Versions: 3}}}); err != nil {
			t.Fatal(err)
		}
		if err := env.Src.Write(ctx, name, judge.Put("row", "a", "q", "v")); err != nil {
			t.Fatal(err)
		}
		m.tables = append(m.tables, migrated{source: name, target: name, before: describeTable(t, env.Src, name)})
	}
	m.configure(t, m.name+":.*", keys{"topic.creation.default.partitions": "1"}, nil, keys{"migration.waves.one": "NAME:one.*", "migration.waves.two": "NAME:two.*"})
	broken := []string{m.tables[0].source, m.tables[2].source}
	for _, name := range broken {
		if err := env.Src.DisableTable(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	r := m.run(t, 1, "start")
	for _, name := range broken {
		if !strings.Contains(r.Stderr, "table "+name+" is disabled") {
			t.Errorf("the start does not name %s:\n%s", name, r.Stderr)
		}
		if err := env.Src.EnableTable(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	plan := m.run(t, 0, "plan").Stdout
	w := m.start(t)
	m.awaitFollowing(t, w)
	each := m.run(t, 0, "status", "--once", "--tables").Stdout
	for _, x := range m.tables {
		if !strings.Contains(plan, x.source) || !strings.Contains(each, x.source) {
			t.Errorf("plan or status do not show table %s", x.source)
		}
	}
	if lines := strings.Count(m.run(t, 0, "status", "--once").Stdout, "\n"); lines > 30 {
		t.Errorf("the status has %d lines", lines)
	}
	for _, wave := range []string{"one", "two"} {
		m.run(t, 0, "verify", "-q", "--wave", wave)
		m.run(t, 0, "cutover", "--rehearse", "--wave", wave)
	}
	m.run(t, 0, "cutover", "--wave", "one")
	m.run(t, 0, "cleanup", "--topics", "--unfence", "--wave", "one")
	m.run(t, 0, "cleanup", "--topics", "--abandon", "--wave", "two")
	if code, err := w.Wait(testenv.Context(t, time.Minute)); err != nil || code != 0 {
		t.Errorf("waltap migrate start has ended with %d, %v; want 0 after the clean-up of both", code, err)
	}
	m.identical(t)
	m.checkCleaned(t, false)
}
