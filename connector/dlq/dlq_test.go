package dlq

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/waltap/waltap/internal/deadletter"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/sink"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	dataTopic = "p.default.t"
	deadTopic = "dead"
)

type rig struct {
	*testing.T
	ctx     context.Context
	cluster *kfake.Cluster
	client  *kafka.Client
	letters *deadletter.Queue
}

// newRig has a data topic of two partitions.
func newRig(t *testing.T) *rig {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, dataTopic))
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
	letters, err := deadletter.Open(ctx, deadletter.Config{Kafka: client, Topic: deadTopic, ReplicationFactor: 1, Context: true, Connector: "copy"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { letters.Close() })
	return &rig{T: t, ctx: ctx, cluster: cluster, client: client, letters: letters}
}

func encoded(row string) []byte {
	return schema.AppendAvro(nil, &schema.Change{Table: "default:t", Row: []byte(row), Source: schema.Source{Kind: schema.KindWAL, Epoch: 1}})
}

// letter makes a dead letter of a record of row that was on a partition of the data topic.
func letter(row string, partition int32, change ...func(*kafka.Record)) deadletter.Letter {
	r := kafka.Record{Key: []byte(row), Value: encoded(row), Headers: []kafka.Header{{Key: "waltap.op", Value: []byte("put")}}, Topic: dataTopic, Partition: partition, Offset: 5}
	for _, f := range change {
		f(&r)
	}
	return deadletter.New(r, deadletter.StagePut, "", errors.New("too large"))
}

func (r *rig) send(letters ...deadletter.Letter) {
	r.Helper()
	if err := r.letters.Send(r.ctx, letters); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) open() *Queue {
	r.Helper()
	q, err := Open(r.ctx, r.client, sink.NewSchemas(r.client, nil), deadTopic, true)
	if err != nil {
		r.Fatal(err)
	}
	q.patience = 0
	r.Cleanup(func() { q.Close() })
	return q
}

// replay runs one in a Queue of its own and returns what it says.
func (r *rig) replay(sel Selection) (says []string, err error) {
	r.Helper()
	err = r.open().Replay(r.ctx, sel, func(e *Entry, to kafka.TopicPartition, why error) error {
		if why != nil {
			says = append(says, fmt.Sprintf("%s stays: %v", e.ID, why))
		} else {
			says = append(says, fmt.Sprintf("%s to %s", e.ID, to))
		}
		return nil
	})
	return says, err
}

// back lists what is on the data topic: partition, row, dead letter.
func (r *rig) back() (rows []string) {
	r.Helper()
	err := r.client.ReadAll(r.ctx, dataTopic, func(rec kafka.Record) error {
		var c schema.Change
		if err := schema.DecodeAvro(rec.Value, &c); err != nil || !bytes.Equal(rec.Key, c.Row) || len(rec.Headers) != 2 || string(rec.Headers[0].Value) != "put" || rec.Headers[1].Key != deadletter.HeaderReplay {
			r.Errorf("%v: %+v", err, rec)
		}
		rows = append(rows, fmt.Sprintf("%d %s %s", rec.Partition, c.Row, rec.Headers[1].Value))
		return nil
	})
	if err != nil {
		r.Fatal(err)
	}
	return rows
}

func (r *rig) expect(what string, want, got []string) {
	r.Helper()
	if d := cmp.Diff(want, got); d != "" {
		r.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestReplay(t *testing.T) {
	r := newRig(t)
	r.send(letter("a", 1), letter("b", 0), letter("c", 1))
	says, err := r.replay(Selection{DryRun: true})
	if err != nil || len(r.back()) > 0 {
		t.Errorf("dry run: %v, %v", r.back(), err)
	}
	to := []string{"0/0 to p.default.t/1", "0/1 to p.default.t/0", "0/2 to p.default.t/1"}
	r.expect("dry run", to, says)
	if says, err = r.replay(Selection{}); err != nil {
		t.Fatal(err)
	}
	r.expect("replay", to, says)
	once := []string{"0 b dead/0/1", "1 a dead/0/0", "1 c dead/0/2"}
	r.expect("put back", once, r.back())

	if says, err = r.replay(Selection{}); err != nil {
		t.Fatal(err)
	}
	r.expect("replayed twice", []string{"0/0 stays: it was put back before", "0/1 stays: it was put back before", "0/2 stays: it was put back before"}, says)
	r.expect("put back", once, r.back())

	r.send(letter("d", 0))
	if says, err = r.replay(Selection{IDs: []ID{{0, 1}, {0, 3}}, Again: true}); err != nil {
		t.Fatal(err)
	}
	r.expect("again", []string{"0/1 to p.default.t/0", "0/3 to p.default.t/0"}, says)
	r.expect("put back", []string{"0 b dead/0/1", "0 b dead/0/1", "0 d dead/0/3", "1 a dead/0/0", "1 c dead/0/2"}, r.back())
}

func TestReplayLeavesWhatHasNoPlace(t *testing.T) {
	r := newRig(t)
	source := letter("m", -1)
	source.Stage = deadletter.StagePoll
	r.send(letter("ok", 0), letter("x", 0, func(rec *kafka.Record) { rec.Value = []byte("foreign") }), letter("x", 7), source,
		letter("x", 0, func(rec *kafka.Record) { rec.Topic = "gone" }))
	p := r.client.NewProducer(kafka.ProducerConfig{})
	defer p.Close()
	done := make(chan error, 1)
	p.Produce(r.ctx, kafka.TopicPartition{Topic: deadTopic}, []kafka.Record{{Value: []byte("v")}}, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	says, err := r.replay(Selection{})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"0/0 to p.default.t/0", "0/1 stays: it cannot be read: ", "0/2 stays: topic p.default.t has no partition 7", "0/3 stays: it is no record of a topic",
		"0/4 stays: topic gone is not there", "0/5 stays: its headers do not say where it was"} {
		if !slices.ContainsFunc(says, func(s string) bool { return strings.HasPrefix(s, want) }) || len(says) != 6 {
			t.Errorf("%d: %q; want one that says %q", i, says, want)
		}
	}
	r.expect("put back", []string{"0 ok dead/0/0"}, r.back())
	if says, err = r.replay(Selection{IDs: []ID{{0, 1}}, Unreadable: true}); err != nil || len(says) != 1 || says[0] != "0/1 to p.default.t/0" {
		t.Errorf("unreadable, on request: %v, %v", says, err)
	}
	if _, err = r.replay(Selection{IDs: []ID{{0, 99}}}); err == nil || !strings.Contains(err.Error(), "has no record 0/99") {
		t.Errorf("an entry that is not there: %v", err)
	}
}

func TestReplayChoosesByConnectorAndTopic(t *testing.T) {
	r := newRig(t)
	other := letter("b", 0, func(rec *kafka.Record) { rec.Topic = "other" })
	r.send(letter("a", 0), other)
	for _, sel := range []Selection{{Connector: "nobody"}, {Topic: "nowhere"}} {
		if says, err := r.replay(sel); err != nil || len(says) > 0 {
			t.Errorf("%+v: %v, %v", sel, says, err)
		}
	}
	if says, err := r.replay(Selection{Connector: "copy", Topic: dataTopic}); err != nil || cmp.Diff([]string{"0/0 to p.default.t/0"}, says) != "" {
		t.Errorf("%v, %v", says, err)
	}
}

// Wherever a replay is cut off, the next one goes on: nothing is put back twice, and nothing is left out.
func TestReplayThatWasCutOff(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fault kfake.Fault
	}{
		{"before anything is written", kfake.Fault{Topic: StateTopic}},
		{"at one of the partitions", kfake.Fault{Topic: dataTopic, Partitions: []int32{1}}},
		{"at both", kfake.Fault{Topic: dataTopic, Count: 2}},
		{"before anything is marked", kfake.Fault{Topic: StateTopic, When: behind(1)}},
		{"in the middle of the marks", kfake.Fault{Topic: StateTopic, When: behind(2)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t)
			r.send(letter("a", 1), letter("b", 0), letter("c", 1), letter("d", 0))
			q := r.open() // its topic is there before the fault
			tc.fault.Keys, tc.fault.Err = []kmsg.Key{kmsg.Produce}, kerr.TopicAuthorizationFailed
			if tc.fault.Count == 0 {
				tc.fault.Count = -1
			}
			h := r.cluster.Fault(tc.fault)
			if err := q.Replay(r.ctx, Selection{}, func(*Entry, kafka.TopicPartition, error) error { return nil }); err == nil {
				t.Fatal("the fault did not cut it off")
			}
			h.Remove()
			if _, err := r.replay(Selection{}); err != nil {
				t.Fatal(err)
			}
			r.expect("put back", []string{"0 b dead/0/1", "0 d dead/0/3", "1 a dead/0/0", "1 c dead/0/2"}, r.back())
			says, err := r.replay(Selection{})
			if err != nil || slices.ContainsFunc(says, func(s string) bool { return !strings.Contains(s, "before") }) || len(says) != 4 {
				t.Errorf("afterwards: %v, %v", says, err)
			}
		})
	}
}

// behind lets n requests pass.
func behind(n int) func(kmsg.Request) bool {
	seen := make(map[kmsg.Request]bool)
	return func(r kmsg.Request) bool {
		seen[r] = true
		return len(seen) > n
	}
}

// Two replays at a time would put records back twice.
func TestReplayWaitsForAnother(t *testing.T) {
	r := newRig(t)
	r.send(letter("a", 1))
	q := r.open()
	if err := q.store.Put(r.ctx, deadTopic, q.workKey(), atWork{At: time.Now().UnixMilli()}); err != nil {
		t.Fatal(err)
	}
	q = r.open()
	q.patience = time.Minute
	if err := q.Replay(r.ctx, Selection{}, nil); err == nil || !strings.Contains(err.Error(), "another replay of dead is at work") {
		t.Error(err)
	}
	if _, err := r.replay(Selection{}); err != nil || len(r.back()) != 1 {
		t.Errorf("%v, %v", r.back(), err)
	}
}

func TestEach(t *testing.T) {
	r := newRig(t)
	if _, err := Open(r.ctx, r.client, sink.NewSchemas(r.client, nil), "nosuch", false); !errors.Is(err, kafka.ErrUnknownTopic) {
		t.Errorf("no such topic: %v", err)
	}
	r.send(letter("a", 1), letter("b", 0, func(rec *kafka.Record) {
		rec.Value = []byte("x")
		rec.Headers = append(rec.Headers, kafka.Header{Key: deadletter.HeaderReplay, Value: []byte("dead/0/0")})
	}))
	list := func() (all []*Entry) {
		q, err := Open(r.ctx, r.client, sink.NewSchemas(r.client, nil), deadTopic, false)
		if err != nil {
			t.Fatal(err)
		}
		defer q.Close()
		if err := q.Each(r.ctx, func(e *Entry) error { all = append(all, e); return nil }); err != nil {
			t.Fatal(err)
		}
		return all
	}
	all := list()
	if len(all) != 2 || !all[0].Explained || all[0].Fault != nil || !all[0].Replayed.IsZero() || all[0].Message != "too large" || all[1].Fault == nil || all[1].Before != "dead/0/0" {
		t.Errorf("%+v", all)
	}
	if _, err := r.client.Topic(r.ctx, StateTopic); !errors.Is(err, kafka.ErrUnknownTopic) {
		t.Errorf("the topic of what was put back was created by a look: %v", err)
	}
	if _, err := r.replay(Selection{}); err != nil {
		t.Fatal(err)
	}
	if all = list(); time.Since(all[0].Replayed) > time.Minute || !all[1].Replayed.IsZero() {
		t.Errorf("%+v", all)
	}
	// The offsets of a topic that was created again are other dead letters.
	if err := r.cluster.DeleteTopic(deadTopic); err != nil {
		t.Fatal(err)
	}
	if err := r.cluster.CreateTopic(deadTopic, 1, nil); err != nil {
		t.Fatal(err)
	}
	r.send(letter("z", 1))
	if all = list(); len(all) != 1 || !all[0].Replayed.IsZero() {
		t.Errorf("after the topic was created again: %+v", all)
	}
}

func TestParseID(t *testing.T) {
	for text, want := range map[string]ID{"0/17": {0, 17}, "3/0": {3, 0}, "17": {0, 17}} {
		if got, err := ParseID(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "x", "1/", "/1", "-1", "1/-1", "-1/1", "1/2/3", "1/2 ", "01/2", "9223372036854775808"} {
		if got, err := ParseID(text); err == nil {
			t.Errorf("%q was taken for %v", text, got)
		}
	}
}
