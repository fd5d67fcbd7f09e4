package kafka

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// requests collects how many records went with each request.
type requests struct {
	mu      sync.Mutex
	records []int
}

func (r *requests) observer() *ProducerObserver {
	return &ProducerObserver{Produced: func(_ TopicPartition, records, _ int, _ time.Duration) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.records = append(r.records, records)
	}}
}

func TestLinger(t *testing.T) {
	ctx := testContext(t)
	for _, tc := range []struct {
		name  string
		cfg   ProducerConfig
		calls int
		pause time.Duration
		want  int // requests, at most
	}{
		{"calls that come soon go together", ProducerConfig{Linger: 3 * time.Second, MaxBatchBytes: 3100}, 3, 10 * time.Millisecond, 1},
		{"a full request does not wait", ProducerConfig{Linger: time.Hour, MaxBatchBytes: 500}, 3, 0, 3},
		{"the wait ends", ProducerConfig{Linger: 20 * time.Millisecond}, 3, 0, 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cluster := fakeCluster(t, kfake.SeedTopics(1, "t"))
			var r requests
			tc.cfg.Observer = r.observer()
			p := newTestProducer(t, connect(t, cluster), tc.cfg)
			var done sync.WaitGroup
			for range tc.calls {
				done.Add(1)
				p.Produce(ctx, t0, []Record{{Value: make([]byte, 1000)}}, func(err error) {
					defer done.Done()
					if err != nil {
						t.Error(err)
					}
				})
				time.Sleep(tc.pause)
			}
			done.Wait()
			r.mu.Lock()
			defer r.mu.Unlock()
			if len(r.records) > tc.want {
				t.Errorf("requests of %v records, want at most %d requests", r.records, tc.want)
			}
		})
	}
}

// TestLingerEnds: what lingers is given up with its context, and with the producer.
func TestLingerEnds(t *testing.T) {
	cluster := fakeCluster(t, kfake.SeedTopics(1, "t"))
	c := connect(t, cluster)
	p := newTestProducer(t, c, ProducerConfig{Linger: time.Hour})
	ctx, cancel := context.WithTimeout(testContext(t), 30*time.Millisecond)
	defer cancel()
	if err := produceWait(ctx, p, t0, records("a", 1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("given up: %v", err)
	}
	done := make(chan error, 1)
	p.Produce(testContext(t), t0, records("b", 1), func(err error) { done <- err })
	p.Close()
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if got := values(t, c, "t"); len(got) != 0 {
		t.Errorf("sent all the same: %v", got)
	}
}

func TestMaxRequestBytes(t *testing.T) {
	cluster := fakeCluster(t, kfake.SeedTopics(1, "t"))
	c := connect(t, cluster)
	var r requests
	p := newTestProducer(t, c, ProducerConfig{MaxRequestBytes: 2000, MaxBatchBytes: 1 << 20, Observer: r.observer()})
	var done sync.WaitGroup
	for range 10 { // together they are larger
		done.Add(1)
		p.Produce(testContext(t), t0, []Record{{Value: make([]byte, 900)}}, func(err error) {
			defer done.Done()
			if err != nil {
				t.Error(err)
			}
		})
	}
	done.Wait()
	err := produceWait(testContext(t), p, t0, []Record{{Value: make([]byte, 3000)}})
	pe, ok := errors.AsType[*ProduceError](err)
	if !ok || pe.Code != codeMessageTooLarge || !strings.Contains(err.Error(), "max.request.size is 2000; raise producer.override.max.request.size over 3") {
		t.Errorf("%v", err)
	}
	if got := p.MaxMessageBytes("t"); got != 2000 {
		t.Errorf("MaxMessageBytes = %d, want the limit of a request", got)
	}
	for _, n := range r.records {
		if n > 2 {
			t.Errorf("%d records of 900 bytes in one request, the limit is 2000", n)
		}
	}
}

func TestRequireIdempotence(t *testing.T) {
	cluster := fakeCluster(t, kfake.SeedTopics(1, "t"))
	cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.ClusterAuthorizationFailed, Count: -1})
	c := connect(t, cluster)
	err := produceWait(testContext(t), newTestProducer(t, c, ProducerConfig{RequireIdempotence: true}), t0, records("a", 1))
	if err == nil || !strings.Contains(err.Error(), "enable.idempotence") || !strings.Contains(err.Error(), "--operation IdempotentWrite --cluster") {
		t.Errorf("%v", err)
	}
	if got := values(t, c, "t"); len(got) != 0 {
		t.Errorf("sent all the same: %v", got)
	}
}

// TestFetchOfMinBytes: the broker holds its answer back until there is enough.
func TestFetchOfMinBytes(t *testing.T) {
	cluster := fakeCluster(t, kfake.SeedTopics(1, "t"))
	c := connect(t, cluster)
	p := newTestProducer(t, c, ProducerConfig{})
	ctx := testContext(t)
	if err := produceWait(ctx, p, t0, []Record{{Value: make([]byte, 100)}}); err != nil {
		t.Fatal(err)
	}
	produced := make(chan error, 1)
	go func() {
		time.Sleep(20 * time.Millisecond)
		produced <- produceWait(ctx, p, t0, []Record{{Value: make([]byte, 1000)}})
	}()
	var res RawFetch
	err := c.FetchRaw(ctx, t0, FetchSpec{MinBytes: 1000, MaxBytes: 1 << 20, MaxWait: 30 * time.Second}, &res)
	if err != nil || len(res.Records) != 2 {
		t.Errorf("%d records, %v; want both", len(res.Records), err)
	}
	if err := <-produced; err != nil {
		t.Error(err)
	}
}
