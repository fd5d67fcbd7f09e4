package connector

import (
	"context"
	"errors"
	"time"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/internal/deadletter"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/sink"
)

// deadLetters opens a connector's dead-letter topic; nil when it needs none. One that is to be created by hand and is missing
// is no error: the connector names it with the other topics that it misses.
func (p *process) deadLetters(ctx context.Context, name string, e *config.Errors, t *config.TopicCreation, needed bool) (q *deadletter.Queue, missing []kafka.TopicSpec, err error) {
	if !needed {
		return nil, nil, nil
	}
	q, err = deadletter.Open(ctx, deadletter.Config{Kafka: p.kafka, Topic: e.DeadLetterTopic, ReplicationFactor: e.DeadLetterFactor, Context: e.DeadLetterContext,
		Connector: name, Keep: !t.Enable})
	var m *kafka.MissingTopicsError
	if errors.As(err, &m) {
		return nil, m.Specs, nil
	}
	return q, nil, err
}

// sinkErrors are the errors.* keys of a sink; q is its dead-letter topic, if it has one.
func sinkErrors(e *config.Errors, q *deadletter.Queue) sink.Errors {
	s := sink.Errors{DeadLetters: q, RetryDelayMax: e.RetryDelayMax}
	if e.RetryTimeout >= 0 {
		s.RetryTimeout = max(e.RetryTimeout, time.Nanosecond) // 0 is one attempt here, and no end there
	}
	return s
}
