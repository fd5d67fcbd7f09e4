//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/servers"
	"github.com/waltap/waltap/e2e/testenv"
	"github.com/waltap/waltap/internal/hbase/admin"
)

// twins makes a table at both ends, of the same cells, without a pipeline between them, and plants n differences. The
// target has another name.
func twins(t *testing.T, rows int64, n int) *plants {
	t.Helper()
	ctx := testenv.Context(t, 2*time.Minute)
	table := testenv.Name(t)
	target := table + "_copy"
	keys := make([]string, n) // spread over the regions
	for i := range keys {
		keys[i] = fmt.Sprintf("%04x-%d", i*0x10000/n, i)
	}
	p := plan(table, target, "a", keys, n)
	for c, name := range map[*judge.Cluster]string{env.Src: table, env.Dst: target} {
		spec := judge.Table{Name: name, Splits: judge.HexSplits(8), Families: []judge.Family{{Name: "a", Versions: 3}, {Name: "b", Versions: 3}}}
		if err := c.CreateTable(ctx, spec); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Load(ctx, name, judge.LoadSpec{Rows: rows, Seed: 7, Families: []string{"a", "b"}, Versions: 2, ValueSize: 20, BaseTime: 1_700_000_000_000}); err != nil {
			t.Fatal(err)
		}
		if err := c.Write(ctx, name, p.base...); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (p *plants) ends() []string { return bothEnds(p.table + "=" + p.target) }

// some checks that all that was found was planted, and returns how much it is.
func (p *plants) some(t *testing.T, v *verdict) int {
	t.Helper()
	for _, d := range v.lines {
		if p.rows[string(d.Qualifier)] != string(d.Row)+" "+d.Kind {
			t.Errorf("found what was not planted: %v", d)
		}
	}
	return len(v.lines)
}

// TestVerifyChoosesRows compares parts of two tables that differ, chosen in every way.
func TestVerifyChoosesRows(t *testing.T) {
	t.Parallel()
	const n, rows = 72, 2000
	p := twins(t, rows, n)
	args := append(p.ends(), "--recheck-for", "1s")
	run := func(more ...string) verdict {
		t.Helper()
		return verify(t, append(slices.Clone(args), more...)...)
	}
	v := run()
	v.clean(t, rows)
	all := v.GoodRows
	p.plant(t)
	v = run()
	p.check(t, &v)
	v = run("--hash", "--hash-rows", "100")
	p.check(t, &v)
	if v.GoodRows+v.BadRows < all {
		t.Errorf("by hashes %d rows were compared, want %d at least", v.GoodRows+v.BadRows, all)
	}
	v = run("--sample", "0.5")
	if got := p.some(t, &v); v.code != 2 || got == 0 || got == n || v.GoodRows == 0 || v.GoodRows > all*3/4 {
		t.Errorf("in half of the regions: %d differences, %d of %d rows good", got, v.GoodRows, all)
	}
	v = run("--sample", "0.5", "--sample-by", "rows")
	if got := p.some(t, &v); v.code != 2 || got == 0 || got == n || v.SkippedRows < all/3 || v.SkippedRows > all*2/3 {
		t.Errorf("in half of the rows: %d differences, %d of %d rows left out", got, v.SkippedRows, all)
	}
	v = run("--row-start", "4000", "--row-stop", "8000")
	if got := p.some(t, &v); got == 0 || got > n/3 || slices.ContainsFunc(v.lines, func(d difference) bool { return string(d.Row) < "4000" || string(d.Row) >= "8000" }) {
		t.Errorf("in a quarter of the rows: %d differences\n%s", got, first(v.lines))
	}
	v = run("--family", "b")
	v.clean(t, rows)
	v = run("--max-time", "2030-01-01T00:00:00Z")
	v.clean(t, rows)
	v = run("--min-time", fmt.Sprint(farFuture))
	if p.some(t, &v) != n-int(p.want["version"]) {
		t.Errorf("of the newest cells: %v, want all of %v but the older versions", v.Differences, p.want)
	}
	v = run("--visible")
	if want := p.visible; v.code != 2 || v.BadRows != want {
		t.Errorf("of what clients see: %d bad rows, want %d\n%s", v.BadRows, want, first(v.lines))
	}
	v = run("--visible", "--versions", "1")
	if want := p.visible - p.want["version"]; v.code != 2 || v.BadRows != want {
		t.Errorf("of the newest versions: %d bad rows, want %d\n%s", v.BadRows, want, first(v.lines))
	}
}

// TestVerifyIsKilledAndResumed kills a comparison in its middle, again and again; what is resumed ends as one that was let alone.
func TestVerifyIsKilledAndResumed(t *testing.T) {
	t.Parallel()
	n, rows := torture(72, 900), torture[int64](3000, 60_000)
	p := twins(t, rows, n)
	p.plant(t)
	args := append(p.ends(), "--recheck-for", "1s")
	want := verify(t, args...)
	p.check(t, &want)

	dir := t.TempDir()
	state := filepath.Join(dir, "state.json")
	args = append(args, "--state", state, "--resume", "--out", filepath.Join(dir, "out.jsonl"), "--parallel", "2")
	kills, judged := torture(2, 8), 0
	for range kills { // each held to a rate at which all of it takes long
		v := startVerify(t, append(slices.Clone(args), "--max-rows-per-second", fmt.Sprint(rows/torture[int64](15, 60)))...)
		judged = awaitJudged(t, v, state, judged)
		if err := v.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	got := startVerify(t, args...).wait(t)
	p.check(t, &got)
	if !got.Resumed || got.GoodRows != want.GoodRows || got.BadRows != want.BadRows || !maps.Equal(got.Differences, want.Differences) ||
		got.OnlyInSourceRows != want.OnlyInSourceRows || got.OnlyInTargetRows != want.OnlyInTargetRows || got.ContentDifferentRows != want.ContentDifferentRows {
		t.Errorf("after %d kills: %+v\nuninterrupted: %+v", kills, got, want)
	}
	if _, err := os.Stat(state); !os.IsNotExist(err) {
		t.Errorf("the state file is still there: %v", err)
	}
}

// awaitJudged waits until the state says that more than so many rows are judged, before the comparison has ended.
func awaitJudged(t *testing.T, v *verifying, state string, more int) int {
	t.Helper()
	ctx := testenv.Context(t, time.Minute)
	for {
		var s struct {
			Ranges []struct {
				Counts struct{ GoodRows, BadRows int }
			}
		}
		if b, err := os.ReadFile(state); err == nil {
			if err := json.Unmarshal(b, &s); err != nil {
				t.Fatal(err)
			}
		}
		judged := 0
		for _, r := range s.Ranges {
			judged += r.Counts.GoodRows + r.Counts.BadRows
		}
		if !v.Running() {
			t.Fatalf("the comparison has ended with %d rows judged\n%s", judged, servers.LogTail(v.LogPath()))
		}
		if judged > more {
			return judged
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%d rows are judged, no more than before", judged)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// TestVerifyKnowsWhatCompactionsDo lets the ends drop what nobody sees, each in its own time, and takes none of it for a difference.
func TestVerifyKnowsWhatCompactionsDo(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 3*time.Minute)
	p := twins(t, 200, 9)
	now := time.Now().UnixMilli()
	for c, name := range map[*judge.Cluster]string{env.Src: p.table, env.Dst: p.target} {
		var writes []judge.Mutation
		for i := range 20 {
			row := fmt.Sprintf("%04x-compacted", i*0x1000%0x10000)
			writes = append(writes, judge.PutAt(row, "a", "q", now-9, "old"), judge.PutAt(row, "a", "r", now-9, "old"), judge.PutAt(row, "b", "stays", now, "v"),
				judge.DeleteColumn(row, "a", "q", now-8), judge.DeleteFamily(row, "a", now-7), judge.DeleteVersion(row, "b", "none", now-6))
			for v := range int64(6) { // over VERSIONS
				writes = append(writes, judge.PutAt(row, "b", "versions", now-v, "v"))
			}
		}
		if err := c.Write(ctx, name, writes...); err != nil {
			t.Fatal(err)
		}
	}
	args := append(p.ends(), "--recheck-for", "1s", "--exceptions")
	v := verify(t, args...)
	v.clean(t, 200)
	if err := env.Dst.Flush(ctx, p.target); err != nil {
		t.Fatal(err)
	}
	v = verify(t, args...)
	if v.code != 0 || v.BadRows != 0 || v.Exceptions["over-versions"] == 0 || v.Exceptions["hidden"] == 0 {
		t.Errorf("flushed at the target: exit code %d, %v, exceptions %v", v.code, v.Differences, v.Exceptions)
	}
	if err := env.Src.Flush(ctx, p.table); err != nil {
		t.Fatal(err)
	}
	for i, at := range []struct {
		cluster *judge.Cluster
		hbase   *servers.HBase
		table   string
	}{{env.Src, env.Source, p.table}, {env.Dst, env.Destination, p.target}} {
		began := time.Now().UnixMilli()
		if err := at.cluster.MajorCompact(ctx, at.table); err != nil {
			t.Fatal(err)
		}
		awaitReport(t, at.hbase, at.table, "the compaction", func(regions []admin.RegionLoad) bool {
			return len(regions) == 8 && !slices.ContainsFunc(regions, func(r admin.RegionLoad) bool { return r.LastMajorCompaction < began })
		})
		v = verify(t, args...)
		if v.code != 0 || v.BadRows != 0 || i == 0 && v.Exceptions["compacted"] == 0 {
			t.Errorf("compacted: exit code %d, %v, exceptions %v\n%s", v.code, v.Differences, v.Exceptions, first(v.lines))
		}
	}
	// A marker at the target that hides what the source shows is no exception, and no write repairs it.
	if err := env.Dst.Write(ctx, p.target, judge.DeleteColumn("0000-compacted", "b", "stays", now)); err != nil {
		t.Fatal(err)
	}
	v = verify(t, args...)
	v.lines = slices.DeleteFunc(v.lines, func(d difference) bool { return d.Kind != "marker" || d.Exception != "late-put" })
	if v.code != 2 || v.BadRows != 1 || len(v.lines) != 1 || v.lines[0].At != "target" {
		t.Errorf("exit code %d, %s", v.code, first(v.lines))
	}
	r := repair(t, 2, append(p.ends(), "--recheck-for", "1s", "--execute", "--delete-extra")...)
	if len(r.Actions) != 0 || len(r.Left) != 1 || !strings.Contains(r.Left[0].What, "major compaction") {
		t.Errorf("repair: %+v, left %+v", r.Actions, r.Left)
	}
}

// TestFinalPassComparesChangedRows plants a difference in a row that changes after a clean pass, and one in a row that does not.
func TestFinalPassComparesChangedRows(t *testing.T) {
	t.Parallel()
	table := testenv.Name(t)
	plainTable(t, table, "a")
	load(t, table, 1000, "a")
	p := &pipe{name: table, tables: table}
	awaitStreaming(t, p.start(t))
	identical(t, table, judge.ScanOptions{})
	file := pipeFile(t, p)
	pass := verify(t, "-f", file)
	pass.clean(t, 1000)

	var changes []judge.Mutation
	for i := range 50 {
		changes = append(changes, judge.Put(mutatorRow(i%40), "a", "q", "changed"))
	}
	write(t, table, changes...)
	ctx := testenv.Context(t, time.Minute)
	if err := env.Dst.Write(ctx, table, judge.PutAt(mutatorRow(7), "a", "planted", farFuture, "v"), judge.PutAt("4444-unchanged", "a", "planted", farFuture, "v")); err != nil {
		t.Fatal(err)
	}
	v := verify(t, "-f", file, "--changed-since", pass.report)
	if v.code != 2 || v.ChangedKeys != 40 || v.GoodRows != 39 || len(v.lines) != 1 || string(v.lines[0].Row) != mutatorRow(7) || v.lines[0].Kind != "extra" {
		t.Errorf("exit code %d, %d changed rows, %d good\n%s", v.code, v.ChangedKeys, v.GoodRows, first(v.lines))
	}
	v = verify(t, "-f", file)
	if v.code != 2 || len(v.lines) != 2 {
		t.Errorf("in full: exit code %d\n%s", v.code, first(v.lines))
	}
	repair(t, 0, "-f", file, "--execute", "--delete-extra")
	v = verify(t, "-f", file)
	v.clean(t, 1000)
}

// TestVerifyLeavesOutWhatFiltersDo compares a table of which a pipeline captures a part, under other names.
func TestVerifyLeavesOutWhatFiltersDo(t *testing.T) {
	t.Parallel()
	table := testenv.Name(t)
	plainTable(t, table, "a", "b")
	load(t, table, 500, "a", "b")
	write(t, table, judge.Put("00-row", "a", "secret-q", "v"), judge.Put("skip-row", "a", "q", "v"))
	p := &pipe{name: table, tables: table,
		source: keys{"qualifier.exclude.list": "prefix:secret", "row.exclude.list": "prefix:skip"},
		sink:   keys{"hbase.table.rename": table + "=" + table + "_copy", "hbase.family.rename": "a=z"}}
	awaitStreaming(t, p.start(t))
	awaitTable(t, table+"_copy")
	file := pipeFile(t, p)
	v := verify(t, "-f", file)
	v.clean(t, 500)
	target := table + "_copy"
	ctx := testenv.Context(t, time.Minute)
	if err := env.Dst.Write(ctx, target, judge.Put("00-row", "z", "secret-other", "v"), judge.Put("skip-other", "z", "q", "v"), judge.PutAt("0000-here", "z", "q", 5, "v")); err != nil {
		t.Fatal(err)
	}
	write(t, table, judge.Mutation{Kind: "put", Row: []byte("0000-there"), SkipWAL: true,
		Cells: []judge.Cell{{Family: []byte("a"), Qualifier: []byte("q"), Timestamp: 6, Value: []byte("v")}}})
	v = verify(t, "-f", file)
	if v.code != 2 || len(v.lines) != 2 || v.lines[0].Family != "a" || v.OnlyInSourceRows != 1 || v.OnlyInTargetRows != 1 {
		t.Errorf("exit code %d, %d only at the source, %d only at the target\n%s", v.code, v.OnlyInSourceRows, v.OnlyInTargetRows, first(v.lines))
	}
	repair(t, 0, "-f", file, "--execute", "--delete-extra")
	cells, err := env.Dst.ReadRow(ctx, target, []byte("0000-there"))
	if err != nil || len(cells) != 1 || string(cells[0].Family) != "z" || cells[0].Timestamp != 6 {
		t.Errorf("repaired: %+v, %v", cells, err)
	}
	v = verify(t, "-f", file)
	v.clean(t, 500)
}

// TestVerifyReadsWideRows compares a row that comes in many answers of a scan.
func TestVerifyReadsWideRows(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 2*time.Minute)
	p := twins(t, 10, 9)
	cells := torture(4000, 100_000)
	wide := func(skip, other int) (writes []judge.Mutation) {
		for i := 0; i < cells; i += 200 {
			m := judge.Mutation{Kind: "put", Row: []byte("0000-wide")}
			for q := i; q < i+200; q++ {
				value := []byte(strings.Repeat(fmt.Sprintf("%08d", q), 200))
				if q == other {
					value[777] = 'x'
				}
				if q != skip {
					m.Cells = append(m.Cells, judge.Cell{Family: []byte("a"), Qualifier: fmt.Appendf(nil, "%08d", q), Timestamp: 1_700_000_000_000, Value: value})
				}
			}
			writes = append(writes, m)
		}
		return writes
	}
	if err := env.Src.Write(ctx, p.table, wide(-1, -1)...); err != nil {
		t.Fatal(err)
	}
	if err := env.Dst.Write(ctx, p.target, wide(cells-1, cells/2)...); err != nil {
		t.Fatal(err)
	}
	args := append(p.ends(), "--recheck-for", "1s")
	v := verify(t, args...)
	if v.code != 2 || v.BadRows != 1 || len(v.lines) != 2 || v.lines[0].Kind != "value" || v.lines[1].Kind != "missing" {
		t.Errorf("exit code %d, %d bad rows\n%s", v.code, v.BadRows, first(v.lines))
	}
	repair(t, 0, append(args, "--from", v.out, "--execute")...)
	v = verify(t, args...)
	v.clean(t, 10)
	if err := env.Src.AwaitEqual(ctx, p.table, env.Dst, p.target, judge.ScanOptions{}); err != nil {
		t.Error(err)
	}
}

// TestVerifyOfManyMissingRows: rows that differ side by side are read again together, also where the target's regions part them. Each
// is told once.
func TestVerifyOfManyMissingRows(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 2*time.Minute)
	table := testenv.Name(t)
	rows := torture[int64](1000, 50_000)
	for c, regions := range map[*judge.Cluster]int{env.Src: 2, env.Dst: 7} {
		spec := judge.Table{Name: table, Splits: judge.HexSplits(regions), Families: []judge.Family{{Name: "a", Versions: 3}}}
		if err := c.CreateTable(ctx, spec); err != nil {
			t.Fatal(err)
		}
	}
	load(t, table, rows, "a")
	args := append(bothEnds(table), "--recheck-for", "1s")
	v := verify(t, args...)
	told := make(map[string]bool)
	for _, d := range v.lines {
		if d.Kind != "missing" {
			t.Errorf("found %v", d)
		}
		told[string(d.Row)] = true
	}
	if n := int64(len(told)); v.code != 2 || v.OnlyInSourceRows != rows || n != rows || int64(len(v.lines)) != v.Differences["missing"] || v.Differences["missing"] < rows {
		t.Errorf("exit code %d, %d rows only at the source, %d rows told in %d lines, %v; want %d rows", v.code, v.OnlyInSourceRows, n, len(v.lines), v.Differences, rows)
	}
	seen := make(map[string]bool)
	for _, d := range v.lines {
		if k := d.String(); seen[k] {
			t.Errorf("told twice: %v", d)
		} else {
			seen[k] = true
		}
	}
	repair(t, 0, append(args, "--from", v.out, "--execute")...)
	v = verify(t, args...)
	v.clean(t, rows)
}
