//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/servers"
	"github.com/waltap/waltap/e2e/testenv"
)

// The tests of this file capture from an HBase 1.4 (docs/versions.md); the copy is on 2.6, as everywhere.

// oldPipe is a pipe from the HBase 1.x.
func oldPipe(t *testing.T, name, tables string, source keys) (*pipe, testenv.OldHBase) {
	t.Helper()
	old := env.OldHBase(t)
	all := keys{"hbase.zookeeper.quorum": old.ZKQuorum(), "hbase.peer.zookeeper.session.timeout.ms": "4000"}
	for k, v := range source {
		all[k] = v
	}
	return &pipe{name: name, tables: tables, source: all, from: old.Cluster}, old
}

// identicalTo is identical for a source that is not env.Src.
func identicalTo(t *testing.T, from *judge.Cluster, table string, o judge.ScanOptions) {
	t.Helper()
	awaitTable(t, table)
	ctx := testenv.Context(t, 2*time.Minute)
	if err := from.AwaitEqual(ctx, table, env.Dst, table, o); err != nil {
		t.Fatal(err)
	}
	sum, err := env.Dst.Checksum(ctx, table, o)
	if err != nil {
		t.Fatal(err)
	}
	if sum.Cells == 0 {
		t.Fatal("both ends are empty: nothing was compared")
	}
	t.Logf("identical: %s", sum)
}

// Scanned and followed under a write load; killed in the middle of both, with a region split each time meanwhile.
func TestOldHBaseKilledAndSplit(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 3*time.Minute)
	table := testenv.Name(t)
	rows := torture[int64](4000, 20_000)
	p, old := oldPipe(t, table, table, keys{"snapshot.fetch.size": "16KiB", "snapshot.max.threads": "1", "snapshot.max.rows.per.second": slow})
	createTableOf(t, old.Cluster, judge.Table{Name: table, Splits: smallFirst, Attributes: keepMarkers}, "a", "b")
	if _, err := old.Cluster.Load(ctx, table, judge.LoadSpec{Rows: rows, Seed: 7, Families: []string{"a", "b"}, Versions: 2, ValueSize: 20}); err != nil {
		t.Fatal(err)
	}
	stop := mutateAt(t, old.Cluster, table, judge.MutatorSpec{Families: []string{"a", "b"}, Keys: 200, Rate: 500}) // fewer rows than the first region has
	w, _ := p.startApart(t)
	await(t, w, "_source", "the scan", func(v status.ConnectorView) bool { return v.State == status.Snapshot && v.Snapshot != nil })
	limit(t, w, table+"_source", rows/40)
	v := await(t, w, "_source", "the scan", func(v status.ConnectorView) bool {
		return v.State == status.Snapshot && v.Snapshot != nil && v.Snapshot.ShardsDone > 0
	})
	killAndSplit := func(at string) {
		t.Helper()
		if err := w.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := old.Cluster.Split(ctx, table, []byte(at)); err != nil {
			t.Fatal(err)
		}
		if err := w.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	killAndSplit("e000")
	if v.Snapshot.ShardsDone == v.Snapshot.ShardsTotal {
		t.Fatalf("the scan was complete before the kill: %+v", *v.Snapshot)
	}
	await(t, w, "_source", "the scan", func(v status.ConnectorView) bool { return v.State == status.Snapshot })
	limit(t, w, table+"_source", 0)
	awaitStreaming(t, w)
	if v, err := view(ctx, w, "_source"); err != nil || v.Snapshot == nil || v.Snapshot.Rows == 0 || v.Snapshot.Rows >= rows { // and the writer has added some
		t.Errorf("the second start scanned %+v (%v), want what was left", v.Snapshot, err)
	}
	await(t, w, "_source", "changes", func(v status.ConnectorView) bool { return v.Records > 100 })
	killAndSplit("2000")
	awaitStreaming(t, w)
	stop()
	identicalTo(t, old.Cluster, table, judge.ScanOptions{})
}

// Every type of cell, by the scan and by the stream, of a table that has to be altered first; the watermark is proved; peers
// are as the client of 1.4 sees them, and the commands for them work.
func TestOldHBaseEveryTypeOfCell(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 3*time.Minute)
	ns := testenv.Name(t)
	table := ns + ":cells"
	p, old := oldPipe(t, ns, table, keys{"hbase.replication.scope": "set"})
	if err := old.Cluster.CreateNamespace(ctx, ns); err != nil {
		t.Fatal(err)
	}
	err := old.Cluster.CreateTable(ctx, judge.Table{Name: table, Splits: judge.HexSplits(3), Families: []judge.Family{
		{Name: "f", Versions: 5}, {Name: "ttl", Versions: 3, Scope: 1}, {Name: "local", Versions: 3},
	}})
	if err != nil {
		t.Fatal(err)
	}
	ttl := func(row string) judge.Mutation { return judge.Put(row, "ttl", "q", "v").WithTTL(time.Hour) }
	if err := old.Cluster.Write(ctx, table, append(everyCell("a scan "), ttl("a scan ttl"))...); err != nil {
		t.Fatal(err)
	}
	w, _ := p.startApart(t)
	awaitStreaming(t, w)
	if err := old.Cluster.Write(ctx, table, append(everyCell("f stream "), ttl("f stream ttl"))...); err != nil {
		t.Fatal(err)
	}
	identicalTo(t, old.Cluster, table, judge.ScanOptions{})
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
		if err != nil || len(cells) != 1 || len(cells[0].Tags) != 11 {
			t.Errorf("row %q at the destination: %+v, %v; want a cell with a TTL tag of 11 bytes", row, cells, err)
		}
	}
	if v := awaitWatermark(t, w, time.Now()); v.Watermark.Estimated {
		t.Errorf("watermark %+v, want a proved one", *v.Watermark)
	}
	if err := w.Kill(); err != nil {
		t.Fatal(err)
	}
	oldPeerCommands(t, p, old)
}

// oldPeerCommands ends with the removal of the pipe's peer.
func oldPeerCommands(t *testing.T, p *pipe, old testenv.OldHBase) {
	t.Helper()
	ctx := testenv.Context(t, time.Minute)
	peer := func() *judge.Peer {
		t.Helper()
		peers, err := old.Cluster.Peers(ctx)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(peers, func(x judge.Peer) bool { return x.ID == p.name })
		if i < 0 {
			return nil
		}
		return &peers[i]
	}
	run := func(args ...string) testenv.Result {
		return testenv.RunWaltap(ctx, t, append([]string{"peer", "--quorum", old.ZKQuorum()}, args...)...)
	}
	foreign := p.name + "_x"
	err := old.Cluster.AddPeer(ctx, judge.Peer{ID: foreign, ClusterKey: env.Destination.ClusterKey(), Disabled: true, Tables: map[string][]string{p.tables: {"f", "ttl"}}, Bandwidth: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if r := run("list"); r.ExitCode != 0 || !strings.Contains(r.Stdout, p.name+"_source") || !strings.Contains(r.Stdout, foreign) {
		t.Errorf("peer list: %+v", r)
	}
	if x := peer(); x == nil || x.Disabled || x.ReplicateAll || len(x.Tables) != 2 || len(x.Tables[p.tables]) != 0 || x.Config["waltap.connector"] != p.name+"_source" {
		t.Errorf("HBase's own client sees the peer as %+v", x)
	}
	if r := run("disable", p.name); r.ExitCode != 0 {
		t.Errorf("peer disable: %+v", r)
	}
	if x := peer(); x == nil || !x.Disabled {
		t.Errorf("after disable: %+v", x)
	}
	if r := run("remove", foreign); r.ExitCode == 0 || !strings.Contains(r.Stderr, "not made by waltap") {
		t.Errorf("removing a foreign peer: %+v, want a refusal", r)
	}
	if r := run("remove", "--yes", p.name); r.ExitCode != 0 || !strings.Contains(r.Stdout, "peer "+p.name+" removed") || !strings.Contains(r.Stdout, "waltap_heartbeat_"+p.name+" dropped") {
		t.Errorf("peer remove: %+v", r)
	}
	if x := peer(); x != nil {
		t.Errorf("after remove: %+v", x)
	}
	if err := old.Cluster.RemovePeer(ctx, foreign); err != nil {
		t.Fatal(err)
	}
}

// A table joins while another streams, at full size while the region server is kept from all changes of peers: what is written before it
// takes the new table list up is the scan's. One that is truncated is not taken for the one it was; what 1.x lacks is refused.
func TestOldHBaseTablesComeAndGo(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 3*time.Minute)
	name := testenv.Name(t)
	first, second := name+"_1", name+"_2"
	p, old := oldPipe(t, name, name+"_.*", keys{"table.refresh.interval.ms": "1000", "watermark.mode": "metrics", "watermark.estimate.slack.ms": "2000"})
	createTableAt(t, old.Cluster, first, "a")
	p.source["hbase.peer.serial"] = "true"
	refused(t, processYAML(p.sourceConfig()), "hbase.peer.serial: the source is HBase 1.4.14", "set hbase.peer.serial: false")
	delete(p.source, "hbase.peer.serial")

	write := func(table, row string) {
		t.Helper()
		if err := old.Cluster.Write(ctx, table, judge.Put(row, "a", "q", "v")); err != nil {
			t.Fatal(err)
		}
	}
	write(first, "scanned")
	source, _ := p.startApart(t)
	awaitStreaming(t, source)
	if torture(0, 1) > 0 {
		blockPeers(t, old, name+"_x")
	}
	createTableAt(t, old.Cluster, second, "a")
	write(second, "scanned")
	stop := mutateAt(t, old.Cluster, second, judge.MutatorSpec{Families: []string{"a"}, Keys: 500, Rate: 300})
	awaitTable(t, second)
	await(t, source, "_source", "the table that joins to stream", func(v status.ConnectorView) bool {
		return v.State == status.Running && v.Snapshot != nil && v.Snapshot.ShardsDone == v.Snapshot.ShardsTotal
	})
	// Beside writes: when there are none, 1.4 may go on to report a lag, with everything shipped.
	if v := awaitWatermark(t, source, time.Now()); !v.Watermark.Estimated {
		t.Errorf("watermark %+v, want an estimate", *v.Watermark)
	}
	stop()
	write(first, "streamed")
	identicalTo(t, old.Cluster, second, judge.ScanOptions{})
	identicalTo(t, old.Cluster, first, judge.ScanOptions{})
	if code, err := source.Stop(ctx); err != nil || code != 0 {
		t.Fatalf("SIGTERM: exit code %d, %v\n%s", code, err, servers.LogTail(source.LogPath()))
	}
	if err := old.Cluster.TruncateTable(ctx, first, true); err != nil {
		t.Fatal(err)
	}
	refused(t, processYAML(p.sourceConfig()), "RESNAPSHOT_REQUIRED", "table default:"+first+" was truncated, or dropped and created again")
}

// blockPeers adds a peer whose ZooKeeper is out of reach, which keeps the region server from all other changes of peers for a quarter of
// a minute; so does its removal.
func blockPeers(t *testing.T, old testenv.OldHBase, id string) {
	t.Helper()
	peer := judge.Peer{ID: id, ClusterKey: "127.0.0.1:1:/nowhere", Disabled: true, Tables: map[string][]string{id + "_none": nil}}
	if err := old.Cluster.AddPeer(testenv.Context(t, time.Minute), peer); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := old.Cluster.RemovePeer(cleanUpContext(), id); err != nil {
			t.Error(err)
		}
	})
}

// A copy on HBase 1.x, made by the same calls.
func TestCopyToOldHBase(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 2*time.Minute)
	table := testenv.Name(t)
	old := env.OldHBase(t)
	createTable(t, table, "f", "ttl")
	ttl := func(row string) judge.Mutation { return judge.Put(row, "ttl", "q", "v").WithTTL(time.Hour) }
	cells := func(prefix string) []judge.Mutation {
		return append(slices.DeleteFunc(everyCell(prefix), func(m judge.Mutation) bool {
			return m.Kind == "atomic" || len(m.Cells) > 0 && string(m.Cells[0].Family) == "local"
		}), ttl(prefix+"ttl"))
	}
	write(t, table, cells("a scan ")...)
	p := &pipe{name: table, tables: table, sink: keys{"hbase.zookeeper.quorum": old.ZKQuorum()}}
	w := p.start(t)
	awaitStreaming(t, w)
	write(t, table, cells("f stream ")...)
	await(t, w, "_sink", "the changes", func(v status.ConnectorView) bool { return v.Records > 20 })
	if err := env.Src.AwaitEqual(ctx, table, old.Cluster, table, judge.ScanOptions{}); err != nil {
		t.Fatal(err)
	}
	sum, err := old.Cluster.Checksum(ctx, table, judge.ScanOptions{})
	if err != nil || sum.Types["DeleteFamilyVersion"] < 2 {
		t.Fatalf("the copy holds %v, %v", sum, err)
	}
}

// The history of a table is read from the files of a snapshot that a 1.4 makes, and from one that is there, with no word to it: regions that
// were split, files of several flushes, all types of cells, rewrites with the timestamp that was there, what is in memory.
func TestOldHBaseFromFiles(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 3*time.Minute)
	table := testenv.Name(t)
	p, old := oldPipe(t, table, table, nil)
	p.source["snapshot.reader"], p.source["hbase.rootdir"] = "hfiles", old.RootDir()
	err := old.Cluster.CreateTable(ctx, judge.Table{Name: table, Splits: judge.HexSplits(3), Attributes: map[string]string{"COMPACTION_ENABLED": "false"}, Families: []judge.Family{
		{Name: "f", Versions: 100, Scope: 1, Attributes: map[string]string{"DATA_BLOCK_ENCODING": "FAST_DIFF", "COMPRESSION": "GZ"}},
		{Name: "ttl", Versions: 3, Scope: 1}, {Name: "local", Versions: 3, Scope: 1},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		_, err := old.Cluster.Load(ctx, table, judge.LoadSpec{Rows: 1000, Seed: 7, Families: []string{"f"}, Versions: 2, ValueSize: 20 + n, BaseTime: 1_700_000_000_000})
		if err != nil {
			t.Fatal(err)
		}
		if err := old.Cluster.Write(ctx, table, append(everyCell(fmt.Sprintf("%d ", 4*n)), judge.Put("5 ttl", "ttl", "q", "v").WithTTL(time.Hour))...); err != nil {
			t.Fatal(err)
		}
		if n == 2 { // stays in memory
			break
		}
		if err := old.Cluster.Flush(ctx, table); err != nil {
			t.Fatal(err)
		}
	}
	if err := old.Cluster.Split(ctx, table, []byte("7000")); err != nil {
		t.Fatal(err)
	}
	// Into both daughters. The client of 2.x, which knows their parent still, asks a 1.x for what it does not have, and then for the region.
	for _, prefix := range []string{"6 ", "8 ", "c "} {
		err := old.Cluster.Write(ctx, table, everyCell(prefix)...)
		for err != nil && strings.Contains(err.Error(), "Column family table does not exist in region hbase:meta") {
			time.Sleep(100 * time.Millisecond)
			err = old.Cluster.Write(ctx, table, everyCell(prefix)...)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := old.Cluster.Snapshot(ctx, table, table); err != nil {
		t.Fatal(err)
	}
	ended := env.StartWaltap(t, testenv.WaltapOptions{Name: "given", Config: processYAML(fmt.Sprintf(`  - name: %[1]s_given
    connector.class: HBaseSource
    topic.prefix: %[1]s_given
    table.include.list: %[1]s
    snapshot.mode: initial_only
    snapshot.reader: hfiles
    snapshot.name: %[1]s=%[1]s
    hbase.rootdir: %[2]s
  - name: %[1]s_given_sink
    connector.class: HBaseSink
    hbase.zookeeper.quorum: %[3]s
    topics.regex: %[1]s_given\..*
    hbase.table.create: true
    hbase.table.rename: %[1]s=%[1]s_given
    end.time: 2020-01-01T00:00:00Z
`, table, old.RootDir(), env.Destination.ZKQuorum()))})
	if code, err := ended.Wait(ctx); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v\n%s", code, err, servers.LogTail(ended.LogPath()))
	}
	if err := old.Cluster.AwaitEqual(ctx, table, env.Dst, table+"_given", judge.ScanOptions{}); err != nil {
		t.Fatal(err)
	}

	w, _ := p.startApart(t)
	awaitStreaming(t, w)
	if err := old.Cluster.Write(ctx, table, everyCell("f stream ")...); err != nil {
		t.Fatal(err)
	}
	identicalTo(t, old.Cluster, table, judge.ScanOptions{})
	if _, err := w.WaitLog(ctx, "snapshot deleted"); err != nil {
		t.Errorf("no snapshot was made and deleted: %v", err)
	}
}
