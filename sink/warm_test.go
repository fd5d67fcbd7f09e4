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
		c.Cells[0].Timestamp = 1 << 40 // of no other cell
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

// Where a group begins in the middle of a topic, what lies before was never applied: nothing is left out because of it, nor
// is it after a restart, or when the offset was moved by other means.
func TestWhatWasNotAppliedIsNotRemembered(t *testing.T) {
	for _, tc := range []struct {
		name  string
		begin func(r *rig) func(*Config, *testSink)
	}{
		{"consumer.start", func(*rig) func(*Config, *testSink) {
			return func(c *Config, _ *testSink) {
				c.Start = Start{Mode: StartOffsets, Offsets: map[kafka.TopicPartition]int64{{Topic: testTopic}: 1}}
			}
		}},
		{"the group was moved", func(r *rig) func(*Config, *testSink) {
			r.commit(0, 1)
			return func(*Config, *testSink) {}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, 1)
			r.write(0, 1, 1, rewrite(20)) // "1", before the start
			r.write(0, 1, 1, rewrite(10)) // "2"
			s := r.sink(tc.begin(r))
			s.await("2")
			if err := s.stop(); err != nil {
				t.Fatal(err)
			}
			r.write(0, 1, 1, rewrite(15)) // "3": newer than "2", older than "1"
			r.write(0, 1, 1, rewrite(12)) // "4": a late replay
			s = r.sink()
			s.await("3")
			r.write(0, 1, 1)
			s.await("3", "5")
		})
	}
}

func TestWhatTheEndTimeLeftOutIsNotRemembered(t *testing.T) {
	r := newRig(t, 1)
	r.write(0, 1, endAt, rewrite(5))    // "1"
	r.write(0, 1, endAt+1, rewrite(20)) // "2": behind the end
	r.write(0, 1, endAt, rewrite(10))   // "3"
	r.watermark("one", endAt+5000, map[int32]int64{0: 3})
	s := r.sink(untilEnd)
	s.await("1", "3")
	if err := s.wait(); err != nil {
		t.Fatal(err)
	}
	r.write(0, 1, endAt, rewrite(15)) // "4"
	r.sink().await("4")
}

func TestOnlyTheLastRecordsAreReadBack(t *testing.T) {
	r := newRig(t, 1)
	r.write(0, 1, 1, rewrite(20)) // "1", too far back
	r.write(0, warmRecords, 1)
	s := r.sink()
	r.eventually("all of it", func() bool { return len(s.applied()) == warmRecords+1 })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	r.write(0, 1, 1, rewrite(10))
	r.sink().await("20002")
}

// What was collected and not applied leaves no trace.
func TestUnappliedChangesAreForgotten(t *testing.T) {
	c := func(sequence uint64, rows ...string) (changes []schema.Change) {
		for _, row := range rows {
			changes = append(changes, schema.Change{Table: "default:t", Row: []byte(row), Sequence: sequence, Cells: []schema.Cell{{Family: []byte("f"), Timestamp: 5, Type: schema.Put}}})
		}
		return changes
	}
	m := newRecent(1 << 10)
	filter := func(changes []schema.Change) (n int) {
		for i := range changes {
			n += m.filter(&changes[i])
		}
		return n
	}
	applied, failed := c(10, "a", "b"), c(20, "b", "c")
	first := filter(applied)
	mark := m.mark()
	if first+filter(failed) != 0 {
		t.Fatal("something was left out that should not be")
	}
	m.undo(mark)
	if n := filter(c(9, "a", "b", "c")); n != 2 {
		t.Errorf("%d cells were left out, want those of a and b: they were remembered before", n)
	}
	if n := filter(c(15, "b", "c")); n != 0 {
		t.Errorf("%d cells were left out because of changes that were not applied", n)
	}
}
