package sink

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/waltap/waltap/internal/kafka"
)

// Values of Start.Mode. All but StartCommitted ignore what the group has committed, each time a process starts.
const (
	StartCommitted = "committed" // where the group stands; the log's start when it stands nowhere
	StartEarliest  = "earliest"  // the log's start
	StartLatest    = "latest"    // the log's end
	StartTimestamp = "timestamp" // the first record that was produced at or after Start.Time; the log's end when there is none
	StartOffsets   = "offsets"   // Start.Offsets; where the group stands on other partitions
)

// Start says where a sink begins on a partition that this process gets for the first time.
type Start struct {
	Mode string // default StartCommitted
	// Time is compared with the time of the Kafka record, which is when the source produced it: not the time of the
	// write at HBase. What a scan or a backlog of WAL brought late is behind it.
	Time    time.Time
	Offsets map[kafka.TopicPartition]int64
}

// start finds the offset to begin at, and refuses one that the log does not hold.
func (w *worker) start(ctx context.Context, committed int64) (int64, error) {
	w.mu.Lock()
	first := !w.started[w.tp]
	w.started[w.tp] = true
	w.mu.Unlock()
	var at, low, high int64
	err := w.retry(ctx, func() (err error) {
		if low, err = w.offset(ctx, w.cfg.Kafka.StartOffsets); err == nil {
			high, err = w.offset(ctx, w.cfg.Kafka.EndOffsets)
		}
		if err == nil && first && w.cfg.Start.Mode == StartTimestamp {
			at, err = w.offset(ctx, func(ctx context.Context, topic string) (map[int32]int64, error) {
				return w.cfg.Kafka.OffsetsAt(ctx, topic, w.cfg.Start.Time)
			})
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("read the offsets of %s: %w", w.tp, err)
	}
	if first {
		switch w.cfg.Start.Mode {
		case StartEarliest:
			return low, nil
		case StartLatest:
			return high, nil
		case StartTimestamp:
			return at, nil
		case StartOffsets:
			if asked, ok := w.cfg.Start.Offsets[w.tp]; ok && (asked < low || asked > high) {
				return 0, &PermanentError{fmt.Errorf("consumer.start: %s holds offsets %d to %d, not %d", w.tp, low, high, asked)}
			} else if ok {
				return asked, nil
			}
		}
	}
	switch {
	case committed < 0:
		return low, nil
	case committed < low, committed > high:
		return 0, w.gap(committed, low, high)
	}
	return committed, nil
}

func (w *worker) offset(ctx context.Context, read func(context.Context, string) (map[int32]int64, error)) (int64, error) {
	offsets, err := read(ctx, w.tp.Topic)
	return offsets[w.tp.Partition], err
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
	LogStart, LogEnd int64
}

func (e *GapError) Error() string {
	remedy := fmt.Sprintf("copy the tables again; or, to go on without these records, stop the sink and run: waltap offsets reset --group %s --topic %s --to-earliest", e.Group, e.Topic)
	if e.Committed > e.LogEnd {
		return fmt.Sprintf("%s/%d ends at offset %d, group %s has committed %d: the topic was deleted and created again, or lost its end; %s",
			e.Topic, e.Partition, e.LogEnd, e.Group, e.Committed, remedy)
	}
	return fmt.Sprintf("%s/%d begins at offset %d, group %s has committed %d: the records of offsets %d to %d were deleted before they were applied; %s",
		e.Topic, e.Partition, e.LogStart, e.Group, e.Committed, e.Committed, e.LogStart-1, remedy)
}

// checkStart refuses offsets of partitions that the sink does not read.
func (s *Sink) checkStart(partitions map[string]int32) error {
	var errs []error
	for _, tp := range slices.SortedFunc(maps.Keys(s.cfg.Start.Offsets), comparePartitions) {
		if n, ok := partitions[tp.Topic]; !ok || tp.Partition >= n {
			errs = append(errs, fmt.Errorf("consumer.start names %s, which is none of the partitions that this sink reads", tp))
		}
	}
	if len(errs) > 0 {
		return &PermanentError{errors.Join(errs...)}
	}
	return nil
}
