package sink

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/waltap/waltap/internal/crash"
	"github.com/waltap/waltap/internal/deadletter"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

const (
	minBackoff = 100 * time.Millisecond
	maxBackoff = 5 * time.Second
)

// worker consumes one partition for one generation.
type worker struct {
	*Sink
	tp     kafka.TopicPartition
	commit *committer
	recent *recent
	from   int64 // see position
}

// run fetches ahead of what is applied, one fetch at most, until ctx ends or an error that does not heal.
func (w *worker) run(ctx context.Context, committed int64) error {
	p, err := w.start(ctx, committed)
	if err != nil {
		return err
	}
	w.from = p.from
	if p.next != committed {
		w.commit.done(w.tp, p.next, p.from) // it stands here now, also when nothing more comes
	}
	if !w.recent.warm {
		if err := w.warm(ctx, p); err != nil {
			return err
		}
	}
	fctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	fetched := make(chan kafka.FetchResult)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cancel(w.fetch(fctx, p, fetched))
	}()
	err = w.apply(fctx, ctx, p.next, fetched)
	cancel(err)
	<-ended
	if err == nil {
		err = context.Cause(fctx)
	}
	return err
}

func (w *worker) fetch(ctx context.Context, p position, out chan<- kafka.FetchResult) error {
	for {
		var res kafka.FetchResult
		err := w.retry(ctx, func() (err error) {
			res, err = w.cfg.Kafka.FetchAtLeast(ctx, w.tp, p.next, w.cfg.FetchMinBytes, w.cfg.FetchMaxBytes, w.cfg.FetchWait)
			return err
		})
		var gone *kafka.OffsetOutOfRangeError
		if errors.As(err, &gone) {
			if p, err = w.outside(p, gone); err == nil {
				continue
			}
			return err
		}
		if err != nil {
			return fmt.Errorf("fetch %s from offset %d: %w", w.tp, p.next, err)
		}
		p.fresh = p.fresh && res.NextOffset == p.next
		p.next = res.NextOffset
		select {
		case out <- res:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// apply collects and applies batches, from offset start on, until ctx ends. A batch in hand when the generation gctx ends
// is given drainTimeout to come through.
func (w *worker) apply(ctx, gctx context.Context, start int64, fetched <-chan kafka.FetchResult) error {
	actx, stop := drainContext(gctx)
	defer stop()
	c := collector{w: w, decoder: w.cfg.Schemas.NewDecoder(), behind: start}
	for {
		batch, err := c.next(ctx, fetched)
		if err == nil {
			err = w.deliver(actx, batch)
		}
		if err != nil {
			w.recent.undo(0)
			return err
		}
		crash.Point(crash.AppliedUnmarked)
		w.settle(batch)
		w.commit.done(w.tp, batch.Next, w.from)
		w.report(batch, c.high)
		c.reuse(batch)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// settle takes what was not applied out of a batch that is dealt with.
func (w *worker) settle(b *Batch) {
	if b.Skipped > 0 || len(b.dead) > 0 {
		w.from = b.Next
	}
	applied, superseded := b.Changes[:0], 0
	for i := range b.Changes {
		if !b.origins[i].dead {
			applied = append(applied, b.Changes[i])
			superseded += b.origins[i].superseded
		}
	}
	b.Changes = applied
	w.count(w.tp, len(b.Changes), b.Skipped)
	if superseded > 0 {
		w.cfg.Stats.Superseded(superseded)
	}
}

// drainContext ends drainTimeout after parent.
func drainContext(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(parent))
	stop := context.AfterFunc(parent, func() {
		t := time.AfterFunc(drainTimeout, func() { cancel(context.Cause(parent)) })
		context.AfterFunc(ctx, func() { t.Stop() })
	})
	return ctx, func() { stop(); cancel(context.Canceled) }
}

func (w *worker) report(b *Batch, high int64) {
	newest := int64(0)
	if b.Skipped > 0 {
		w.cfg.Stats.Skipped(b.Skipped)
	}
	for i := 0; i < len(b.Changes); {
		table, cells, n := b.Changes[i].Table, 0, 0
		for ; i < len(b.Changes) && b.Changes[i].Table == table; i++ {
			cells += len(b.Changes[i].Cells)
			newest = max(newest, b.Changes[i].Timestamp)
			n++
		}
		w.cfg.Stats.Applied(table, n, cells, b.Bytes*int64(n)/int64(len(b.Changes)))
	}
	if newest > 0 {
		w.cfg.Stats.Written(newest)
	}
	w.cfg.Stats.Lag(w.tp.Topic, w.tp.Partition, max(0, high-b.Next))
}

// retry repeats f until it succeeds, ctx ends, or its error is one that repeating the same does not heal.
func (w *worker) retry(ctx context.Context, f func() error) error {
	for pause := minBackoff; ; pause = min(2*pause, w.cfg.Errors.RetryDelayMax) {
		err := f()
		if err == nil {
			if pause > minBackoff {
				w.cfg.Stats.Running()
			}
			return nil
		}
		var refused *RefusedError
		if ctx.Err() != nil || permanent(err) || isGap(err) || errors.As(err, &refused) {
			return err
		}
		w.cfg.Stats.Retry(err)
		if serr := sleep(ctx, pause); serr != nil {
			return err
		}
	}
}

// decode reads a record; the error of one that cannot be read is an *UnreadableError. What its reading needs and is away is
// waited for.
func (w *worker) decode(ctx context.Context, d *Decoder, r *kafka.Record, c *schema.Change) error {
	err := d.Decode(ctx, w.tp.Topic, r.Value, c)
	if err == nil {
		return nil
	}
	var unreadable *UnreadableError // on the heap: not for each record
	if errors.As(err, &unreadable) {
		return err
	}
	err = w.retry(ctx, func() error {
		err := d.Decode(ctx, w.tp.Topic, r.Value, c)
		if errors.As(err, &unreadable) {
			return nil
		}
		return err
	})
	switch {
	case unreadable != nil:
		return unreadable
	case err != nil:
		return fmt.Errorf("read record %s offset %d: %w", w.tp, r.Offset, err)
	}
	return nil
}

// collector cuts what is fetched into batches.
type collector struct {
	w       *worker
	decoder *Decoder
	left    []kafka.Record
	behind  int64 // offset behind what was fetched last: behind transaction markers and holes, too
	high    int64 // log end at the last fetch
	stop    error // what the next batch would begin with

	// Of the batch before, which is done with: its changes with their cells, and their origins, are filled again. Made anew for each
	// batch, they took 1021 ns of CPU time a record of one cell instead of 259, and 6 MB a batch (BenchmarkCollect).
	changes []schema.Change
	origins []origin
}

// reuse takes the memory of b, which nobody reads any more. Where changes were taken out of b their cells may stand twice in it.
func (c *collector) reuse(b *Batch) {
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
func (c *collector) next(ctx context.Context, fetched <-chan kafka.FetchResult) (*Batch, error) {
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
func (c *collector) take(res kafka.FetchResult, idle bool) {
	moved := res.NextOffset > c.behind
	c.left, c.behind, c.high = res.Records, res.NextOffset, res.HighWatermark
	if len(res.Records) > 0 {
		return
	}
	c.w.cfg.Stats.Lag(c.w.tp.Topic, c.w.tp.Partition, max(0, res.HighWatermark-res.NextOffset))
	if idle && moved {
		c.w.commit.done(c.w.tp, res.NextOffset, c.w.from)
	}
}

func (c *collector) full(b *Batch) bool {
	return len(b.Changes)+b.Skipped+len(b.dead) >= c.w.cfg.BatchRecords || b.Bytes >= c.w.cfg.BatchBytes
}

// fill moves fetched records into b until it is full, or one of them stops the sink.
func (c *collector) fill(ctx context.Context, b *Batch) {
	for len(c.left) > 0 && !c.full(b) && c.stop == nil {
		r := &c.left[0]
		if c.stop = c.add(ctx, b, r); c.stop != nil {
			return
		}
		if b.First < 0 {
			b.First = r.Offset
		}
		b.Next = r.Offset + 1
		b.Bytes += int64(len(r.Key) + len(r.Value))
		c.left = c.left[1:]
	}
	if len(c.left) == 0 && b.First >= 0 {
		b.Next = max(b.Next, c.behind)
	}
}

// add puts what r is into b: a change, one to be left out, or a dead letter.
func (c *collector) add(ctx context.Context, b *Batch, r *kafka.Record) error {
	if n := len(b.Changes); n < cap(b.Changes) {
		b.Changes = b.Changes[:n+1] // what stands there is decoded over
	} else {
		b.Changes = append(b.Changes, schema.Change{})
	}
	change := &b.Changes[len(b.Changes)-1]
	err := c.w.decode(ctx, c.decoder, r, change)
	if err == nil && !c.w.behindEnd(change) {
		o := origin{record: *r, mark: c.w.recent.mark()}
		o.superseded = c.w.recent.filter(change)
		b.origins = append(b.origins, o)
		return nil
	}
	b.Changes = b.Changes[:len(b.Changes)-1]
	var unreadable *UnreadableError
	switch {
	case err == nil:
		b.Skipped++
	case !errors.As(err, &unreadable):
		return err
	case c.w.cfg.Errors.DeadLetters == nil:
		return c.w.unreadable(r, unreadable.Err)
	default:
		b.dead = append(b.dead, dead{*r, deadletter.StageValueConverter, c.decoder, unreadable.Err})
	}
	return nil
}
