package capture

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/source"
)

// checkFamilies refuses families that came under replication behind our back: what they held before was not scanned.
func (t *captured) checkFamilies() error {
	for _, f := range t.families {
		if !slices.Contains(t.state.Families, f) {
			return fmt.Errorf("table %s: family %s has %s 1 now but was not captured when this connector began; set it back to 0, or capture the table by a new connector",
				t.name, f, scopeAttribute)
		}
	}
	return nil
}

// prepareTopics creates what is missing, and refuses what would lose data.
func (c *Capture) prepareTopics(ctx context.Context) error {
	compacted := map[string]string{"cleanup.policy": "compact"}
	internal := []kafka.TopicSpec{
		{Name: schema.SchemaTopic(c.cfg.TopicPrefix), Partitions: 1, ReplicationFactor: c.cfg.ReplicationFactor, Configs: compacted},
		{Name: schema.TablesTopic(c.cfg.TopicPrefix), Partitions: 1, ReplicationFactor: c.cfg.ReplicationFactor, Configs: compacted},
		{Name: schema.WatermarksTopic(c.cfg.TopicPrefix), Partitions: 1, ReplicationFactor: c.cfg.ReplicationFactor, Configs: compacted},
	}
	if err := c.cfg.Kafka.EnsureTopics(ctx, internal...); err != nil {
		return fmt.Errorf("create the internal topics: %w", err)
	}
	for i := range c.tables {
		if err := c.prepareTopic(ctx, &c.tables[i]); err != nil {
			return err
		}
	}
	return nil
}

func (c *Capture) prepareTopic(ctx context.Context, t *captured) error {
	info, err := c.cfg.Kafka.Topic(ctx, t.topic)
	if errors.Is(err, kafka.ErrUnknownTopic) {
		if !c.cfg.TopicCreate {
			return fmt.Errorf("topic.creation.enable: topic %s does not exist; create it: kafka-topics.sh --create --topic %s --partitions %d --config cleanup.policy=delete --config max.message.bytes=%d",
				t.topic, t.topic, c.cfg.Partitions, c.cfg.MaxMessageBytes)
		}
		err = c.cfg.Kafka.EnsureTopics(ctx, kafka.TopicSpec{
			Name: t.topic, Partitions: c.cfg.Partitions, ReplicationFactor: c.cfg.ReplicationFactor,
			Configs: map[string]string{"cleanup.policy": "delete", "max.message.bytes": strconv.FormatInt(c.cfg.MaxMessageBytes, 10)},
		})
		if err == nil {
			info, err = c.cfg.Kafka.Topic(ctx, t.topic)
		}
	}
	if err != nil {
		return fmt.Errorf("prepare topic %s: %w", t.topic, err)
	}
	config, err := c.cfg.Kafka.TopicConfig(ctx, t.topic)
	if err != nil {
		return fmt.Errorf("read the configuration of topic %s: %w", t.topic, err)
	}
	if strings.Contains(config["cleanup.policy"], "compact") {
		return fmt.Errorf("topic %s has cleanup.policy=%s: its records are partial updates of a row, compaction would lose columns; set cleanup.policy=delete",
			t.topic, config["cleanup.policy"])
	}
	if t.state.Partitions != 0 && t.state.Partitions != info.Partitions {
		return fmt.Errorf("topic %s has %d partitions, it had %d when the capture began: the records of a row would lie in two partitions, out of order; restore the topic, or capture under a new topic.prefix",
			t.topic, info.Partitions, t.state.Partitions)
	}
	encoding, err := c.encoding(ctx, t.topic)
	if err != nil {
		return err
	}
	t.state.Partitions = info.Partitions
	c.pub.Route(t.name, t.topic, info.Partitions, encoding)
	return nil
}

// encoding is how the records of topic are written.
func (p *process) encoding(ctx context.Context, topic string) (source.Encoding, error) {
	if p.cfg.Encodings == nil {
		return source.Encoding{}, nil
	}
	return p.cfg.Encodings.Of(ctx, topic)
}

// publishDescriptors writes the Avro schemas and the table descriptors that differ from what stands on their topics.
func (c *Capture) publishDescriptors(ctx context.Context, tables []captured) error {
	schemas := make(map[string][]byte)
	for fingerprint, text := range schema.AvroSchemas() {
		schemas[fmt.Sprintf("%016x", fingerprint)] = []byte(text)
	}
	if err := c.publish(ctx, schema.SchemaTopic(c.cfg.TopicPrefix), schemas); err != nil {
		return err
	}
	values := make(map[string][]byte, len(tables))
	for _, t := range tables {
		regions, err := c.cluster.Regions(ctx, t.name)
		if err != nil {
			return fmt.Errorf("locate the regions of %s: %w", t.name, err)
		}
		d := descriptor(t, regions, c.cfg.Scope.DropTTL)
		if values[t.name], err = d.MarshalJSON(); err != nil {
			return err
		}
	}
	return c.publish(ctx, schema.TablesTopic(c.cfg.TopicPrefix), values)
}

func (c *Capture) publish(ctx context.Context, topic string, values map[string][]byte) error {
	have := make(map[string]string)
	err := c.cfg.Kafka.ReadAll(ctx, topic, func(r kafka.Record) error {
		have[string(r.Key)] = string(r.Value)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read topic %s: %w", topic, err)
	}
	var recs []kafka.Record
	for k, v := range values {
		if have[k] != string(v) {
			recs = append(recs, kafka.Record{Key: []byte(k), Value: v})
		}
	}
	if len(recs) == 0 {
		return nil
	}
	producer := c.cfg.Kafka.NewProducer(kafka.ProducerConfig{})
	defer producer.Close()
	done := make(chan error, 1)
	producer.Produce(ctx, kafka.TopicPartition{Topic: topic}, recs, func(err error) { done <- err })
	if err := <-done; err != nil {
		return fmt.Errorf("write topic %s: %w", topic, err)
	}
	return nil
}
