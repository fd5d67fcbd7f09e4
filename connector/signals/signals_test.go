package signals

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/waltap/waltap/connector/herder"
	"github.com/waltap/waltap/internal/kafka"
)

type rig struct {
	*testing.T
	ctx    context.Context
	client *kafka.Client
	got    chan string // what was carried out
	refuse chan error  // answers of the handler; empty: nil
}

func newRig(t *testing.T) *rig {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "s"), kfake.SeedTopics(2, "two"))
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
	return &rig{t, ctx, client, make(chan string, 10), make(chan error, 10)}
}

// listen runs a listener until stop is called.
func (r *rig) listen() (stop func()) {
	ctx, cancel := context.WithCancel(r.ctx)
	ended := make(chan error, 1)
	go func() {
		err := Listen(ctx, Config{Kafka: r.client, Topic: "s", Connector: "c", Prefix: "orders", Log: slog.New(slog.DiscardHandler),
			Handle: func(_ context.Context, s herder.Signal) error {
				select {
				case err := <-r.refuse:
					return err
				default:
				}
				r.got <- s.ID + " " + s.Type
				return nil
			}})
		if err != nil {
			r.Log(err)
		}
		ended <- err
	}()
	return func() {
		r.Helper()
		cancel()
		if err := <-ended; err != nil {
			r.Error(err)
		}
	}
}

func (r *rig) send(key, value string) {
	r.Helper()
	p := r.client.NewProducer(kafka.ProducerConfig{})
	done := make(chan error, 1)
	p.Produce(r.ctx, kafka.TopicPartition{Topic: "s"}, []kafka.Record{{Key: []byte(key), Value: []byte(value)}}, func(err error) { done <- err })
	if err := errors.Join(<-done, p.Close()); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) await(want string) {
	r.Helper()
	select {
	case got := <-r.got:
		if got != want {
			r.Fatalf("carried out %q, want %q", got, want)
		}
	case <-r.ctx.Done():
		r.Fatalf("%q was not carried out", want)
	}
}

// committed waits until the listener has a place.
func (r *rig) committed(at int64) {
	r.Helper()
	tp := kafka.TopicPartition{Topic: "s"}
	for {
		got, err := r.client.CommittedOffsets(r.ctx, Group("c"), []kafka.TopicPartition{tp})
		if err == nil && got[tp] == at {
			return
		}
		if r.ctx.Err() != nil {
			r.Fatalf("the place is %v, want %d: %v", got, at, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestSignalsOfTheTopic(t *testing.T) {
	r := newRig(t)
	r.send("orders", `{"id":"0","type":"pause-snapshot"}`) // before it ever listened
	stop := r.listen()
	r.committed(1)
	r.send("other", `{"id":"1","type":"pause-snapshot"}`)
	r.send("orders", `{"id":"2","type":"pause-snapshot","data":{}}`)
	r.await("2 pause-snapshot")
	// What cannot be read, or is refused, is left behind; what fails is tried again.
	r.refuse <- herder.Errorf(herder.BadRequest, "no")
	r.send("orders", `{"id":"3","type":"resume-snapshot"}`)
	for _, bad := range []string{`{"type":"no-such"}`, `{`, ``, `{"type":"execute-snapshot","data":{"type":"no-such","data-collections":["t"]}}`} {
		r.send("orders", bad)
	}
	r.committed(8)
	r.refuse <- herder.ErrRebalancing()
	r.send("orders", `{"id":"4","type":"set-rate","data":{"rows-per-second":1}}`)
	r.await("4 set-rate")
	r.committed(9)
	stop()
	// What is sent while nobody listens is carried out later, once.
	r.send("orders", `{"id":"5","type":"stop-snapshot"}`)
	stop = r.listen()
	r.await("5 stop-snapshot")
	r.committed(10)
	stop()
	stop = r.listen()
	r.send("orders", `{"id":"6","type":"resume-snapshot"}`)
	r.await("6 resume-snapshot")
	stop()
}

func TestTopicsThatAreNone(t *testing.T) {
	r := newRig(t)
	for topic, want := range map[string]string{"two": "2 partitions", "none": "create it with one partition"} {
		err := Listen(r.ctx, Config{Kafka: r.client, Topic: topic, Connector: "c", Log: slog.New(slog.DiscardHandler)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", topic, err)
		}
	}
}
