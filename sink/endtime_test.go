package sink

import (
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

const endAt = 1_700_000_000_000

func untilEnd(c *Config, _ *testSink) {
	c.EndTime, c.Margin = time.UnixMilli(endAt), 5*time.Second
}

func scanned(_ *kafka.Record, c *schema.Change) { c.Source.Kind = schema.KindScan }

func (ts *testSink) awaitEnding(text string) {
	ts.rig.Helper()
	ts.rig.eventually("the end to wait for "+text, func() bool {
		ts.mu.Lock()
		defer ts.mu.Unlock()
		return strings.Contains(ts.ending, text)
	})
}

func TestRunEndsAtItsEndTime(t *testing.T) {
	r := newRig(t, 2)
	r.write(0, 3, endAt-1)        // 1 to 3
	r.write(0, 2, endAt+1)        // 4, 5: skipped
	r.write(0, 1, endAt)          // 6: at the end time is not after it
	r.write(0, 1, endAt, scanned) // 7
	r.write(0, 1, endAt+1000, scanned)
	s := r.sink(untilEnd)
	s.awaitEnding("a watermark that covers")
	r.watermark("one", endAt+5000-1, map[int32]int64{0: 8, 1: 0})
	s.awaitEnding("the watermark of one")
	r.watermark("two", endAt-1, map[int32]int64{0: 0, 1: 0})
	r.watermark("one", endAt+5000, map[int32]int64{0: 8, 1: 0})
	s.awaitEnding("the watermark of two")
	r.watermark("two", endAt+9000, map[int32]int64{0: 2, 1: 1})
	s.awaitEnding(testTopic + "/1 is committed up to offset 0, the end is at 1")
	r.write(1, 1, endAt+1) // 9: skipped
	if err := s.wait(); err != nil {
		t.Fatal(err)
	}
	s.await("1", "2", "3", "6", "7", "8")
	p := s.summary.Partitions
	if len(p) != 2 || p[0].Offset != 8 || p[0].Applied != 6 || p[0].Skipped != 2 || p[1].Offset != 1 || p[1].Skipped != 1 || s.skipped != 3 {
		t.Errorf("summary %+v, %d skipped", s.summary, s.skipped)
	}
	if a, b := r.committed(0), r.committed(1); a != 8 || b != 1 {
		t.Errorf("committed %d and %d, want 8 and 1", a, b)
	}
}

// A watermark that does not know of a partition says nothing about it.
func TestWatermarkMustCoverEveryPartition(t *testing.T) {
	r := newRig(t, 2)
	s := r.sink(untilEnd)
	r.watermark("one", endAt+10_000, map[int32]int64{0: 0})
	s.awaitEnding("covers " + testTopic + "/1")
	r.watermark("one", endAt+10_000, map[int32]int64{0: 0, 1: 0})
	if err := s.wait(); err != nil {
		t.Fatal(err)
	}
}

func TestUnreadableWatermarkStopsTheSink(t *testing.T) {
	r := newRig(t, 1)
	s := r.sink(untilEnd)
	s.awaitEnding("a watermark that covers")
	topic := schema.WatermarksTopic("p")
	if err := r.client.EnsureTopics(r.ctx, kafka.TopicSpec{Name: topic, Partitions: 1, ReplicationFactor: 1}); err != nil {
		t.Fatal(err)
	}
	r.produce(kafka.TopicPartition{Topic: topic}, kafka.Record{Key: []byte("one"), Value: []byte(`{"formatVersion":99,"connector":"one"}`)})
	s.refuses(topic, "format version 99", "upgrade")
}
