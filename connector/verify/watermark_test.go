package verify

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// marks publishes watermarks on a fake Kafka, for a sink's group that commits what the test says.
type marks struct {
	t        *testing.T
	client   *kafka.Client
	producer *kafka.Producer
	pipe     *pipe
	waiting  chan string // what the pipe says it waits for
}

const dataTopic = "p.default.t"

func newMarks(t *testing.T) *marks {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, dataTopic), kfake.SeedTopics(1, schema.WatermarksTopic("p")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	client, err := kafka.Connect(ctx, kafka.Config{BootstrapServers: cluster.ListenAddrs()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	m := &marks{t: t, client: client, producer: client.NewProducer(kafka.ProducerConfig{}), waiting: make(chan string, 1000)}
	t.Cleanup(func() { m.producer.Close() })
	m.pipe = &pipe{Pipeline: Pipeline{Kafka: client, Prefix: "p", Connector: "src", Group: "g"}, topics: []string{dataTopic}, timeout: time.Minute, poll: 10 * time.Millisecond,
		waits: func(s string) { m.waiting <- s }}
	return m
}

func (m *marks) publish(connector string, at, published, offset int64, estimated bool) {
	m.t.Helper()
	w := checkpoint.Watermark{FormatVersion: 1, Connector: connector, Time: at, Published: published, Estimated: estimated,
		Offsets: map[string]map[int32]int64{dataTopic: {0: offset, 1: 0}}}
	b, err := json.Marshal(w)
	if err != nil {
		m.t.Fatal(err)
	}
	done := make(chan error, 1)
	m.producer.Produce(m.t.Context(), m.pipe.tp(), []kafka.Record{{Key: []byte(connector), Value: b}}, func(err error) { done <- err })
	if err := <-done; err != nil {
		m.t.Fatal(err)
	}
}

func (m *marks) commit(offset int64) {
	m.t.Helper()
	if err := m.client.CommitOffsets(m.t.Context(), "g", map[kafka.TopicPartition]int64{{Topic: dataTopic, Partition: 0}: offset}); err != nil {
		m.t.Fatal(err)
	}
}

// await waits until the pipe has looked and waits for what, a few times over.
func (m *marks) await(done <-chan error, what string) {
	m.t.Helper()
	for n := 0; n < 3; {
		select {
		case err := <-done:
			m.t.Fatalf("it did not wait for %s: %v", what, err)
		case s := <-m.waiting:
			if strings.Contains(s, what) {
				n++
			} else {
				n = 0
			}
		case <-time.After(30 * time.Second):
			m.t.Fatalf("it does not wait for %s", what)
		}
	}
}

// TestCaughtUp goes through what is no proof, one after the other.
func TestCaughtUp(t *testing.T) {
	m := newMarks(t)
	m.commit(101)
	m.publish("src", 9_000_000, 9_000_000, 100, false) // before the call
	done := make(chan error, 1)
	go func() { done <- m.pipe.caughtUp(t.Context()) }()
	m.await(done, "watermark")
	m.publish("src", 9_100_000, 5000, 101, false) // it may have been made before the call, and only come after it
	m.await(done, "watermark")
	m.publish("other", 9_100_000, 9_000_000, 7, false)
	m.publish("other", 9_200_000, 9_000_000, 7, false)
	m.await(done, "watermark")
	m.publish("src", 5999, 6000, 102, false) // the second: what was acknowledged up to 6000 counts
	m.await(done, "watermark")
	m.publish("src", 6000, 7000, 103, false)
	m.await(done, "group g")
	m.commit(102)
	m.await(done, "group g")
	m.commit(103)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if !m.pipe.proved() {
		t.Error("it is not proved")
	}
}

func TestAnEstimateProvesNothing(t *testing.T) {
	m := newMarks(t)
	m.commit(5)
	done := make(chan error, 1)
	go func() { done <- m.pipe.caughtUp(t.Context()) }()
	m.await(done, "watermark")
	m.publish("src", 10, 10, 5, true)
	m.publish("src", 20, 20, 5, true)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if m.pipe.proved() {
		t.Error("an estimate is taken for a proof")
	}
}

func TestAWatermarkThatStandsStill(t *testing.T) {
	m := newMarks(t)
	m.pipe.timeout = time.Second
	if err := m.pipe.caughtUp(t.Context()); err == nil || !strings.Contains(err.Error(), "see that the source runs") {
		t.Errorf("no watermark: %v", err)
	}
	m = newMarks(t)
	m.commit(1)
	m.pipe.timeout = time.Second
	done := make(chan error, 1)
	go func() { done <- m.pipe.caughtUp(t.Context()) }()
	m.await(done, "watermark")
	m.publish("src", 10, 10, 5, false)
	m.publish("src", 20, 20, 5, false)
	if err := <-done; err == nil || !strings.Contains(err.Error(), "see that the sink runs") {
		t.Errorf("a group that commits nothing: %v", err)
	}
}
