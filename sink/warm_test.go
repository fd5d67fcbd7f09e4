package sink

import (
	"testing"

	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

// rewrite makes a change a put of one and the same cell, with its own sequence.
func rewrite(sequence uint64) func(*kafka.Record, *schema.Change) {
	return func(_ *kafka.Record, c *schema.Change) {
		c.Sequence = sequence
		c.Cells[0].Timestamp = 5
	}
}

// HBase ships put 20, the sink applies it and is started again, then HBase ships put 10 once more.
func TestLateReplayBehindARestartDoesNotUndoANewerValue(t *testing.T) {
	r := newRig(t, 1)
	r.write(0, 1, 1, rewrite(10)) // "1"
	r.write(0, 1, 1, rewrite(20)) // "2"
	s := r.sink()
	s.await("1", "2")
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	r.write(0, 1, 1, rewrite(10)) // "3", the replay
	r.write(0, 1, 1, rewrite(30)) // "4"
	r.sink().await("4")
}

// Where a group begins in the middle of a topic, what lies before was never applied: nothing is left out because of it.
func TestWhatWasNotAppliedIsNotRemembered(t *testing.T) {
	r := newRig(t, 1)
	r.write(0, 1, 1, rewrite(20)) // "1", before the start
	r.write(0, 1, 1, rewrite(10)) // "2"
	r.sink(func(c *Config, _ *testSink) {
		c.Start = Start{Mode: StartOffsets, Offsets: map[kafka.TopicPartition]int64{{Topic: testTopic}: 1}}
	}).await("2")
}

func TestOnlyTheLastRecordsAreReadBack(t *testing.T) {
	r := newRig(t, 1)
	r.write(0, 1, 1, rewrite(20)) // "1", too far back
	r.write(0, warmRecords, 1)
	r.commit(0, warmRecords+1)
	r.write(0, 1, 1, rewrite(10))
	r.sink().await("20002")
}
