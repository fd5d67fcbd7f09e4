package sink

import (
	"context"
	"errors"
	"time"

	"github.com/waltap/waltap/internal/deadletter"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

// collector cuts what is fetched into batches.
type collector struct {
	w       *worker
	decoder *Decoder
	at      *kafka.RawFetch   // what was fetched last
	left    []kafka.RawRecord // of it
	read    []*kafka.RawFetch // whose records are in batches, the one at hand included
	behind  int64             // offset behind what was fetched last: behind transaction markers and holes, too
	high    int64             // log end at the last fetch
	stop    error             // what the next batch would begin with

	// Of the batch before, which is done with: its changes with their cells, and their origins, are filled again. Made anew for each
	// batch, they took 1021 ns of CPU time a record of one cell instead of 259, and 6 MB a batch (BenchmarkCollect).
	changes []schema.Change
	origins []origin
}

// reuse takes the memory of b, which nobody reads any more, and gives back that of what was fetched for it. Where changes were taken
// out of b their cells may stand twice in it.
func (c *collector) reuse(b *Batch) {
	for _, f := range c.read {
		c.w.fetches.put(f)
	}
	c.read = c.read[:0]
	if len(b.Changes) != len(b.origins) {
		return
	}
	clear(b.origins) // all of it holds what was fetched
	for i := range b.Changes {
		b.Changes[i].Row = nil
		clear(b.Changes[i].Cells)
	}
	c.changes, c.origins = b.Changes, b.origins
}

// next waits for at least one record, then for more until the batch is full or Linger has passed. With an error the batch
// is what was collected so far.
func (c *collector) next(ctx context.Context, fetched <-chan *kafka.RawFetch) (*Batch, error) {
	b := &Batch{Topic: c.w.tp.Topic, Partition: c.w.tp.Partition, First: -1, Changes: c.changes[:0], origins: c.origins[:0]}
	c.changes, c.origins = nil, nil
	c.w.recent.begin()
	var linger <-chan time.Time
	for {
		c.fill(ctx, b)
		switch {
		case c.stop != nil && b.First < 0:
			return b, c.stop
		case c.stop != nil, c.full(b):
			return b, nil
		}
		if linger == nil && b.First >= 0 {
			t := time.NewTimer(c.w.cfg.Linger)
			defer t.Stop()
			linger = t.C
		}
		select {
		case res := <-fetched:
			c.take(res, b.First < 0)
		case <-linger:
			return b, nil
		case <-ctx.Done():
			return b, context.Cause(ctx)
		}
	}
}

// take is told whether there is nothing in hand.
func (c *collector) take(res *kafka.RawFetch, idle bool) {
	moved := res.NextOffset > c.behind
	if c.at != nil {
		c.read = append(c.read, c.at)
	}
	c.at, c.left, c.behind, c.high = res, res.Records, res.NextOffset, res.HighWatermark
	if len(res.Records) > 0 {
		return
	}
	c.w.cfg.Stats.Lag(c.w.tp.Topic, c.w.tp.Partition, max(0, res.HighWatermark-res.NextOffset))
	if idle && moved {
		c.w.commit.done(c.w.tp, res.NextOffset, c.w.from)
	}
}

func (c *collector) full(b *Batch) bool {
	return len(b.Changes)+b.Skipped+len(b.dead) >= c.w.limits.records || b.Bytes >= c.w.limits.batchBytes
}

// fill moves fetched records into b until it is full, or one of them stops the sink.
func (c *collector) fill(ctx context.Context, b *Batch) {
	looked := len(b.Changes) // so many of b were looked for
	for len(c.left) > 0 && !c.full(b) && c.stop == nil {
		r := &c.left[0]
		if c.stop = c.add(ctx, b, r); c.stop != nil {
			break
		}
		if b.First < 0 {
			b.First = r.Offset
		}
		b.Next = r.Offset + 1
		b.Bytes += int64(len(r.Key) + len(r.Value))
		c.left = c.left[1:]
		if len(b.Changes)-looked == aheadCells { // while they are in the processor's caches
			c.filter(b, looked)
			looked = len(b.Changes)
		}
	}
	c.filter(b, looked)
	if len(c.left) == 0 && b.First >= 0 && c.stop == nil {
		b.Next = max(b.Next, c.behind)
	}
}

// filter takes out of the changes of b, from the first on, what was applied already.
func (c *collector) filter(b *Batch, first int) {
	c.w.recent.filterAll(b.Changes[first:], func(i, mark, superseded int) {
		b.origins[first+i].mark, b.origins[first+i].superseded = mark, superseded
	})
}

// add puts what r is into b: a change, one to be left out, or a dead letter.
func (c *collector) add(ctx context.Context, b *Batch, r *kafka.RawRecord) error {
	n := len(b.Changes)
	if n == cap(b.Changes) {
		c.grow(b)
	}
	b.Changes = b.Changes[:n+1] // what stands there is decoded over
	change := &b.Changes[n]
	err := c.w.decode(ctx, c.decoder, r, change)
	if err == nil && !c.w.behindEnd(change) {
		b.origins = append(b.origins, origin{record: r})
		return nil
	}
	b.Changes = b.Changes[:n]
	var unreadable *UnreadableError
	switch {
	case err == nil:
		b.Skipped++
	case !errors.As(err, &unreadable):
		return err
	case c.w.cfg.Errors.DeadLetters == nil:
		return c.w.unreadable(r, unreadable.Err)
	default:
		b.dead = append(b.dead, dead{r.Record(c.w.tp), deadletter.StageValueConverter, c.decoder, unreadable.Err})
	}
	return nil
}

// fewChanges is what a batch has room for at first; then it has room for as many as a full one usually has.
const fewChanges = 64

func (c *collector) grow(b *Batch) {
	n := len(b.Changes)
	room := fewChanges
	if n >= fewChanges {
		room = max(n+1, min(c.w.limits.records, max(2*n, defaultBatchRecords)))
	}
	b.Changes = append(make([]schema.Change, 0, room), b.Changes...)
	b.origins = append(make([]origin, 0, room), b.origins...)
}
