//go:build e2e

package e2e

import (
	"context"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/servers"
	"github.com/waltap/waltap/e2e/testenv"
)

// refused runs a process that must end by itself, soon, with an error that says all of want. It returns its log.
func refused(t *testing.T, config string, want ...string) string {
	t.Helper()
	w := env.StartWaltap(t, testenv.WaltapOptions{Config: config})
	start := time.Now() // it may have been built first
	code, err := w.Wait(testenv.Context(t, time.Minute))
	if err != nil {
		t.Fatalf("waltap did not end by itself: %v\n%s", err, servers.LogTail(w.LogPath()))
	}
	t.Logf("refused after %s", time.Since(start).Round(time.Millisecond))
	if code == 0 {
		t.Error("exit code 0, want a failure")
	}
	log := readLog(t, w)
	for _, s := range want {
		if !strings.Contains(log, s) {
			t.Errorf("the error does not say %q:\n%s", s, log)
		}
	}
	return log
}

func TestWrongAddressesAreNamedWithTheirKeys(t *testing.T) {
	t.Parallel()
	table := testenv.Name(t)
	createTable(t, table, "a")
	closed, err := servers.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	nowhere := net.JoinHostPort("127.0.0.1", strconv.Itoa(closed))
	with := func(source, sink keys) *pipe {
		return &pipe{name: testenv.Name(t), tables: table, source: source, sink: sink}
	}
	for _, tc := range []struct {
		name   string
		config string
		want   []string
	}{
		{"quorum of the source", processYAML(with(keys{"hbase.zookeeper.quorum": nowhere}, nil).sourceConfig()), []string{"hbase.zookeeper.quorum", nowhere}},
		{"znode of the source", processYAML(with(keys{"hbase.zookeeper.znode.parent": "/other"}, nil).sourceConfig()), []string{"hbase.zookeeper.znode.parent", "/other"}},
		{"quorum of the destination", processYAML(with(nil, keys{"hbase.zookeeper.quorum": nowhere}).sinkConfig()), []string{"hbase.zookeeper.quorum", nowhere}},
		{"znode of the destination", processYAML(with(nil, keys{"hbase.zookeeper.znode.parent": "/other"}).sinkConfig()), []string{"hbase.zookeeper.znode.parent", "/other"}},
		{"quorum of the virtual cluster", processYAML(with(keys{"hbase.peer.zookeeper.quorum": nowhere}, nil).sourceConfig()), []string{"hbase.peer.zookeeper.quorum", nowhere}},
		{"bootstrap servers", strings.Replace(processYAML(with(nil, nil).sourceConfig()), env.Kafka.Bootstrap(), nowhere, 1), []string{"bootstrap.servers", nowhere}},
		{"a table that is not there", processYAML(with(keys{"table.include.list": "nosuchtable"}, nil).sourceConfig()), []string{"table.include.list", "default:nosuchtable"}},
		{"unknown key", processYAML(with(keys{"topic.prefx": "x"}, nil).sourceConfig()), []string{"topic.prefx", "topic.prefix"}},
	} {
		t.Run(tc.name, func(t *testing.T) { refused(t, tc.config, tc.want...) })
	}
}

// cleanUpContext is for clean-ups: the test's own context has ended by then.
func cleanUpContext() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), testenv.Patience*30*time.Second)
	context.AfterFunc(ctx, cancel)
	return ctx
}

func TestPeerExistsAlready(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 3*time.Minute)
	table := testenv.Name(t)
	createTable(t, table, "a")
	load(t, table, 300, "a")
	p := &pipe{name: table, tables: table}
	w := p.start(t)
	awaitStreaming(t, w)
	identical(t, table, judge.ScanOptions{})

	t.Run("own: reused, without another scan", func(t *testing.T) {
		if code, err := w.Stop(ctx); err != nil || code != 0 {
			t.Fatalf("SIGTERM: exit code %d, %v\n%s", code, err, servers.LogTail(w.LogPath()))
		}
		write(t, table, judge.Put("while it is stopped", "a", "q", "v"), judge.DeleteRow("0000000000000000"))
		if err := w.Restart(); err != nil {
			t.Fatal(err)
		}
		awaitStreaming(t, w)
		identical(t, table, judge.ScanOptions{})
		v, err := view(ctx, w, "_source")
		if err != nil || v.Snapshot != nil {
			t.Errorf("status after the restart: %+v, %v; want no scan", v, err)
		}
		if err := w.Kill(); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("another connector's", func(t *testing.T) {
		other := &pipe{name: testenv.Name(t), tables: table, source: keys{"hbase.peer.id": p.name}}
		refused(t, processYAML(other.sourceConfig()), "hbase.peer.id", p.name, p.name+"_source")
	})
	t.Run("someone else's", func(t *testing.T) {
		other := &pipe{name: testenv.Name(t), tables: table}
		other.cleanUp(t)
		if err := env.Src.AddPeer(ctx, judge.Peer{ID: other.name, ClusterKey: env.Destination.ClusterKey(), Disabled: true, Tables: map[string][]string{table: nil}}); err != nil {
			t.Fatal(err)
		}
		refused(t, processYAML(other.sourceConfig()), "hbase.peer.id", other.name, "was not made by waltap")
	})
	t.Run("removed behind our back", func(t *testing.T) {
		if err := env.Src.RemovePeer(ctx, p.name); err != nil {
			t.Fatal(err)
		}
		refused(t, processYAML(p.sourceConfig()), "RESNAPSHOT_REQUIRED", "snapshot.mode: when_needed")
	})
}

func TestTableWithoutReplicationScope(t *testing.T) {
	ctx := testenv.Context(t, 3*time.Minute)
	table := testenv.Name(t)
	if err := env.Src.CreateTable(ctx, judge.Table{Name: table, Families: []judge.Family{{Name: "a", Versions: 3}, {Name: "b", Versions: 3}}}); err != nil {
		t.Fatal(err)
	}
	load(t, table, 300, "a", "b")
	p := &pipe{name: table, tables: table}
	p.cleanUp(t)
	t.Run("require: the command to run", func(t *testing.T) {
		refused(t, processYAML(p.sourceConfig()), "alter 'default:"+table+"'", "{NAME => 'a', REPLICATION_SCOPE => '1'}", "{NAME => 'b', REPLICATION_SCOPE => '1'}")
	})
	p.source = keys{"hbase.replication.scope": "set"}
	// A peer without a table list would begin to ship the table, and stall where its target lacks it.
	other := table + "_all"
	if err := env.Src.AddPeer(ctx, judge.Peer{ID: other, ClusterKey: env.Destination.ClusterKey(), Disabled: true, ReplicateAll: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := env.Src.RemovePeer(cleanUpContext(), other); err != nil {
			t.Error(err)
		}
	})
	t.Run("set: refused while another peer would ship it", func(t *testing.T) {
		refused(t, processYAML(p.sourceConfig()), "hbase.replication.scope", other, "hbase.replication.scope.allow.peers")
		d, err := env.Src.DescribeTable(ctx, table)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range d.Families {
			if f.Scope != 0 {
				t.Errorf("family %s has scope %d: it was raised although refused", f.Name, f.Scope)
			}
		}
	})
	t.Run("set: allowed by name", func(t *testing.T) {
		p.source["hbase.replication.scope.allow.peers"] = other
		w := p.start(t)
		awaitStreaming(t, w)
		write(t, table, judge.Put("after", "b", "q", "v"))
		identical(t, table, judge.ScanOptions{})
		await(t, w, "_source", "the change", func(v status.ConnectorView) bool { return v.Records >= 301 })
	})
}

func TestPeerCommandsNeedNeitherWorkerNorKafka(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 2*time.Minute)
	table := testenv.Name(t)
	createTable(t, table, "a")
	load(t, table, 10, "a")
	p := &pipe{name: table, tables: table}
	w := p.start(t)
	awaitStreaming(t, w)
	if err := w.Kill(); err != nil {
		t.Fatal(err)
	}
	foreign := table + "_x"
	if err := env.Src.AddPeer(ctx, judge.Peer{ID: foreign, ClusterKey: env.Destination.ClusterKey(), Disabled: true, Tables: map[string][]string{table: nil}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := env.Src.RemovePeer(cleanUpContext(), foreign); err != nil {
			t.Error(err)
		}
	})
	run := func(args ...string) testenv.Result {
		return testenv.RunWaltap(ctx, t, append([]string{"peer", "--quorum", env.Source.ZKQuorum()}, args...)...)
	}
	if r := run("list"); r.ExitCode != 0 || !strings.Contains(r.Stdout, p.name+"_source") || !strings.Contains(r.Stdout, foreign) {
		t.Errorf("peer list: %+v", r)
	}
	if r := run("disable", p.name); r.ExitCode != 0 {
		t.Errorf("peer disable: %+v", r)
	}
	if r := run("list"); !strings.Contains(r.Stdout, "disabled") {
		t.Errorf("peer list: %+v", r)
	}
	if r := run("remove", foreign); r.ExitCode == 0 || !strings.Contains(r.Stderr, "not made by waltap") {
		t.Errorf("removing a foreign peer: %+v, want a refusal", r)
	}
	heartbeats := "waltap_heartbeat_" + p.name
	dropped := "its heartbeat table default:" + heartbeats + " dropped"
	if r := run("remove", p.name); r.ExitCode == 0 || !strings.Contains(r.Stdout, "Lost with it") || !strings.Contains(r.Stderr, "stays") {
		t.Errorf("removing a peer without an answer: %+v, want it to stay", r)
	}
	if r := run("remove", "--yes", p.name); r.ExitCode != 0 || !strings.Contains(r.Stdout, "peer "+p.name+" removed") || !strings.Contains(r.Stdout, dropped) {
		t.Errorf("peer remove: %+v", r)
	}
	if there, err := env.Src.TableExists(ctx, heartbeats); err != nil || there {
		t.Errorf("the heartbeat table is still there (%v)", err)
	}
	// One that a removal has left behind.
	if err := env.Src.CreateTable(ctx, judge.Table{Name: heartbeats, Families: []judge.Family{{Name: "h", Scope: 1}}}); err != nil {
		t.Fatal(err)
	}
	if r := run("remove", p.name); r.ExitCode != 0 || strings.TrimSpace(r.Stdout) != dropped {
		t.Errorf("peer remove, of the table alone: %+v", r)
	}
	if r := run("remove", p.name); r.ExitCode == 0 || !strings.Contains(r.Stderr, "the source has no peer") {
		t.Errorf("peer remove, of nothing: %+v", r)
	}
	peers, err := env.Src.Peers(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range peers {
		if x.ID == p.name {
			t.Error("the peer is still there")
		}
	}
}
