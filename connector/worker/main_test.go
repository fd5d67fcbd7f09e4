package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/herder"
	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/source/capture"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is what the workers of a test share: a Kafka, and a source of which they change the peer.
type world struct {
	*testing.T
	cluster *kfake.Cluster

	mu        sync.Mutex
	running   map[string]int // instances by connector
	peer      capture.PeerState
	snapshots []string         // that the source has made
	fail      map[string]error // what a connector fails with
	end       chan struct{}    // closed: connectors come to their end, which removes the peer
	told      func(name string, err error)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return &world{T: t, cluster: c, running: map[string]int{}, peer: capture.PeerEnabled, fail: map[string]error{}}
}

// worker is a running Worker.
type testWorker struct {
	*Worker
	client *kafka.Client
	stop   context.CancelFunc
	ended  chan error
}

func (w *world) start(id string) *testWorker {
	w.Helper()
	return w.startWith(id, &config.Process{GroupID: "g", Worker: config.Worker{ConfigTopic: "configs", StatusTopic: "status", ConfigReplicas: 1, StatusReplicas: 1, SessionTimeout: 6 * time.Second}}, false)
}

func (w *world) startWith(id string, p *config.Process, alone bool) *testWorker {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	client, err := kafka.Connect(ctx, kafka.Config{BootstrapServers: w.cluster.ListenAddrs()})
	if err != nil {
		w.Fatal(err)
	}
	x, err := New(ctx, Config{Process: p, Kafka: client, Version: "test", ID: id, Alone: alone, Run: w.run, Parse: p.ParseConnector, Status: &status.Process{}, Ended: w.told, Log: slog.New(slog.DiscardHandler),
		Control: func(context.Context, *config.Connector) (Control, error) { return &peerControl{w}, nil }})
	if err != nil {
		w.Fatal(err)
	}
	t := &testWorker{Worker: x, client: client, stop: cancel, ended: make(chan error, 1)}
	go func() { t.ended <- x.Run(ctx) }()
	w.Cleanup(func() {
		cancel()
		if err := <-t.ended; err != nil {
			w.Error(err)
		}
		client.Close()
	})
	<-x.ready
	return t
}

func (t *testWorker) end(w *world) {
	w.Helper()
	t.stop()
	if err := <-t.ended; err != nil {
		w.Error(err)
	}
	t.ended <- nil
}

// vanish cuts the worker off from Kafka, so that it leaves no word.
func (t *testWorker) vanish(w *world) {
	w.Helper()
	t.client.Close()
	if err := <-t.ended; !errors.Is(err, kafka.ErrClosed) {
		w.Errorf("cut off from Kafka it ended with %v", err)
	}
	t.ended <- nil
}

// run is a connector that does nothing until it ends, or fails once.
func (w *world) run(ctx context.Context, c *config.Connector, st *status.Connector, _ Options) error {
	w.count(c.Name, 1)
	defer w.count(c.Name, -1)
	w.mu.Lock()
	err := w.fail[c.Name]
	delete(w.fail, c.Name)
	w.mu.Unlock()
	if err != nil {
		return err
	}
	st.Set(status.Running, "")
	select {
	case <-ctx.Done():
	case <-w.end:
		w.mu.Lock()
		defer w.mu.Unlock()
		w.peer = capture.PeerAbsent
	}
	return nil
}

func (w *world) count(name string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running[name] += n
}

func (w *world) runs(name string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.running[name]
}

// peerControl is a Control of the world's one peer.
type peerControl struct{ w *world }

func (p *peerControl) set(from, to capture.PeerState) (bool, error) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if p.w.peer != from {
		return false, nil
	}
	p.w.peer = to
	return true, nil
}

func (p *peerControl) Peer(context.Context) (capture.PeerState, error) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	return p.w.peer, nil
}

func (p *peerControl) Disable(context.Context) (bool, error) {
	return p.set(capture.PeerEnabled, capture.PeerDisabled)
}
func (p *peerControl) Enable(context.Context) (bool, error) {
	return p.set(capture.PeerDisabled, capture.PeerEnabled)
}
func (p *peerControl) Remove(context.Context) error {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.w.peer = capture.PeerAbsent
	return nil
}
func (p *peerControl) Backlog(context.Context) (capture.Backlog, error) {
	return capture.Backlog{WALs: 1}, nil
}
func (p *peerControl) RollSize(context.Context) (int64, error) { return 1 << 27, nil }
func (p *peerControl) Close()                                  {}
func (p *peerControl) DropSnapshots(context.Context) ([]string, error) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	names := p.w.snapshots
	p.w.snapshots = nil
	return names, nil
}

func sinkProps(tasks string) map[string]string {
	return map[string]string{"connector.class": "HBaseSink", "tasks.max": tasks, "topics": "t", "hbase.zookeeper.quorum": "localhost:1"}
}

func sourceProps(tasks string) map[string]string {
	return map[string]string{"connector.class": "HBaseSource", "tasks.max": tasks, "topic.prefix": "p", "table.include.list": "t", "hbase.zookeeper.quorum": "localhost:1",
		"hbase.peer.id": "p", "hbase.peer.znode.parent": "/p", "hbase.peer.advertised.host": "localhost"}
}

// await polls until ok holds.
func (w *world) await(what string, ok func() bool) {
	w.Helper()
	for began := time.Now(); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > 100*time.Second {
			w.Fatalf("waited for %s; running: %v", what, w.running)
		}
	}
}

// awaitTasks waits until every worker says that all tasks of a connector are in a state, and returns who has them.
func (w *world) awaitTasks(name string, n int, state herder.State, all ...*testWorker) map[string]int {
	w.Helper()
	var owners map[string]int
	w.await(fmt.Sprintf("%d tasks of %s that are %s", n, name, state), func() bool {
		owners = nil
		for _, x := range all {
			st, err := x.Status(w.Context(), name)
			if err != nil || len(st.Tasks) != n {
				return false
			}
			now := map[string]int{}
			for _, task := range st.Tasks {
				if task.State != state {
					return false
				}
				now[task.WorkerID]++
			}
			if owners != nil && !maps.Equal(owners, now) {
				return false
			}
			owners = now
		}
		return true
	})
	return owners
}
