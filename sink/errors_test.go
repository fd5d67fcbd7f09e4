package sink

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waltap/waltap/internal/deadletter"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

const deadTopic = "dead"

// asideTo lets a sink go on behind records that cannot be applied.
func (r *rig) aside() func(*Config, *testSink) {
	r.Helper()
	q, err := deadletter.Open(r.ctx, deadletter.Config{Kafka: r.client, Topic: deadTopic, ReplicationFactor: 1, Context: true, Connector: "c"})
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { q.Close() })
	return func(c *Config, _ *testSink) { c.Errors.DeadLetters = q }
}

// letters reads the dead-letter topic.
func (r *rig) letters() (letters []deadletter.Letter) {
	r.Helper()
	err := r.client.ReadAll(r.ctx, deadTopic, func(rec kafka.Record) error {
		l, ok := deadletter.Parse(rec)
		if !ok {
			return fmt.Errorf("offset %d is no dead letter: %+v", rec.Offset, rec.Headers)
		}
		letters = append(letters, l)
		return nil
	})
	if err != nil {
		r.Fatal(err)
	}
	return letters
}

// raw produces a record that is no change.
func (r *rig) raw(value []byte) {
	r.Helper()
	r.produce(kafka.TopicPartition{Topic: testTopic}, kafka.Record{Key: []byte("k"), Value: value, Headers: []kafka.Header{{Key: "h", Value: []byte("v")}}})
}

// refuse makes the target refuse the changes that have one of these values; known: it says which it is.
func refuse(known bool, values ...string) func(*Config, *testSink) {
	return func(_ *Config, s *testSink) {
		s.fail = func(b *Batch) error {
			for i := range b.Changes {
				if cells := b.Changes[i].Cells; len(cells) > 0 && slices.Contains(values, string(cells[0].Value)) {
					if !known {
						i = -1
					}
					return &RefusedError{Change: i, Err: errPoison}
				}
			}
			return nil
		}
	}
}

var errPoison = errors.New("the cell is too large")

func encoded(value string) []byte {
	return schema.AppendAvro(nil, &schema.Change{Table: "default:t", Row: []byte("r"), Source: schema.Source{Kind: schema.KindWAL, Epoch: 1},
		Cells: []schema.Cell{{Family: []byte("f"), Type: schema.Put, Value: []byte(value)}}})
}

// A record that cannot be read, and a change that is refused, end on the dead-letter topic as they were, each once and
// before its offset is committed; everything else is applied in its order.
func TestDeadLetters(t *testing.T) {
	r := newRig(t, 1)
	truncated, corrupt := encoded("x"), encoded("y")
	truncated = truncated[:len(truncated)-3]
	corrupt[20] ^= 0xff
	bad := [][]byte{[]byte("{}"), corrupt, truncated, nil, {}}
	r.write(0, 2, 1) // 1, 2
	for _, value := range bad {
		r.raw(value)
	}
	r.write(0, 5, 1) // 3 … 7
	s := r.sink(r.aside(), refuse(false, "2", "5"))
	s.await("1", "3", "4", "6", "7")
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if at := r.committed(0); at != 12 {
		t.Errorf("committed %d, want 12", at)
	}
	letters := r.letters()
	var offsets []int64
	for _, l := range letters {
		offsets = append(offsets, l.Offset)
		if l.Topic != testTopic || l.Partition != 0 || l.Connector != "c" || l.Exception == "" || l.Trace == "" || l.Class == "" {
			t.Errorf("letter %+v", l)
		}
		if l.Offset < 2 || l.Offset > 6 {
			if l.Stage != deadletter.StagePut || l.Message != errPoison.Error() || len(l.Value) < 20 || !strings.HasPrefix(string(l.Key), "row 0") {
				t.Errorf("letter of a refused change %+v", l)
			}
			continue
		}
		if l.Stage != deadletter.StageValueConverter || string(l.Key) != "k" || !bytes.Equal(l.Value, bad[l.Offset-2]) || (l.Value == nil) != (bad[l.Offset-2] == nil) ||
			len(l.Headers) != 1 || l.Headers[0].Key != "h" || string(l.Headers[0].Value) != "v" {
			t.Errorf("letter of an unreadable record %+v", l)
		}
	}
	slices.Sort(offsets)
	if want := []int64{1, 2, 3, 4, 5, 6, 9}; !slices.Equal(offsets, want) || s.dead != len(want) {
		t.Errorf("dead letters of offsets %v, %d counted; want %v", offsets, s.dead, want)
	}
	r.write(0, 1, 1)
	r.sink(r.aside()).await("8")
	if n := len(r.letters()); n != 7 {
		t.Errorf("%d dead letters after a restart, want 7", n)
	}
}

// Without a dead-letter topic the sink stops before the first such record, with everything before it applied and committed.
func TestBadRecordStopsTheSink(t *testing.T) {
	remedies := []string{testTopic + "/0 offset 3", "errors.tolerance: all", "errors.deadletterqueue.topic.name", "waltap offsets set --group g --topic " + testTopic + " " + testTopic + "/0=4"}
	for _, tc := range []struct {
		name   string
		bad    func(r *rig)
		config func(*Config, *testSink)
		says   string
	}{
		{"foreign", func(r *rig) { r.raw([]byte("{}")) }, func(*Config, *testSink) {}, "was not written by waltap"},
		{"truncated", func(r *rig) { r.raw(encoded("x")[:30]) }, func(*Config, *testSink) {}, "record ends early"},
		{"refused", func(r *rig) { r.write(0, 1, 1) }, refuse(false, "4"), `table default:t, row "row 0"): the target refuses it: ` + errPoison.Error()},
		{"refused, known", func(r *rig) { r.write(0, 1, 1) }, refuse(true, "4"), "the target refuses it: " + errPoison.Error()},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, 1)
			r.write(0, 3, 1)
			tc.bad(r)
			r.write(0, 3, 1)
			s := r.sink(tc.config)
			s.refuses(append(remedies, tc.says)...)
			if got := s.applied(); !slices.Equal(got, numbers(1, 3)) || r.committed(0) != 3 {
				t.Errorf("applied %v, committed %d; want what is before the record", got, r.committed(0))
			}
			again := r.sink(tc.config)
			again.refuses(append(remedies, tc.says)...)
			if got := again.applied(); len(got) > 0 {
				t.Errorf("applied %v once more", got)
			}
		})
	}
}

// Whichever changes are refused, they and only they are left out, and the others keep their order.
func TestRefusedChangesAreFound(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	for range 300 {
		n := 1 + rng.IntN(40)
		var bad, good []string
		b := &Batch{Topic: testTopic, First: 100, Next: int64(100 + n)}
		for i := range n {
			value := fmt.Sprint(i)
			c := schema.Change{Table: "default:t", Row: []byte("r"), Cells: []schema.Cell{{Type: schema.Put, Timestamp: int64(i), Value: []byte(value)}}}
			b.Changes = append(b.Changes, c)
			b.origins = append(b.origins, origin{record: &kafka.RawRecord{Offset: int64(100 + i), Value: schema.AppendAvro(nil, &c)}})
			if rng.IntN(n) < 3 {
				bad = append(bad, value)
			} else {
				good = append(good, value)
			}
		}
		s := &testSink{rig: &rig{T: t}}
		refuse(rng.IntN(2) == 0, bad...)(nil, s)
		w := &worker{Sink: newSink(Config{Errors: Errors{DeadLetters: new(deadletter.Queue)}, Stats: s}, s), commit: newCommitter(nil), recent: newRecent(16)}
		if err := w.applyRange(t.Context(), b, 0, n); err != nil {
			t.Fatal(err)
		}
		var dead []string
		for _, d := range b.dead {
			dead = append(dead, fmt.Sprint(d.record.Offset-100))
		}
		if got := s.applied(); !slices.Equal(got, good) || !slices.Equal(dead, bad) {
			t.Fatalf("of %d, applied %v, want %v; dead %v, want %v", n, got, good, dead, bad)
		}
	}
}

// What follows a refused change of a row is applied; and nothing is left out because of a change that was not applied.
func TestRowGoesOnBehindADeadLetter(t *testing.T) {
	r := newRig(t, 1)
	s := r.sink(r.aside(), refuse(false, "2"))
	r.write(0, 1, 1, rewrite(10)) // 1
	r.write(0, 1, 1, rewrite(30)) // 2: refused
	r.write(0, 1, 1, rewrite(20)) // 3
	s.await("1", "3")
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	r.write(0, 1, 1, rewrite(25)) // 4
	r.write(0, 1, 1, rewrite(15)) // 5: a late replay
	r.write(0, 1, 1)              // 6
	r.sink(r.aside()).await("4", "6")
}

// The offset waits until the dead letter is safe.
func TestNothingIsCommittedBeforeItsDeadLetter(t *testing.T) {
	r := newRig(t, 1)
	config := r.aside()
	r.write(0, 1, 1)
	r.raw([]byte("{}"))
	fault := kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: deadTopic, Err: kerr.NotEnoughReplicas, Count: -1}
	h := r.cluster.Fault(fault)
	s := r.sink(config)
	s.await("1")
	if err := h.Wait(r.ctx, 1); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1200 * time.Millisecond) // more than a commit interval
	if at := r.committed(0); at > 0 {
		t.Errorf("committed %d while there is no dead letter", at)
	}
	h.Remove()
	r.eventually("the commit", func() bool { return r.committed(0) == 2 })
	if n := len(r.letters()); n != 1 {
		t.Errorf("%d dead letters, want 1", n)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}

	r.raw([]byte("{}"))
	fault.Err = kerr.TopicAuthorizationFailed
	r.cluster.Fault(fault)
	r.sink(config).refuses("write dead letters to "+deadTopic, "right Write on topic dead")
	if at := r.committed(0); at != 2 {
		t.Errorf("committed %d, want 2", at)
	}
}

func TestEndTimeBehindADeadLetter(t *testing.T) {
	r := newRig(t, 1)
	r.write(0, 1, endAt)
	r.raw([]byte("{}"))
	r.watermark("one", endAt+5000, map[int32]int64{0: 2})
	s := r.sink(untilEnd, r.aside())
	if err := s.wait(); err != nil {
		t.Fatal(err)
	}
	if p := s.summary.Partitions[0]; p.Offset != 2 || p.Applied != 1 || len(r.letters()) != 1 {
		t.Errorf("summary %+v", p)
	}
}

// A batch is repeated for as long as the timeout says, with pauses that grow to the longest.
func TestRetriesUntilTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &testSink{rig: &rig{T: t}, fail: func(*Batch) error { return errAway }}
		const timeout, longest = time.Minute, 5 * time.Second
		w := &worker{Sink: newSink(Config{Errors: Errors{RetryTimeout: timeout, RetryDelayMax: longest}, Stats: s}, s), commit: newCommitter(nil), recent: newRecent(16)}
		c := schema.Change{Table: "default:t", Row: []byte("r"), Cells: []schema.Cell{{Type: schema.Put, Value: []byte("v")}}}
		b := &Batch{Topic: testTopic, First: 100, Next: 101, Changes: []schema.Change{c}, origins: []origin{{record: &kafka.RawRecord{Offset: 100, Value: schema.AppendAvro(nil, &c)}}}}
		began := time.Now()
		err := w.applyRange(t.Context(), b, 0, 1)
		took := time.Since(began)
		if !errors.Is(err, errAway) || !strings.Contains(err.Error(), "errors.retry.timeout") || took < timeout || took > timeout+longest {
			t.Errorf("given up after %s with %v", took, err)
		}
		if n := len(s.retries); n < int(timeout/longest) {
			t.Errorf("%d retries in %s, with pauses of at most %s", n, took, longest)
		}
	})
}

func TestRetryTimeout(t *testing.T) {
	r := newRig(t, 1)
	r.write(0, 3, 1)
	failing := func(timeout time.Duration) func(*Config, *testSink) {
		return func(c *Config, s *testSink) {
			c.Errors.RetryTimeout, c.Errors.RetryDelayMax = timeout, 10*time.Millisecond
			s.fail = func(*Batch) error { return errAway }
		}
	}
	// What the target's absence fails is not the record's fault: it does not become a dead letter.
	for _, config := range []func(*Config, *testSink){func(*Config, *testSink) {}, r.aside()} {
		s := r.sink(failing(300*time.Millisecond), config)
		s.refuses(errAway.Error(), "errors.retry.timeout", testTopic+"/0 offsets 0 to 2")
		if r.committed(0) > 0 || s.dead > 0 || s.lag.Load() != 3 {
			t.Errorf("committed %d, %d dead letters, %d records behind", r.committed(0), s.dead, s.lag.Load())
		}
	}
	s := r.sink(failing(1))
	s.refuses(errAway.Error(), "errors.retry.timeout")
	if len(s.retries) > 0 {
		t.Errorf("%d retries, want none", len(s.retries))
	}
}
