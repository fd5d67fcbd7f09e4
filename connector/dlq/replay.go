package dlq

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/waltap/waltap/internal/deadletter"
	"github.com/waltap/waltap/internal/kafka"
)

const (
	// A chunk of records is put back at a time.
	chunkRecords = 500
	chunkBytes   = 8 << 20
	// replayPatience is for how long a replay that has not ended is taken to be at work.
	replayPatience = 30 * time.Second
	saveTimeout    = 5 * time.Second
)

// Selection chooses the dead letters to put back; what is empty chooses all.
type Selection struct {
	IDs       []ID
	Connector string
	Topic     string // where they were
	// Again puts back also what was put back before.
	Again bool
	// Unreadable puts back also what this release cannot read; without it such records stay, as they would fail once more.
	Unreadable bool
	DryRun     bool
}

// Result is told of each chosen entry: where it was put, or why it was not.
type Result func(e *Entry, to kafka.TopicPartition, why error) error

// Reasons for which an entry stays where it is.
var (
	ErrReplayed = errors.New("it was put back before")
	errNoRecord = errors.New("it is no record of a topic, but what a source could not make one of")
	errNoPlace  = errors.New("its headers do not say where it was (errors.deadletterqueue.context.headers.enable)")
)

// Replay puts the chosen records back. A replay that was cut off is gone on with by the next one: nothing is put back
// twice unless it is asked for.
func (q *Queue) Replay(ctx context.Context, sel Selection, result Result) error {
	if !sel.DryRun {
		if err := q.recover(ctx); err != nil {
			return err
		}
	}
	r := &replay{Queue: q, sel: sel, result: result, left: make(map[ID]bool), topics: make(map[string]int32), producer: q.client.NewProducer(kafka.ProducerConfig{})}
	defer r.producer.Close()
	for _, id := range sel.IDs {
		r.left[id] = true
	}
	err := q.Each(ctx, func(e *Entry) error { return r.entry(ctx, e) })
	if err == nil {
		err = r.flush(ctx)
	}
	if err == nil && len(r.left) > 0 {
		return fmt.Errorf("topic %s has no record %s", q.topic, slices.MinFunc(slices.Collect(maps.Keys(r.left)), compareIDs))
	}
	return err
}

type replay struct {
	*Queue
	sel      Selection
	result   Result
	left     map[ID]bool      // asked for and not met yet
	topics   map[string]int32 // partitions of the topics that records come from, 0 for one that is not there
	producer *kafka.Producer

	chunk []item
	bytes int
}

type item struct {
	entry *Entry
	to    kafka.TopicPartition
}

func (r *replay) entry(ctx context.Context, e *Entry) error {
	if len(r.sel.IDs) > 0 && !r.left[e.ID] || r.sel.Connector != "" && e.Connector != r.sel.Connector || r.sel.Topic != "" && e.Topic != r.sel.Topic {
		return nil
	}
	delete(r.left, e.ID)
	to, why, err := r.place(ctx, e)
	if err != nil {
		return err
	}
	if why != nil || r.sel.DryRun {
		return r.result(e, to, why)
	}
	r.chunk = append(r.chunk, item{e, to})
	if r.bytes += len(e.Value); len(r.chunk) >= chunkRecords || r.bytes >= chunkBytes {
		return r.flush(ctx)
	}
	return nil
}

// place finds where e is to be put, or why it stays.
func (r *replay) place(ctx context.Context, e *Entry) (to kafka.TopicPartition, why, err error) {
	switch {
	case !e.Replayed.IsZero() && !r.sel.Again:
		return to, ErrReplayed, nil
	case !e.Explained:
		return to, errNoPlace, nil
	case e.Stage == deadletter.StagePoll:
		return to, errNoRecord, nil
	case e.Fault != nil && !r.sel.Unreadable:
		return to, fmt.Errorf("it cannot be read: %w", e.Fault), nil
	}
	n, known := r.topics[e.Topic]
	if !known {
		info, err := r.client.Topic(ctx, e.Topic)
		if err != nil && !errors.Is(err, kafka.ErrUnknownTopic) {
			return to, nil, err
		}
		n = info.Partitions
		r.topics[e.Topic] = n
	}
	switch {
	case n == 0:
		return to, fmt.Errorf("topic %s is not there", e.Topic), nil
	case e.Partition < 0 || e.Partition >= n:
		return to, fmt.Errorf("topic %s has no partition %d", e.Topic, e.Partition), nil
	}
	return kafka.TopicPartition{Topic: e.Topic, Partition: e.Partition}, nil, nil
}

// atWork is kept while a chunk is put back.
type atWork struct {
	At   int64                      `json:"at"` // ms
	Ends map[string]map[int32]int64 `json:"ends"`
}

func (q *Queue) workKey() map[string]string {
	return map[string]string{"topicId": q.id, "replay": "at work"}
}

// flush puts the chunk back. Should it be cut off, the next replay finds what got there behind the ends that are kept before:
//
//	keep the ends of the partitions → produce → mark each dead letter → drop the ends
func (r *replay) flush(ctx context.Context) error {
	if len(r.chunk) == 0 {
		return nil
	}
	work := atWork{At: time.Now().UnixMilli(), Ends: make(map[string]map[int32]int64)}
	parts := make(map[kafka.TopicPartition][]kafka.Record)
	for _, it := range r.chunk {
		parts[it.to] = append(parts[it.to], r.record(it.entry))
	}
	for tp := range parts {
		if work.Ends[tp.Topic] != nil {
			continue
		}
		ends, err := r.client.EndOffsets(ctx, tp.Topic)
		if err != nil {
			return err
		}
		work.Ends[tp.Topic] = ends
	}
	if err := r.store.Put(ctx, r.topic, r.workKey(), work); err != nil {
		return err
	}
	results := make(chan error, len(parts))
	for tp, records := range parts {
		r.producer.Produce(ctx, tp, records, func(err error) { results <- err })
	}
	var errs []error
	for range parts {
		errs = append(errs, <-results)
	}
	if err := errors.Join(errs...); err != nil {
		work.At = 0 // nobody is at work: the next one need not wait
		sctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
		defer cancel()
		return errors.Join(fmt.Errorf("put dead letters back: %w; run the replay again to go on with it", err), r.store.Put(sctx, r.topic, r.workKey(), work))
	}
	ids := make(map[ID]kafka.TopicPartition)
	for _, it := range r.chunk {
		ids[it.entry.ID] = it.to
	}
	if err := r.mark(ctx, ids); err != nil {
		return err
	}
	for _, it := range r.chunk {
		if err := r.result(it.entry, it.to, nil); err != nil {
			return err
		}
	}
	r.chunk, r.bytes = nil, 0
	return r.store.Delete(ctx, r.topic, r.workKey())
}

// record is e as it is put back.
func (r *replay) record(e *Entry) kafka.Record {
	rec := kafka.Record{Key: e.Key, Value: e.Value}
	for _, h := range e.Headers {
		if h.Key != deadletter.HeaderReplay {
			rec.Headers = append(rec.Headers, h)
		}
	}
	rec.Headers = append(rec.Headers, kafka.Header{Key: deadletter.HeaderReplay, Value: []byte(r.name(e.ID))})
	return rec
}

// name is an entry's in HeaderReplay.
func (q *Queue) name(id ID) string { return q.topic + "/" + id.String() }

// mark keeps that dead letters were put back.
func (q *Queue) mark(ctx context.Context, ids map[ID]kafka.TopicPartition) error {
	now := time.Now().UnixMilli()
	var all sync.WaitGroup
	errs := make(chan error, len(ids))
	for id, tp := range ids {
		all.Go(func() {
			errs <- q.store.Put(ctx, q.topic, q.key(id), mark{At: now, Topic: tp.Topic, Partition: tp.Partition})
		})
	}
	all.Wait()
	close(errs)
	var joined error
	for err := range errs {
		joined = errors.Join(joined, err)
	}
	return joined
}

// recover finds out what a replay that was cut off has put back.
func (q *Queue) recover(ctx context.Context) error {
	var work atWork
	there, err := q.store.Get(q.topic, q.workKey(), &work)
	if err != nil || !there {
		return err
	}
	if age := time.Since(time.UnixMilli(work.At)); age < q.patience {
		return fmt.Errorf("another replay of %s is at work, or was cut off %s ago: run this again in %s", q.topic, age.Round(time.Second), (q.patience-age).Round(time.Second)+time.Second)
	}
	found := make(map[ID]kafka.TopicPartition)
	for topic, ends := range work.Ends {
		now, err := q.client.EndOffsets(ctx, topic)
		if errors.Is(err, kafka.ErrUnknownTopic) {
			continue
		}
		if err != nil {
			return err
		}
		for p, from := range ends {
			tp := kafka.TopicPartition{Topic: topic, Partition: p}
			err := q.client.ReadRange(ctx, tp, from, now[p], func(r kafka.Record) error {
				if id, ok := q.putBack(&r); ok {
					found[id] = tp
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	if err := q.mark(ctx, found); err != nil {
		return err
	}
	return q.store.Delete(ctx, q.topic, q.workKey())
}

// putBack tells which dead letter of q a record was.
func (q *Queue) putBack(r *kafka.Record) (ID, bool) {
	for _, h := range r.Headers {
		if h.Key != deadletter.HeaderReplay {
			continue
		}
		if text, ok := strings.CutPrefix(string(h.Value), q.topic+"/"); ok {
			id, err := ParseID(text)
			return id, err == nil
		}
	}
	return ID{}, false
}

func compareIDs(a, b ID) int {
	if a.Partition != b.Partition {
		return int(a.Partition - b.Partition)
	}
	switch {
	case a.Offset < b.Offset:
		return -1
	case a.Offset > b.Offset:
		return 1
	}
	return 0
}
