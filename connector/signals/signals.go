// Package signals reads signals of a source from a Kafka topic, as Debezium's Kafka channel does: the key of a record is the source's
// topic.prefix, the value a signal as JSON.
package signals

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/waltap/waltap/connector/herder"
	"github.com/waltap/waltap/internal/kafka"
)

// Config of a listener.
type Config struct {
	Kafka     *kafka.Client
	Topic     string // it must exist and have one partition, so that signals are in order
	Connector string
	Prefix    string // topic.prefix, the key of the connector's signals
	// Handle carries a signal out. One that is refused (herder.BadRequest) is logged and left behind; with any other error it is tried again.
	Handle func(context.Context, herder.Signal) error
	Log    *slog.Logger
}

const (
	fetchWait  = 500 * time.Millisecond
	fetchBytes = 1 << 20
	retryPause = time.Second
)

// Group is the consumer group under which a connector's place on the topic is committed.
func Group(connector string) string { return "waltap-signals-" + connector }

// Listen carries out the signals of a connector until ctx ends. It begins at the end of the topic when it has never run, else behind
// the last signal that was carried out: one that is carried out while the process dies is carried out again.
func Listen(ctx context.Context, c Config) error {
	tp := kafka.TopicPartition{Topic: c.Topic}
	next, err := c.begin(ctx, tp)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		got, err := c.Kafka.Fetch(ctx, tp, next, fetchBytes, fetchWait)
		if err != nil {
			if ctx.Err() == nil {
				c.Log.Warn("the signal topic cannot be read at the moment", "topic", c.Topic, "error", err)
			}
			pause(ctx)
			continue
		}
		for _, r := range got.Records {
			if r.Offset < next {
				continue
			}
			if string(r.Key) == c.Prefix && r.Value != nil {
				if !c.handle(ctx, r) {
					return nil
				}
			}
			next = r.Offset + 1
		}
		if len(got.Records) > 0 {
			if err := c.Kafka.CommitOffsets(ctx, Group(c.Connector), map[kafka.TopicPartition]int64{tp: next}); err != nil && ctx.Err() == nil {
				c.Log.Warn("the place on the signal topic cannot be committed: after a restart its last signals are carried out again", "topic", c.Topic, "error", err)
			}
		}
	}
	return nil
}

// begin finds where to go on.
func (c *Config) begin(ctx context.Context, tp kafka.TopicPartition) (int64, error) {
	info, err := c.Kafka.Topic(ctx, c.Topic)
	if err != nil {
		return 0, fmt.Errorf("read signal.kafka.topic %s: %w; create it with one partition", c.Topic, err)
	}
	if info.Partitions != 1 {
		return 0, fmt.Errorf("read signal.kafka.topic: %s has %d partitions, and signals would not be in order: create one with one partition", c.Topic, info.Partitions)
	}
	start, err := c.Kafka.StartOffsets(ctx, c.Topic)
	if err != nil {
		return 0, fmt.Errorf("read signal.kafka.topic %s: %w", c.Topic, err)
	}
	committed, err := c.Kafka.CommittedOffsets(ctx, Group(c.Connector), []kafka.TopicPartition{tp})
	if err != nil {
		return 0, fmt.Errorf("read the place on signal.kafka.topic %s: %w", c.Topic, err)
	}
	if at, ok := committed[tp]; ok && at >= 0 {
		return max(at, start[0]), nil
	}
	end, err := c.Kafka.EndOffsets(ctx, c.Topic)
	if err != nil {
		return 0, fmt.Errorf("read signal.kafka.topic %s: %w", c.Topic, err)
	}
	if err := c.Kafka.CommitOffsets(ctx, Group(c.Connector), map[kafka.TopicPartition]int64{tp: end[0]}); err != nil {
		return 0, fmt.Errorf("commit the place on signal.kafka.topic %s: %w", c.Topic, err)
	}
	return end[0], nil
}

// handle carries one signal out; false: ctx has ended before.
func (c *Config) handle(ctx context.Context, r kafka.Record) bool {
	s, err := herder.ParseSignal(r.Value)
	for err == nil {
		if err = c.Handle(ctx, s); err == nil {
			c.Log.Info("a signal was carried out", "type", s.Type, "id", s.ID, "offset", r.Offset)
			return true
		}
		if k := herder.KindOf(err); k == herder.BadRequest || k == herder.NotFound {
			break
		}
		if ctx.Err() != nil {
			return false
		}
		c.Log.Warn("a signal is tried again", "type", s.Type, "id", s.ID, "error", err)
		pause(ctx)
		err = nil
	}
	if errors.Is(err, context.Canceled) {
		return false
	}
	c.Log.Error("a signal was refused", "topic", c.Topic, "offset", r.Offset, "error", err)
	return true
}

func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(retryPause):
	}
}
