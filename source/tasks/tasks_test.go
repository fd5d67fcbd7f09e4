package tasks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/internal/kafka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testTopic = "__waltap-tasks.p"

// rig is a Kafka cluster in this process.
type rig struct {
	*testing.T
	cluster *kfake.Cluster
}

func newRig(t *testing.T) *rig {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, testTopic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return &rig{t, cluster}
}

func (r *rig) config() Config {
	r.Helper()
	client, err := kafka.Connect(r.Context(), kafka.Config{BootstrapServers: r.cluster.ListenAddrs()})
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { client.Close() })
	store, err := checkpoint.Open(r.Context(), client, "__waltap-offsets.p")
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { store.Close() })
	return Config{Client: client, Store: store, Connector: "c", Topic: testTopic, Log: slog.New(slog.DiscardHandler)}
}

// worker is one process that takes part.
type worker struct {
	stop  context.CancelFunc
	ended chan error
	leads chan context.Context // one for each time it comes to lead

	mu   sync.Mutex
	now  *Member
	fail error
	quit chan struct{} // Lead returns nil
}

func (r *rig) start(cfg Config) *worker {
	ctx, cancel := context.WithCancel(context.Background())
	w := &worker{stop: cancel, ended: make(chan error, 1), leads: make(chan context.Context, 10), quit: make(chan struct{})}
	go func() {
		w.ended <- Run(ctx, cfg, Roles{
			Lead: func(ctx context.Context, _ *Leadership) error {
				w.leads <- ctx
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-w.quit:
					return nil
				}
			},
			Work: func(ctx context.Context, m *Member) error {
				if _, err := m.Busy(ctx); err != nil && ctx.Err() == nil {
					return err
				}
				w.mu.Lock()
				w.now = m
				w.mu.Unlock()
				for ctx.Err() == nil {
					w.mu.Lock()
					err := w.fail
					w.fail = nil
					w.mu.Unlock()
					if err != nil {
						return err
					}
					time.Sleep(5 * time.Millisecond)
				}
				return nil
			},
		})
	}()
	r.Cleanup(func() { w.stop(); <-w.ended })
	return w
}

func (w *worker) tasks() []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.now == nil {
		return nil
	}
	return w.now.Tasks
}

func (r *rig) await(what string, ok func() bool) {
	r.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			r.Fatal("waited in vain for " + what)
		}
	}
}

func (w *worker) end(t *testing.T) error {
	t.Helper()
	select {
	case err := <-w.ended:
		w.ended <- err
		return err
	case <-time.After(2 * time.Minute):
		t.Fatal("it does not end")
		return nil
	}
}

func TestTheLeaderStaysWhenOthersComeAndGo(t *testing.T) {
	r := newRig(t)
	a := r.start(r.config())
	lead := <-a.leads
	r.await("all tasks", func() bool { return slices.Equal(a.tasks(), []int{0, 1, 2, 3}) })
	b := r.start(r.config())
	r.await("shared tasks", func() bool { return len(a.tasks()) == 2 && len(b.tasks()) == 2 })
	if a.tasks()[0] != 0 || slices.Contains(b.tasks(), a.tasks()[1]) {
		t.Errorf("tasks %v and %v", a.tasks(), b.tasks())
	}
	b.stop()
	if err := b.end(t); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped with %v", err)
	}
	r.await("all tasks again", func() bool { return len(a.tasks()) == 4 })
	if lead.Err() != nil || len(a.leads) > 0 || len(b.leads) > 0 {
		t.Errorf("the leader did not stay: %v, led again %d times, the other one %d times", lead.Err(), len(a.leads), len(b.leads))
	}
}

func TestAnotherLeadsWhenTheLeaderStops(t *testing.T) {
	r := newRig(t)
	a := r.start(r.config())
	<-a.leads
	b := r.start(r.config())
	r.await("shared tasks", func() bool { return len(b.tasks()) == 2 })
	a.stop()
	lead := <-b.leads
	r.await("all tasks", func() bool { return len(b.tasks()) == 4 })
	b.stop()
	b.end(t)
	if lead.Err() == nil {
		t.Error("it ended and leads on")
	}
}

func TestTheEndOfARoleEndsTheProcess(t *testing.T) {
	r := newRig(t)
	a := r.start(r.config())
	<-a.leads
	close(a.quit)
	if err := a.end(t); err != nil {
		t.Errorf("the leader was through, Run ended with %v", err)
	}
	b := r.start(r.config())
	lead := <-b.leads
	want := errors.New("no way on")
	b.mu.Lock()
	b.fail = want
	b.mu.Unlock()
	if err := b.end(t); !errors.Is(err, want) || lead.Err() == nil {
		t.Errorf("ended with %v, leading %v", err, lead.Err())
	}
}

func TestAProcessThatStoodStillAsksAnew(t *testing.T) {
	r := newRig(t)
	a := r.start(r.config())
	lead := <-a.leads
	r.await("tasks", func() bool { return len(a.tasks()) == 4 })
	a.mu.Lock()
	before := a.now.ID
	a.fail = fmt.Errorf("scan: %w", errPaused)
	a.mu.Unlock()
	r.await("a new membership", func() bool { a.mu.Lock(); defer a.mu.Unlock(); return a.now.ID != before })
	if lead.Err() != nil {
		t.Error("it was the only one, and does not lead any more")
	}
}

// dead is a process of this machine that has ended.
func dead(t *testing.T) process {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	p := thisProcess()
	p.PID, p.Start = cmd.Process.Pid, "1"
	return p
}

func TestUnsettled(t *testing.T) {
	elsewhere := process{Host: "elsewhere", PID: 7, Boot: "another", Space: "x", Start: "1"}
	long := time.Now().Add(-2 * fenceTimeout)
	for _, tc := range []struct {
		name   string
		entry  entry
		absent time.Time
		waits  bool
	}{
		{"idle", entry{Member: "m", Process: elsewhere}, time.Time{}, false},
		{"busy, and just out of the group", entry{Member: "m", Busy: true, Process: elsewhere}, time.Time{}, true},
		{"busy, and out of the group for long", entry{Member: "m", Busy: true, Process: elsewhere}, long, false},
		{"busy, and dead", entry{Member: "m", Busy: true, Process: dead(t)}, time.Time{}, false},
		{"busy, and it cannot be told whether it lives", entry{Member: "m", Busy: true, Process: process{PID: 1}}, time.Time{}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t)
			cfg := r.config()
			l := &Leadership{board: &board{cfg.Store, cfg.Connector}, client: cfg.Client, log: cfg.Log, absent: make(map[string]time.Time)}
			if !tc.absent.IsZero() {
				l.absent["m"] = tc.absent
			}
			if err := l.board.put(t.Context(), tc.entry); err != nil {
				t.Fatal(err)
			}
			why, err := l.Unsettled(t.Context())
			if err != nil || (why != "") != tc.waits {
				t.Errorf("waits for %q, %v", why, err)
			}
		})
	}
}

// One that is in the group is waited for, however long it takes.
func TestUnsettledWhileAMemberIsBusy(t *testing.T) {
	r := newRig(t)
	cfg := r.config()
	a := r.start(cfg)
	r.await("tasks", func() bool { return len(a.tasks()) == 4 })
	l := &Leadership{board: &board{cfg.Store, cfg.Connector}, client: cfg.Client, log: cfg.Log,
		absent: map[string]time.Time{a.now.ID: time.Now().Add(-time.Hour)}}
	if why, err := l.Unsettled(t.Context()); err != nil || why == "" {
		t.Errorf("waits for %q, %v", why, err)
	}
	if err := a.now.Idle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if why, err := l.Unsettled(t.Context()); err != nil || why != "" {
		t.Errorf("waits for %q, %v", why, err)
	}
}

func TestTheDeadAreTakenOutOfTheGroup(t *testing.T) {
	r := newRig(t)
	cfg := r.config()
	b := &board{cfg.Store, cfg.Connector}
	for id, p := range map[string]process{"dead": dead(t), "alive": thisProcess()} {
		if err := b.put(t.Context(), entry{Member: id, Busy: true, Process: p}); err != nil {
			t.Fatal(err)
		}
	}
	a := r.start(cfg)
	<-a.leads
	entries, err := b.entries()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Member == "dead" {
			t.Error("the dead one's entry is still there")
		}
	}
	if !slices.ContainsFunc(entries, func(e entry) bool { return e.Member == "alive" }) {
		t.Error("the entry of one that lives is gone")
	}
}

func TestBalance(t *testing.T) {
	var tasks []kafka.TopicPartition
	for _, p := range []int32{3, 1, 0, 4, 2} {
		tasks = append(tasks, kafka.TopicPartition{Topic: testTopic, Partition: p})
	}
	for _, tc := range []struct {
		name    string
		members []kafka.BalanceMember
		leader  string
		most    int
	}{
		{"one", []kafka.BalanceMember{{ID: "a"}}, "a", 5},
		{"nobody leads yet", []kafka.BalanceMember{{ID: "b"}, {ID: "a"}}, "a", 3},
		{"the one that leads", []kafka.BalanceMember{{ID: "a"}, {ID: "b", Metadata: []byte(`{"leading":5}`)}}, "b", 3},
		{"the longest", []kafka.BalanceMember{{ID: "a", Metadata: []byte(`{"leading":9}`)}, {ID: "b", Metadata: []byte(`{"leading":5}`)}, {ID: "c"}}, "b", 2},
		{"metadata of another kind", []kafka.BalanceMember{{ID: "b", Metadata: []byte{1, 2}}, {ID: "a"}}, "a", 3},
		{"more than tasks", []kafka.BalanceMember{{ID: "a"}, {ID: "b"}, {ID: "c"}, {ID: "d"}, {ID: "e"}, {ID: "f"}, {ID: "g"}}, "a", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			given := make(map[int32]string)
			for id, of := range balance(tc.members, tasks) {
				if len(of) > tc.most {
					t.Errorf("%s has %d tasks, want at most %d", id, len(of), tc.most)
				}
				for _, tp := range of {
					if other, twice := given[tp.Partition]; twice {
						t.Errorf("task %d went to %s and %s", tp.Partition, other, id)
					}
					given[tp.Partition] = id
				}
			}
			if len(given) != len(tasks) || given[0] != tc.leader {
				t.Errorf("given %v, want all of 5, and task 0 to %s", given, tc.leader)
			}
		})
	}
	if out := balance(nil, tasks); len(out) != 0 {
		t.Errorf("nobody there, given %v", out)
	}
}

func TestALeaseEndsWithAPause(t *testing.T) {
	for _, noticed := range []string{"by the sender", "by the ticker"} {
		now := time.Now()
		l := &lease{now: func() time.Time { return now }, last: now, stop: make(chan struct{})}
		for range 20 { // slow, but not still
			now = now.Add(maxPause / 2)
			l.tick()
			if err := l.check(); err != nil {
				t.Fatal(err)
			}
		}
		now = now.Add(maxPause + time.Millisecond)
		if noticed == "by the ticker" {
			l.tick()
		}
		if err := l.check(); !errors.Is(err, errPaused) {
			t.Errorf("%s: %v", noticed, err)
		}
		l.tick()
		if err := l.check(); !errors.Is(err, errPaused) {
			t.Errorf("%s: it came back: %v", noticed, err)
		}
	}
	l := newLease()
	if err := l.check(); err != nil {
		t.Error(err)
	}
	l.end()
	if err := l.check(); err == nil {
		t.Error("it goes on behind its end")
	}
}

func TestProcessesAreToldApart(t *testing.T) {
	self := thisProcess()
	if self.Boot == "" {
		t.Logf("this system does not tell: %+v", self)
		return
	}
	if self.dead() {
		t.Error("this process is taken to be dead")
	}
	if !dead(t).dead() {
		t.Error("one that has ended is taken to live")
	}
	reused := self
	reused.Start = "1"
	if !reused.dead() {
		t.Error("one whose id has gone to this process is taken to live")
	}
	for _, other := range []process{{PID: 99999999}, {PID: 99999999, Boot: self.Boot, Space: "pid:[1]"}, {PID: 99999999, Boot: "x", Space: self.Space}} {
		if other.dead() {
			t.Errorf("%+v cannot be told from here, and is taken to be dead", other)
		}
	}
}
