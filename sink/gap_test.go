package sink

import (
	"testing"

	"github.com/waltap/waltap/internal/kafka"
)

func (r *rig) recreate(partitions int32) {
	r.Helper()
	if err := r.cluster.DeleteTopic(testTopic); err != nil {
		r.Fatal(err)
	}
	r.create(partitions)
}

func (r *rig) create(partitions int32) {
	r.Helper()
	if err := r.client.EnsureTopics(r.ctx, kafka.TopicSpec{Name: testTopic, Partitions: partitions, ReplicationFactor: 1}); err != nil {
		r.Fatal(err)
	}
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
