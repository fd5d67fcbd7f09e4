//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/testenv"
)

// texts describes cells, sorted.
func texts(cells []judge.Cell) []string {
	var out []string
	for _, k := range cells {
		out = append(out, fmt.Sprintf("%q %s:%q @%d %s %q tags %x", k.Row, k.Family, k.Qualifier, k.Timestamp, k.Type, k.Value, k.Tags))
	}
	slices.Sort(out)
	return out
}

// awaitCells waits until a table of the destination holds what of makes of the cells of a table of the source; it returns how many
// cells each has.
func awaitCells(t *testing.T, table, at string, of func(judge.Cell) (judge.Cell, bool)) (source, destination int) {
	t.Helper()
	awaitTable(t, at)
	ctx := testenv.Context(t, time.Minute)
	all, err := env.Src.Cells(ctx, table, judge.ScanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var captured []judge.Cell
	for _, k := range all {
		if k, ok := of(k); ok {
			captured = append(captured, k)
		}
	}
	awaitTexts(ctx, t, at, texts(captured))
	return len(all), len(captured)
}

// awaitTexts waits until a table of the destination holds these cells.
func awaitTexts(ctx context.Context, t *testing.T, table string, want []string) {
	t.Helper()
	for {
		cells, err := env.Dst.Cells(ctx, table, judge.ScanOptions{})
		got := texts(cells)
		if err == nil && slices.Equal(got, want) {
			return
		}
		select {
		case <-ctx.Done():
			for _, line := range got {
				if !slices.Contains(want, line) {
					t.Errorf("too much: %s", line)
				}
			}
			for _, line := range want {
				if !slices.Contains(got, line) {
					t.Errorf("missing: %s", line)
				}
			}
			t.Fatalf("%s holds %d cells, want %d: %v", table, len(got), len(want), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// filtered writes what the filters of TestFilteredPipeline tell apart: every kind of cell in every kind of row.
func filtered(phase string, at int64) []judge.Mutation {
	var m []judge.Mutation
	for _, row := range []string{"user-" + phase + "-1", "user-" + phase + "-2", "user-" + phase + "-test", "other-" + phase, "a\x00" + phase} {
		for i, value := range []string{"EU1", "US1", "", "EU2", "US2"} {
			ts := at + int64(i)
			m = append(m, judge.PutAt(row, "a", "price", ts, value), judge.PutAt(row, "a", "my secret", ts, value), judge.PutAt(row, "b", "", ts, value))
		}
		m = append(m,
			judge.DeleteVersion(row, "a", "price", at+3), judge.DeleteColumn(row, "a", "my secret", at+1), judge.DeleteVersion(row, "a", "my secret", at+3),
			judge.DeleteFamilyVersion(row, "b", at+3), judge.DeleteFamily(row, "b", at))
	}
	return append(m, judge.DeleteRow("user-"+phase+"-2"), judge.DeleteRow("other-"+phase))
}

// A cell is captured, or not, in the scan and in the stream alike; a filter may not change later.
func TestFilteredPipeline(t *testing.T) {
	t.Parallel()
	table := testenv.Name(t)
	createTable(t, table, "a", "b")
	write(t, table, filtered("scan", 1000)...)
	p := &pipe{name: table, tables: table, source: keys{
		"row.include.list": `prefix:user, ` + table + `=anywhere:\x00, shop:.*=anywhere:other`, "row.exclude.list": "postfix:-test",
		"qualifier.exclude.list": ".*:.*=anywhere:secret", "value.include.list": `prefix:EU, exact:`,
	}}
	w := p.start(t)
	awaitStreaming(t, w)
	write(t, table, filtered("stream", 2000)...)
	all, captured := awaitCells(t, table, table, func(k judge.Cell) (judge.Cell, bool) {
		row, whole := string(k.Row), strings.HasPrefix(k.Type, "DeleteFamily")
		return k, (strings.HasPrefix(row, "user") || strings.Contains(row, "\x00")) && !strings.HasSuffix(row, "-test") &&
			(whole || !strings.Contains(string(k.Qualifier), "secret")) &&
			(k.Type != "Put" || len(k.Value) == 0 || strings.HasPrefix(string(k.Value), "EU"))
	})
	t.Logf("%d of %d cells are captured", captured, all)
	if captured < 30 || captured > all/2 {
		t.Errorf("%d of %d cells are captured: the filters are not put to the test", captured, all)
	}
	if code, err := w.Stop(testenv.Context(t, time.Minute)); err != nil || code != 0 {
		t.Fatalf("SIGTERM: exit code %d, %v", code, err)
	}
	p.source["value.include.list"] = "prefix:EU"
	refused(t, processYAML(p.sourceConfig()), "was captured with another scope", `values include prefix:"EU", exact:""; now `, "docs/filters.md")
}

// Values and times to live stay at the source; all else comes.
func TestKeysOnlyAndNoTTL(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 2*time.Minute)
	table := testenv.Name(t)
	keep := map[string]string{"KEEP_DELETED_CELLS": "TRUE"}
	err := env.Src.CreateTable(ctx, judge.Table{Name: table, Families: []judge.Family{{Name: "a", Versions: 9, Scope: 1, Attributes: keep}, {Name: "b", Versions: 9, Scope: 1, TTL: time.Hour, Attributes: keep}}})
	if err != nil {
		t.Fatal(err)
	}
	cells := func(row string) []judge.Mutation {
		return []judge.Mutation{
			judge.Put(row, "a", "q", "a secret").WithTTL(time.Hour), judge.Put(row, "a", "p", "another"), judge.Put(row, "b", "q", "a third").WithTTL(time.Hour),
			judge.DeleteColumn(row, "a", "p", 0), judge.DeleteFamily(row, "b", 5),
		}
	}
	write(t, table, cells("scan")...)
	p := &pipe{name: table, tables: table, source: keys{"cell.keys.only": "true", "cell.ttl.drop": "true"}}
	awaitStreaming(t, p.start(t))
	write(t, table, cells("stream")...)
	expiring := 0
	all, captured := awaitCells(t, table, table, func(k judge.Cell) (judge.Cell, bool) {
		if len(k.Tags) > 0 {
			expiring++
		}
		k.Value, k.Tags = nil, nil
		return k, true
	})
	if all != 10 || captured != 10 || expiring != 4 {
		t.Errorf("%d of %d cells are captured, %d with a TTL; want 10, 10 and 4", captured, all, expiring)
	}
	d, err := env.Dst.DescribeTable(ctx, table)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range d.Families {
		if f.TTL != 0 || f.Versions != 9 {
			t.Errorf("family %s at the destination expires after %s and has %d versions, want never, and 9", f.Name, f.TTL, f.Versions)
		}
	}
}

// Namespace, tables and families have other names at the destination, in the scan, in the stream and in every kind of delete; what
// would merge two of them is refused.
func TestRenamedNamespaceTableAndFamilies(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 3*time.Minute)
	ns := testenv.Name(t)
	if err := env.Src.CreateNamespace(ctx, ns); err != nil {
		t.Fatal(err)
	}
	one, two := ns+":one", ns+":two"
	for _, table := range []string{one, two} {
		createTable(t, table, "f", "g", "h")
		for _, family := range []string{"f", "g", "h"} {
			write(t, table, inFamily(family, "scan")...)
		}
	}
	p := &pipe{name: ns, tables: ns + ":.*", sink: keys{
		"hbase.namespace.rename": ns + "=" + ns + "_to", "hbase.table.rename": two + "=" + ns + "_other:second",
		"hbase.family.rename": "f=g, g=f, " + two + ":h=long_name",
	}}
	w := p.start(t)
	awaitStreaming(t, w)
	for _, to := range []struct {
		table, at string
		families  map[string]string
	}{
		{one, ns + "_to:one", map[string]string{"f": "g", "g": "f", "h": "h"}},
		{two, ns + "_other:second", map[string]string{"f": "g", "g": "f", "h": "long_name"}},
	} {
		for _, family := range []string{"f", "g", "h"} {
			write(t, to.table, inFamily(family, "stream")...)
		}
		all, _ := awaitCells(t, to.table, to.at, func(k judge.Cell) (judge.Cell, bool) {
			k.Family = []byte(to.families[string(k.Family)])
			return k, true
		})
		if all < 36 {
			t.Errorf("%s holds %d cells only", to.table, all)
		}
	}
	if code, err := w.Stop(ctx); err != nil || code != 0 {
		t.Fatalf("SIGTERM: exit code %d, %v", code, err)
	}
	merging := func(sink keys, want ...string) {
		t.Helper()
		sink["consumer.group.id"] = ns + strings.Join(want, "")[:8]
		refused(t, processYAML((&pipe{name: ns, sink: sink}).sinkConfig()), want...)
	}
	merging(keys{"hbase.table.rename": one + "=" + two}, one+" and "+two+" would both be written to "+two)
	merging(keys{"hbase.namespace.rename": ns + "=" + ns + "_to", "hbase.family.rename": "f=g"}, "hbase.family.rename: table "+ns, "families f and g would both be written to family g")
}

func inFamily(family, row string) []judge.Mutation {
	var m []judge.Mutation
	for ts := int64(100); ts <= 300; ts += 100 {
		m = append(m, judge.PutAt(row, family, "q", ts, family), judge.PutAt(row, family, "p", ts, family))
	}
	return append(m, judge.DeleteVersion(row, family, "q", 200), judge.DeleteColumn(row, family, "p", 100), judge.DeleteFamilyVersion(row, family, 300), judge.DeleteFamily(row, family, 50))
}

// What the destination has stays as it is, whichever is newer; what it lacks comes, and however often it is applied the end is the same.
func TestExistingCellsAreNotOverwritten(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 3*time.Minute)
	table := testenv.Name(t)
	createTable(t, table, "a", "b")
	createTableAt(t, env.Dst, table, "a", "b")
	err := env.Dst.Write(ctx, table, judge.PutAt("older there", "a", "q", 50, "there"), judge.PutAt("newer there", "a", "q", 500, "there"), judge.PutAt("same time", "a", "q", 100, "there"),
		judge.PutAt("empty there", "a", "q", 50, ""), judge.PutAt("deleted at the source", "a", "q", 50, "there"), judge.PutAt("streamed", "a", "q", 50, "there"))
	if err != nil {
		t.Fatal(err)
	}
	existing, err := env.Dst.Cells(ctx, table, judge.ScanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var rows []judge.Mutation
	for _, row := range []string{"older there", "newer there", "same time", "empty there", "not there"} {
		rows = append(rows, judge.PutAt(row, "a", "q", 90, "old"), judge.PutAt(row, "a", "q", 100, "v"), judge.PutAt(row, "b", "other", 100, "v"))
	}
	write(t, table, append(rows, judge.DeleteRow("deleted at the source"), judge.PutAt("hidden", "a", "q", 100, "v"), judge.PutAt("hidden", "a", "p", 100, "v"), judge.DeleteColumn("hidden", "a", "q", 100))...)
	cell := func(row, family, qualifier string, ts int64, value string) judge.Cell {
		return judge.Cell{Row: []byte(row), Family: []byte(family), Qualifier: []byte(qualifier), Timestamp: ts, Type: "Put", Value: []byte(value)}
	}
	want := slices.Clone(existing)
	for _, row := range []string{"older there", "newer there", "same time", "empty there", "not there"} {
		want = append(want, cell(row, "b", "other", 100, "v"))
	}
	want = append(want, cell("not there", "a", "q", 90, "old"), cell("not there", "a", "q", 100, "v"), cell("hidden", "a", "p", 100, "v"))

	p := &pipe{name: table, tables: table, sink: keys{"hbase.no.overwrite": "true"}}
	w := p.start(t)
	awaitStreaming(t, w)
	awaitTexts(testenv.Context(t, time.Minute), t, table, texts(want))
	// Also what the sink has written stays: this is for filling up, not for following.
	write(t, table, judge.PutAt("streamed", "a", "q", 100, "v"), judge.PutAt("not there", "a", "q", 200, "newer"), judge.DeleteRow("not there"), judge.PutAt("streamed", "b", "q", 100, "v"))
	want = append(want, cell("streamed", "b", "q", 100, "v"))
	awaitTexts(testenv.Context(t, time.Minute), t, table, texts(want))

	again := env.StartWaltap(t, testenv.WaltapOptions{Name: "again", Config: processYAML((&pipe{name: table, sink: keys{
		"hbase.no.overwrite": "true", "consumer.start": "earliest", "consumer.group.id": table + "_again",
	}}).sinkConfig())})
	v := await(t, again, "_sink", "all records once more", func(v status.ConnectorView) bool { return v.Records >= 11 && v.LagRecords == 0 })
	awaitTexts(testenv.Context(t, time.Minute), t, table, texts(want))
	if v.Kept != v.Cells || v.Cells < 20 {
		t.Errorf("status %+v, want all cells counted as left out", v)
	}
}

// The main job by mutations, over a kill and a split at the destination.
func TestMainJobByMutations(t *testing.T) {
	t.Parallel()
	table := testenv.Name(t)
	createTableToAlter(t, env.Src, table, "a", "b")
	load(t, table, torture[int64](1000, 200_000), "a", "b")
	p := &pipe{name: table, tables: table, sink: keys{"hbase.apply": "mutation"}}
	stop := mutate(t, table, 300, "a", "b")
	w := p.start(t)
	await(t, w, "_sink", "some changes", func(v status.ConnectorView) bool { return v.Records > 1300 })
	if err := w.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := w.Restart(); err != nil {
		t.Fatal(err)
	}
	before := await(t, w, "_sink", "changes", func(v status.ConnectorView) bool { return v.Records > 100 })
	if err := env.Dst.Split(testenv.Context(t, time.Minute), table, []byte("2")); err != nil {
		t.Fatal(err)
	}
	await(t, w, "_sink", "changes after the split", func(v status.ConnectorView) bool { return v.Records > before.Records+300 })
	time.Sleep(torture(0, time.Minute))
	stop()
	identical(t, table, judge.ScanOptions{})
}
