//go:build e2e

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/servers"
	"github.com/waltap/waltap/e2e/testenv"
)

// everyCell writes each type of cell, and what is awkward about cells, to rows that begin with prefix.
func everyCell(prefix string) []judge.Mutation {
	r := func(s string) string { return prefix + s }
	m := []judge.Mutation{
		judge.PutAt(r("versions"), "f", "q", 100, "one"), judge.PutAt(r("versions"), "f", "q", 200, "two"), judge.PutAt(r("versions"), "f", "q", 300, "three"),
		judge.PutAt(r("same"), "f", "q", 100, "first"), judge.PutAt(r("same"), "f", "q", 100, "second"),
		judge.Put(r("empty value"), "f", "q", ""), judge.Put(r("empty qualifier"), "f", "", "v"),
		judge.Put(r("\x00\xff\x80\n"), "f", "\x00\xff", "\x00\xff"),
		judge.Put(r("big"), "f", "q", strings.Repeat("0123456789abcdef", 1<<16)),
		judge.Put(r("not scoped"), "local", "q", "stays here"),
		judge.Atomic(r("both"), judge.Put(r("both"), "f", "q", "v"), judge.Put(r("both"), "local", "q", "stays here")),
		judge.Increment(r("counter"), "f", "n", 5), judge.Increment(r("counter"), "f", "n", -2),
		judge.Append(r("text"), "f", "s", "ab"), judge.Append(r("text"), "f", "s", "cd"),
	}
	for _, row := range []string{"delete", "column", "family", "version", "row"} {
		for ts := int64(100); ts <= 300; ts += 100 {
			m = append(m, judge.PutAt(r(row), "f", "q", ts, "v"), judge.PutAt(r(row), "f", "p", ts, "v"))
		}
	}
	return append(m,
		judge.DeleteVersion(r("delete"), "f", "q", 200),
		judge.DeleteColumn(r("column"), "f", "q", 200),
		judge.DeleteFamily(r("family"), "f", 200),
		judge.DeleteFamilyVersion(r("version"), "f", 200),
		judge.DeleteRow(r("row")),
		judge.PutAt(r("delete"), "f", "q", 250, "after a delete"),
	)
}

func TestEveryTypeOfCellArrives(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 5*time.Minute)
	ns := testenv.Name(t)
	table := ns + ":cells"
	if err := env.Src.CreateNamespace(ctx, ns); err != nil {
		t.Fatal(err)
	}
	err := env.Src.CreateTable(ctx, judge.Table{Name: table, Splits: judge.HexSplits(3), Families: []judge.Family{
		{Name: "f", Versions: 5, Scope: 1}, {Name: "ttl", Versions: 3, Scope: 1}, {Name: "local", Versions: 3},
	}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, table, everyCell("a scan ")...)
	write(t, table, judge.Put("a scan ttl", "ttl", "q", "v").WithTTL(2*time.Hour), judge.Put("a scan ttl", "ttl", "long", "v").WithTTL(time.Hour))
	p := &pipe{name: ns, tables: table}
	w := p.start(t)
	awaitStreaming(t, w)
	write(t, table, everyCell("f stream ")...)
	write(t, table, judge.Put("f stream ttl", "ttl", "q", "v").WithTTL(2*time.Hour), judge.Put("f stream ttl", "ttl", "long", "v").WithTTL(time.Hour))
	// A cell whose time has long been over is in the WAL all the same, with one beside it that lives: the destination would show it if it
	// came without its tag.
	write(t, table, judge.Atomic("f stream expired", judge.PutAt("f stream expired", "ttl", "q", 100, "v").WithTTL(time.Hour), judge.Put("f stream expired", "ttl", "stays", "v")))

	captured := judge.ScanOptions{ExcludeFamilies: []string{"local"}}
	identical(t, table, captured)
	sum, err := env.Dst.Checksum(ctx, table, judge.ScanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"Put", "Delete", "DeleteColumn", "DeleteFamily", "DeleteFamilyVersion"} {
		if sum.Types[kind] < 2 {
			t.Errorf("%d cells of type %s at the destination, want at least one from the scan and one from the stream", sum.Types[kind], kind)
		}
	}
	for _, row := range []string{"a scan ttl", "f stream ttl"} {
		cells, err := env.Dst.RawRow(ctx, table, []byte(row))
		if err != nil {
			t.Fatal(err)
		}
		if len(cells) != 2 || len(cells[0].Tags) != 11 || len(cells[1].Tags) != 11 {
			t.Fatalf("row %q at the destination: %+v, want two cells with a TTL tag of 11 bytes each", row, cells)
		}
	}
	cells, err := env.Dst.RawRow(ctx, table, []byte("f stream expired"))
	if err != nil || len(cells) != 1 || string(cells[0].Qualifier) != "stays" {
		t.Errorf("the row with a cell whose time is over is at the destination %+v, %v; want only the cell that lives on", cells, err)
	}
}

func TestVerifyReplicationFindsNoBadRow(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 4*time.Minute)
	table := testenv.Name(t)
	createTable(t, table, "a", "b")
	load(t, table, 5000, "a", "b")
	p := &pipe{name: table, tables: table}
	stop := mutate(t, table, 500, "a", "b")
	awaitStreaming(t, p.start(t))
	time.Sleep(2 * time.Second)
	stop()
	identical(t, table, judge.ScanOptions{})
	rows, err := env.Src.CountRows(ctx, table)
	if err != nil {
		t.Fatal(err)
	}
	spec := judge.VerifySpec{Peer: env.Destination.ClusterKey(), Table: table, Versions: 10}
	r, err := env.Src.VerifyReplication(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	if r.Good != rows || r.Bad != 0 || rows < 4000 {
		t.Errorf("VerifyReplication: %+v, want GOODROWS = %d and no BADROWS", r, rows)
	}
	t.Logf("VerifyReplication: %+v of %d rows", r, rows)

	// It would have found one: a row that only the destination has. (Not the table's first: VerifyReplication begins at
	// the source's.)
	if err := env.Dst.Write(ctx, table, judge.Put("8888888888888888", "a", "extra", "v")); err != nil {
		t.Fatal(err)
	}
	if r, err = env.Src.VerifyReplication(ctx, spec); err != nil || r.Bad == 0 {
		t.Errorf("VerifyReplication with one row changed: %+v, %v; want a bad row", r, err)
	}
}

func TestRenamedTablesInTwoProcesses(t *testing.T) {
	t.Parallel()
	table := testenv.Name(t)
	createTable(t, table, "a")
	load(t, table, 500, "a")
	p := &pipe{name: table, tables: table, sink: keys{"hbase.table.rename": table + "=" + table + "_copy"}}
	p.cleanUp(t)
	sink := env.StartWaltap(t, testenv.WaltapOptions{Name: "sink", Config: processYAML(p.sinkConfig())})
	source := env.StartWaltap(t, testenv.WaltapOptions{Name: "source", Config: processYAML(p.sourceConfig())})
	awaitStreaming(t, source)
	write(t, table, everyRename...)
	awaitTable(t, table+"_copy")
	ctx := testenv.Context(t, time.Minute)
	if err := env.Src.AwaitEqual(ctx, table, env.Dst, table+"_copy", judge.ScanOptions{}); err != nil {
		t.Fatal(err)
	}
	if there, err := env.Dst.TableExists(ctx, table); err != nil || there {
		t.Errorf("the destination has a table of the old name, too: %v, %v", there, err)
	}
	for _, w := range []*testenv.Waltap{sink, source} {
		if code, err := w.Stop(ctx); err != nil || code != 0 {
			t.Errorf("SIGTERM: exit code %d, %v; want a clean stop\n%s", code, err, servers.LogTail(w.LogPath()))
		}
	}
}

var everyRename = []judge.Mutation{judge.Put("zz", "a", "q", "v"), judge.DeleteRow("zz"), judge.Put("zy", "a", "q", "v")}
