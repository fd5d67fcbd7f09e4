package sink

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/waltap/waltap/checkpoint"
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

func (r *rig) watermarkText(prefix, text string) {
	r.Helper()
	r.createTopic(schema.WatermarksTopic(prefix), 1)
	r.produce(kafka.TopicPartition{Topic: schema.WatermarksTopic(prefix)}, kafka.Record{Key: []byte("one"), Value: []byte(text)})
}

func TestUnreadableWatermarkStopsTheSink(t *testing.T) {
	r := newRig(t, 1)
	s := r.sink(untilEnd)
	s.awaitEnding("a watermark that covers")
	r.watermarkText("p", `{"formatVersion":99,"connector":"one"}`)
	s.refuses(schema.WatermarksTopic("p"), "format version 99", "upgrade")
}

// The sources of other topics are none of the sink's business.
func TestWatermarksOfOtherPrefixesAreNotRead(t *testing.T) {
	r := newRig(t, 1)
	r.watermarkText("other", `{"formatVersion":99,"connector":"one"}`)
	r.watermarkText("p.d", `not JSON`)
	s := r.sink(untilEnd)
	s.awaitEnding("a watermark that covers")
	r.watermark("one", endAt+10_000, map[int32]int64{0: 0})
	if err := s.wait(); err != nil {
		t.Fatal(err)
	}
}

// A watermark topic that was created again is read from its beginning, and what the old one said does not count.
func TestWatermarkTopicCreatedAnew(t *testing.T) {
	r := newRig(t, 2)
	s := r.sink(untilEnd)
	for range 5 {
		r.watermark("one", endAt-2000, map[int32]int64{0: 0, 1: 0})
	}
	s.awaitEnding("the watermark of one")
	if err := r.cluster.DeleteTopic(schema.WatermarksTopic("p")); err != nil {
		t.Fatal(err)
	}
	s.awaitEnding("covers " + testTopic)
	r.watermark("two", endAt+10_000, map[int32]int64{0: 0})
	s.awaitEnding("covers " + testTopic + "/1")
	r.watermark("one", endAt+10_000, map[int32]int64{0: 0, 1: 0})
	if err := s.wait(); err != nil {
		t.Fatal(err)
	}
}

// A topic joins just when the end is looked at: the watermark names it, the list of topics was older.
func TestTopicThatJoinsAtTheEnd(t *testing.T) {
	r := newRig(t, 1)
	s := newSink(Config{Kafka: r.client, Group: "g", TopicsRegex: regexp.MustCompile(`p\..*`), EndTime: time.UnixMilli(endAt)}, nil)
	e := &ending{Sink: s, next: make(map[kafka.TopicPartition]int64), marks: make(map[string]*checkpoint.Watermark)}
	e.marks["m"] = &checkpoint.Watermark{Connector: "one", Time: endAt, Offsets: map[string]map[int32]int64{testTopic: {0: 0}, "p.default.u": {0: 3}, "q.default.t": {0: 9}}}
	r.commit(0, 0)
	if summary, waits, err := e.look(r.ctx); err != nil || summary != nil || !strings.Contains(waits, "p.default.u") {
		t.Errorf("%+v, %q, %v; want it to wait for the topic", summary, waits, err)
	}
	r.createTopic("p.default.u", 1)
	if summary, waits, err := e.look(r.ctx); err != nil || summary != nil || !strings.Contains(waits, "p.default.u/0 is committed up to offset 0, the end is at 3") {
		t.Errorf("%+v, %q, %v; want it to wait for what the topic holds", summary, waits, err)
	}
	if err := r.client.CommitOffsets(r.ctx, "g", map[kafka.TopicPartition]int64{{Topic: "p.default.u"}: 3}); err != nil {
		t.Fatal(err)
	}
	if summary, waits, err := e.look(r.ctx); err != nil || summary == nil {
		t.Errorf("%q, %v; want the end", waits, err)
	}
}

// The last offset of a log may be a transaction's marker, which no fetch returns.
func TestEndBehindATransactionMarker(t *testing.T) {
	r := newRig(t, 1)
	c, err := kgo.NewClient(kgo.SeedBrokers(r.cluster.ListenAddrs()...), kgo.TransactionalID("x"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	transaction := func(values ...string) {
		t.Helper()
		if err := c.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			change := schema.Change{Table: "default:t", Row: []byte("r"), Timestamp: endAt, Source: schema.Source{Kind: schema.KindWAL, Epoch: 1},
				Cells: []schema.Cell{{Family: []byte("f"), Qualifier: []byte(v), Type: schema.Put, Value: []byte(v)}}}
			if err := c.ProduceSync(r.ctx, &kgo.Record{Topic: testTopic, Value: schema.AppendAvro(nil, &change)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.EndTransaction(r.ctx, kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
	}
	transaction("a", "b")
	s := r.sink(untilEnd)
	r.eventually("the marker to be committed", func() bool { return r.committed(0) == 3 })
	transaction("c")
	r.watermark("one", endAt+5000, map[int32]int64{0: 5})
	if err := s.wait(); err != nil {
		t.Fatal(err)
	}
	s.await("a", "b", "c")
}
