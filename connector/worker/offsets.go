package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/herder"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/source/tasks"
)

// The fields of a sink's partitions and offsets, as Kafka Connect has them.
const (
	fieldTopic     = "kafka_topic"
	fieldPartition = "kafka_partition"
	fieldOffset    = "kafka_offset"
)

const messageAltered = "The offsets for this connector have been altered successfully"

const messageReset = "The offsets for this connector have been reset successfully"

// Offsets implements herder.Herder.
func (w *Worker) Offsets(ctx context.Context, name string) ([]herder.Offset, error) {
	_, c, err := w.configOf(ctx, name)
	if err != nil {
		return nil, err
	}
	if c.Sink != nil {
		return w.sinkOffsets(ctx, c.Sink)
	}
	out := []herder.Offset{}
	err = w.progress(ctx, c, func(s *checkpoint.Store) error {
		return s.Each(name, func(partition map[string]string, offset json.RawMessage) error {
			o := herder.Offset{Partition: make(map[string]any, len(partition))}
			for k, v := range partition {
				o.Partition[k] = v
			}
			if err := json.Unmarshal(offset, &o.Offset); err != nil {
				return fmt.Errorf("read an offset of connector %s: %w", name, err)
			}
			out = append(out, o)
			return nil
		})
	})
	return out, err
}

// progress opens the offsets topic of a source.
func (w *Worker) progress(ctx context.Context, c *config.Connector, f func(*checkpoint.Store) error) error {
	if w.cfg.Kafka == nil {
		return herder.Errorf(herder.NotReady, "Kafka is not connected")
	}
	topic, _ := w.cfg.Process.OffsetsTopic(c.Source.TopicPrefix)
	if _, err := w.cfg.Kafka.Topic(ctx, topic); err != nil {
		if errors.Is(err, kafka.ErrUnknownTopic) {
			return nil // it has not started yet
		}
		return err
	}
	s, err := checkpoint.Open(ctx, w.cfg.Kafka, topic)
	if err != nil {
		return err
	}
	defer s.Close()
	return f(s)
}

// sinkTopics lists the partitions that a sink reads.
func (w *Worker) sinkTopics(ctx context.Context, s *config.Sink) ([]kafka.TopicPartition, error) {
	infos, err := w.cfg.Kafka.Topics(ctx)
	if err != nil {
		return nil, err
	}
	var out []kafka.TopicPartition
	for _, t := range infos {
		for p := range t.Partitions {
			if s.MatchTopic(t.Name) {
				out = append(out, kafka.TopicPartition{Topic: t.Name, Partition: p})
			}
		}
	}
	return out, nil
}

func (w *Worker) sinkOffsets(ctx context.Context, s *config.Sink) ([]herder.Offset, error) {
	tps, err := w.sinkTopics(ctx, s)
	if err != nil {
		return nil, err
	}
	committed, err := w.cfg.Kafka.CommittedOffsets(ctx, s.GroupID, tps)
	if err != nil {
		return nil, err
	}
	out := []herder.Offset{}
	for _, tp := range tps {
		if at := committed[tp]; at >= 0 {
			out = append(out, herder.Offset{Partition: map[string]any{fieldTopic: tp.Topic, fieldPartition: tp.Partition}, Offset: map[string]any{fieldOffset: at}})
		}
	}
	return out, nil
}

// stopped finds a connector whose offsets may be changed: one that is to be stopped and that no worker runs any more.
func (w *Worker) stopped(ctx context.Context, name string) (*config.Connector, error) {
	e, c, err := w.configOf(ctx, name)
	if err != nil {
		return nil, err
	}
	if e.Target != herder.TargetStopped {
		return nil, herder.ErrNotStopped(name)
	}
	group := tasks.Group(name)
	if c.Sink != nil {
		group = c.Sink.GroupID
	}
	members, err := w.cfg.Kafka.GroupMembers(ctx, group)
	if err != nil {
		return nil, err
	}
	if len(members) > 0 {
		return nil, herder.Errorf(herder.Conflict, "Connector %s is stopping: its group %s has %d members yet; send the request again", name, group, len(members))
	}
	return c, nil
}

// AlterOffsets implements herder.Herder.
func (w *Worker) AlterOffsets(ctx context.Context, name string, offsets []herder.Offset) (string, error) {
	c, err := w.stopped(ctx, name)
	if err != nil {
		return "", err
	}
	if c.Sink != nil {
		return messageAltered, w.alterSink(ctx, c.Sink, offsets)
	}
	return messageAltered, w.progress(ctx, c, func(s *checkpoint.Store) error {
		partitions := make([]map[string]string, len(offsets))
		for i, o := range offsets {
			p := make(map[string]string, len(o.Partition))
			for k, v := range o.Partition {
				text, ok := v.(string)
				if !ok {
					return herder.Errorf(herder.Refused, "partition %v: waltap's are made of texts, see GET /connectors/%s/offsets", o.Partition, name)
				}
				p[k] = text
			}
			var was json.RawMessage
			if ok, err := s.Get(name, p, &was); err != nil {
				return err
			} else if !ok {
				return herder.Errorf(herder.Refused, "partition %v is none of connector %s's, see GET /connectors/%s/offsets", o.Partition, name, name)
			}
			if err := sameForm(was, o.Offset); err != nil {
				return herder.Errorf(herder.Refused, "offset %v of partition %v: %v, see GET /connectors/%s/offsets", o.Offset, o.Partition, err, name)
			}
			partitions[i] = p
		}
		for i, o := range offsets {
			var err error
			if o.Offset == nil {
				err = s.Delete(ctx, name, partitions[i])
			} else {
				err = s.Put(ctx, name, partitions[i], o.Offset)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// sameForm finds a field of an offset that the one before does not have, or that is of another type there.
func sameForm(was json.RawMessage, next map[string]any) error {
	var old map[string]any
	if err := json.Unmarshal(was, &old); err != nil {
		return err
	}
	for k, v := range next {
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		var plain any // as old was read
		if err := json.Unmarshal(b, &plain); err != nil {
			return err
		}
		if before, known := old[k]; !known {
			return fmt.Errorf("there is no field %q", k)
		} else if fmt.Sprintf("%T", before) != fmt.Sprintf("%T", plain) {
			return fmt.Errorf("field %q is of another type", k)
		}
	}
	return nil
}

func (w *Worker) alterSink(ctx context.Context, s *config.Sink, offsets []herder.Offset) error {
	next := make(map[kafka.TopicPartition]int64)
	var none []kafka.TopicPartition
	for _, o := range offsets {
		topic, ok := o.Partition[fieldTopic].(string)
		p, pok := integer(o.Partition[fieldPartition])
		if !ok || !pok || p < 0 {
			return herder.Errorf(herder.BadRequest, "The partition for a sink connector offset must contain the keys '%s' (a text) and '%s' (an integer); it is %v", fieldTopic, fieldPartition, o.Partition)
		}
		tp := kafka.TopicPartition{Topic: topic, Partition: int32(p)}
		if o.Offset == nil {
			none = append(none, tp)
			continue
		}
		at, ok := integer(o.Offset[fieldOffset])
		if !ok {
			return herder.Errorf(herder.BadRequest, "The offset for a sink connector should contain the key '%s' (an integer); it is %v", fieldOffset, o.Offset)
		}
		if at < 0 {
			return herder.Errorf(herder.Refused, "The offset %d of %s is below 0", at, tp)
		}
		next[tp] = at
	}
	if len(next) > 0 {
		if err := w.cfg.Kafka.CommitOffsets(ctx, s.GroupID, maps.Clone(next)); err != nil {
			return err
		}
	}
	return w.cfg.Kafka.DeleteOffsets(ctx, s.GroupID, none)
}

// integer reads a number or the text of one.
func integer(v any) (int64, bool) {
	switch n := v.(type) {
	case json.Number:
		i, err := n.Int64()
		return i, err == nil
	case float64:
		return int64(n), n == float64(int64(n))
	case int64:
		return n, true
	case int32:
		return int64(n), true
	case int:
		return int64(n), true
	case string:
		i, err := strconv.ParseInt(n, 10, 64)
		return i, err == nil
	}
	return 0, false
}

// ResetOffsets implements herder.Herder.
func (w *Worker) ResetOffsets(ctx context.Context, name string) (string, error) {
	c, err := w.stopped(ctx, name)
	if err != nil {
		return "", err
	}
	if c.Sink != nil {
		tps, err := w.sinkTopics(ctx, c.Sink)
		if err != nil {
			return "", err
		}
		return messageReset, w.cfg.Kafka.DeleteOffsets(ctx, c.Sink.GroupID, tps)
	}
	return messageReset, w.progress(ctx, c, func(s *checkpoint.Store) error {
		var all []map[string]string
		err := s.Each(name, func(partition map[string]string, _ json.RawMessage) error { all = append(all, partition); return nil })
		for _, p := range all {
			if err == nil {
				err = s.Delete(ctx, name, p)
			}
		}
		return err
	})
}
