package kafka

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestProduceFailsForGood(t *testing.T) {
	for _, tc := range []struct {
		name   string
		err    *kerr.Error
		remedy string
	}{
		{"no right", kerr.TopicAuthorizationFailed, "--operation Write --topic t"},
		{"no topic", kerr.UnknownTopicOrPartition, "create the topic"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cluster := fakeCluster(t, kfake.SeedTopics(1, "t"))
			cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: tc.err, Count: -1})
			c := connect(t, cluster)
			p := newTestProducer(t, c, ProducerConfig{UnknownTopicTimeout: 50 * time.Millisecond})
			err := produceWait(testContext(t), p, t0, records("a", 1))
			pe, is := errors.AsType[*ProduceError](err)
			if !is || int16(pe.Code) != tc.err.Code || !strings.Contains(err.Error(), tc.remedy) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestProduceGivenUp(t *testing.T) {
	cluster := fakeCluster(t, kfake.SeedTopics(1, "t"))
	cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
	c := connect(t, cluster)
	p := newTestProducer(t, c, ProducerConfig{})
	ctx, cancel := context.WithCancel(testContext(t))
	var wg sync.WaitGroup
	for range 3 {
		wg.Add(1)
		p.Produce(ctx, t0, records("a", 1), func(err error) {
			defer wg.Done()
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
	}
	cancel()
	wg.Wait()
	if err := produceWait(ctx, p, t0, records("a", 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
}

func TestProducerClose(t *testing.T) {
	cluster := fakeCluster(t, kfake.SeedTopics(2, "t"))
	cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Partitions: []int32{1}, Err: kerr.NotEnoughReplicas, Count: -1})
	c := connect(t, cluster)
	p := newTestProducer(t, c, ProducerConfig{})
	errs := make(chan error, 10)
	for range cap(errs) {
		p.Produce(context.Background(), TopicPartition{"t", 1}, records("a", 1), func(err error) { errs <- err })
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	for range cap(errs) {
		if err := <-errs; !errors.Is(err, ErrClosed) {
			t.Errorf("queued call got %v", err)
		}
	}
	if err := produceWait(context.Background(), p, t0, records("a", 1)); !errors.Is(err, ErrClosed) {
		t.Errorf("produce after close: %v", err)
	}
}

// TestNoProducerID: a cluster that grants none is produced to without.
func TestNoProducerID(t *testing.T) {
	cluster := fakeCluster(t, kfake.SeedTopics(1, "t"))
	asked := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.ClusterAuthorizationFailed, Count: -1})
	c := connect(t, cluster)
	p := newTestProducer(t, c, ProducerConfig{})
	for range 3 {
		if err := produceWait(testContext(t), p, t0, records("a", 2)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(values(t, c, "t")); n != 6 || asked.Hits() != 1 {
		t.Errorf("%d records, asked %d times; want 6, once", n, asked.Hits())
	}
}

// endedUnseen is a context that has ended but has not told so yet: the moment between the end of a call's context and
// its turn to give up.
type endedUnseen struct {
	context.Context
	ended atomic.Bool
}

func (*endedUnseen) Done() <-chan struct{} { return nil }

func (c *endedUnseen) Err() error {
	if c.ended.Load() {
		return context.Canceled
	}
	return nil
}

func TestNothingIsSentOfAContextThatHasEnded(t *testing.T) {
	c := connect(t, fakeCluster(t, kfake.SeedTopics(1, "t")))
	p := newTestProducer(t, c, ProducerConfig{})
	busy, free := make(chan struct{}), make(chan struct{})
	p.Produce(t.Context(), t0, records("before", 1), func(error) { close(busy); <-free })
	<-busy
	ctx := &endedUnseen{Context: context.Background()}
	dropped := make(chan error, 2)
	for _, name := range []string{"a", "b"} {
		p.Produce(ctx, t0, records(name, 1), func(err error) { dropped <- err })
	}
	ctx.ended.Store(true)
	close(free)
	for range 2 {
		if err := <-dropped; !errors.Is(err, context.Canceled) {
			t.Errorf("settled with %v, want the context's error", err)
		}
	}
	if err := produceWait(testContext(t), p, t0, records("after", 1)); err != nil {
		t.Fatal(err)
	}
	if got, want := values(t, c, "t"), []string{"before-0", "after-0"}; !slices.Equal(got, want) {
		t.Errorf("log is %v, want %v", got, want)
	}
}

// What the fence does not let out is not in the log, and fails with what the fence said; the partition goes on behind it.
func TestFence(t *testing.T) {
	cluster := fakeCluster(t, kfake.SeedTopics(1, "t"))
	c := connect(t, cluster)
	closed := errors.New("not any more")
	var shut atomic.Bool
	p := newTestProducer(t, c, ProducerConfig{Fence: func() error {
		if shut.Load() {
			return closed
		}
		return nil
	}})
	ctx := testContext(t)
	if err := produceWait(ctx, p, t0, records("a", 2)); err != nil {
		t.Fatal(err)
	}
	shut.Store(true)
	if err := produceWait(ctx, p, t0, records("b", 2)); !errors.Is(err, closed) || Retriable(err) {
		t.Errorf("fenced, produced with %v", err)
	}
	shut.Store(false)
	if err := produceWait(ctx, p, t0, records("c", 2)); err != nil {
		t.Fatal(err)
	}
	if got, want := values(t, c, "t"), append(names("a", 0, 2), names("c", 0, 2)...); !slices.Equal(got, want) {
		t.Errorf("log is %v, want %v", got, want)
	}
}
