package dlq

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/internal/deadletter"
	"github.com/waltap/waltap/internal/kafka"
)

// Look is a look at the end of a dead-letter topic.
type Look struct {
	Records int64    // between the start and the end of the topic, whoever put them there
	Latest  []*Entry // the newest first; their Fault is not looked for
}

// latestPerPartition is how many records of a partition a look reads, for each that it is to show.
const latestPerPartition = 4

// Latest reads the newest dead letters of a connector, at most most; "": of all. A topic that is not there holds none.
func Latest(ctx context.Context, client *kafka.Client, topic, connector string, most int) (*Look, error) {
	if _, err := client.Topic(ctx, topic); errors.Is(err, kafka.ErrUnknownTopic) {
		return new(Look), nil
	} else if err != nil {
		return nil, err
	}
	ids, err := client.TopicIDs(ctx, topic)
	if err != nil {
		return nil, err
	}
	starts, err := client.StartOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	ends, err := client.EndOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	look := new(Look)
	for p, end := range ends {
		look.Records += max(0, end-starts[p])
		from := max(starts[p], end-int64(most*latestPerPartition))
		err := client.ReadRange(ctx, kafka.TopicPartition{Topic: topic, Partition: p}, from, end, func(r kafka.Record) error {
			e := &Entry{ID: ID{r.Partition, r.Offset}}
			if e.Letter, e.Explained = deadletter.Parse(r); connector != "" && e.Explained && e.Connector != connector {
				return nil
			}
			e.Before = before(r)
			look.Latest = append(look.Latest, e)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read topic %s: %w", topic, err)
		}
	}
	slices.SortFunc(look.Latest, func(a, b *Entry) int {
		return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(b.ID.Offset, a.ID.Offset), cmp.Compare(a.ID.Partition, b.ID.Partition))
	})
	look.Latest = look.Latest[:min(most, len(look.Latest))]
	return look, markReplayed(ctx, client, topic, ids[topic], look.Latest)
}

// before names the dead letter that a record was before it was put back.
func before(r kafka.Record) string {
	for _, h := range r.Headers {
		if h.Key == deadletter.HeaderReplay {
			return string(h.Value)
		}
	}
	return ""
}

// markReplayed looks which entries were put back.
func markReplayed(ctx context.Context, client *kafka.Client, topic, id string, entries []*Entry) error {
	if len(entries) == 0 {
		return nil
	}
	if _, err := client.Topic(ctx, StateTopic); errors.Is(err, kafka.ErrUnknownTopic) {
		return nil
	}
	store, err := checkpoint.Open(ctx, client, StateTopic)
	if err != nil {
		return err
	}
	q := &Queue{client: client, topic: topic, id: id, store: store}
	for _, e := range entries {
		if err = q.markReplayed(e); err != nil {
			break
		}
	}
	return errors.Join(err, store.Close())
}
