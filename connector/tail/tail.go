// Package tail shows the records of data topics to people and to other programs: decoded, filtered, as lines.
package tail

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/waltap/waltap/internal/deadletter"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/sink"
)

// Config of a Run.
type Config struct {
	Kafka    *kafka.Client
	Schemas  *sink.Schemas // default: those on the topics of Kafka
	Topic    string
	Start    map[int32]int64 // offset to begin at, of each partition to read
	UntilEnd bool            // end where the topic ended when Run began
	Limit    int             // end after so many records; 0: none
	Filter   Filter
	Printer  Printer
	Flush    func() error // is called when nothing more is there for the moment
	Notes    io.Writer    // what is no record
}

// Summary says what a Run has seen.
type Summary struct{ Shown, Passed, Unreadable int }

const (
	fetchBytes = 1 << 20
	fetchWait  = 500 * time.Millisecond
	retryPause = time.Second
)

var errEnough = errors.New("enough records")

// Run shows records until ctx ends (nil), the end, or an error. Records of one partition come in their order; with UntilEnd the
// partitions come one after the other.
func Run(ctx context.Context, cfg Config) (Summary, error) {
	if cfg.Schemas == nil {
		cfg.Schemas = sink.NewSchemas(cfg.Kafka, nil)
	}
	t := &tailer{cfg: cfg, decoder: cfg.Schemas.NewDecoder()}
	run := t.follow
	if cfg.UntilEnd {
		run = t.read
	}
	err := run(ctx)
	if ctx.Err() != nil || errors.Is(err, errEnough) {
		err = nil
	}
	return t.sum, errors.Join(err, cfg.Flush())
}

// read goes through the partitions up to their ends.
func (t *tailer) read(ctx context.Context) error {
	ends, err := t.cfg.Kafka.EndOffsets(ctx, t.cfg.Topic)
	if err != nil {
		return err
	}
	for _, p := range slices.Sorted(maps.Keys(t.cfg.Start)) {
		tp := kafka.TopicPartition{Topic: t.cfg.Topic, Partition: p}
		if err := t.cfg.Kafka.ReadRange(ctx, tp, t.cfg.Start[p], ends[p], func(r kafka.Record) error { return t.show(ctx, &r) }); err != nil {
			return err
		}
	}
	return nil
}

// follow reads all partitions for ever.
func (t *tailer) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var readers sync.WaitGroup
	for p, offset := range t.cfg.Start {
		readers.Go(func() {
			if err := t.followOne(ctx, kafka.TopicPartition{Topic: t.cfg.Topic, Partition: p}, offset); err != nil {
				cancel(err)
			}
		})
	}
	readers.Wait()
	return context.Cause(ctx)
}

type tailer struct {
	cfg Config

	mu      sync.Mutex // of the printer, the decoder and the counts
	decoder *sink.Decoder
	change  schema.Change
	sum     Summary
}

// followOne reads tp for ever. Kafka being away is waited for.
func (t *tailer) followOne(ctx context.Context, tp kafka.TopicPartition, offset int64) error {
	for {
		res, err := t.cfg.Kafka.Fetch(ctx, tp, offset, fetchBytes, fetchWait)
		var gone *kafka.OffsetOutOfRangeError
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &gone) && gone.LogStart > offset:
			if err := t.note("%s: offsets %d to %d were deleted before they could be read", tp, offset, gone.LogStart-1); err != nil {
				return err
			}
			offset = gone.LogStart
			continue
		case err != nil && kafka.Retriable(err):
			if err := t.note("waiting for Kafka: %v", err); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
			case <-time.After(retryPause):
			}
			continue
		case err != nil:
			return err
		}
		for i := range res.Records {
			if err := t.show(ctx, &res.Records[i]); err != nil {
				return err
			}
		}
		offset = res.NextOffset
		if err := t.flush(); err != nil {
			return err
		}
	}
}

func (t *tailer) flush() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cfg.Flush()
}

func (t *tailer) note(format string, args ...any) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, err := fmt.Fprintf(t.cfg.Notes, format+"\n", args...)
	return err
}

// show prints r, if it passes the filter.
func (t *tailer) show(ctx context.Context, r *kafka.Record) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if t.cfg.Limit > 0 && t.sum.Shown >= t.cfg.Limit {
		return errEnough
	}
	letter, _ := deadletter.Parse(*r) // of a data topic it names none
	err := t.decoder.Decode(ctx, cmp.Or(letter.Topic, t.cfg.Topic), r.Value, &t.change)
	var unreadable *sink.UnreadableError
	switch {
	case err != nil && !errors.As(err, &unreadable):
		return fmt.Errorf("read record %s/%d offset %d: %w", t.cfg.Topic, r.Partition, r.Offset, err)
	case err != nil:
		t.sum.Unreadable++
		if !t.cfg.Filter.Empty() {
			return nil
		}
		err = t.cfg.Printer.Unreadable(r, err)
	case !t.cfg.Filter.Match(&t.change):
		t.sum.Passed++
		return nil
	default:
		err = t.cfg.Printer.Change(r, &t.change)
	}
	if t.sum.Shown++; err == nil && t.cfg.Limit > 0 && t.sum.Shown >= t.cfg.Limit {
		return errEnough
	}
	return err
}
