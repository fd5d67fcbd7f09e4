package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var t0 = TopicPartition{"t", 0}

func names(name string, from, to int) []string {
	var vs []string
	for i := from; i < to; i++ {
		vs = append(vs, fmt.Sprintf("%s-%d", name, i))
	}
	return vs
}

// events counts what a producer reports.
type events struct {
	mu                                   sync.Mutex
	produced, retried, unknown, abandons int
}

func (e *events) observer() *ProducerObserver {
	count := func(n *int) {
		e.mu.Lock()
		*n++
		e.mu.Unlock()
	}
	return &ProducerObserver{
		Produced:       func(TopicPartition, int, int, time.Duration) { count(&e.produced) },
		Retried:        func(TopicPartition, error) { count(&e.retried) },
		UnknownOutcome: func(TopicPartition, error) { count(&e.unknown) },
		Abandoned:      func(TopicPartition, int, bool) { count(&e.abandons) },
	}
}

func newTestProducer(t *testing.T, c *Client, cfg ProducerConfig) *Producer {
	t.Helper()
	if cfg.RequestTimeout == 0 {
		cfg.RequestTimeout = time.Second // what takes longer on a busy machine counts as lost
	}
	cfg.RetryBackoff, cfg.MaxRetryBackoff = time.Millisecond, 20*time.Millisecond
	p := c.NewProducer(cfg)
	t.Cleanup(func() { p.Close() })
	return p
}

// TestProduceFaults sends two calls through one fault each and expects the exact log.
func TestProduceFaults(t *testing.T) {
	t.Parallel()
	once := append(names("a", 0, 5), names("b", 0, 5)...)
	twice := append(names("a", 0, 5), once...)
	for _, tc := range []struct {
		name        string
		fault       fault
		kafka       *kerr.Error
		idempotent  []string
		plain       []string
		wantUnknown int
	}{
		{"none", passThrough, nil, once, once, 0},
		{"connection cut before the request is whole", cutBefore, nil, once, once, 0},
		{"connection cut after the append", cutReply, nil, once, twice, 1},
		{"reply never comes", silentReply, nil, once, twice, 1},
		{"request never arrives", holdRequest, nil, once, once, 1},
		{"NOT_ENOUGH_REPLICAS_AFTER_APPEND", passThrough, kerr.NotEnoughReplicasAfterAppend, once, twice, 0},
		{"REQUEST_TIMED_OUT", passThrough, kerr.RequestTimedOut, once, twice, 0},
		{"NOT_ENOUGH_REPLICAS", passThrough, kerr.NotEnoughReplicas, once, once, 0},
		{"NOT_LEADER_FOR_PARTITION", passThrough, kerr.NotLeaderForPartition, once, once, 0},
		{"UNKNOWN_TOPIC_OR_PARTITION", passThrough, kerr.UnknownTopicOrPartition, once, once, 0},
		{"OUT_OF_ORDER_SEQUENCE_NUMBER", passThrough, kerr.OutOfOrderSequenceNumber, once, once, 0},
		{"UNKNOWN_PRODUCER_ID", passThrough, kerr.UnknownProducerID, once, once, 0},
		{"DUPLICATE_SEQUENCE_NUMBER is an acknowledgement", passThrough, kerr.DuplicateSequenceNumber, names("b", 0, 5), names("b", 0, 5), 0},
	} {
		for _, plain := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/plain=%v", tc.name, plain), func(t *testing.T) {
				t.Parallel()
				cluster := fakeCluster(t, kfake.SeedTopics(1, "t"))
				if tc.kafka != nil {
					cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "t", Err: tc.kafka})
				}
				c := connect(t, cluster, script(tc.fault).install)
				var e events
				p := newTestProducer(t, c, ProducerConfig{DisableIdempotence: plain, Observer: e.observer()})
				ctx := testContext(t)
				for _, name := range []string{"a", "b"} {
					if err := produceWait(ctx, p, t0, records(name, 5)); err != nil {
						t.Fatal(err)
					}
				}
				want := tc.idempotent
				if plain {
					want = tc.plain
				}
				if got := values(t, c, "t"); !slices.Equal(got, want) {
					t.Errorf("log is %v, want %v", got, want)
				}
				if e.unknown != tc.wantUnknown || e.produced != 2 {
					t.Errorf("unknown outcomes %d, produced %d; want %d, 2", e.unknown, e.produced, tc.wantUnknown)
				}
			})
		}
	}
}

// TestLateRequest is the sequence of Producer's comment: a request that was given up arrives after the next one.
func TestLateRequest(t *testing.T) {
	t.Parallel()
	cluster := fakeCluster(t, kfake.SeedTopics(1, "t"))
	n := script(passThrough, holdRequest)
	c := connect(t, cluster, n.install)
	var e events
	p := newTestProducer(t, c, ProducerConfig{Observer: e.observer()})
	ctx := testContext(t)
	if err := produceWait(ctx, p, t0, records("a", 2)); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithCancel(ctx)
	n.onHold = cancel // when it was sent, and before it is repeated
	if err := produceWait(short, p, t0, records("b", 2)); !errors.Is(err, context.Canceled) {
		t.Fatalf("given up with %v", err)
	}
	if err := produceWait(ctx, p, t0, records("c", 2)); err != nil {
		t.Fatal(err)
	}
	n.release(t)
	want := append(names("a", 0, 2), names("c", 0, 2)...)
	if got := values(t, c, "t"); !slices.Equal(got, want) {
		t.Errorf("log is %v, want %v", got, want)
	}
	if e.abandons != 1 || e.unknown != 1 {
		t.Errorf("abandoned %d, unknown %d; want 1, 1", e.abandons, e.unknown)
	}
}

// TestRepeatedRequestArrivesTwice: the first copy of a batch arrives after the second was acknowledged.
func TestRepeatedRequestArrivesTwice(t *testing.T) {
	t.Parallel()
	cluster := fakeCluster(t, kfake.SeedTopics(1, "t"))
	n := script(holdRequest)
	c := connect(t, cluster, n.install)
	p := newTestProducer(t, c, ProducerConfig{})
	ctx := testContext(t)
	for _, name := range []string{"a", "b"} {
		if err := produceWait(ctx, p, t0, records(name, 2)); err != nil {
			t.Fatal(err)
		}
	}
	n.release(t)
	want := append(names("a", 0, 2), names("b", 0, 2)...)
	if got := values(t, c, "t"); !slices.Equal(got, want) {
		t.Errorf("log is %v, want %v", got, want)
	}
}

// TestNothingIsSentBeforeTheLogEndIsRead holds the read-back and looks at what reaches the broker meanwhile.
func TestNothingIsSentBeforeTheLogEndIsRead(t *testing.T) {
	t.Parallel()
	cluster := fakeCluster(t, kfake.SeedTopics(1, "t"))
	n := script(silentReply)
	c := connect(t, cluster, n.install)
	p := newTestProducer(t, c, ProducerConfig{})
	readBack := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Topic: "t", Err: kerr.LeaderNotAvailable, Count: 5})
	ctx := testContext(t)
	done := make(chan error, 1)
	p.Produce(ctx, t0, records("a", 2), func(err error) { done <- err })
	if err := readBack.Wait(ctx, 5); err != nil {
		t.Fatal(err)
	}
	// Four refused read-backs are over and the fifth has just been answered: only the first request can have gone out, or
	// the repeated one after a sixth.
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if readBack.Hits() != 5 || n.produceRequests() != 2 {
		t.Errorf("%d refused read-backs, %d produce requests; want 5, 2", readBack.Hits(), n.produceRequests())
	}
	if got := values(t, c, "t"); !slices.Equal(got, names("a", 0, 2)) {
		t.Errorf("log is %v", got)
	}
}

func TestLeaderMoves(t *testing.T) {
	cluster := fakeCluster(t, kfake.NumBrokers(3), kfake.SeedTopics(1, "t"))
	c := connect(t, cluster)
	p := newTestProducer(t, c, ProducerConfig{})
	ctx := testContext(t)
	var want []string
	for i := range 6 {
		if err := cluster.MoveTopicPartition("t", 0, int32(i%3)); err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprint("m", i)
		if err := produceWait(ctx, p, t0, records(name, 3)); err != nil {
			t.Fatal(err)
		}
		want = append(want, names(name, 0, 3)...)
	}
	if got := values(t, c, "t"); !slices.Equal(got, want) {
		t.Errorf("log is %v, want %v", got, want)
	}
}

// TestMergeAndSplit: calls that wait together go in one request, a call over the limit in several.
func TestMergeAndSplit(t *testing.T) {
	t.Parallel()
	cluster := fakeCluster(t, kfake.SeedTopics(1, "t"))
	n := script(silentReply) // the first request takes RequestTimeout, the others pile up behind it
	c := connect(t, cluster, n.install)
	p := newTestProducer(t, c, ProducerConfig{MaxBatchBytes: 2000})
	ctx := testContext(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var order []int
	send := func(i int, recs []Record) {
		wg.Add(1)
		p.Produce(ctx, t0, recs, func(err error) {
			defer wg.Done()
			mu.Lock()
			defer mu.Unlock()
			order = append(order, i)
			if err != nil {
				t.Error(err)
			}
		})
	}
	var want []string
	for i := range 40 {
		size := 1
		if i == 20 {
			size = 500
		}
		send(i, records(fmt.Sprint(i), size))
		want = append(want, names(fmt.Sprint(i), 0, size)...)
	}
	send(40, nil)
	wg.Wait()
	if got := values(t, c, "t"); !slices.Equal(got, want) {
		t.Errorf("log is %v, want %v", got, want)
	}
	if !slices.IsSorted(order) || len(order) != 41 {
		t.Errorf("calls were acknowledged in the order %v", order)
	}
	// 540 records of about 15 bytes in requests of 2000.
	if r := n.produceRequests(); r < 5 || r > 12 {
		t.Errorf("%d requests", r)
	}
}

func TestMessageTooLarge(t *testing.T) {
	cluster := fakeCluster(t)
	c := connect(t, cluster)
	ctx := testContext(t)
	err := c.EnsureTopics(ctx, TopicSpec{Name: "t", Partitions: 1, ReplicationFactor: 1, Configs: map[string]string{"max.message.bytes": "1000"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int{500, 1 << 20} { // a large record is refused before, or by the broker
		p := newTestProducer(t, c, ProducerConfig{MaxBatchBytes: limit})
		var wg sync.WaitGroup
		wg.Add(3)
		ok := func(err error) {
			if err != nil {
				t.Error(err)
			}
			wg.Done()
		}
		large := []Record{{Key: []byte("k"), Value: []byte(strings.Repeat("x", 5000))}}
		p.Produce(ctx, t0, records("a", 200), ok)
		p.Produce(ctx, t0, large, func(err error) {
			defer wg.Done()
			pe, is := errors.AsType[*ProduceError](err)
			if !is || pe.Code != codeMessageTooLarge || !strings.Contains(err.Error(), "max.message.bytes") {
				t.Errorf("large record: %v", err)
			}
		})
		p.Produce(ctx, t0, records("b", 200), ok)
		wg.Wait()
	}
	once := append(names("a", 0, 200), names("b", 0, 200)...)
	if got := values(t, c, "t"); !slices.Equal(got, append(once, once...)) {
		t.Errorf("log has %d records, want 800 in order", len(got))
	}
}

// TestOneBadRecord: INVALID_RECORD for a merged batch fails the guilty call alone.
func TestOneBadRecord(t *testing.T) {
	cluster := fakeCluster(t, kfake.SeedTopics(1, "t"))
	cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.InvalidRecord, Count: -1, When: func(r kmsg.Request) bool {
		for _, p := range r.(*kmsg.ProduceRequest).Topics[0].Partitions {
			return strings.Contains(string(p.Records), "bad-0")
		}
		return false
	}})
	c := connect(t, cluster)
	p := newTestProducer(t, c, ProducerConfig{})
	ctx := testContext(t)
	var wg sync.WaitGroup
	for _, name := range []string{"a", "bad", "c", "d"} {
		wg.Add(1)
		p.Produce(ctx, t0, records(name, 10), func(err error) {
			defer wg.Done()
			if _, is := errors.AsType[*ProduceError](err); is != (name == "bad") {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	wg.Wait()
	want := slices.Concat(names("a", 0, 10), names("c", 0, 10), names("d", 0, 10))
	if got := values(t, c, "t"); !slices.Equal(got, want) {
		t.Errorf("log is %v, want %v", got, want)
	}
}
