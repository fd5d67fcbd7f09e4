package sink

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/waltap/waltap/internal/deadletter"
	"github.com/waltap/waltap/internal/kafka"
)

// PermanentError is an error that repeating does not heal: the sink stops and shows it.
type PermanentError struct{ Err error }

func (e *PermanentError) Error() string { return e.Err.Error() }

func (e *PermanentError) Unwrap() error { return e.Err }

// RefusedError says that one change of a batch is to blame: the target refuses it, and would refuse it again.
type RefusedError struct {
	Change int // its index in Batch.Changes; -1: not known, the sink finds it
	Err    error
}

func (e *RefusedError) Error() string { return e.Err.Error() }

func (e *RefusedError) Unwrap() error { return e.Err }

// Errors says what becomes of what cannot be applied.
type Errors struct {
	// DeadLetters, if set, takes the records that cannot be read and the changes that the target refuses; the sink goes on
	// behind them. Nil: the sink stops before the first one.
	DeadLetters *deadletter.Queue
	// RetryTimeout is how long a batch that fails for another reason is repeated before the sink stops; 0: for ever. The
	// pause between two attempts grows up to RetryDelayMax; default 5s.
	RetryTimeout, RetryDelayMax time.Duration
}

func permanent(err error) bool {
	var p *PermanentError
	return errors.As(err, &p)
}

// dead is a record that is not applied.
type dead struct {
	record kafka.Record
	stage  string
	worker any // what was at work
	err    error
}

// origin is what a change of a batch was made of.
type origin struct {
	record     *kafka.RawRecord
	mark       int // of the memory of recent cells, before the change was remembered
	superseded int // cells that were left out
	dead       bool
}

// deliver applies b, but for the changes that the target refuses: with a dead-letter topic these join b.dead, without one the first of
// them is an error, and all before it is applied.
func (w *worker) deliver(ctx context.Context, b *Batch) error {
	if err := w.applyRange(ctx, b, 0, len(b.Changes)); err != nil {
		return err
	}
	if len(b.dead) == 0 {
		return nil
	}
	letters := make([]deadletter.Letter, len(b.dead))
	for i, d := range b.dead {
		letters[i] = deadletter.New(d.record, d.stage, d.worker, d.err)
	}
	w.cfg.Log.Warn("records go to the dead-letter topic", "topic", w.tp.Topic, "partition", w.tp.Partition, "records", len(letters),
		"to", w.cfg.Errors.DeadLetters.Topic(), "first", b.dead[0].record.Offset, "error", b.dead[0].err)
	err := w.retry(ctx, func() error {
		err := w.cfg.Errors.DeadLetters.Send(ctx, letters)
		if err != nil && !kafka.Retriable(err) {
			return &PermanentError{err}
		}
		return err
	})
	if err == nil {
		w.cfg.Stats.DeadLettered(len(letters))
	}
	return err
}

// applyRange applies the changes [lo, hi) of b in their order. What precedes a refused change is applied before that is
// dealt with, so a row's changes keep their order; what follows it is applied behind it.
func (w *worker) applyRange(ctx context.Context, b *Batch, lo, hi int) error {
	for lo < hi {
		part := b.part(lo, hi)
		err := w.retryApply(ctx, part)
		var refused *RefusedError
		switch {
		case err == nil:
			return nil
		case !errors.As(err, &refused):
			return fmt.Errorf("apply %s offsets %d to %d: %w", w.tp, b.origins[lo].record.Offset, b.origins[hi-1].record.Offset, err)
		case hi-lo == 1:
			return w.refuse(ctx, b, lo, refused)
		}
		// The part up to mid has the change to blame, or it is the one at mid.
		mid := lo + (hi-lo)/2
		known := refused.Change >= 0 && refused.Change < hi-lo
		if known {
			mid = lo + refused.Change
		}
		if err := w.applyRange(ctx, b, lo, mid); err != nil {
			return err
		}
		if lo = mid; known {
			if err := w.refuse(ctx, b, mid, refused); err != nil {
				return err
			}
			lo++
		}
	}
	return nil
}

// refuse puts change i of b among the dead letters, or stops before it.
func (w *worker) refuse(ctx context.Context, b *Batch, i int, refused *RefusedError) error {
	r := b.origins[i].record
	if w.cfg.Errors.DeadLetters != nil {
		b.dead = append(b.dead, dead{r.Record(w.tp), deadletter.StagePut, w.applier, refused.Err})
		b.origins[i].dead = true
		return w.refilter(ctx, b, i)
	}
	if i > 0 {
		if b.Skipped > 0 {
			w.from = r.Offset
		}
		w.commit.done(w.tp, r.Offset, w.from)
	}
	c := &b.Changes[i]
	return &PermanentError{fmt.Errorf("apply record %s offset %d (table %s, row %q): the target refuses it: %w; mend that, or %s",
		w.tp, r.Offset, c.Table, c.Row, refused.Err, w.aside(r.Offset))}
}

// refilter looks again at the changes of b behind change i, which is not applied: cells of theirs may have been left out
// because of it.
func (w *worker) refilter(ctx context.Context, b *Batch, i int) error {
	if !slices.ContainsFunc(b.origins[i+1:], func(o origin) bool { return o.superseded > 0 }) {
		end := w.recent.mark()
		if i+1 < len(b.origins) {
			end = b.origins[i+1].mark
		}
		w.recent.forget(b.origins[i].mark, end)
		return nil
	}
	w.recent.undo(b.origins[i].mark)
	decoder := w.cfg.Schemas.NewDecoder()
	for j := i + 1; j < len(b.Changes); j++ {
		o := &b.origins[j]
		if err := w.decode(ctx, decoder, o.record, &b.Changes[j]); err != nil {
			return err
		}
		o.mark = w.recent.mark()
		o.superseded = w.recent.filter(&b.Changes[j])
	}
	return nil
}

// unreadable is what a record that is no change means for a sink without a dead-letter topic.
func (w *worker) unreadable(r *kafka.RawRecord, err error) error {
	return &PermanentError{fmt.Errorf("read record %s offset %d: %w; it was not written by waltap, or by a newer release, or is damaged: upgrade, or %s",
		w.tp, r.Offset, err, w.aside(r.Offset))}
}

// aside is how an operator gets past a record.
func (w *worker) aside(offset int64) string {
	return fmt.Sprintf("put such records aside with errors.tolerance: all and errors.deadletterqueue.topic.name, or stop the sink and go on behind this one: waltap offsets set --group %s --topic %s %s=%d",
		w.cfg.Group, w.tp.Topic, w.tp, offset+1)
}

// retryApply repeats b for as long as Config.Errors says.
func (w *worker) retryApply(ctx context.Context, b *Batch) error {
	start := time.Now()
	return w.retry(ctx, func() error {
		err := w.applier.Apply(ctx, b)
		if err != nil { // else it is told when the batch is through
			w.cfg.Stats.Lag(w.tp.Topic, w.tp.Partition, max(0, w.high.Load()-b.First))
		}
		var refused *RefusedError
		switch timeout := w.cfg.Errors.RetryTimeout; {
		case err == nil, permanent(err), timeout == 0, ctx.Err() != nil, errors.As(err, &refused):
			return err
		case time.Since(start) >= timeout:
			return &PermanentError{fmt.Errorf("%w; it was repeated for %s (errors.retry.timeout)", err, time.Since(start).Round(time.Millisecond))}
		}
		return err
	})
}

// part is the changes [lo, hi) of b as a batch of their own.
func (b *Batch) part(lo, hi int) *Batch {
	if lo == 0 && hi == len(b.Changes) {
		return b
	}
	return &Batch{Topic: b.Topic, Partition: b.Partition, First: b.origins[lo].record.Offset, Next: b.origins[hi-1].record.Offset + 1,
		Changes: b.Changes[lo:hi:hi], origins: b.origins[lo:hi:hi]}
}
