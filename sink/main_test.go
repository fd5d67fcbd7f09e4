package sink

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testTopic = "p.default.t"

// rig is a Kafka cluster in this process, and sinks that read from it.
type rig struct {
	*testing.T
	ctx     context.Context
	cluster *kfake.Cluster
	client  *kafka.Client
	written int
}

func newRig(t *testing.T, partitions int32) *rig {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, testTopic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	t.Cleanup(cancel)
	client, err := kafka.Connect(ctx, kafka.Config{BootstrapServers: cluster.ListenAddrs()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return &rig{T: t, ctx: ctx, cluster: cluster, client: client}
}

// produce writes records to one log.
func (r *rig) produce(tp kafka.TopicPartition, records ...kafka.Record) {
	r.Helper()
	p := r.client.NewProducer(kafka.ProducerConfig{})
	defer p.Close()
	done := make(chan error, 1)
	p.Produce(r.ctx, tp, records, func(err error) { done <- err })
	if err := <-done; err != nil {
		r.Fatal(err)
	}
}

func (r *rig) createTopic(name string, partitions int32) {
	r.Helper()
	if err := r.client.EnsureTopics(r.ctx, kafka.TopicSpec{Name: name, Partitions: partitions, ReplicationFactor: 1}); err != nil {
		r.Fatal(err)
	}
}

func producedAt(t time.Time) func(*kafka.Record, *schema.Change) {
	return func(r *kafka.Record, _ *schema.Change) { r.Time = t }
}

// write produces n changes to a partition of the test topic, with rising values; each was written at ts, ms.
func (r *rig) write(partition int32, n int, ts int64, change ...func(*kafka.Record, *schema.Change)) {
	r.Helper()
	r.writeTo(testTopic, partition, n, ts, change...)
}

func (r *rig) writeTo(topic string, partition int32, n int, ts int64, change ...func(*kafka.Record, *schema.Change)) {
	r.Helper()
	var records []kafka.Record
	for range n {
		r.written++
		row := fmt.Appendf(nil, "row %d", partition)
		c := &schema.Change{Table: "default:t", Row: row, Sequence: uint64(r.written), Timestamp: ts, Source: schema.Source{Kind: schema.KindWAL, Epoch: 1},
			Cells: []schema.Cell{{Family: []byte("f"), Qualifier: []byte("q"), Timestamp: int64(r.written), Type: schema.Put, Value: fmt.Append(nil, r.written)}}}
		rec := kafka.Record{Key: row}
		for _, f := range change {
			f(&rec, c)
		}
		rec.Value = schema.AppendAvro(nil, c)
		records = append(records, rec)
	}
	r.produce(kafka.TopicPartition{Topic: topic, Partition: partition}, records...)
}

// watermark publishes one for the test topic.
func (r *rig) watermark(connector string, at int64, offsets map[int32]int64) {
	r.Helper()
	topic := schema.WatermarksTopic("p")
	r.createTopic(topic, 1)
	b, err := json.Marshal(checkpoint.Watermark{FormatVersion: 1, Connector: connector, Time: at, Published: at, Offsets: map[string]map[int32]int64{testTopic: offsets}})
	if err != nil {
		r.Fatal(err)
	}
	r.produce(kafka.TopicPartition{Topic: topic}, kafka.Record{Key: []byte(connector), Value: b})
}

func (r *rig) committed(partition int32) int64 {
	r.Helper()
	tp := kafka.TopicPartition{Topic: testTopic, Partition: partition}
	offsets, err := r.client.CommittedOffsets(r.ctx, "g", []kafka.TopicPartition{tp})
	switch {
	case err != nil && strings.Contains(err.Error(), "Group ID Not Found"):
		return -1
	case err != nil:
		r.Fatal(err)
	}
	return offsets[tp]
}

func (r *rig) commit(partition int32, offset int64) {
	r.Helper()
	if err := r.client.CommitOffsets(r.ctx, "g", map[kafka.TopicPartition]int64{{Topic: testTopic, Partition: partition}: offset}); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) eventually(what string, ok func() bool) {
	r.Helper()
	for !ok() {
		select {
		case <-r.ctx.Done():
			r.Fatalf("waiting for %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// testSink is a Sink that applies to memory, and what it told.
type testSink struct {
	lag    atomic.Int64 // told last
	rig    *rig
	cancel context.CancelFunc
	done   chan error

	patience time.Duration // with a group that is to be moved

	mu      sync.Mutex
	values  []string // applied
	batches []int    // changes of each
	fail    func(b *Batch) error
	ending  string
	summary *Summary
	retries []string
	skipped int
	dead    int           // letters
	waiting chan struct{} // one for each Waiting
}

// sink starts a sink of group g on the test topic.
func (r *rig) sink(change ...func(*Config, *testSink)) *testSink {
	ts := &testSink{rig: r, done: make(chan error, 1)}
	cfg := Config{Connector: "c", Kafka: r.client, Group: "g", Topics: []string{testTopic}, BatchRecords: 100, BatchBytes: 1 << 20,
		Linger: time.Millisecond, Start: Start{Mode: StartCommitted}, Stats: ts, Log: slog.New(slog.DiscardHandler)}
	ts.patience = 300 * time.Millisecond
	for _, f := range change {
		f(&cfg, ts)
	}
	s := newSink(cfg, ts)
	s.refresh, s.endInterval, s.patience, s.gonePatience = 20*time.Millisecond, 20*time.Millisecond, ts.patience, 300*time.Millisecond
	ctx, cancel := context.WithCancel(r.ctx)
	ts.cancel = cancel
	go func() { ts.done <- s.runUntil(ctx) }()
	r.Cleanup(func() { ts.stop() })
	return ts
}

func (ts *testSink) stop() error {
	ts.cancel()
	return ts.wait()
}

// wait returns what Run returned.
func (ts *testSink) wait() error {
	err := <-ts.done
	ts.done <- err
	return err
}

// Apply implements Applier.
func (ts *testSink) Apply(_ context.Context, b *Batch) error {
	ts.mu.Lock()
	fail := ts.fail
	ts.mu.Unlock()
	if fail != nil {
		if err := fail(b); err != nil {
			return err
		}
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.batches = append(ts.batches, len(b.Changes))
	for i := range b.Changes {
		for _, k := range b.Changes[i].Cells {
			ts.values = append(ts.values, string(bytes.Clone(k.Value)))
		}
	}
	return nil
}

func (ts *testSink) applied() []string {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return slices.Clone(ts.values)
}

// await waits until exactly these values were applied.
func (ts *testSink) await(want ...string) {
	ts.rig.Helper()
	ts.rig.eventually(fmt.Sprint("values ", want), func() bool {
		if len(ts.applied()) >= len(want) {
			return true
		}
		if len(ts.done) > 0 {
			ts.rig.Fatalf("the sink ended: %v", ts.wait())
		}
		return false
	})
	if got := ts.applied(); !slices.Equal(got, want) {
		ts.rig.Fatalf("applied %v, want %v", got, want)
	}
}

// refuses waits for the sink to end by itself with an error that says all of want.
func (ts *testSink) refuses(want ...string) {
	ts.rig.Helper()
	err := ts.wait()
	if err == nil {
		ts.rig.Fatalf("the sink ended without an error, want one that says %q", want)
	}
	for _, text := range want {
		if !strings.Contains(err.Error(), text) {
			ts.rig.Errorf("the error does not say %q: %v", text, err)
		}
	}
}

func (ts *testSink) set(f func()) { ts.mu.Lock(); defer ts.mu.Unlock(); f() }

func (ts *testSink) Applied(string, int, int, int64) {}
func (ts *testSink) Written(int64)                   {}
func (ts *testSink) Lag(_ string, _ int32, n int64)  { ts.lag.Store(n) }
func (ts *testSink) Unassigned(string, int32)        {}
func (ts *testSink) Superseded(int)                  {}
func (ts *testSink) Running()                        {}
func (ts *testSink) DeadLettered(n int)              { ts.set(func() { ts.dead += n }) }
func (ts *testSink) Waiting(string) {
	if ts.waiting != nil {
		ts.waiting <- struct{}{}
	}
}
func (ts *testSink) Skipped(n int)      { ts.set(func() { ts.skipped += n }) }
func (ts *testSink) Ending(text string) { ts.set(func() { ts.ending = text }) }
func (ts *testSink) Ended(s *Summary)   { ts.set(func() { ts.summary = s }) }
func (ts *testSink) Retry(err error)    { ts.set(func() { ts.retries = append(ts.retries, err.Error()) }) }

var errAway = errors.New("the target is away")

// numbers are the values from 1 … as they are written.
func numbers(from, to int) []string {
	var list []string
	for n := from; n <= to; n++ {
		list = append(list, fmt.Sprint(n))
	}
	return list
}
