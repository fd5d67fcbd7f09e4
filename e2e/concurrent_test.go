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
	"github.com/waltap/waltap/e2e/testenv"
)

// startApart runs source and sink in processes of their own: a sink that is killed forgets which cells it has applied last.
func (p *pipe) startApart(t *testing.T) (source, sink *testenv.Waltap) {
	t.Helper()
	p.cleanUp(t)
	sink = env.StartWaltap(t, testenv.WaltapOptions{Name: "sink", Config: processYAML(p.sinkConfig())})
	return env.StartWaltap(t, testenv.WaltapOptions{Name: "source", Config: processYAML(p.sourceConfig())}), sink
}

// peerIsHeld tells whether HBase queues its WAL for the peer and ships nothing.
func peerIsHeld(t *testing.T, id string) bool {
	t.Helper()
	peers, err := env.Src.Peers(testenv.Context(t, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(peers, func(x judge.Peer) bool { return x.ID == id })
	if i < 0 {
		t.Fatalf("the source has no peer %s", id)
	}
	return peers[i].Disabled
}

// Cells are written, and written again with the same timestamps, while the tables that hold them are scanned; the source
// is killed in the middle.
func TestConcurrentOrderUnderWrites(t *testing.T) {
	t.Parallel()
	table := testenv.Name(t)
	createTable(t, table, "a", "b")
	load(t, table, 4000, "a", "b")
	stop := mutate(t, table, 500, "a", "b")
	p := &pipe{name: table, tables: table, source: keys{"snapshot.order": "concurrent", "snapshot.fetch.size": "16KiB",
		"snapshot.max.rows.per.second": slow, "snapshot.progress.interval.ms": "500",
		"hbase.peer.zookeeper.session.timeout.ms": "4000"}} // how long the source keeps sending to the port of the one that was killed
	w, sink := p.startApart(t)
	during := func() status.ConnectorView {
		return await(t, w, "_source", "changes during the scan", func(v status.ConnectorView) bool {
			return v.State == status.Snapshot && v.Snapshot != nil && v.Snapshot.Rows > 0 && v.LastRecord != nil
		})
	}
	during()
	limit(t, w, p.name+"_source", 100) // for most of a minute
	v := await(t, w, "_source", "a part of the scan", func(v status.ConnectorView) bool { return v.Snapshot != nil && v.Snapshot.Rows > 250 })
	if v.Snapshot.ShardsDone == v.Snapshot.ShardsTotal || v.BelowReadPoint != 0 {
		t.Errorf("%d changes left out, the scan at %+v: want changes, all of them, during the scan", v.BelowReadPoint, *v.Snapshot)
	}
	if err := w.Restart(); err != nil { // kills
		t.Fatal(err)
	}
	during()
	if peerIsHeld(t, p.name) {
		t.Error("the peer is held during a concurrent scan")
	}
	limit(t, w, p.name+"_source", 0)
	awaitStreaming(t, w)
	stop()
	identical(t, table, judge.ScanOptions{})
	v, err := view(t.Context(), sink, "_sink")
	if err != nil {
		t.Fatal(err)
	}
	if v.Superseded == 0 {
		t.Error("the sink has left nothing out: no scan record came behind a newer change, the test proves nothing")
	}
	t.Logf("%d cells of the scan were behind newer ones", v.Superseded)
}

// A scan that would make the source keep its WALs for too long goes on beside the changes.
func TestScanThatSwitchesToConcurrentOrder(t *testing.T) {
	t.Parallel()
	table := testenv.Name(t)
	createTable(t, table, "a")
	load(t, table, 2000, "a")
	p := &pipe{name: table, tables: table, source: keys{"snapshot.on.wal.hold": "concurrent", "snapshot.max.rows.per.second": slow}}
	w, _ := p.startApart(t)
	await(t, w, "_source", "the scan", func(v status.ConnectorView) bool {
		return v.State == status.Snapshot && v.Snapshot != nil && v.Snapshot.Rows > 0
	})
	if !peerIsHeld(t, p.name) {
		t.Error("the peer is not held while an exact scan begins")
	}
	held := time.Now()
	write(t, table, judge.Put("0", "a", "q", "queued during the scan"))
	if err := w.Kill(); err != nil {
		t.Fatal(err)
	}
	// Counted from when the peer was added: in the middle of what this start scans, if the machine is not too slow.
	p.source["snapshot.max.wal.hold"] = fmt.Sprint((time.Since(held) + 3*time.Second).Milliseconds())
	w = env.StartWaltap(t, testenv.WaltapOptions{Name: "again", Config: processYAML(p.sourceConfig())})
	// On a slow machine the change comes before the scan goes on; the scan itself is held.
	v := await(t, w, "_source", "the queued change, and the scan to go on", func(v status.ConnectorView) bool {
		return v.LastRecord != nil && v.State == status.Snapshot && v.Snapshot != nil
	})
	if v.Snapshot.ShardsDone == v.Snapshot.ShardsTotal {
		t.Errorf("%+v: want the change during the scan", *v.Snapshot)
	}
	limit(t, w, table+"_source", 0)
	awaitStreaming(t, w)
	identical(t, table, judge.ScanOptions{})
}

// Tables come to match while the connector runs: one that is filled and written to, and one that HBase does not replicate
// yet. The first table streams on.
func TestTableJoinsLater(t *testing.T) {
	t.Parallel()
	name := testenv.Name(t)
	first, second, third := name+"_first", name+"_second", name+"_third"
	createTable(t, first, "a")
	load(t, first, 200, "a")
	p := &pipe{name: name, tables: name + "_[a-z]+", source: keys{"table.refresh.interval.ms": "1000"}}
	w := p.start(t)
	awaitStreaming(t, w)
	limit(t, w, name+"_source", 20)
	stop := []func() int64{mutate(t, first, 200, "a")}

	ctx := testenv.Context(t, time.Minute)
	err := env.Src.CreateTable(ctx, judge.Table{Name: third, Families: []judge.Family{{Name: "a", Versions: 1000}}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, third, judge.Put("before", "a", "q", "v"))
	await(t, w, "_source", "the command that lets the third table join", func(v status.ConnectorView) bool {
		return v.State == status.Running && strings.Contains(v.Phase, "alter 'default:"+third+"', {NAME => 'a', REPLICATION_SCOPE => '1'}")
	})
	createTable(t, second, "a")
	load(t, second, 1000, "a")
	if err := env.Src.AlterFamily(ctx, third, "a", map[string]string{"REPLICATION_SCOPE": "1"}); err != nil {
		t.Fatal(err)
	}
	stop = append(stop, mutate(t, second, 200, "a"))
	table := func(v status.ConnectorView, name string) (c status.TableView) {
		if i := slices.IndexFunc(v.Tables, func(x status.TableView) bool { return x.Name == "default:"+name }); i >= 0 {
			c = v.Tables[i]
		}
		return c
	}
	v := await(t, w, "_source", "the scan of the second table", func(v status.ConnectorView) bool {
		return v.State == status.Snapshot && table(v, second).SnapshotRows > 0
	})
	if peerIsHeld(t, p.name) {
		t.Error("the peer is held while a table joins")
	}
	streamed := table(v, first).Records
	await(t, w, "_source", "changes of the first table during the scan of the second", func(v status.ConnectorView) bool {
		return table(v, first).Records > streamed && v.State == status.Snapshot
	})
	limit(t, w, name+"_source", 0)
	await(t, w, "_source", "all tables to be captured", func(v status.ConnectorView) bool {
		return v.State == status.Running && v.Phase == "" && table(v, third).SnapshotRows > 0
	})
	write(t, third, judge.Put("after", "a", "q", "v"))
	for _, f := range stop {
		f()
	}
	for _, name := range []string{first, second, third} {
		identical(t, name, judge.ScanOptions{})
	}
}

// A table that comes to match, and that another peer would begin to ship when its scope is set, is left alone until that peer
// is out of the way. Beside the other tests this runs alone: its peer takes all tables.
func TestJoiningTableThatAnotherPeerWouldShip(t *testing.T) {
	ctx := testenv.Context(t, 2*time.Minute)
	name := testenv.Name(t)
	first, second := name+"_first", name+"_second"
	createTable(t, first, "a")
	load(t, first, 20, "a")
	p := &pipe{name: name, tables: name + "_[a-z]+", source: keys{"table.refresh.interval.ms": "1000", "hbase.replication.scope": "set"}}
	w := p.start(t)
	awaitStreaming(t, w)
	other := name + "_all"
	remove := func() { // also where adding it was given up and it came later: it would be in the way of all other tests
		peers, err := env.Src.Peers(cleanUpContext())
		if err == nil && slices.ContainsFunc(peers, func(p judge.Peer) bool { return p.ID == other }) {
			err = env.Src.RemovePeer(cleanUpContext(), other)
		}
		if err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(remove)
	if err := env.Src.AddPeer(ctx, judge.Peer{ID: other, ClusterKey: env.Destination.ClusterKey(), Disabled: true, ReplicateAll: true}); err != nil {
		t.Fatal(err)
	}
	if err := env.Src.CreateTable(ctx, judge.Table{Name: second, Families: []judge.Family{{Name: "a", Versions: 1000}}}); err != nil {
		t.Fatal(err)
	}
	write(t, second, judge.Put("before", "a", "q", "v"))
	await(t, w, "_source", "the refusal", func(v status.ConnectorView) bool {
		return v.State == status.Running && strings.Contains(v.Phase, "hbase.replication.scope: set would make peer \""+other+"\" ship table default:"+second+" too") &&
			strings.Contains(v.Phase, "hbase.replication.scope.allow.peers: "+other)
	})
	d, err := env.Src.DescribeTable(ctx, second)
	if err != nil || d.Families[0].Scope != 0 {
		t.Errorf("families %+v, %v: the scope was set although refused", d.Families, err)
	}
	remove()
	await(t, w, "_source", "the table to join", func(v status.ConnectorView) bool {
		return v.State == status.Running && v.Phase == "" && len(v.Tables) == 2
	})
	write(t, second, judge.Put("after", "a", "q", "v"))
	identical(t, second, judge.ScanOptions{})
}
