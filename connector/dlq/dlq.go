// Package dlq reads dead-letter topics and puts their records back to where they came from.
//
// A record is put back at the end of the partition it was taken from, where the sinks of that topic apply it behind what came
// since; headers say of which dead letter it is. What was put back is kept on a compacted topic, so that it is not put back
// twice.
package dlq

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/internal/deadletter"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/sink"
)

// StateTopic is the compacted topic that holds what was put back:
//
//	["<dead-letter topic>",{"offset":"17","partition":"0","topicId":"…"}] → {"at":1795219200000,"topic":"orders.default.orders","partition":3}
//	["<dead-letter topic>",{"replay":"at work","topicId":"…"}]           → {"at":…,"ends":{"orders.default.orders":{"3":99}}}
//
// The second is there while records are put back: they are behind these ends.
const StateTopic = "__waltap-dlq"

// Entry is one record of a dead-letter topic.
type Entry struct {
	deadletter.Letter
	ID        ID
	Explained bool      // its headers say why it is there, and where it was
	Fault     error     // why its value is no change that this release reads; nil: it is one
	Replayed  time.Time // when it was put back; zero: it was not
	// Before names the dead letter that this record was before it was put back and failed again.
	Before string
}

// ID is the place of an entry.
type ID struct {
	Partition int32
	Offset    int64
}

func (id ID) String() string { return fmt.Sprintf("%d/%d", id.Partition, id.Offset) }

// ParseID reads partition/offset, or an offset of partition 0.
func ParseID(s string) (ID, error) {
	var id ID
	if n, err := fmt.Sscanf(s, "%d/%d", &id.Partition, &id.Offset); err == nil && n == 2 && id.String() == s && id.Partition >= 0 && id.Offset >= 0 {
		return id, nil
	}
	if offset, err := strconv.ParseUint(s, 10, 63); err == nil {
		return ID{Offset: int64(offset)}, nil
	}
	return ID{}, fmt.Errorf("%q is no dead letter: want partition/offset as waltap dlq list shows it, such as 0/17", s)
}

// Queue is a dead-letter topic.
type Queue struct {
	client  *kafka.Client
	topic   string
	id      string            // of the topic
	store   *checkpoint.Store // nil: nothing was put back ever
	decoder *sink.Decoder

	patience time.Duration // with a replay that seems to be at work
}

// Open opens a dead-letter topic, for replay when that is set. The schemas tell which records can be read.
func Open(ctx context.Context, client *kafka.Client, schemas *sink.Schemas, topic string, replay bool) (*Queue, error) {
	if _, err := client.Topic(ctx, topic); err != nil {
		return nil, err
	}
	ids, err := client.TopicIDs(ctx, topic)
	if err != nil {
		return nil, err
	}
	q := &Queue{client: client, topic: topic, id: ids[topic], decoder: schemas.NewDecoder(), patience: replayPatience}
	if !replay {
		if _, err := client.Topic(ctx, StateTopic); errors.Is(err, kafka.ErrUnknownTopic) {
			return q, nil
		}
	}
	if q.store, err = checkpoint.Open(ctx, client, StateTopic); err != nil {
		return nil, err
	}
	return q, nil
}

// Close ends the use of q.
func (q *Queue) Close() error {
	if q.store == nil {
		return nil
	}
	return q.store.Close()
}

// Each calls f for every record that is on the topic now, partition by partition. The entry is f's.
func (q *Queue) Each(ctx context.Context, f func(*Entry) error) error {
	return q.client.ReadAll(ctx, q.topic, func(r kafka.Record) error {
		e, err := q.entry(ctx, r)
		if err != nil {
			return err
		}
		return f(e)
	})
}

func (q *Queue) entry(ctx context.Context, r kafka.Record) (*Entry, error) {
	e := &Entry{ID: ID{r.Partition, r.Offset}}
	e.Letter, e.Explained = deadletter.Parse(r)
	var c schema.Change
	e.Fault = q.decoder.Decode(ctx, e.Topic, r.Value, &c)
	var unreadable *sink.UnreadableError
	if e.Fault != nil && !errors.As(e.Fault, &unreadable) {
		return nil, fmt.Errorf("read dead letter %s: %w", e.ID, e.Fault)
	}
	e.Before = before(r)
	return e, q.markReplayed(e)
}

// markReplayed looks whether an entry was put back.
func (q *Queue) markReplayed(e *Entry) error {
	var m mark
	done, err := q.get(e.ID, &m)
	if done {
		e.Replayed = time.UnixMilli(m.At).UTC()
	}
	return err
}

// mark says that a dead letter was put back.
type mark struct {
	At        int64  `json:"at"` // ms
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
}

func (q *Queue) key(id ID) map[string]string {
	return map[string]string{"topicId": q.id, "partition": strconv.Itoa(int(id.Partition)), "offset": strconv.FormatInt(id.Offset, 10)}
}

func (q *Queue) get(id ID, m *mark) (bool, error) {
	if q.store == nil {
		return false, nil
	}
	return q.store.Get(q.topic, q.key(id), m)
}
