package kafka

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func groupConfig() GroupConfig {
	return GroupConfig{GroupID: "g", Topics: []string{"t"}, HeartbeatInterval: 20 * time.Millisecond, JoinBackoff: 10 * time.Millisecond,
		StopTimeout: 200 * time.Millisecond, PartitionCheckInterval: 20 * time.Millisecond}
}

// testMember is a running ConsumeGroup that commits 100+partition for each of its partitions when a generation ends.
type testMember struct {
	assigned chan *Assignment
	states   chan GroupState
	cancel   context.CancelFunc
	done     chan error
	commits  chan error
}

func startMember(t *testing.T, c *Client, change func(*GroupConfig)) *testMember {
	t.Helper()
	ctx, cancel := context.WithCancel(testContext(t))
	m := &testMember{assigned: make(chan *Assignment, 100), states: make(chan GroupState, 10_000), cancel: cancel,
		done: make(chan error, 1), commits: make(chan error, 100)}
	cfg := groupConfig()
	cfg.OnState = func(s GroupState) { m.states <- s }
	if change != nil {
		change(&cfg)
	}
	go func() {
		m.done <- c.ConsumeGroup(ctx, cfg, func(ctx context.Context, a *Assignment) error {
			m.assigned <- a
			<-ctx.Done()
			offs := make(map[TopicPartition]Position)
			for _, p := range a.Partitions {
				offs[p.TopicPartition] = Position{100 + int64(p.Partition), "n" + p.String()}
			}
			// The group's context may be over; the commit has to go out all the same.
			cctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			m.commits <- a.Commit(cctx, offs)
			return nil
		})
	}()
	t.Cleanup(cancel)
	return m
}

// await returns the first assignment that has n partitions.
func (m *testMember) await(t *testing.T, n int) *Assignment {
	t.Helper()
	timeout := time.After(time.Minute)
	for {
		select {
		case a := <-m.assigned:
			if len(a.Partitions) == n {
				return a
			}
		case err := <-m.done:
			t.Fatalf("member stopped: %v", err)
		case <-timeout:
			t.Fatalf("no generation with %d partitions", n)
		}
	}
}

func (m *testMember) stop(t *testing.T) error {
	t.Helper()
	m.cancel()
	select {
	case err := <-m.done:
		return err
	case <-time.After(time.Minute):
		t.Fatal("member does not stop")
		return nil
	}
}

func TestGroupOfTwo(t *testing.T) {
	cluster := fakeCluster(t, kfake.NumBrokers(2), kfake.SeedTopics(4, "t"))
	c := connect(t, cluster)
	ctx := testContext(t)
	tps := []TopicPartition{{"t", 0}, {"t", 1}, {"t", 2}, {"t", 3}}

	if err := c.CommitOffsets(ctx, "g", map[TopicPartition]int64{{"t", 2}: 42}); err != nil {
		t.Fatal(err)
	}
	first := startMember(t, c, nil)
	a := first.await(t, 4)
	if a.Partitions[2].Offset != 42 || a.Partitions[0].Offset != FirstOffset || a.Partitions[0].TopicPartition != tps[0] || a.MemberID == "" {
		t.Errorf("assignment is %+v", a)
	}
	if err := c.CommitOffsets(ctx, "g", map[TopicPartition]int64{{"t", 2}: 7}); err == nil {
		t.Error("commit from outside of a running group: no error")
	} else if _, ok := errors.AsType[*RebalanceError](err); !ok {
		t.Errorf("commit from outside of a running group: %v", err)
	}

	second := startMember(t, c, func(cfg *GroupConfig) { cfg.StartOffset = LastOffset })
	// The first member drains and commits in the rebalance, before the second gets anything.
	b2, b1 := second.await(t, 2), first.await(t, 2)
	if err := <-first.commits; err != nil {
		t.Errorf("commit while the group rebalances: %v", err)
	}
	var all []TopicPartition
	for _, p := range append(slices.Clone(b1.Partitions), b2.Partitions...) {
		all = append(all, p.TopicPartition)
		if p.Offset != 100+int64(p.Partition) {
			t.Errorf("%s begins at %d, not where the first member has stopped", p.TopicPartition, p.Offset)
		}
	}
	slices.SortFunc(all, func(x, y TopicPartition) int { return int(x.Partition - y.Partition) })
	if !slices.Equal(all, tps) || b1.Generation != b2.Generation || b1.Generation <= a.Generation {
		t.Errorf("generations %d, %d after %d; partitions %v", b1.Generation, b2.Generation, a.Generation, all)
	}
	err := a.Commit(ctx, map[TopicPartition]Position{tps[0]: {Offset: 1}})
	if re, ok := errors.AsType[*RebalanceError](err); !ok || re.Group != "g" {
		t.Errorf("commit of an old generation: %v", err)
	}

	if err := first.stop(t); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped with %v", err)
	}
	second.await(t, 4)
	if err := second.stop(t); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped with %v", err)
	}
	offs, err := c.CommittedOffsets(ctx, "g", append(tps, TopicPartition{"t", 9}))
	if err != nil || offs[tps[3]] != 103 || offs[TopicPartition{"t", 9}] != -1 || len(offs) != 5 {
		t.Errorf("committed offsets are %v, %v", offs, err)
	}
	if err := c.CommitOffsets(ctx, "g", map[TopicPartition]int64{tps[0]: 5}); err != nil {
		t.Errorf("both have left, but: %v", err)
	}
	at, err := c.CommittedPositions(ctx, "g", append(tps, TopicPartition{"t", 9}))
	if err != nil || at[tps[0]] != (Position{5, ""}) || at[tps[3]] != (Position{103, "nt/3"}) || at[TopicPartition{"t", 9}] != (Position{-1, ""}) {
		t.Errorf("positions are %v, %v; want the note of t/0 dropped and that of t/3 kept", at, err)
	}
}

func TestGroupHandleError(t *testing.T) {
	cluster := fakeCluster(t, kfake.SeedTopics(2, "t"))
	c := connect(t, cluster)
	boom := errors.New("boom")
	var states []GroupPhase
	cfg := groupConfig()
	cfg.OnState = func(s GroupState) { states = append(states, s.Phase) }
	err := c.ConsumeGroup(testContext(t), cfg, func(context.Context, *Assignment) error { return boom })
	if err != boom {
		t.Errorf("got %v", err)
	}
	if want := []GroupPhase{GroupJoining, GroupRunning, GroupStopped}; !slices.Equal(states, want) {
		t.Errorf("states %v, want %v", states, want)
	}
}

// TestGroupHandleReturnsEarly: the member stays in its generation, and handle is called again in the next.
func TestGroupHandleReturnsEarly(t *testing.T) {
	cluster := fakeCluster(t, kfake.SeedTopics(2, "t"))
	c := connect(t, cluster)
	generations := make(chan int32, 10)
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	done := make(chan error, 1)
	go func() {
		done <- c.ConsumeGroup(ctx, groupConfig(), func(ctx context.Context, a *Assignment) error {
			generations <- a.Generation
			return nil
		})
	}()
	first := <-generations
	other := startMember(t, c, nil)
	other.await(t, 1)
	if second := <-generations; second != first+1 {
		t.Errorf("generation %d after %d", second, first)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	other.stop(t)
}

func TestGroupPermanentErrors(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fault *kfake.Fault
		cfg   func(*GroupConfig)
		want  string
	}{
		{"no right on the group", &kfake.Fault{Keys: []kmsg.Key{kmsg.FindCoordinator, kmsg.JoinGroup}, Err: kerr.GroupAuthorizationFailed, Count: -1}, nil, "--operation Read --group g"},
		{"no right on the topic", &kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: "t", Err: kerr.TopicAuthorizationFailed, Count: -1}, nil, "--operation Describe --topic t"},
		{"session timeout refused", nil, func(cfg *GroupConfig) { cfg.SessionTimeout = time.Hour }, "session timeout"},
		{"no such topic", nil, func(cfg *GroupConfig) { cfg.Topics = []string{"t", "none"} }, "none"},
		{"no group id", nil, func(cfg *GroupConfig) { cfg.GroupID = "" }, "group id"},
		{"no topics", nil, func(cfg *GroupConfig) { cfg.Topics = nil }, "no topics"},
		{"bad start", nil, func(cfg *GroupConfig) { cfg.StartOffset = 7 }, "start offset"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			cluster := fakeCluster(t, kfake.SeedTopics(2, "t"))
			c := connect(t, cluster)
			if tc.fault != nil {
				cluster.Fault(*tc.fault)
			}
			cfg := groupConfig()
			if tc.cfg != nil {
				tc.cfg(&cfg)
			}
			err := c.ConsumeGroup(testContext(t), cfg, func(context.Context, *Assignment) error { return errors.New("handle was called") })
			if err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// TestGroupRidesOutAnOutage: no connection can be made or used for a while.
func TestGroupRidesOutAnOutage(t *testing.T) {
	cluster := fakeCluster(t, kfake.SeedTopics(2, "t"))
	var down atomic.Bool
	var mu sync.Mutex
	var conns []net.Conn
	c := connect(t, cluster, func(cfg *Config) {
		cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if down.Load() {
				return nil, errRefused
			}
			nc, err := new(net.Dialer).DialContext(ctx, network, addr)
			mu.Lock()
			conns = append(conns, nc)
			mu.Unlock()
			return nc, err
		}
	})
	m := startMember(t, c, nil)
	a := m.await(t, 2)
	down.Store(true)
	mu.Lock()
	for _, nc := range conns {
		nc.Close()
	}
	mu.Unlock()
	outages := 0
	for s := range m.states {
		if s.Phase == GroupUnavailable && s.Err != nil {
			if outages++; outages == 10 {
				break
			}
		}
	}
	down.Store(false)
	if b := m.await(t, 2); b.Generation <= a.Generation {
		t.Errorf("generation %d after %d", b.Generation, a.Generation)
	}
	m.stop(t)
}

// A member that takes longer than its session to finish what it has in hand stays in the group meanwhile: nobody gets its
// partitions before it has committed.
func TestGroupWaitsForAMemberThatFinishes(t *testing.T) {
	t.Parallel()
	cluster := fakeCluster(t, kfake.SeedTopics(1, "t"), kfake.BrokerConfigs(map[string]string{"group.min.session.timeout.ms": "100"}))
	c := connect(t, cluster)
	ctx, cancel := context.WithCancel(testContext(t))
	running, commits, done := make(chan struct{}), make(chan error, 10), make(chan error, 1)
	tp := TopicPartition{"t", 0}
	var finished atomic.Bool
	cfg := groupConfig()
	cfg.SessionTimeout = 3 * time.Second // for as long nothing may stand still
	go func() {
		done <- c.ConsumeGroup(ctx, cfg, func(ctx context.Context, a *Assignment) error {
			if len(a.Partitions) == 0 {
				return nil
			}
			close(running)
			<-ctx.Done()
			time.Sleep(3500 * time.Millisecond)
			cctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			err := a.Commit(cctx, map[TopicPartition]Position{tp: {Offset: 7}})
			finished.Store(true)
			commits <- err
			return errors.New("done")
		})
	}()
	<-running
	second := startMember(t, c, nil)
	a := second.await(t, 1)
	if !finished.Load() || a.Partitions[0].Offset != 7 {
		t.Errorf("the second member begins at %+v, the first has finished: %v", a.Partitions[0], finished.Load())
	}
	if err := <-commits; err != nil {
		t.Error(err)
	}
	cancel()
	<-done
	second.stop(t)
}

// TestGroupStopsWhileJoining: another member does not come to the rebalance, so the join hangs at the coordinator.
func TestGroupStopsWhileJoining(t *testing.T) {
	cluster := fakeCluster(t, kfake.SeedTopics(2, "t"))
	c := connect(t, cluster)
	release := make(chan struct{})
	running := make(chan struct{})
	slow := make(chan error, 1)
	go func() {
		slow <- c.ConsumeGroup(testContext(t), groupConfig(), func(ctx context.Context, a *Assignment) error {
			close(running)
			<-release
			return context.Canceled
		})
	}()
	<-running
	joining := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Group: "g", Observe: true})
	m := startMember(t, c, nil)
	if err := joining.Wait(testContext(t), 1); err != nil {
		t.Fatal(err)
	}
	if err := m.stop(t); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped with %v", err)
	}
	close(release)
	if err := <-slow; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestGroupTopicChanges(t *testing.T) {
	cluster := fakeCluster(t, kfake.SeedTopics(2, "t"))
	c := connect(t, cluster)
	m := startMember(t, c, nil)
	m.await(t, 2)
	addPartitions(t, cluster, "t", 3)
	m.await(t, 3)
	cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: "t", Err: kerr.UnknownTopicOrPartition, Count: -1})
	select {
	case err := <-m.done:
		if !errors.Is(err, ErrUnknownTopic) {
			t.Errorf("topic deleted: %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("the group goes on without its topic")
	}
}
