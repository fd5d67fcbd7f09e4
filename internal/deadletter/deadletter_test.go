package deadletter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/waltap/waltap/internal/kafka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type refusal struct{ text string }

func (e *refusal) Error() string { return e.text }

func header(key, value string) kafka.Header { return kafka.Header{Key: key, Value: []byte(value)} }

// The names and the order are those of org.apache.kafka.connect.runtime.errors.DeadLetterQueueReporter.
func TestHeadersAreConnects(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_000)
	record := kafka.Record{Key: []byte("k"), Value: []byte("v"), Headers: []kafka.Header{header("waltap.op", "put"), header("__connect.errors.topic", "older"), header("mine", "x")},
		Time: at, Topic: "p.default.t", Partition: 3, Offset: 17}
	l := New(record, StagePut, new(Queue), fmt.Errorf("apply: %w", fmt.Errorf("call: %w", &refusal{"too large"})))
	l.Connector, l.Task = "copy", 2
	const pkg = "github.com/waltap/waltap/internal/deadletter."
	want := kafka.Record{Key: []byte("k"), Value: []byte("v"), Time: at, Headers: []kafka.Header{
		header("waltap.op", "put"), header("mine", "x"),
		header("__connect.errors.topic", "p.default.t"),
		header("__connect.errors.partition", "3"),
		header("__connect.errors.offset", "17"),
		header("__connect.errors.connector.name", "copy"),
		header("__connect.errors.task.id", "2"),
		header("__connect.errors.stage", "TASK_PUT"),
		header("__connect.errors.class.name", pkg+"Queue"),
		header("__connect.errors.exception.class.name", pkg+"refusal"),
		header("__connect.errors.exception.message", "apply: call: too large"),
		header("__connect.errors.exception.stacktrace", "fmt.wrapError: apply: call: too large\nCaused by: fmt.wrapError: call: too large\nCaused by: "+pkg+"refusal: too large"),
	}}
	if d := cmp.Diff(want, l.Record(true)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	want.Headers = want.Headers[:2]
	if d := cmp.Diff(want, l.Record(false)); d != "" {
		t.Errorf("without context (-want +got):\n%s", d)
	}
	got, ok := Parse(l.Record(true))
	l.Headers = own(l.Headers)
	if d := cmp.Diff(l, got); d != "" || !ok {
		t.Errorf("read again: %v (-want +got):\n%s", ok, d)
	}
	if len(record.Headers) != 3 {
		t.Errorf("the record's own headers were changed: %v", record.Headers)
	}
}

func TestParseWhatOthersWrite(t *testing.T) {
	for _, tc := range []struct {
		name    string
		headers []kafka.Header
		ok      bool
	}{
		{"no headers", nil, false},
		{"others only", []kafka.Header{header("a", "b")}, false},
		{"numbers that are none", []kafka.Header{header(headerTopic, "t"), header(headerPartition, "x"), header(headerOffset, "99999999999999999999"), header(headerTask, "")}, true},
	} {
		l, ok := Parse(kafka.Record{Headers: tc.headers})
		if ok != tc.ok || l.Partition != -1 || l.Offset != -1 {
			t.Errorf("%s: %+v, %v", tc.name, l, ok)
		}
	}
}

func TestLongErrorsAreCut(t *testing.T) {
	l := New(kafka.Record{}, StagePut, nil, errors.New(strings.Repeat("ä", maxText)))
	if len(l.Message) > maxText+10 || len(l.Trace) > maxText+10 || !strings.HasSuffix(l.Message, "ä …") {
		t.Errorf("a message of %d bytes, a trace of %d", len(l.Message), len(l.Trace))
	}
}

func rig(t *testing.T, opts ...kfake.Opt) (context.Context, *kfake.Cluster, *kafka.Client) {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	client, err := kafka.Connect(ctx, kafka.Config{BootstrapServers: cluster.ListenAddrs()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return ctx, cluster, client
}

func TestQueue(t *testing.T) {
	ctx, cluster, client := rig(t)
	q, err := Open(ctx, Config{Kafka: client, Topic: "dead", ReplicationFactor: 1, Context: true, Connector: "copy"})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	configs, err := client.TopicConfig(ctx, "dead")
	if err != nil || configs["retention.ms"] != "-1" || configs["cleanup.policy"] != "delete" || configs["max.message.bytes"] != "67108864" {
		t.Errorf("the topic was created with %v, %v", configs, err)
	}
	if info, err := client.Topic(ctx, "dead"); err != nil || info.Partitions != 1 {
		t.Errorf("%+v, %v; want one partition", info, err)
	}
	big := bytes.Repeat([]byte("x"), 13<<20)
	letters := []Letter{
		New(kafka.Record{Key: []byte("a"), Value: big, Offset: 1}, StageProduce, q, errors.New("e")),
		New(kafka.Record{Value: []byte("b"), Offset: 2}, StagePut, q, errors.New("e")),
		New(kafka.Record{Key: []byte("c"), Offset: 3}, StagePut, q, errors.New("e")),
	}
	if err := q.Send(ctx, letters); err != nil {
		t.Fatal(err)
	}
	var got []string
	err = client.ReadAll(ctx, "dead", func(r kafka.Record) error {
		l, ok := Parse(r)
		got = append(got, fmt.Sprintf("%v %d %s %d %v %v", ok, l.Offset, l.Connector, len(r.Value), r.Key == nil, r.Value == nil))
		return nil
	})
	if want := []string{"true 1 copy 13631488 false false", "true 2 copy 1 true false", "true 3 copy 0 false true"}; err != nil || cmp.Diff(want, got) != "" {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.TopicAuthorizationFailed})
	if err := q.Send(ctx, letters[1:]); err == nil || !strings.Contains(err.Error(), "write dead letters to dead") || !strings.Contains(err.Error(), "right Write on topic dead") {
		t.Errorf("no right to write: %v", err)
	}
}

func TestQueueTakesATopicAsItIs(t *testing.T) {
	ctx, cluster, client := rig(t, kfake.SeedTopics(3, "dead"))
	q, err := Open(ctx, Config{Kafka: client, Topic: "dead", ReplicationFactor: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	l := Letter{Key: []byte("row")}
	if tp, r := q.Record(&l); tp.Topic != "dead" || tp.Partition != kafka.Partition([]byte("row"), 3) || len(r.Headers) != 0 {
		t.Errorf("%v %+v", tp, r)
	}
	if err := cluster.CreateTopic("compacted", 1, map[string]string{"cleanup.policy": "compact"}); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(ctx, Config{Kafka: client, Topic: "compacted"}); err == nil || !strings.Contains(err.Error(), "errors.deadletterqueue.topic.name") || !strings.Contains(err.Error(), "cleanup.policy=compact") {
		t.Errorf("a compacted topic: %v", err)
	}
}

// Whatever a letter says is read again as it was written.
func FuzzLetter(f *testing.F) {
	f.Add([]byte("k"), []byte("v"), "p.default.t", int32(3), int64(17), "copy", "too large")
	f.Fuzz(func(t *testing.T, key, value []byte, topic string, partition int32, offset int64, connector, message string) {
		l := New(kafka.Record{Key: key, Value: value, Topic: topic, Partition: partition, Offset: offset}, StagePut, nil, errors.New(message))
		l.Connector = connector
		got, ok := Parse(l.Record(true))
		l.Headers = own(nil)
		if d := cmp.Diff(l, got); d != "" || !ok {
			t.Errorf("%v (-want +got):\n%s", ok, d)
		}
	})
}
