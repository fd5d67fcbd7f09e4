package sink

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/waltap/waltap/internal/kafka"
)

// Values of Start.Mode. All but StartCommitted move the group, whatever it has committed, each time a process starts while no
// other process of the group runs.
const (
	StartCommitted = "committed" // where the group stands; the log's start when it stands nowhere
	StartEarliest  = "earliest"  // the log's start
	StartLatest    = "latest"    // where the log ended when the process began
	StartTimestamp = "timestamp" // the first record that was produced at or after Start.Time; the log's end when there is none
	StartOffsets   = "offsets"   // Start.Offsets; where the group stands on other partitions
)

// Start says where a sink begins.
type Start struct {
	Mode string // default StartCommitted
	// Time is compared with the time of the Kafka record, which is when the source produced it: not the time of the
	// write at HBase. What a scan or a backlog of WAL brought late is behind it.
	Time    time.Time
	Offsets map[kafka.TopicPartition]int64
}

// position is where a worker stands.
type position struct {
	next int64 // offset to go on at
	from int64 // all changes of [from, next) that are in the log were applied
	// fresh: next is the log's start because nothing was applied yet, so a log that begins later meanwhile is no gap.
	fresh bool
}

// start finds where to begin, and refuses an offset that the log does not hold.
func (w *worker) start(ctx context.Context, committed int64) (position, error) {
	var low, high, at int64
	var there kafka.Position
	err := w.retry(ctx, func() (err error) {
		if low, err = w.offset(ctx, w.cfg.Kafka.StartOffsets); err == nil {
			high, err = w.offset(ctx, w.cfg.Kafka.EndOffsets)
		}
		if at = low; err == nil && committed < 0 && w.cfg.Start.Mode == StartTimestamp { // a topic that was created after the group was moved
			at, err = w.offset(ctx, func(ctx context.Context, topic string) (map[int32]int64, error) {
				return w.cfg.Kafka.OffsetsAt(ctx, topic, w.cfg.Start.Time)
			})
		}
		if err == nil {
			there, err = w.committed(ctx)
		}
		return err
	})
	if err != nil {
		return position{}, fmt.Errorf("read the offsets of %s: %w", w.tp, err)
	}
	begun, moved := w.begun[w.tp]
	switch {
	case committed < 0:
		return position{at, at, at == low}, nil
	case moved && committed == begun && committed <= low:
		return position{low, low, true}, nil
	case committed < low, committed > high:
		return position{}, w.gap(committed, low, high)
	}
	return position{committed, appliedFrom(there, committed), false}, nil
}

func (w *worker) committed(ctx context.Context) (kafka.Position, error) {
	positions, err := w.cfg.Kafka.CommittedPositions(ctx, w.cfg.Group, []kafka.TopicPartition{w.tp})
	return positions[w.tp], err
}

// A committed offset carries a note of the offset from which on everything before it was applied. Whoever else moves the
// group drops the note: then nothing is known.
const noteFrom = "from="

func note(from int64) string { return noteFrom + strconv.FormatInt(from, 10) }

func appliedFrom(p kafka.Position, committed int64) int64 {
	text, ok := strings.CutPrefix(p.Note, noteFrom)
	from, err := strconv.ParseInt(text, 10, 64)
	if !ok || err != nil || p.Offset != committed || from < 0 || from > committed {
		return committed
	}
	return from
}

func (w *worker) offset(ctx context.Context, read func(context.Context, string) (map[int32]int64, error)) (int64, error) {
	offsets, err := read(ctx, w.tp.Topic)
	if err != nil {
		return 0, err
	}
	offset, ok := offsets[w.tp.Partition]
	if !ok {
		return 0, fmt.Errorf("%s is not there: %w", w.tp, kafka.ErrUnknownTopic)
	}
	return offset, nil
}

// outside is what an offset that the log does not hold means for a worker at p: where to go on, or an error.
func (w *worker) outside(p position, err *kafka.OffsetOutOfRangeError) (position, error) {
	if p.fresh && err.LogStart > p.next {
		w.commit.done(w.tp, err.LogStart, err.LogStart)
		return position{err.LogStart, err.LogStart, true}, nil
	}
	return p, w.gap(p.next, err.LogStart, err.LogEnd)
}

func (w *worker) gap(committed, low, high int64) error {
	return &GapError{Group: w.cfg.Group, Topic: w.tp.Topic, Partition: w.tp.Partition, Committed: committed, LogStart: low, LogEnd: high}
}

// GapError says that the group's committed offset is not in the log any more, so that records are lost to this sink.
type GapError struct {
	Group            string
	Topic            string
	Partition        int32
	Committed        int64
	LogStart, LogEnd int64 // -1: could not be read
}

func (e *GapError) Error() string {
	remedy := fmt.Sprintf("copy the tables again; or, to go on without these records, stop the sink and run: waltap offsets reset --group %s --topic %s --to-earliest", e.Group, e.Topic)
	switch {
	case e.LogStart < 0 || e.LogEnd < 0:
		return fmt.Sprintf("%s/%d does not hold offset %d, which group %s has committed, and does not say what it holds: the topic was deleted and created again, or records were deleted; %s",
			e.Topic, e.Partition, e.Committed, e.Group, remedy)
	case e.Committed > e.LogEnd:
		return fmt.Sprintf("%s/%d ends at offset %d, group %s has committed %d: the topic was deleted and created again, or lost its end; %s",
			e.Topic, e.Partition, e.LogEnd, e.Group, e.Committed, remedy)
	}
	return fmt.Sprintf("%s/%d begins at offset %d, group %s has committed %d: the records of offsets %d to %d were deleted before they were applied; %s",
		e.Topic, e.Partition, e.LogStart, e.Group, e.Committed, e.Committed, e.LogStart-1, remedy)
}

// isGap tells whether an error says that the log does not hold an offset.
func isGap(err error) bool {
	var gone *kafka.OffsetOutOfRangeError
	return errors.As(err, &gone)
}
