package connector

import (
	"context"
	"time"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/internal/deadletter"
	"github.com/waltap/waltap/sink"
)

// deadLetters opens a connector's dead-letter topic; nil when it needs none.
func (p *process) deadLetters(ctx context.Context, name string, e *config.Errors, needed bool) (*deadletter.Queue, error) {
	if !needed {
		return nil, nil
	}
	return deadletter.Open(ctx, deadletter.Config{Kafka: p.kafka, Topic: e.DeadLetterTopic, ReplicationFactor: e.DeadLetterFactor, Context: e.DeadLetterContext, Connector: name})
}

// sinkErrors are the errors.* keys of a sink; q is its dead-letter topic, if it has one.
func sinkErrors(e *config.Errors, q *deadletter.Queue) sink.Errors {
	s := sink.Errors{DeadLetters: q, RetryDelayMax: e.RetryDelayMax}
	if e.RetryTimeout >= 0 {
		s.RetryTimeout = max(e.RetryTimeout, time.Nanosecond) // 0 is one attempt here, and no end there
	}
	return s
}
