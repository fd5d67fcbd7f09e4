//go:build e2e

package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/servers"
	"github.com/waltap/waltap/e2e/testenv"
)

// outage is how long a server is away.
var outage = torture(10*time.Second, 30*time.Second)

// streaming starts a pipeline on a small table with a writer.
func streaming(t *testing.T, source keys) (table string, w *testenv.Waltap, stop func() int64) {
	t.Helper()
	table = testenv.Name(t)
	createTable(t, table, "a", "b")
	load(t, table, 1000, "a", "b")
	p := &pipe{name: table, tables: table, source: source}
	w = p.start(t)
	awaitStreaming(t, w)
	stop = mutate(t, table, 300, "a", "b")
	await(t, w, "_source", "changes", func(v status.ConnectorView) bool { return v.Calls > 0 })
	await(t, w, "_sink", "changes", func(v status.ConnectorView) bool { return v.Records > 0 })
	return table, w, stop
}

// comeBack makes sure that a server which a test stops is there for the next one.
func comeBack(t *testing.T, running func() bool, restart func(context.Context) error) {
	t.Cleanup(func() {
		if running() {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), testenv.Patience*time.Minute)
		defer cancel()
		if err := restart(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestKafkaIsAwayWhileTheSourceIsWrittenTo(t *testing.T) {
	table, w, stop := streaming(t, nil)
	ctx := testenv.Context(t, 3*time.Minute)
	comeBack(t, env.Kafka.Running, env.Kafka.Restart)
	if err := env.Kafka.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	time.Sleep(outage)
	if err := env.Kafka.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	stop()
	identical(t, table, judge.ScanOptions{})
	if !w.Running() {
		t.Errorf("waltap ended\n%s", servers.LogTail(w.LogPath()))
	}
}

func TestDestinationIsAwayWhileTheSourceIsWrittenTo(t *testing.T) {
	table, w, stop := streaming(t, nil)
	ctx := testenv.Context(t, 3*time.Minute)
	comeBack(t, env.Destination.Running, env.Destination.Restart)
	if err := env.Destination.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	await(t, w, "_sink", "the sink to say that it waits", func(v status.ConnectorView) bool { return v.State == status.Waiting })
	time.Sleep(outage)
	if err := env.Destination.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	stop()
	identical(t, table, judge.ScanOptions{})
	await(t, w, "_sink", "the sink to run again", func(v status.ConnectorView) bool { return v.State == status.Running })
}

// The source's own ZooKeeper goes with it, and with that our registration; its region server comes back under another start code.
func TestSourceIsRestarted(t *testing.T) {
	table, w, stop := streaming(t, nil)
	ctx := testenv.Context(t, 3*time.Minute)
	comeBack(t, env.Source.Running, env.Source.Restart)
	if err := env.Source.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	stop()
	write(t, table, judge.Put("after the restart", "a", "q", "v"))
	identical(t, table, judge.ScanOptions{})
	if !w.Running() {
		t.Errorf("waltap ended\n%s", servers.LogTail(w.LogPath()))
	}
}

// waltap hangs for longer than its ZooKeeper session lasts: its region server is gone from the virtual cluster then.
func TestZooKeeperSessionIsLost(t *testing.T) {
	t.Parallel()
	table, w, stop := streaming(t, keys{"hbase.peer.zookeeper.session.timeout.ms": "4000"})
	if err := w.Pause(); err != nil {
		t.Fatal(err)
	}
	ctx := testenv.Context(t, time.Minute)
	zk := connectZooKeeper(ctx, t)
	for { // its session ends, and with that its znode
		there, err := zk.Children(ctx, "/"+table+"/rs")
		if err != nil {
			t.Fatal(err)
		}
		if len(there) == 0 {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	if err := w.Resume(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.WaitLog(testenv.Context(t, 30*time.Second), "session of the virtual cluster is lost"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	stop()
	write(t, table, judge.Put("after the session", "a", "q", "v"))
	identical(t, table, judge.ScanOptions{})
}
