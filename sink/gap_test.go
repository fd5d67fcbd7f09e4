package sink

import (
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func (r *rig) recreate(partitions int32) {
	r.Helper()
	if err := r.cluster.DeleteTopic(testTopic); err != nil {
		r.Fatal(err)
	}
	r.createTopic(testTopic, partitions)
}

const remedy = "waltap offsets reset --group g --topic " + testTopic + " --to-earliest"

func TestRecordsDeletedBeforeTheyWereApplied(t *testing.T) {
	r := newRig(t, 1)
	r.write(0, 10, 1)
	r.commit(0, 4)
	if err := r.cluster.DeleteRecords(testTopic, 0, 7); err != nil {
		t.Fatal(err)
	}
	s := r.sink()
	s.refuses(testTopic+"/0 begins at offset 7", "committed 4", "offsets 4 to 6", remedy)
	if len(s.applied()) > 0 || r.committed(0) != 4 {
		t.Errorf("applied %v, committed %d: it went on behind the gap", s.applied(), r.committed(0))
	}
}

func TestLogEndsBelowTheCommittedOffset(t *testing.T) {
	r := newRig(t, 1)
	r.write(0, 3, 1)
	r.commit(0, 9)
	r.sink().refuses(testTopic+"/0 ends at offset 3", "committed 9", remedy)
}

func TestTopicCreatedAnewWhileTheSinkIsStopped(t *testing.T) {
	r := newRig(t, 1)
	r.write(0, 3, 1)
	s := r.sink()
	s.await(numbers(1, 3)...)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	r.recreate(1)
	r.commit(0, 3)
	r.write(0, 6, 1) // the committed offset is within the new log
	r.sink().refuses("deleted and created again", testTopic, remedy)

	t.Run("accepted by a start that is asked for", func(t *testing.T) {
		s := r.sink(func(c *Config, s *testSink) { c.Start.Mode = StartEarliest })
		s.await(numbers(4, 9)...)
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
		r.write(0, 1, 1)
		r.sink().await("10")
	})
}

func TestTopicCreatedAnewIsForgotten(t *testing.T) {
	r := newRig(t, 1)
	r.write(0, 3, 1)
	s := r.sink()
	s.await(numbers(1, 3)...)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	r.recreate(2)
	r.write(1, 2, 1)
	if err := ForgetTopics(r.ctx, r.client, "g", []string{testTopic}); err != nil {
		t.Fatal(err)
	}
	r.commit(0, 0)
	r.sink().await("4", "5")
}

func TestTopicCreatedAnewWhileTheSinkRuns(t *testing.T) {
	r := newRig(t, 1)
	r.write(0, 3, 1)
	s := r.sink()
	s.await(numbers(1, 3)...)
	r.recreate(1)
	s.refuses("deleted and created again", remedy)
}

func TestPartitionCountChanges(t *testing.T) {
	r := newRig(t, 1)
	r.write(0, 3, 1)
	s := r.sink()
	s.await(numbers(1, 3)...)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	// As a broker without topic ids would show it.
	s2 := newSink(Config{Kafka: r.client, Group: "g", Topics: []string{testTopic}}, nil)
	if err := s2.checkTopics(r.ctx, []string{testTopic}); err != nil {
		t.Fatal(err)
	}
	defer s2.store.Close()
	if err := changedTopic("g", testTopic, seen{"", 1}, seen{"x", 2}); err == nil {
		t.Error("a changed partition count was not seen")
	}
	for _, same := range [][2]seen{{{"", 1}, {"x", 1}}, {{"x", 1}, {"", 1}}, {{"x", 1}, {"x", 1}}} {
		if err := changedTopic("g", testTopic, same[0], same[1]); err != nil {
			t.Errorf("%v: %v", same, err)
		}
	}
	if err := s2.store.Put(r.ctx, "g", seenKey(testTopic), seen{s2.seen[testTopic].TopicID, 4}); err != nil {
		t.Fatal(err)
	}
	r.sink().refuses("has 1 partitions, group g has seen 4", remedy)
}

func (r *rig) addPartitions(n int32) {
	r.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(r.cluster.ListenAddrs()...))
	if err != nil {
		r.Fatal(err)
	}
	defer c.Close()
	req := kmsg.NewPtrCreatePartitionsRequest()
	topic := kmsg.NewCreatePartitionsRequestTopic()
	topic.Topic, topic.Count = testTopic, n
	req.Topics, req.TimeoutMillis = append(req.Topics, topic), 1000
	res, err := req.RequestWith(r.ctx, c)
	if err == nil {
		err = kerr.ErrorForCode(res.Topics[0].ErrorCode)
	}
	if err != nil {
		r.Fatal(err)
	}
}

func TestPartitionsAreAddedWhileTheSinkRuns(t *testing.T) {
	r := newRig(t, 1)
	r.write(0, 3, 1)
	s := r.sink()
	s.await(numbers(1, 3)...)
	r.addPartitions(2)
	s.refuses("has 2 partitions, group g has seen 1", remedy)
}

const forget = "waltap offsets forget --group g --topic " + testTopic

// A topic that was read and is gone may have held what was not applied: a regular expression does not pass over it.
func TestTopicIsDeleted(t *testing.T) {
	regex := func(c *Config, _ *testSink) { c.Topics, c.TopicsRegex = nil, regexp.MustCompile(`p\..*`) }
	for _, tc := range []struct {
		name    string
		running bool
		config  func(*Config, *testSink)
	}{
		{"while the sink runs", true, func(*Config, *testSink) {}},
		{"while the sink runs, regex", true, regex},
		{"while it is stopped", false, func(*Config, *testSink) {}},
		{"while it is stopped, regex", false, regex},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, 1)
			r.createTopic("p.default.u", 1)
			r.write(0, 3, 1)
			s := r.sink(tc.config)
			s.await(numbers(1, 3)...)
			if !tc.running {
				if err := s.stop(); err != nil {
					t.Fatal(err)
				}
			}
			if err := r.cluster.DeleteTopic(testTopic); err != nil {
				t.Fatal(err)
			}
			if !tc.running {
				s = r.sink(tc.config)
			}
			s.refuses("topic "+testTopic, "is not there any more", forget)
		})
	}
	t.Run("on purpose", func(t *testing.T) {
		r := newRig(t, 1)
		r.createTopic("p.default.u", 1)
		r.write(0, 3, 1)
		s := r.sink(regex)
		s.await(numbers(1, 3)...)
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
		if err := r.cluster.DeleteTopic(testTopic); err != nil {
			t.Fatal(err)
		}
		if err := ForgetTopics(r.ctx, r.client, "g", []string{testTopic}); err != nil {
			t.Fatal(err)
		}
		r.writeTo("p.default.u", 0, 1, 1)
		r.sink(regex).await("4")
	})
}

func TestGapErrorWithoutTheEndsOfTheLog(t *testing.T) {
	e := &GapError{Group: "g", Topic: "t", Partition: 1, Committed: 5, LogStart: -1, LogEnd: -1}
	if text := e.Error(); strings.Contains(text, "-1") || !strings.Contains(text, "t/1 does not hold offset 5") || !strings.Contains(text, "waltap offsets reset --group g") {
		t.Error(text)
	}
}
