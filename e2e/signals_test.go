//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/servers"
	"github.com/waltap/waltap/e2e/testenv"
	"github.com/waltap/waltap/internal/kafka"
)

// signalled is a group of workers whose source is told to scan, over REST and through its signal topic.
type signalled struct {
	*workers
	p     *pipe
	topic string
	sent  int
}

func startSignalled(t *testing.T, name string) *signalled {
	t.Helper()
	s := &signalled{topic: name + "_signals"}
	ctx := testenv.Context(t, time.Minute)
	client, err := kafka.Connect(ctx, kafka.Config{BootstrapServers: []string{env.Kafka.Bootstrap()}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.EnsureTopics(ctx, kafka.TopicSpec{Name: s.topic, Partitions: 1, ReplicationFactor: 1}); err != nil {
		t.Fatal(err)
	}
	s.p = &pipe{name: name, tables: name, source: keys{"signal.kafka.topic": s.topic, "snapshot.max.rows.per.second": slow, "snapshot.fetch.size": "16KiB",
		"snapshot.progress.interval.ms": "500", "hbase.peer.zookeeper.session.timeout.ms": "4000"}}
	s.p.cleanUp(t)
	s.workers = startWorkers(t, name)
	s.create(s.p, "6") // so that each worker has some of the source
	s.settle(s.p)
	return s
}

// rest sends a signal to the REST API of a worker.
func (s *signalled) rest(kind string, data any) {
	s.Helper()
	s.sent++
	s.ask(http.MethodPost, "/v1/connectors/"+url.PathEscape(s.p.name+"_source")+"/signals", map[string]any{"id": s.id(), "type": kind, "data": data}, http.StatusAccepted)
}

// id is that of the signal that was sent over REST last.
func (s *signalled) id() string { return fmt.Sprintf("rest-%d", s.sent) }

// throughTopic puts a signal on the topic by waltap signal.
func (s *signalled) throughTopic(verb string, args ...string) {
	s.Helper()
	args = append([]string{"signal", "--signal-topic", s.topic, "--bootstrap-server", env.Kafka.Bootstrap(), verb, s.p.name}, args...)
	if r := testenv.RunWaltap(testenv.Context(s.T, time.Minute), s.T, args...); r.ExitCode != 0 {
		s.Fatalf("waltap %s: exit code %d\n%s%s", strings.Join(args, " "), r.ExitCode, r.Stdout, r.Stderr)
	}
}

// leader waits until a worker that leads the source shows what is wanted.
func (s *signalled) leader(what string, ok func(v status.ConnectorView) bool) (*testenv.Waltap, status.ConnectorView) {
	s.Helper()
	ctx := testenv.Context(s.T, 90*time.Second)
	for {
		last := ""
		for _, w := range s.alive() {
			v, err := view(ctx, w, s.p.name+"_source")
			if err == nil && ok(v) && !standsBy(v) {
				return w, v
			}
			last += string(v.State) + " " + v.Phase + "\n"
		}
		select {
		case <-ctx.Done():
			s.Fatalf("waiting for %s:\n%s%s", what, last, servers.LogTail(s.all[0].LogPath()))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (s *signalled) streams() *testenv.Waltap {
	s.Helper()
	w, _ := s.leader("the source to stream", func(v status.ConnectorView) bool { return v.State == status.Running })
	return w
}

// scans waits until a scan that was asked for is under way.
func (s *signalled) scans() (*testenv.Waltap, status.ConnectorView) {
	s.Helper()
	return s.leader("the scan", func(v status.ConnectorView) bool {
		return v.State == status.Snapshot && strings.Contains(v.Phase, "execute-snapshot")
	})
}

// rate sets what each process reads, and returns when it does.
func (s *signalled) rate(rows int64) {
	s.Helper()
	s.rest("set-rate", map[string]any{"rows-per-second": rows})
	s.logged("a signal was carried out.*id=" + s.id() + " ")
}

// read counts the rows that all workers have read.
func (s *signalled) read(ctx context.Context) (n int64) {
	for _, w := range s.alive() {
		if v, err := view(ctx, w, s.p.name+"_source"); err == nil && v.Snapshot != nil {
			n += v.Snapshot.Rows
		}
	}
	return n
}

// logged waits until each worker that has tasks of the source has logged a line.
func (s *signalled) logged(re string) {
	s.Helper()
	ctx := testenv.Context(s.T, time.Minute)
	for _, w := range s.holders(s.p.name + "_source") {
		if _, err := w.WaitLog(ctx, re); err != nil {
			s.Fatal(err)
		}
	}
}

// Rows that were lost at the destination are there again after a scan that was asked for: some rows over REST, all through the topic, under
// writes, paused, killed and resumed. Then scans that are stopped, and one during which the changes wait.
func TestSnapshotIsExecuted(t *testing.T) {
	t.Parallel()
	name := testenv.Name(t)
	createTable(t, name, "a", "b")
	load(t, name, torture[int64](2000, 50_000), "a", "b")
	s := startSignalled(t, name)
	s.leader("the first scan", func(v status.ConnectorView) bool { return v.State == status.Snapshot && v.Snapshot != nil })
	s.rate(0)
	s.streams()
	identical(t, name, judge.ScanOptions{})
	ctx := testenv.Context(t, 4*time.Minute)
	part := judge.ScanOptions{StartRow: []byte("4"), StopRow: []byte("8")}
	if err := env.Dst.TruncateTable(ctx, name, true); err != nil {
		t.Fatal(err)
	}

	s.rest("execute-snapshot", map[string]any{"type": "INCREMENTAL", "data-collections": []string{"default:" + name},
		"additional-conditions": []any{map[string]any{"data-collection": "default:" + name, "filter": "row >= '4' AND row < '8'"}}})
	identical(t, name, part)
	s.streams()
	for what, o := range map[string]judge.ScanOptions{"below": {StopRow: []byte("4")}, "above": {StartRow: []byte("8")}} {
		if sum, err := env.Dst.Checksum(ctx, name, o); err != nil || sum.Rows != 0 {
			t.Errorf("%d rows %s those of the filter came, %v", sum.Rows, what, err)
		}
	}

	stop := mutate(t, name, 200, "a", "b")
	s.rate(5) // each worker: for minutes, until it is paused
	s.throughTopic("execute-snapshot", "--table", "default:"+name)
	w, _ := s.leader("some rows of the scan", func(v status.ConnectorView) bool {
		return v.State == status.Snapshot && strings.Contains(v.Phase, "execute-snapshot") && s.read(ctx) > 0
	})
	s.throughTopic("pause-snapshot")
	s.logged("a signal was carried out.*pause-snapshot")
	s.rate(0)
	before := int64(-1)
	for after := s.read(ctx); after != before || before == 0; after = s.read(ctx) { // what was read already is still counted
		if ctx.Err() != nil {
			t.Fatalf("the paused scan has read %d rows, then %d", before, after)
		}
		before = after
		time.Sleep(2 * time.Second)
	}
	if err := w.Kill(); err != nil {
		t.Fatal(err)
	}
	s.scans() // another one leads, the scan is there
	if err := w.Restart(); err != nil {
		t.Fatal(err)
	}
	s.settle(s.p)
	s.throughTopic("resume-snapshot")
	s.rate(0)
	s.streams()
	stop()
	identical(t, name, judge.ScanOptions{})
	t.Logf("%d rows read", s.read(ctx))

	stop = mutate(t, name, 200, "a", "b")
	s.rate(5)
	s.rest("execute-snapshot", map[string]any{"data-collections": []string{".*:" + name}})
	w, _ = s.scans()
	s.rest("execute-snapshot", map[string]any{"data-collections": []string{".*:" + name}}) // waits for the first
	if _, err := w.WaitLog(ctx, "scans that were asked for begin when"); err != nil {
		t.Fatal(err)
	}
	s.throughTopic("stop-snapshot")
	s.streams()
	for _, line := range []string{"scans that were asked for do not begin", "a scan that was asked for is stopped"} {
		if _, err := w.WaitLog(ctx, line); err != nil {
			t.Error(err)
		}
	}
	for left := s.kept(); left.asked+left.shards > 0; left = s.kept() {
		if ctx.Err() != nil {
			t.Fatalf("after a stop there is still %+v", left)
		}
		time.Sleep(200 * time.Millisecond)
	}

	s.rest("execute-snapshot", map[string]any{"type": "blocking", "data-collections": []string{"default:" + name}})
	s.leader("the scan during which changes wait", func(v status.ConnectorView) bool {
		return v.State == status.Snapshot && v.Snapshot != nil && v.Snapshot.Rows > 0
	})
	if !peerIsHeld(t, name) {
		t.Error("the peer is not held during a blocking scan")
	}
	s.rate(0)
	s.streams()
	if peerIsHeld(t, name) {
		t.Error("the peer is held after a blocking scan")
	}
	stop()
	identical(t, name, judge.ScanOptions{})
	if torture(false, true) {
		s.blockingScans()
	}
}
