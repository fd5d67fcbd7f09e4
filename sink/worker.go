package sink

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/waltap/waltap/internal/crash"
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
	limits limits
	from   int64        // see position
	high   atomic.Int64 // log end at the last fetch
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
	fetched := make(chan *kafka.RawFetch)
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

func (w *worker) fetch(ctx context.Context, p position, out chan<- *kafka.RawFetch) error {
	for {
		res := w.fetches.get()
		spec := kafka.FetchSpec{Offset: p.next, MinBytes: w.cfg.FetchMinBytes, MaxBytes: w.limits.fetchBytes, MaxWait: w.cfg.FetchWait}
		err := w.retry(ctx, func() error { return w.cfg.Kafka.FetchRaw(ctx, w.tp, spec, res) })
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
		w.high.Store(res.HighWatermark)
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
func (w *worker) apply(ctx, gctx context.Context, start int64, fetched <-chan *kafka.RawFetch) error {
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
	applied, superseded := 0, 0
	for i := range b.Changes {
		if b.origins[i].dead {
			continue
		}
		if applied < i {
			b.Changes[applied] = b.Changes[i]
		}
		applied++
		superseded += b.origins[i].superseded
	}
	b.Changes = b.Changes[:applied]
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
func (w *worker) decode(ctx context.Context, d *Decoder, r *kafka.RawRecord, c *schema.Change) error {
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
