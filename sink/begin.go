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

// beginSlack is added to the session timeout for how long a group that is to be moved may have members: one that died is a
// member until its session ends.
const beginSlack = 5 * time.Second

// begin moves the group to where Config.Start says, once, before this process joins it. The brokers refuse that while
// the group has members: then one of them has moved it, and this process goes on where the group stands.
//
// It is the group that is moved, not each partition by the process that gets it. Else:
//
//	P   latest: begins at offset 100, has applied up to 150
//	Q   joins, gets the partition, latest: begins at 170; 150 to 169 are in nobody's hands
func (s *Sink) begin(ctx context.Context, topics []string) error {
	if s.cfg.Start.Mode == StartCommitted {
		return nil
	}
	start := time.Now()
	for {
		err := s.moveGroup(ctx, topics)
		var running *kafka.RebalanceError
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &running) && time.Since(start) > s.patience:
			s.cfg.Log.Warn("other processes of the group are running: this one goes on where the group stands; to move it, stop them all first",
				"group", s.cfg.Group, "consumer.start", s.cfg.Start.Mode)
			return nil
		case errors.As(err, &running):
			s.cfg.Stats.Waiting("consumer.start: waiting for the group's members to stop, or to be found dead")
		case !kafka.Retriable(err):
			return err
		default:
			s.cfg.Stats.Retry(err)
		}
		if err := sleep(ctx, minBackoff); err != nil {
			return err
		}
	}
}

// moveGroup commits the offsets that Config.Start asks for and accepts the topics as they are now.
func (s *Sink) moveGroup(ctx context.Context, topics []string) error {
	now, err := s.look(ctx, topics)
	if err != nil {
		return err
	}
	if err := s.checkStart(now); err != nil {
		return err
	}
	next := make(map[kafka.TopicPartition]int64)
	for _, topic := range topics {
		if err := s.asked(ctx, topic, next); err != nil {
			return err
		}
	}
	if err := s.cfg.Kafka.CommitOffsets(ctx, s.cfg.Group, next); err != nil {
		return err
	}
	s.checking.Lock()
	defer s.checking.Unlock()
	for _, topic := range topics {
		if !covers(next, topic, now[topic].Partitions) {
			continue // where it is not moved, its committed offset counts, and so does what was seen of it
		}
		if err := s.seeTopic(ctx, topic, now[topic]); err != nil {
			return err
		}
	}
	if s.cfg.Start.Mode == StartEarliest {
		s.begun = next
	}
	s.cfg.Log.Info("the group was moved", "group", s.cfg.Group, "consumer.start", s.cfg.Start.Mode, "partitions", len(next))
	return nil
}

// asked adds where Config.Start begins on topic to next.
func (s *Sink) asked(ctx context.Context, topic string, next map[kafka.TopicPartition]int64) error {
	low, err := s.cfg.Kafka.StartOffsets(ctx, topic)
	if err != nil {
		return err
	}
	high, err := s.cfg.Kafka.EndOffsets(ctx, topic)
	if err != nil {
		return err
	}
	at := low
	if s.cfg.Start.Mode == StartTimestamp {
		if at, err = s.cfg.Kafka.OffsetsAt(ctx, topic, s.cfg.Start.Time); err != nil {
			return err
		}
	}
	for p := range low {
		tp := kafka.TopicPartition{Topic: topic, Partition: p}
		switch s.cfg.Start.Mode {
		case StartOffsets:
			offset, named := s.cfg.Start.Offsets[tp]
			if named && (offset < low[p] || offset > high[p]) {
				return &PermanentError{fmt.Errorf("consumer.start: %s holds offsets %d to %d, not %d", tp, low[p], high[p], offset)}
			}
			if named {
				next[tp] = offset
			}
		case StartLatest:
			// A topic that was created after this process had begun holds nothing that is older than it.
			next[tp] = min(max(low[p], s.ends[tp]), high[p])
		default:
			next[tp] = at[p]
		}
	}
	return nil
}

// noteEnds remembers where the logs ended when this process began: that is its "latest".
func (s *Sink) noteEnds(ctx context.Context, topics []string) error {
	if s.cfg.Start.Mode != StartLatest || s.ends != nil {
		return nil
	}
	ends := make(map[kafka.TopicPartition]int64)
	for _, topic := range topics {
		offsets, err := s.cfg.Kafka.EndOffsets(ctx, topic)
		if err != nil {
			return err
		}
		for p, end := range offsets {
			ends[kafka.TopicPartition{Topic: topic, Partition: p}] = end
		}
	}
	s.ends = ends
	return nil
}

// covers tells whether next has every partition of topic.
func covers(next map[kafka.TopicPartition]int64, topic string, partitions int32) bool {
	for p := range partitions {
		if _, ok := next[kafka.TopicPartition{Topic: topic, Partition: p}]; !ok {
			return false
		}
	}
	return partitions > 0
}

// checkStart refuses offsets of partitions that the sink does not read.
func (s *Sink) checkStart(topics map[string]seen) error {
	var errs []error
	for _, tp := range slices.SortedFunc(maps.Keys(s.cfg.Start.Offsets), comparePartitions) {
		if tp.Partition >= topics[tp.Topic].Partitions {
			errs = append(errs, fmt.Errorf("consumer.start names %s, which is none of the partitions that this sink reads", tp))
		}
	}
	if len(errs) > 0 {
		return &PermanentError{errors.Join(errs...)}
	}
	return nil
}
