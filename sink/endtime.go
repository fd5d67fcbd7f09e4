package sink

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

// Summary says how a run that ended at its end time went.
type Summary struct {
	EndTime    time.Time
	Estimated  bool // a source's watermark was an estimate, not proved
	Partitions []PartitionSummary
}

// PartitionSummary is one partition of the group.
type PartitionSummary struct {
	kafka.TopicPartition
	Offset  int64 // where the group stands, of all its members
	Applied int64 // changes this process has applied
	Skipped int64 // changes this process has left out, as they were written after the end time
}

type counts struct{ applied, skipped int64 }

// behindEnd tells whether c is left out because of the end time. Scan records never are: the time of their read says nothing
// about their cells.
func (s *Sink) behindEnd(c *schema.Change) bool {
	return !s.cfg.EndTime.IsZero() && c.Source.Kind == schema.KindWAL && c.Timestamp > s.cfg.EndTime.UnixMilli()
}

func (s *Sink) count(tp kafka.TopicPartition, applied, skipped int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counts[tp]
	s.counts[tp] = counts{c.applied + int64(applied), c.skipped + int64(skipped)}
}

// ending finds out whether everything up to the end time has been applied.
type ending struct {
	*Sink
	next  map[kafka.TopicPartition]int64   // how far the watermark topics were read
	marks map[string]*checkpoint.Watermark // the newest of each source, by topic and connector
}

// watchEnd calls ended with the summary when the run is over.
func (s *Sink) watchEnd(ctx context.Context, ended func(*Summary)) error {
	e := &ending{Sink: s, next: make(map[kafka.TopicPartition]int64), marks: make(map[string]*checkpoint.Watermark)}
	for sleep(ctx, s.endInterval) == nil {
		summary, waitsFor, err := e.look(ctx)
		switch {
		case summary != nil:
			ended(summary)
			return nil
		case ctx.Err() != nil:
			return nil
		case err != nil && !kafka.Retriable(err):
			return fmt.Errorf("find out whether the end time was reached: %w", err)
		case err != nil:
			s.cfg.Stats.Retry(err)
		default:
			s.cfg.Stats.Ending(waitsFor)
		}
	}
	return nil
}

// look returns the summary, or what the end waits for.
func (e *ending) look(ctx context.Context) (*Summary, string, error) {
	infos, err := e.cfg.Kafka.Topics(ctx)
	if err != nil {
		return nil, "", err
	}
	if err := e.readWatermarks(ctx, infos); err != nil {
		return nil, "", err
	}
	// Listed after the watermarks were read: a topic that one of them names is among them.
	if infos, err = e.cfg.Kafka.Topics(ctx); err != nil {
		return nil, "", err
	}
	need := make(map[kafka.TopicPartition]int64) // what must be committed
	partitions := make(map[string]int32)
	for _, t := range infos {
		if e.wants(t.Name) {
			partitions[t.Name] = t.Partitions
		}
	}
	estimated := false
	for _, key := range slices.Sorted(maps.Keys(e.marks)) {
		w := e.marks[key]
		if !e.feeds(w) {
			continue
		}
		at := time.UnixMilli(w.Time)
		if at.Add(-e.cfg.Margin).Before(e.cfg.EndTime) {
			return nil, fmt.Sprintf("end.time: waiting for the watermark of %s, which is at %s", w.Connector, at.UTC().Format(time.RFC3339)), nil
		}
		estimated = estimated || w.Estimated
		for topic, offsets := range w.Offsets {
			if !e.wants(topic) {
				continue
			}
			if partitions[topic] == 0 {
				return nil, fmt.Sprintf("end.time: waiting for topic %s, which the watermark of %s covers and which is not there", topic, w.Connector), nil
			}
			for p, offset := range offsets {
				tp := kafka.TopicPartition{Topic: topic, Partition: p}
				need[tp] = max(need[tp], offset)
			}
		}
	}
	return e.reached(ctx, partitions, need, estimated)
}

// feeds tells whether a watermark is of a source of this sink.
func (e *ending) feeds(w *checkpoint.Watermark) bool {
	for topic := range w.Offsets {
		if e.wants(topic) {
			return true
		}
	}
	return false
}

// reached compares what the whole group has committed with what the watermarks cover.
func (e *ending) reached(ctx context.Context, partitions map[string]int32, need map[kafka.TopicPartition]int64, estimated bool) (*Summary, string, error) {
	var all []kafka.TopicPartition
	for topic, n := range partitions {
		for p := range n {
			tp := kafka.TopicPartition{Topic: topic, Partition: p}
			if _, covered := need[tp]; !covered {
				return nil, fmt.Sprintf("end.time: waiting for a watermark that covers %s; a source publishes it while it runs", tp), nil
			}
			all = append(all, tp)
		}
	}
	committed, err := e.cfg.Kafka.CommittedOffsets(ctx, e.cfg.Group, all)
	if err != nil {
		return nil, "", err
	}
	slices.SortFunc(all, comparePartitions)
	s := &Summary{EndTime: e.cfg.EndTime, Estimated: estimated}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, tp := range all {
		if max(0, committed[tp]) < need[tp] {
			return nil, fmt.Sprintf("end.time: %s is committed up to offset %d, the end is at %d or later", tp, max(0, committed[tp]), need[tp]), nil
		}
		c := e.counts[tp]
		s.Partitions = append(s.Partitions, PartitionSummary{TopicPartition: tp, Offset: max(0, committed[tp]), Applied: c.applied, Skipped: c.skipped})
	}
	return s, "", nil
}

// readWatermarks reads what was published since the last time.
func (e *ending) readWatermarks(ctx context.Context, infos []kafka.TopicInfo) error {
	there := make(map[string]bool)
	for _, t := range infos {
		prefix, is := strings.CutPrefix(t.Name, schema.WatermarksTopic(""))
		if !is || !e.reads(prefix, infos) {
			continue
		}
		there[t.Name] = true
		ends, err := e.cfg.Kafka.EndOffsets(ctx, t.Name)
		if err != nil {
			return err
		}
		for p, end := range ends {
			tp := kafka.TopicPartition{Topic: t.Name, Partition: p}
			if end < e.next[tp] { // created again
				e.forget(t.Name)
			}
			if err := e.cfg.Kafka.ReadRange(ctx, tp, e.next[tp], end, e.mark); err != nil {
				return err
			}
			e.next[tp] = end
		}
	}
	for tp := range e.next {
		if !there[tp.Topic] {
			e.forget(tp.Topic)
		}
	}
	return nil
}

// reads tells whether the sink reads topics of a source with this prefix: the watermarks of others are none of its business.
func (e *ending) reads(prefix string, infos []kafka.TopicInfo) bool {
	return slices.ContainsFunc(infos, func(t kafka.TopicInfo) bool { return e.wants(t.Name) && strings.HasPrefix(t.Name, prefix+".") })
}

// forget drops what was read of a watermark topic that is not there any more.
func (e *ending) forget(topic string) {
	maps.DeleteFunc(e.next, func(tp kafka.TopicPartition, _ int64) bool { return tp.Topic == topic })
	maps.DeleteFunc(e.marks, func(key string, _ *checkpoint.Watermark) bool { return strings.HasPrefix(key, topic+" ") })
}

func (e *ending) mark(r kafka.Record) error {
	key := r.Topic + " " + string(r.Key)
	if len(r.Value) == 0 {
		delete(e.marks, key)
		return nil
	}
	w, err := checkpoint.ParseWatermark(r.Value)
	if err != nil {
		return &PermanentError{fmt.Errorf("%s offset %d: %w", r.Topic, r.Offset, err)}
	}
	e.marks[key] = w
	return nil
}
