//go:build e2e

package e2e

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/servers"
	"github.com/waltap/waltap/e2e/testenv"
	"github.com/waltap/waltap/internal/kafka"
)

// capture is a source and a sink in processes of their own, with one filled table, that stream.
type capture struct {
	*pipe
	table        string
	source, sink *testenv.Waltap
}

// startCapture starts one with more keys, in which ${TABLE} stands for the table.
func startCapture(t *testing.T, source keys) *capture {
	t.Helper()
	table := testenv.Name(t)
	createTableToAlter(t, env.Src, table, "a", "b")
	load(t, table, 200, "a", "b")
	p := &pipe{name: table, tables: table, source: keys{"table.refresh.interval.ms": "1000", "hbase.peer.zookeeper.session.timeout.ms": "4000"}}
	for k, v := range source {
		p.source[k] = strings.ReplaceAll(v, "${TABLE}", table)
	}
	c := &capture{pipe: p, table: table}
	c.source, c.sink = p.startApart(t)
	awaitStreaming(t, c.source)
	write(t, table, judge.Put("streamed", "a", "q", "v"))
	identical(t, table, judge.ScanOptions{})
	return c
}

// fails waits until the source ends by itself, with an error that says all of want.
func (c *capture) fails(t *testing.T, want ...string) {
	t.Helper()
	code, err := c.source.Wait(testenv.Context(t, time.Minute))
	log := readLog(t, c.source)
	if err != nil || code == 0 {
		t.Fatalf("exit code %d, %v: the source did not stop\n%s", code, err, log)
	}
	for _, s := range want {
		if !strings.Contains(log, s) {
			t.Errorf("the error does not say %q:\n%s", s, log)
		}
	}
}

func (c *capture) stop(t *testing.T) {
	t.Helper()
	if code, err := c.source.Stop(testenv.Context(t, time.Minute)); err != nil || code != 0 {
		t.Fatalf("SIGTERM: exit code %d, %v\n%s", code, err, servers.LogTail(c.source.LogPath()))
	}
}

// refused starts the source again, which must end with an error that says all of want.
func (c *capture) refused(t *testing.T, want ...string) {
	t.Helper()
	refused(t, processYAML(c.sourceConfig()), want...)
}

// restart starts the source again with more keys, and waits until it streams.
func (c *capture) restart(t *testing.T, more keys) status.ConnectorView {
	t.Helper()
	maps.Copy(c.pipe.source, more)
	c.source = env.StartWaltap(t, testenv.WaltapOptions{Name: "again", Config: processYAML(c.sourceConfig())})
	awaitStreaming(t, c.source)
	v, err := view(t.Context(), c.source, "_source")
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// emptyCopy empties the table at the destination when all that is in the topic has been applied, by what the sink has committed: what it
// says of its lag is of its last fetch.
func (c *capture) emptyCopy(t *testing.T) {
	t.Helper()
	ctx, client, topic := testenv.Context(t, time.Minute), kafkaClient(t), c.name+".default."+c.table
	for behind := true; behind; time.Sleep(100 * time.Millisecond) {
		ends, err := client.EndOffsets(ctx, topic)
		c.must(t, err)
		var tps []kafka.TopicPartition
		for partition := range ends {
			tps = append(tps, kafka.TopicPartition{Topic: topic, Partition: partition})
		}
		at, err := client.CommittedOffsets(ctx, "connect-"+c.name+"_sink", tps)
		c.must(t, err)
		behind = slices.ContainsFunc(tps, func(tp kafka.TopicPartition) bool { return at[tp] < ends[tp.Partition] })
	}
	if err := env.Dst.TruncateTable(testenv.Context(t, time.Minute), c.table, true); err != nil {
		t.Fatal(err)
	}
}

// rescan follows the remedy: a new scan, into a copy that was emptied.
func (c *capture) rescan(t *testing.T) status.ConnectorView {
	t.Helper()
	c.emptyCopy(t)
	v := c.restart(t, keys{"snapshot.mode": "when_needed"})
	if v.Snapshot == nil || v.Snapshot.Rows == 0 {
		t.Errorf("status %+v: nothing was scanned", v)
	}
	write(t, c.table, judge.Put("after the remedy", "a", "q", "v"))
	identical(t, c.table, judge.ScanOptions{})
	return v
}

func (c *capture) must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A peer that the operator made is taken as it is, or refused: nothing that it does not ship is lost behind anybody's back.
func TestPeerOfTheOperator(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 2*time.Minute)
	table := testenv.Name(t)
	createTable(t, table, "a")
	peer := judge.Peer{ID: table, ClusterKey: env.Source.ZKQuorum() + ":/" + table, Tables: map[string][]string{table: {"a"}}, Config: map[string]string{"hbase.replication.rpc.codec": "org.apache.hadoop.hbase.codec.KeyValueCodecWithTags"}}
	c := &capture{table: table, pipe: &pipe{name: table, tables: table, source: keys{"hbase.peer.create": "false", "snapshot.mode": "no_data", "table.refresh.interval.ms": "1000"}}}
	c.cleanUp(t)
	c.pipe.source["hbase.peer.serial"] = "true"
	c.refused(t, "the source has no peer", "add_peer '"+table+"'", "SERIAL => true")
	c.must(t, env.Src.AddPeer(ctx, peer))
	c.refused(t, "your peer \""+table+"\" has SERIAL => false, but hbase.peer.serial is true", "hbase.peer.serial: false")
	c.sink = env.StartWaltap(t, testenv.WaltapOptions{Name: "sink", Config: processYAML(c.sinkConfig())})
	c.restart(t, keys{"hbase.peer.serial": "false"})
	write(t, table, judge.Put("streamed", "a", "q", "v"))
	identical(t, table, judge.ScanOptions{})
	peer.Tables = map[string][]string{table + "_other": nil}
	c.must(t, env.Src.UpdatePeer(ctx, peer))
	c.fails(t, "RESNAPSHOT_REQUIRED: table default:"+table+" was taken off the table list of peer "+table, "set snapshot.gap.accept: default:"+table+"/2")
	c.pipe.source["snapshot.gap.accept"] = table + "/2"
	c.refused(t, "append_peer_tableCFs '"+table+"', { 'default:"+table+"' => ['a'] }")
	peer.Tables = map[string][]string{table: {"a"}}
	c.must(t, env.Src.UpdatePeer(ctx, peer))
	c.restart(t, nil)
	write(t, table, judge.Put("streamed again", "a", "q", "v"))
	identical(t, table, judge.ScanOptions{})
}

const whenNeeded = "snapshot.mode: when_needed"

// replaced is what the error says of a table of which all regions are new.
func (c *capture) replaced() []string {
	return []string{"RESNAPSHOT_REQUIRED: table default:" + c.table + " was truncated, or dropped and created again", whenNeeded, "snapshot.gap.accept: default:" + c.table + "/2"}
}

func TestTableIsTruncated(t *testing.T) {
	t.Parallel()
	c := startCapture(t, nil)
	c.must(t, env.Src.TruncateTable(testenv.Context(t, time.Minute), c.table, true))
	load(t, c.table, 50, "a")
	c.fails(t, c.replaced()...)
	c.refused(t, c.replaced()...)
	c.rescan(t)
}

// What HBase had in its queue from before, and what it shipped late, does not come back.
func TestTableIsTruncatedWithoutItsSplitsWhileTheSourceIsStopped(t *testing.T) {
	t.Parallel()
	c := startCapture(t, keys{"snapshot.order": "concurrent"})
	c.stop(t)
	write(t, c.table, judge.Put("queued before", "a", "q", "v"))
	c.must(t, env.Src.TruncateTable(testenv.Context(t, time.Minute), c.table, false))
	load(t, c.table, 50, "a")
	c.refused(t, c.replaced()...)
	c.rescan(t)
	await(t, c.source, "_source", "the change of before, without which the test proves nothing", func(v status.ConnectorView) bool { return v.BeforeEpoch > 0 })
}

func TestTableIsRestoredFromASnapshot(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 3*time.Minute)
	c := startCapture(t, nil)
	says := []string{"RESNAPSHOT_REQUIRED: table default:" + c.table + " was restored from a snapshot", whenNeeded}
	c.must(t, env.Src.Snapshot(ctx, c.table, c.table))
	t.Cleanup(func() {
		if err := env.Src.DeleteSnapshot(cleanUpContext(), c.table); err != nil {
			t.Error(err)
		}
	})
	write(t, c.table, judge.Put("undone by the restore", "a", "q", "v"))
	before, err := env.Src.Regions(ctx, c.table)
	c.must(t, err)
	c.must(t, env.Src.RestoreSnapshot(ctx, c.table, c.table))
	c.fails(t, says...)
	after, err := env.Src.Regions(ctx, c.table)
	c.must(t, err)
	if !slices.EqualFunc(before, after, func(a, b judge.Region) bool { return a.Encoded == b.Encoded }) {
		t.Errorf("regions %v became %v: the restore was not to be told by their names", before, after)
	}
	c.rescan(t)

	// The same while the source is stopped, and after a clone of the dropped table: its regions have the same names again.
	c.stop(t)
	write(t, c.table, judge.Put("undone by the clone", "a", "q", "v"))
	c.must(t, env.Src.DropTable(ctx, c.table))
	c.must(t, env.Src.CloneSnapshot(ctx, c.table, c.table))
	c.pipe.source["snapshot.mode"] = "initial"
	c.refused(t, says...)
}

// betweenLooks changes tables while the source stands still: it sees how they were, and how they are.
func (c *capture) betweenLooks(t *testing.T, change func()) {
	t.Helper()
	c.must(t, c.source.Pause())
	change()
	c.must(t, c.source.Resume())
}

// patientSession keeps a source that stands still for a while in the virtual cluster.
const patientSession = "40000"

// Within one look for tables; and once more, with another family, which is captured from then on.
func TestTableIsDroppedAndCreatedAgain(t *testing.T) {
	t.Parallel()
	c := startCapture(t, keys{"hbase.peer.zookeeper.session.timeout.ms": patientSession})
	again := func(families ...string) {
		c.must(t, env.Src.DropTable(testenv.Context(t, time.Minute), c.table))
		createTable(t, c.table, families...)
		load(t, c.table, 50, families...)
	}
	c.betweenLooks(t, func() { again("a", "b") })
	c.fails(t, c.replaced()...)
	again("a", "c")
	c.refused(t, c.replaced()...)
	c.rescan(t)
}

// One that was asked for by its name is not what was asked for when it is there again.
func TestDroppedTableIsThereAgain(t *testing.T) {
	t.Parallel()
	drop := func(t *testing.T, c *capture) {
		t.Helper()
		ctx := testenv.Context(t, time.Minute)
		c.must(t, env.Src.DropTable(ctx, c.table))
		_, err := c.source.WaitLog(ctx, "the source has dropped a table.*"+c.table)
		c.must(t, err)
		await(t, c.source, "_source", "the source to go on", func(v status.ConnectorView) bool { return v.State == status.Running })
	}
	t.Run("by its name", func(t *testing.T) {
		t.Parallel()
		c := startCapture(t, nil)
		drop(t, c)
		createTable(t, c.table, "a", "b")
		load(t, c.table, 50, "a")
		c.fails(t, "RESNAPSHOT_REQUIRED: table default:"+c.table+" was dropped and created again", whenNeeded)
		c.rescan(t)
	})
	t.Run("by an expression", func(t *testing.T) {
		t.Parallel()
		other := testenv.Name(t)
		createTable(t, other, "a")
		c := startCapture(t, keys{"table.include.list": other + ", ${TABLE}[_0-9]?"})
		drop(t, c)
		c.emptyCopy(t)
		createTable(t, c.table, "a", "b")
		load(t, c.table, 50, "a")
		_, err := c.source.WaitLog(testenv.Context(t, time.Minute), "a table has joined.*"+c.table)
		c.must(t, err)
		awaitStreaming(t, c.source)
		write(t, c.table, judge.Put("after", "a", "q", "v"))
		identical(t, c.table, judge.ScanOptions{})
	})
}

func TestReplicationScopeIsSwitchedOff(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 2*time.Minute)
	c := startCapture(t, nil)
	scope := func(s string) {
		c.must(t, env.Src.AlterFamily(ctx, c.table, "b", map[string]string{"REPLICATION_SCOPE": s}))
	}
	scope("0")
	write(t, c.table, judge.Put("unseen", "b", "q", "v"))
	says := []string{"RESNAPSHOT_REQUIRED: table default:" + c.table + " is not shipped any more: REPLICATION_SCOPE of family b was changed to 0",
		"alter 'default:" + c.table + "', {NAME => 'b', REPLICATION_SCOPE => '1'}", whenNeeded}
	c.fails(t, says...)
	c.refused(t, says...)
	c.pipe.source["snapshot.mode"] = "when_needed" // nothing can be scanned again before HBase ships it
	c.refused(t, says...)
	scope("1")
	c.pipe.source["snapshot.mode"] = "initial" // switched on again, but what was written meanwhile is missing
	c.refused(t, says[0], whenNeeded)
	c.rescan(t)

	c.stop(t)
	scope("0")
	write(t, c.table, judge.Put("unseen, too", "b", "q", "v"))
	c.restart(t, keys{"hbase.replication.scope": "set"})
	identical(t, c.table, judge.ScanOptions{})
}

func TestTableIsTakenOffThePeer(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 2*time.Minute)
	c := startCapture(t, nil)
	takeOff := func(row string) {
		peers, err := env.Src.Peers(ctx)
		c.must(t, err)
		i := slices.IndexFunc(peers, func(p judge.Peer) bool { return p.ID == c.name })
		delete(peers[i].Tables, c.table)
		c.must(t, env.Src.UpdatePeer(ctx, peers[i]))
		write(t, c.table, judge.Put(row, "a", "q", "v"))
	}
	says := []string{"RESNAPSHOT_REQUIRED: table default:" + c.table + " was taken off the table list of peer " + c.name, whenNeeded}
	takeOff("unseen")
	c.fails(t, says...)
	c.refused(t, says...)
	c.rescan(t)
	c.stop(t)
	takeOff("unseen, too")
	c.pipe.source["snapshot.mode"] = "initial"
	c.refused(t, says...)
	c.rescan(t)
}

func TestPeerIsCreatedAgain(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 2*time.Minute)
	c := startCapture(t, nil)
	peers, err := env.Src.Peers(ctx)
	c.must(t, err)
	p := peers[slices.IndexFunc(peers, func(p judge.Peer) bool { return p.ID == c.name })]
	c.must(t, env.Src.RemovePeer(ctx, c.name))
	write(t, c.table, judge.Put("unseen", "a", "q", "v"))
	c.fails(t, "RESNAPSHOT_REQUIRED: peer "+c.name+" was removed or replaced", whenNeeded)
	p.Config["waltap.capture"] = "another"
	c.must(t, env.Src.AddPeer(ctx, p)) // not sooner: a region server that still ships for the one that was removed may abort
	c.refused(t, "RESNAPSHOT_REQUIRED: peer "+c.name+" was removed and created again", whenNeeded, "snapshot.gap.accept: default:"+c.table+"/2")
	c.rescan(t)
}

// Who can do without what was lost goes on without a scan, and only past this gap.
func TestGapIsAccepted(t *testing.T) {
	t.Parallel()
	c := startCapture(t, nil)
	c.must(t, env.Src.TruncateTable(testenv.Context(t, time.Minute), c.table, true))
	c.fails(t, c.replaced()...)
	c.emptyCopy(t)
	v := c.restart(t, keys{"snapshot.gap.accept": c.table + "/2"})
	if v.Snapshot != nil {
		t.Errorf("status %+v: it was scanned", v)
	}
	write(t, c.table, judge.Put("after", "a", "q", "v"))
	identical(t, c.table, judge.ScanOptions{})
	c.must(t, env.Src.TruncateTable(testenv.Context(t, time.Minute), c.table, true))
	c.fails(t, "RESNAPSHOT_REQUIRED: table default:"+c.table+" was truncated", "snapshot.gap.accept: default:"+c.table+"/3")
}

// With when_needed the source goes on by itself: the table is scanned again while others stream.
func TestTableIsTruncatedAndScannedAgainWhileAnotherStreams(t *testing.T) {
	t.Parallel()
	other := testenv.Name(t) + "_other"
	createTable(t, other, "a")
	load(t, other, 50, "a")
	c := startCapture(t, keys{"snapshot.mode": "when_needed", "table.include.list": other + ", ${TABLE}", "hbase.peer.zookeeper.session.timeout.ms": patientSession})
	stop := mutate(t, other, 50, "a")
	c.emptyCopy(t)
	limit(t, c.source, c.name+"_source", 10)
	c.betweenLooks(t, func() { // else it may scan the table before there is anything in it
		c.must(t, env.Src.TruncateTable(testenv.Context(t, time.Minute), c.table, false))
		load(t, c.table, 500, "a")
	})
	await(t, c.source, "_source", "the scan of the table", func(v status.ConnectorView) bool { return v.State == status.Snapshot })
	if peerIsHeld(t, c.name) {
		t.Error("the peer is held while one table is scanned again")
	}
	limit(t, c.source, c.name+"_source", 0)
	awaitStreaming(t, c.source)
	write(t, c.table, judge.Put("after", "a", "q", "v"))
	stop()
	identical(t, c.table, judge.ScanOptions{})
	identical(t, other, judge.ScanOptions{})
	v, err := view(t.Context(), c.source, "_source")
	c.must(t, err)
	i := slices.IndexFunc(v.Tables, func(x status.TableView) bool { return x.Name == "default:"+other })
	if v.Tables[i].SnapshotRows != 50 {
		t.Errorf("the other table: %+v, want its 50 rows scanned once", v.Tables[i])
	}
}

// What an operator and the balancer do every day loses nothing, and is not mistaken for a gap.
func TestNoGap(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 3*time.Minute)
	c := startCapture(t, nil)
	change := func(split string) {
		t.Helper()
		c.must(t, env.Src.DisableTable(ctx, c.table))
		c.must(t, env.Src.EnableTable(ctx, c.table))
		c.must(t, env.Src.AlterFamily(ctx, c.table, "a", map[string]string{"BLOCKSIZE": "32768"}))
		c.must(t, env.Src.Split(ctx, c.table, []byte(split)))
		write(t, c.table, judge.Put("after "+split, "a", "q", "v"))
	}
	change("2000")
	time.Sleep(3 * time.Second) // some looks
	awaitStreaming(t, c.source)
	c.stop(t)
	change("1000")
	regions, err := env.Src.Regions(ctx, c.table)
	c.must(t, err)
	c.must(t, env.Src.Merge(ctx, regions[len(regions)-1].Encoded, regions[len(regions)-2].Encoded))
	v := c.restart(t, nil)
	time.Sleep(3 * time.Second)
	awaitStreaming(t, c.source)
	if v.Snapshot != nil {
		t.Errorf("status %+v: it was scanned again", v)
	}
	identical(t, c.table, judge.ScanOptions{})
}
