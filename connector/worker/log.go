package worker

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/waltap/waltap/internal/kafka"
)

// record is one record of a topic that all workers read.
type record struct {
	Key    string
	Value  []byte // nil removes
	Offset int64
	Time   time.Time
	// Base: the writer had applied all records below it when it decided to write this one.
	Base int64
	id   string // tells the writer its own
}

// topicLog is a topic that all workers read from its beginning on and write to.
type topicLog interface {
	// run applies the records, one after the other, until ctx ends or the log cannot be read. caughtUp is called once, when
	// what was there at the beginning is applied.
	run(ctx context.Context, apply func(record) bool, caughtUp func()) error
	// append adds a record and returns when this worker has applied it, with what apply has returned.
	append(ctx context.Context, key string, value []byte, base int64) (accepted bool, err error)
	close() error
}

// Headers of a record.
const (
	headerBase = "waltap.base"
	headerID   = "waltap.id"
)

const (
	fetchBytes = 1 << 20
	fetchWait  = 5 * time.Second
	// appendTimeout bounds one append.
	appendTimeout = 30 * time.Second
	// repairLag is for how long compaction leaves a topic's new records alone: in that time the leader has put right what came last
	// and was not accepted.
	repairLag = time.Hour
)

// kafkaLog is a compacted topic of one partition.
type kafkaLog struct {
	client   *kafka.Client
	producer *kafka.Producer
	topic    string
	waiting  waiters
}

// waiters are the appends whose record was not applied yet.
type waiters struct {
	mu sync.Mutex
	of map[string]chan bool
}

func (w *waiters) add(id string) chan bool {
	ch := make(chan bool, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.of == nil {
		w.of = make(map[string]chan bool)
	}
	w.of[id] = ch
	return ch
}

func (w *waiters) done(id string, accepted bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ch, ok := w.of[id]; ok {
		ch <- accepted
		delete(w.of, id)
	}
}

func (w *waiters) forget(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.of, id)
}

// openLog creates the topic if it does not exist, and refuses one that could lose or shuffle what it holds.
func openLog(ctx context.Context, client *kafka.Client, key, topic string, replicas int16) (*kafkaLog, error) {
	err := client.EnsureTopics(ctx, kafka.TopicSpec{Name: topic, Partitions: 1, ReplicationFactor: replicas,
		Configs: map[string]string{"cleanup.policy": "compact", "min.compaction.lag.ms": strconv.FormatInt(repairLag.Milliseconds(), 10)}})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	info, err := client.Topic(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	if info.Partitions != 1 {
		return nil, fmt.Errorf("%s: topic %s has %d partitions, want 1: name another topic, which waltap creates", key, topic, info.Partitions)
	}
	if configs, err := client.TopicConfig(ctx, topic); err == nil && configs["cleanup.policy"] != "compact" {
		return nil, fmt.Errorf("%s: topic %s has cleanup.policy=%s, it would lose what it holds: set it to compact", key, topic, configs["cleanup.policy"])
	}
	return &kafkaLog{client: client, topic: topic, producer: client.NewProducer(kafka.ProducerConfig{})}, nil
}

func (l *kafkaLog) run(ctx context.Context, apply func(record) bool, caughtUp func()) error {
	tp := kafka.TopicPartition{Topic: l.topic}
	next, end := int64(-1), int64(-1)
	for ctx.Err() == nil {
		if next < 0 {
			starts, err := l.client.StartOffsets(ctx, l.topic)
			if err == nil {
				next = starts[0]
				var ends map[int32]int64
				if ends, err = l.client.EndOffsets(ctx, l.topic); err == nil {
					end = ends[0]
				}
			}
			if err != nil {
				return l.broken(ctx, err)
			}
		}
		if end >= 0 && next >= end {
			end = -1
			caughtUp()
		}
		wait := fetchWait
		if end >= 0 {
			wait = 100 * time.Millisecond
		}
		res, err := l.client.Fetch(ctx, tp, next, fetchBytes, wait)
		if oor, ok := errors.AsType[*kafka.OffsetOutOfRangeError](err); ok && oor.LogStart > next {
			next = oor.LogStart
			continue
		}
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return ctx.Err()
		case kafka.Retriable(err):
			pause(ctx, time.Second)
			continue
		default:
			return l.broken(ctx, err)
		}
		for i := range res.Records {
			r := parse(&res.Records[i])
			accepted := apply(r)
			l.waiting.done(r.id, accepted)
		}
		switch {
		case res.NextOffset > next:
			next = res.NextOffset
		case end >= 0 && res.HighWatermark >= end && len(res.Records) == 0:
			next = end // compaction has removed the rest
		}
	}
	return ctx.Err()
}

func (l *kafkaLog) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("read topic %s: %w", l.topic, err)
}

// parse reads a record; one that waltap has not written is taken to be based on all before it.
func parse(r *kafka.Record) record {
	out := record{Key: string(r.Key), Value: r.Value, Offset: r.Offset, Time: r.Time, Base: r.Offset}
	for _, h := range r.Headers {
		switch h.Key {
		case headerBase:
			if n, err := strconv.ParseInt(string(h.Value), 10, 64); err == nil {
				out.Base = n
			}
		case headerID:
			out.id = string(h.Value)
		}
	}
	return out
}

func (l *kafkaLog) append(ctx context.Context, key string, value []byte, base int64) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	id := newID()
	applied := l.waiting.add(id)
	defer l.waiting.forget(id)
	done := make(chan error, 1)
	l.producer.Produce(ctx, kafka.TopicPartition{Topic: l.topic}, []kafka.Record{{Key: []byte(key), Value: value, Headers: []kafka.Header{
		{Key: headerBase, Value: []byte(strconv.FormatInt(base, 10))}, {Key: headerID, Value: []byte(id)},
	}}}, func(err error) { done <- err })
	if err := <-done; err != nil {
		return false, fmt.Errorf("write to topic %s: %w", l.topic, err)
	}
	select {
	case accepted := <-applied:
		return accepted, nil
	case <-ctx.Done():
		return false, fmt.Errorf("read back what was written to topic %s: %w", l.topic, context.Cause(ctx))
	}
}

func (l *kafkaLog) close() error { return l.producer.Close() }

func newID() string {
	var b [12]byte
	rand.Read(b[:]) // never fails, see crypto/rand
	return hex.EncodeToString(b[:])
}

// memoryLog is the log of a process that runs alone.
type memoryLog struct {
	mu    sync.Mutex
	next  int64
	apply func(record) bool
	ready chan struct{}
}

func newMemoryLog() *memoryLog { return &memoryLog{ready: make(chan struct{})} }

func (l *memoryLog) run(ctx context.Context, apply func(record) bool, caughtUp func()) error {
	l.apply = apply
	close(l.ready)
	caughtUp()
	<-ctx.Done()
	return ctx.Err()
}

func (l *memoryLog) append(ctx context.Context, key string, value []byte, base int64) (bool, error) {
	select {
	case <-l.ready:
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r := record{Key: key, Value: value, Offset: l.next, Time: time.Now(), Base: base}
	l.next++
	return l.apply(r), nil
}

func (l *memoryLog) close() error { return nil }

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
