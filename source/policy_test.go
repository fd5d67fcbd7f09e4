package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waltap/waltap/internal/deadletter"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

const (
	dataTopic = "p.default.t"
	deadTopic = "dead"
)

// policyRig is a Publisher over a Kafka cluster in this process; its data topic takes records up to limit bytes.
type policyRig struct {
	*testing.T
	ctx                           context.Context
	cluster                       *kfake.Cluster
	client                        *kafka.Client
	pub                           *Publisher
	acked, deadLettered, splitted atomic.Int64
}

func newPolicyRig(t *testing.T, limit int, policy Policy) *policyRig {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	r := &policyRig{T: t, cluster: cluster}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	r.ctx = ctx
	if r.client, err = kafka.Connect(ctx, kafka.Config{BootstrapServers: cluster.ListenAddrs()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.client.Close() })
	if err := cluster.CreateTopic(dataTopic, 1, map[string]string{"max.message.bytes": strconv.Itoa(limit)}); err != nil {
		t.Fatal(err)
	}
	if policy.DeadLetters, err = deadletter.Open(ctx, deadletter.Config{Kafka: r.client, Topic: deadTopic, ReplicationFactor: 1, Context: true, Connector: "s"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { policy.DeadLetters.Close() })
	producer := r.client.NewProducer(kafka.ProducerConfig{Compression: policy.Compression})
	t.Cleanup(func() { producer.Close() })
	policy.MaxBytes = producer.MaxMessageBytes
	policy.DeadLettered = func(n int) { r.deadLettered.Add(int64(n)) }
	policy.Split = func(n int) { r.splitted.Add(int64(n)) }
	r.pub = NewPublisher(producer, 0, func(_ string, tally Tally) { r.acked.Add(tally.Records) })
	r.pub.Route("default:t", dataTopic, 1, Encoding{})
	r.pub.SetPolicy(policy)
	return r
}

// publish sends changes as one batch.
func (r *policyRig) publish(changes ...*schema.Change) error {
	b := r.pub.Begin(r.ctx)
	for _, c := range changes {
		if err := b.Add(c); err != nil {
			return b.CommitWait(err)
		}
	}
	return b.CommitWait(nil)
}

func (r *policyRig) read(topic string) (records []kafka.Record) {
	r.Helper()
	if err := r.client.ReadAll(r.ctx, topic, func(rec kafka.Record) error { records = append(records, rec); return nil }); err != nil {
		r.Fatal(err)
	}
	return records
}

func (r *policyRig) changes() []schema.Change {
	r.Helper()
	records := r.read(dataTopic)
	changes := make([]schema.Change, len(records))
	for i, rec := range records {
		if err := schema.DecodeAvro(rec.Value, &changes[i]); err != nil {
			r.Fatal(err)
		}
		if !bytes.Equal(rec.Key, changes[i].Row) || len(rec.Headers) != 5 || string(rec.Headers[0].Value) != changes[i].Op().String() {
			r.Errorf("record %d has the key %q and the headers %v", i, rec.Key, rec.Headers)
		}
	}
	return changes
}

// change has a cell of each of these sizes.
func change(row string, sequence uint64, sizes ...int) *schema.Change {
	c := &schema.Change{Table: "default:t", Row: []byte(row), Sequence: sequence, Timestamp: 1234, Source: schema.Source{Kind: schema.KindWAL, Epoch: 1, Region: "r"}}
	for i, n := range sizes {
		c.Cells = append(c.Cells, schema.Cell{Family: []byte("f"), Qualifier: fmt.Append(nil, i), Timestamp: int64(i), Type: schema.Put, Value: bytes.Repeat([]byte{byte(i)}, n)})
	}
	return c
}

// Without a policy the batch fails, with all there is to do in its error, and the source keeps it.
func TestOversizedFails(t *testing.T) {
	for _, policy := range []Policy{{}, {Oversized: OversizedFail, Tolerate: true}} {
		r := newPolicyRig(t, 20_000, policy)
		err := r.publish(change("a", 1, 10), change("b", 2, 30_000))
		if err == nil || !strings.Contains(err.Error(), "max.message.bytes") || !strings.Contains(err.Error(), "errors.oversized.policy") {
			t.Errorf("%+v: %v", policy.Oversized, err)
		}
		if n := len(r.read(deadTopic)); n > 0 || r.deadLettered.Load() > 0 {
			t.Errorf("%d dead letters", n)
		}
	}
}

func TestOversizedIsSplit(t *testing.T) {
	r := newPolicyRig(t, 20_000, Policy{Oversized: OversizedSplit})
	big := change("b", 2, 7000, 9000, 100, 15_000, 3000, 19_000, 1, 1)
	if err := r.publish(change("a", 1, 10), big, change("b", 3, 5)); err != nil {
		t.Fatal(err)
	}
	got := r.changes()
	var cells []schema.Cell
	for _, c := range got[1 : len(got)-1] {
		cells = append(cells, c.Cells...)
		c.Cells, big.Cells = nil, big.Cells[:len(big.Cells):len(big.Cells)]
		whole := *big
		whole.Cells = nil
		if d := cmp.Diff(whole, c); d != "" {
			t.Errorf("a part differs from its change beyond the cells (-change +part):\n%s", d)
		}
	}
	if d := cmp.Diff(big.Cells, cells); d != "" || len(got) < 5 || r.splitted.Load() != 1 || r.acked.Load() != int64(len(got)) {
		t.Errorf("%d records, %d acknowledged, %d changes split; cells (-want +got):\n%s", len(got), r.acked.Load(), r.splitted.Load(), d)
	}
	if got[0].Sequence != 1 || got[len(got)-1].Sequence != 3 {
		t.Errorf("the records are out of order: %d … %d", got[0].Sequence, got[len(got)-1].Sequence)
	}
}

// Whatever its cells are, a change that is split arrives as it was, in records that its topic takes.
func TestSplitLosesNothing(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	r := newPolicyRig(t, 10_000, Policy{Oversized: OversizedSplit})
	var want []schema.Cell
	for i := range 100 {
		sizes := make([]int, 1+rng.IntN(30))
		for j := range sizes {
			sizes[j] = rng.IntN(1 << rng.IntN(13))
		}
		c := change("row", uint64(i+1), sizes...)
		if err := r.publish(c); err != nil {
			t.Fatal(err)
		}
		want = append(want, c.Cells...)
	}
	var got []schema.Cell
	for _, c := range r.changes() {
		got = append(got, c.Cells...)
	}
	if d := cmp.Diff(want, got); d != "" || r.splitted.Load() == 0 {
		t.Errorf("%d changes were split; -want +got:\n%s", r.splitted.Load(), d)
	}
}

func TestSingleOversizedCell(t *testing.T) {
	c := change("b", 2, 100, 30_000, 100)
	r := newPolicyRig(t, 20_000, Policy{Oversized: OversizedSplit})
	if err := r.publish(c); err == nil || !strings.Contains(err.Error(), "max.message.bytes") || !strings.Contains(err.Error(), "errors.tolerance: all") || !strings.Contains(err.Error(), `row "b"`) {
		t.Errorf("without a dead-letter topic: %v", err)
	}
	r = newPolicyRig(t, 20_000, Policy{Oversized: OversizedSplit, Tolerate: true})
	if err := r.publish(c); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, part := range r.changes() {
		for _, k := range part.Cells {
			got = append(got, string(k.Qualifier))
		}
	}
	if fmt.Sprint(got) != "[0 2]" || r.deadLettered.Load() != 1 {
		t.Errorf("cells %v are on the topic, %d dead letters", got, r.deadLettered.Load())
	}
	l, _ := deadletter.Parse(r.read(deadTopic)[0])
	var part schema.Change
	if err := schema.DecodeAvro(l.Value, &part); err != nil || len(part.Cells) != 1 || string(part.Cells[0].Qualifier) != "1" || part.Sequence != 2 {
		t.Errorf("the dead letter is %+v, %v", part, err)
	}
}

func TestOversizedIsDeadLettered(t *testing.T) {
	r := newPolicyRig(t, 20_000, Policy{Oversized: OversizedDeadLetter})
	big := change("b", 2, 15_000, 15_000)
	if err := r.publish(change("a", 1, 10), big, change("b", 3, 5)); err != nil {
		t.Fatal(err)
	}
	if got := r.changes(); len(got) != 2 || got[0].Sequence != 1 || got[1].Sequence != 3 {
		t.Errorf("%d records on the topic", len(got))
	}
	records := r.read(deadTopic)
	if len(records) != 1 || r.deadLettered.Load() != 1 || r.acked.Load() != 2 {
		t.Fatalf("%d dead letters, %d counted, %d records acknowledged", len(records), r.deadLettered.Load(), r.acked.Load())
	}
	l, ok := deadletter.Parse(records[0])
	if !ok || string(l.Key) != "b" || !bytes.Equal(l.Value, schema.AppendAvro(nil, big)) || len(l.Headers) != 5 || l.Topic != dataTopic || l.Partition != 0 || l.Offset != -1 ||
		l.Connector != "s" || l.Stage != deadletter.StageProduce || !strings.Contains(l.Message, "takes 20000") {
		t.Errorf("dead letter %+v", l)
	}
}

// HBase is answered only when the dead letters are safe, too.
func TestBatchWaitsForItsDeadLetters(t *testing.T) {
	r := newPolicyRig(t, 20_000, Policy{Oversized: OversizedDeadLetter})
	h := r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: deadTopic, Err: kerr.NotEnoughReplicas, Count: -1})
	done := make(chan error, 1)
	go func() { done <- r.publish(change("a", 1, 10), change("b", 2, 30_000)) }()
	if err := h.Wait(r.ctx, 3); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		t.Fatalf("answered with %v before the dead letter was acknowledged", err)
	default:
	}
	h.Remove()
	if err := <-done; err != nil || r.deadLettered.Load() != 1 {
		t.Errorf("%v, %d dead letters", err, r.deadLettered.Load())
	}
	r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: deadTopic, Err: kerr.TopicAuthorizationFailed})
	if err := r.publish(change("b", 2, 30_000)); err == nil || !strings.Contains(err.Error(), "write a dead letter") {
		t.Errorf("a dead letter that could not be written: %v", err)
	}
}

// What counts is the size with which a record gets to the broker.
func TestCompressedRecordIsNotOversized(t *testing.T) {
	r := newPolicyRig(t, 20_000, Policy{Oversized: OversizedDeadLetter, Compression: "gzip"})
	if err := r.publish(change("b", 2, 300_000)); err != nil {
		t.Fatal(err)
	}
	if got := r.changes(); len(got) != 1 || r.deadLettered.Load() != 0 {
		t.Errorf("%d records, %d dead letters", len(got), r.deadLettered.Load())
	}
}

func TestUndeliverable(t *testing.T) {
	why := errors.New("a bulk load")
	rec := kafka.Record{Key: []byte("k"), Value: []byte("marker"), Headers: EditHeaders("bulk-load", "default:t", 7, 1234)}
	for _, tolerate := range []bool{false, true} {
		r := newPolicyRig(t, 20_000, Policy{Tolerate: tolerate})
		b := r.pub.Begin(r.ctx)
		err := b.Undeliverable("default:t", rec, why)
		if cerr := b.CommitWait(err); !errors.Is(cerr, err) || tolerate != (err == nil) {
			t.Errorf("tolerate %v: %v, %v", tolerate, err, cerr)
		}
		records := r.read(deadTopic)
		if !tolerate {
			if len(records) > 0 || !errors.Is(err, why) {
				t.Errorf("%d dead letters, %v", len(records), err)
			}
			continue
		}
		l, ok := deadletter.Parse(records[0])
		if !ok || l.Topic != dataTopic || l.Partition != -1 || l.Offset != -1 || l.Stage != deadletter.StagePoll || l.Message != why.Error() || string(l.Value) != "marker" || len(l.Headers) != 5 {
			t.Errorf("dead letter %+v", l)
		}
	}
}
