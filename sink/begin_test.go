package sink

import (
	"context"
	"regexp"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waltap/waltap/internal/kafka"
)

func startAt(mode string) func(*Config, *testSink) {
	return func(c *Config, _ *testSink) { c.Start.Mode = mode }
}

// member joins group g, holds its partitions until leave is called, and does nothing with them.
func (r *rig) member() (leave func()) {
	r.Helper()
	ctx, cancel := context.WithCancel(r.ctx)
	running, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- r.client.ConsumeGroup(ctx, kafka.GroupConfig{GroupID: "g", Topics: []string{testTopic}}, func(ctx context.Context, _ *kafka.Assignment) error {
			select {
			case <-running:
			default:
				close(running)
			}
			<-ctx.Done()
			return nil
		})
	}()
	<-running
	return func() { cancel(); <-ended }
}

// A process that joins a group that runs takes over what another one had not applied yet, whatever its own start says.
func TestStartDoesNotMoveARunningGroup(t *testing.T) {
	for _, mode := range []string{StartLatest, StartEarliest} {
		t.Run(mode, func(t *testing.T) {
			r := newRig(t, 1)
			r.write(0, 10, 1)
			r.commit(0, 7)
			leave := r.member()
			s := r.sink(startAt(mode))
			r.eventually("it to ask to join", func() bool { g := r.cluster.GroupInfo("g"); return g != nil && len(g.Members) == 2 })
			leave()
			s.await(numbers(8, 10)...)
		})
	}
}

// A member that died is one until its session ends.
func TestStartWaitsForAMemberThatIsGone(t *testing.T) {
	r := newRig(t, 1)
	r.write(0, 10, 1)
	r.commit(0, 7)
	leave := r.member()
	time.AfterFunc(150*time.Millisecond, leave)
	patient := func(_ *Config, s *testSink) { s.patience = time.Minute }
	r.sink(startAt(StartEarliest), patient).await(numbers(1, 10)...)
}

// "latest" is where the logs end when the process begins: a topic that comes later has nothing older.
func TestLatestOfATopicThatComesLater(t *testing.T) {
	r := newRig(t, 1)
	r.write(0, 3, 1)
	s := r.sink(func(c *Config, _ *testSink) {
		c.Start.Mode, c.Topics, c.TopicsRegex = StartLatest, nil, regexp.MustCompile(`p\..*`)
	})
	r.eventually("the start", func() bool { return r.committed(0) == 3 })
	r.createTopic("p.default.u", 1)
	r.writeTo("p.default.u", 0, 2, 1) // 4, 5
	s.await("4", "5")
}

func TestLatestOfATopicThatWasAwaited(t *testing.T) {
	r := newRig(t, 1)
	r.write(0, 3, 1)
	waiting := make(chan struct{}, 100)
	s := r.sink(func(c *Config, s *testSink) {
		c.Start.Mode, c.Topics, s.waiting = StartLatest, []string{testTopic, "p.default.u"}, waiting
	})
	<-waiting
	r.write(0, 1, 1) // 4
	r.createTopic("p.default.u", 1)
	s.await("4")
}

// Where consumer.start leaves a partition where the group stands, that must be a place in this very topic.
func TestOffsetsOfSomePartitionsOfATopicCreatedAnew(t *testing.T) {
	r := newRig(t, 2)
	r.write(0, 3, 1)
	r.write(1, 3, 1)
	s := r.sink()
	r.eventually("all of it", func() bool { return len(s.applied()) == 6 })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	r.recreate(2)
	r.write(0, 1, 1) // 7
	r.write(1, 9, 1) // 8 …: the committed offset, 3, is within the new log
	some := map[kafka.TopicPartition]int64{{Topic: testTopic}: 0}
	begin := func(c *Config, _ *testSink) { c.Start = Start{Mode: StartOffsets, Offsets: some} }
	r.commit(0, 3)
	r.commit(1, 3)
	r.sink(begin).refuses("deleted and created again", remedy)

	some[kafka.TopicPartition{Topic: testTopic, Partition: 1}] = 8
	s = r.sink(begin)
	r.eventually("what it asks for", func() bool { return len(s.applied()) == 2 })
	if got := s.applied(); got[0] == got[1] || got[0]+got[1] != "716" && got[0]+got[1] != "167" {
		t.Errorf("applied %v, want 7 and 16", got)
	}
}

// The log's start moves on between the look at it and the fetch: nothing was applied yet, so nothing is missing.
func TestRetentionBeforeTheFirstFetch(t *testing.T) {
	for _, tc := range []struct {
		name string
		fail kmsg.Key
		mode string
	}{
		{"new group", kmsg.Fetch, StartCommitted},
		{"moved group", kmsg.Fetch, StartEarliest},
		{"moved group that has not joined yet", kmsg.JoinGroup, StartEarliest},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, 1)
			r.write(0, 10, 1)
			fault := kfake.Fault{Keys: []kmsg.Key{tc.fail}, Topic: testTopic, Err: kerr.LeaderNotAvailable, Count: -1}
			if tc.fail == kmsg.JoinGroup {
				fault.Topic, fault.Group, fault.Err = "", "g", kerr.CoordinatorNotAvailable
			}
			h := r.cluster.Fault(fault)
			s := r.sink(startAt(tc.mode))
			if err := h.Wait(r.ctx, 1); err != nil {
				t.Fatal(err)
			}
			if err := r.cluster.DeleteRecords(testTopic, 0, 7); err != nil {
				t.Fatal(err)
			}
			h.Remove()
			s.await(numbers(8, 10)...)
		})
	}
	t.Run("not once something was applied", func(t *testing.T) {
		r := newRig(t, 1)
		r.write(0, 3, 1)
		s := r.sink()
		s.await(numbers(1, 3)...)
		h := r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: testTopic, Err: kerr.LeaderNotAvailable, Count: -1})
		if err := h.Wait(r.ctx, 1); err != nil {
			t.Fatal(err)
		}
		r.write(0, 5, 1)
		if err := r.cluster.DeleteRecords(testTopic, 0, 6); err != nil {
			t.Fatal(err)
		}
		h.Remove()
		s.refuses(testTopic+"/0 begins at offset 6", "committed 3", "offsets 3 to 5", remedy)
	})
}

func TestTimestampOfATopicThatComesLater(t *testing.T) {
	r := newRig(t, 1)
	at := time.UnixMilli(1_700_000_000_000)
	s := r.sink(func(c *Config, _ *testSink) {
		c.Start, c.Topics, c.TopicsRegex = Start{Mode: StartTimestamp, Time: at}, nil, regexp.MustCompile(`p\..*`)
	})
	r.eventually("the start", func() bool { return r.committed(0) == 0 })
	r.createTopic("p.default.u", 1)
	r.writeTo("p.default.u", 0, 1, 1, producedAt(at.Add(-time.Hour))) // 1
	r.writeTo("p.default.u", 0, 1, 1, producedAt(at))                 // 2
	s.await("2")
}
