package deadletter

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/waltap/waltap/internal/kafka"
)

// maxMessageBytes of a dead-letter topic that is created: what is too large for a data topic goes there.
const maxMessageBytes = 64 << 20

// Config of a Queue; names follow the configuration keys.
type Config struct {
	Kafka             *kafka.Client
	Topic             string
	ReplicationFactor int16 // of the topic, when it is created; -1: the brokers' default
	Context           bool  // say in the headers why a record is there
	Connector         string
	Keep              bool // the topic is not created, it must be there
}

// Queue writes to one dead-letter topic. It is safe for concurrent use.
type Queue struct {
	cfg        Config
	partitions int32
	producer   *kafka.Producer
}

// Open creates the topic when it does not exist: with one partition, as Connect does, and kept for ever. A compacted
// one is refused.
func Open(ctx context.Context, cfg Config) (*Queue, error) {
	q := &Queue{cfg: cfg}
	if err := q.open(ctx); err != nil {
		return nil, fmt.Errorf("errors.deadletterqueue.topic.name: %w", err)
	}
	q.producer = cfg.Kafka.NewProducer(kafka.ProducerConfig{})
	return q, nil
}

func (q *Queue) open(ctx context.Context) error {
	spec := kafka.TopicSpec{Name: q.cfg.Topic, Partitions: 1, ReplicationFactor: q.cfg.ReplicationFactor, Configs: map[string]string{
		"cleanup.policy": "delete", "retention.ms": "-1", "max.message.bytes": fmt.Sprint(maxMessageBytes),
	}}
	if q.cfg.Keep {
		if err := q.cfg.Kafka.RequireTopics(ctx, spec); err != nil {
			return fmt.Errorf("topic.creation.enable: false, and %w", err)
		}
	} else if err := q.cfg.Kafka.EnsureTopics(ctx, spec); err != nil {
		return err
	}
	info, err := q.cfg.Kafka.Topic(ctx, q.cfg.Topic)
	if err != nil {
		return err
	}
	q.partitions = info.Partitions
	// Without the right to look, the topic is taken as it is.
	if configs, err := q.cfg.Kafka.TopicConfig(ctx, q.cfg.Topic); err == nil && strings.Contains(configs["cleanup.policy"], "compact") {
		return fmt.Errorf("topic %s has cleanup.policy=%s, which would keep one dead letter of a row only: set it to delete", q.cfg.Topic, configs["cleanup.policy"])
	}
	return nil
}

// Topic is the dead-letter topic's name.
func (q *Queue) Topic() string { return q.cfg.Topic }

// Record is l as it goes to the topic, and where.
func (q *Queue) Record(l *Letter) (kafka.TopicPartition, kafka.Record) {
	l.Connector = q.cfg.Connector
	tp := kafka.TopicPartition{Topic: q.cfg.Topic}
	if l.Key != nil {
		tp.Partition = kafka.Partition(l.Key, q.partitions)
	}
	return tp, l.Record(q.cfg.Context)
}

// Send returns when all in-sync replicas have the letters. After an error any of them may be in the topic.
func (q *Queue) Send(ctx context.Context, letters []Letter) error {
	parts := make(map[kafka.TopicPartition][]kafka.Record)
	for i := range letters {
		tp, r := q.Record(&letters[i])
		parts[tp] = append(parts[tp], r)
	}
	results := make(chan error, len(parts))
	for tp, records := range parts {
		q.producer.Produce(ctx, tp, records, func(err error) { results <- err })
	}
	var errs []error
	for range parts {
		if err := <-results; err != nil {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("write dead letters to %s: %w", q.cfg.Topic, err)
	}
	return nil
}

// Close ends the queue; letters under way end as Producer.Close says.
func (q *Queue) Close() error { return q.producer.Close() }
