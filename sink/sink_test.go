package sink

import (
	"slices"
	"testing"
	"time"

	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

func TestCommitsOnlyWhatWasApplied(t *testing.T) {
	r := newRig(t, 1)
	r.write(0, 10, 1)
	hold := make(chan struct{})
	inApply := make(chan struct{}, 100)
	s := r.sink(func(c *Config, s *testSink) {
		s.fail = func(*Batch) error { inApply <- struct{}{}; <-hold; return nil }
	})
	<-inApply
	time.Sleep(1200 * time.Millisecond) // more than a commit interval
	if at := r.committed(0); at > 0 {
		t.Errorf("offset %d was committed while its batch was being applied", at)
	}
	close(hold)
	s.await(numbers(1, 10)...)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if at := r.committed(0); at != 10 {
		t.Errorf("committed %d after a clean stop, want 10", at)
	}
	r.write(0, 1, 1)
	next := r.sink()
	next.await("11")
}

func TestFailedBatchIsRepeatedWholeBeforeTheNext(t *testing.T) {
	r := newRig(t, 1)
	r.write(0, 250, 1)
	var firsts []int64
	s := r.sink(func(c *Config, s *testSink) {
		s.fail = func(b *Batch) error {
			firsts = append(firsts, b.First)
			if b.First == 100 && len(firsts) < 5 {
				return errAway
			}
			return nil
		}
	})
	s.await(numbers(1, 250)...)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if want := []int64{0, 100, 100, 100, 100, 200}; !slices.Equal(firsts, want) {
		t.Errorf("batches began at %v, want %v", firsts, want)
	}
	if len(s.retries) != 3 {
		t.Errorf("retries %v, want 3", s.retries)
	}
}

func TestPermanentErrorStopsTheSinkWithoutACommit(t *testing.T) {
	r := newRig(t, 1)
	r.write(0, 5, 1)
	s := r.sink(func(c *Config, s *testSink) { s.fail = func(*Batch) error { return &PermanentError{errAway} } })
	s.refuses(errAway.Error(), testTopic+"/0 offsets 0 to 4")
	if at := r.committed(0); at > 0 {
		t.Errorf("committed %d, want nothing", at)
	}
}

func TestForeignRecordStopsTheSink(t *testing.T) {
	r := newRig(t, 1)
	r.write(0, 2, 1)
	r.produce(kafka.TopicPartition{Topic: testTopic}, kafka.Record{Key: []byte("k"), Value: []byte("{}")})
	r.sink().refuses("offset 2", "was not written by waltap")
}

func TestBatchesKeepTheirLimits(t *testing.T) {
	r := newRig(t, 1)
	r.write(0, 98, 1)
	s := r.sink(func(c *Config, s *testSink) { c.BatchRecords, c.Linger = 7, time.Hour })
	s.await(numbers(1, 98)...)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if len(s.batches) != 14 || slices.Max(s.batches) != 7 {
		t.Errorf("batches of %v changes, want fourteen of 7", s.batches)
	}
	r.write(0, 2, 1)
	short := r.sink(func(c *Config, s *testSink) { c.BatchRecords = 7 })
	short.await("99", "100") // which wait no longer than Linger for more
	if err := short.stop(); err != nil {
		t.Fatal(err)
	}
	r.write(0, 30, 1, func(_ *kafka.Record, c *schema.Change) {
		c.Cells[0].Tags = make([]byte, 0)
		c.Source.Region = string(make([]byte, 900))
	})
	bytes := r.sink(func(c *Config, s *testSink) { c.BatchBytes, c.Linger = 5000, 200*time.Millisecond })
	bytes.await(numbers(101, 130)...)
	if n := slices.Max(bytes.batches); n > 6 {
		t.Errorf("batches of %v changes of about 1000 bytes, the limit is 5000", bytes.batches)
	}
}

// A batch in flight when another member joins is applied and committed before that member gets the partition.
func TestPartitionsAreDrainedAtARebalance(t *testing.T) {
	r := newRig(t, 2)
	hold, inApply := make(chan struct{}), make(chan struct{}, 100)
	first := r.sink(func(c *Config, s *testSink) {
		s.fail = func(*Batch) error { inApply <- struct{}{}; <-hold; return nil }
	})
	r.write(0, 3, 1)
	r.write(1, 3, 1)
	<-inApply
	<-inApply
	second := r.sink()
	r.eventually("the second member to ask to join", func() bool {
		g := r.cluster.GroupInfo("g")
		return g != nil && len(g.Members) == 2
	})
	if got := second.applied(); len(got) > 0 {
		t.Errorf("the second member applied %v before the first had given its partitions up", got)
	}
	time.Sleep(1500 * time.Millisecond) // more than a heartbeat: the first member has heard of the rebalance
	close(hold)
	if _, err := r.cluster.WaitGroupStable(r.ctx, "g", 2); err != nil {
		t.Fatal(err)
	}
	if got := first.applied(); len(got) != 6 {
		t.Errorf("the first member applied %v before the rebalance was over, want what it had in hand", got)
	}
	r.write(0, 1, 1)
	r.write(1, 1, 1)
	r.eventually("both members", func() bool { return len(first.applied())+len(second.applied()) == 8 })
	if a, b := first.applied(), second.applied(); len(a) != 7 || len(b) != 1 {
		t.Errorf("applied %v and %v, want nothing twice", a, b)
	}
}

func TestStart(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_000)
	for _, tc := range []struct {
		name  string
		start Start
		want  []string
	}{
		{"committed", Start{Mode: StartCommitted}, numbers(5, 10)},
		{"earliest", Start{Mode: StartEarliest}, numbers(3, 10)},
		{"latest", Start{Mode: StartLatest}, nil},
		{"timestamp of the 8th record", Start{Mode: StartTimestamp, Time: at.Add(8 * time.Second)}, numbers(8, 10)},
		{"timestamp between two records", Start{Mode: StartTimestamp, Time: at.Add(8*time.Second - 1)}, numbers(8, 10)},
		{"timestamp before all", Start{Mode: StartTimestamp, Time: at.Add(-time.Hour)}, numbers(3, 10)},
		{"timestamp after all", Start{Mode: StartTimestamp, Time: at.Add(time.Hour)}, nil},
		{"offsets", Start{Mode: StartOffsets, Offsets: map[kafka.TopicPartition]int64{{Topic: testTopic}: 9}}, numbers(10, 10)},
		{"offsets of another partition only", Start{Mode: StartOffsets, Offsets: map[kafka.TopicPartition]int64{{Topic: testTopic, Partition: 1}: 0}}, numbers(5, 10)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, 2)
			for i := range 10 {
				r.write(0, 1, 1, func(rec *kafka.Record, _ *schema.Change) { rec.Time = at.Add(time.Duration(i+1) * time.Second) })
			}
			if err := r.cluster.DeleteRecords(testTopic, 0, 2); err != nil {
				t.Fatal(err)
			}
			r.commit(0, 4)
			s := r.sink(func(c *Config, s *testSink) { c.Start = tc.start })
			r.eventually("the sink's position to be committed", func() bool { return r.committed(0) == 10 || len(s.done) > 0 })
			s.await(tc.want...)
			r.write(0, 1, 1)
			s.await(append(tc.want, "11")...)
		})
	}
}

func TestStartThatCannotBe(t *testing.T) {
	for _, tc := range []struct {
		tp     kafka.TopicPartition
		offset int64
		want   string
	}{
		{kafka.TopicPartition{Topic: testTopic}, 11, "holds offsets 0 to 10, not 11"},
		{kafka.TopicPartition{Topic: testTopic, Partition: 2}, 0, "none of the partitions"},
		{kafka.TopicPartition{Topic: "other"}, 0, "none of the partitions"},
	} {
		r := newRig(t, 2)
		r.write(0, 10, 1)
		s := r.sink(func(c *Config, s *testSink) {
			c.Start = Start{Mode: StartOffsets, Offsets: map[kafka.TopicPartition]int64{tc.tp: tc.offset}}
		})
		s.refuses("consumer.start", tc.tp.String(), tc.want)
	}
}
