package capture

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/waltap/waltap/internal/hbase/admin"
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

const policyKey = "cleanup.policy"

// internalTopics are those that a source has beside the data topics.
func (p *process) internalTopics() []kafka.TopicSpec {
	var specs []kafka.TopicSpec
	for _, name := range []string{p.cfg.offsetsTopic(), schema.SchemaTopic(p.cfg.TopicPrefix), schema.TablesTopic(p.cfg.TopicPrefix), schema.WatermarksTopic(p.cfg.TopicPrefix)} {
		specs = append(specs, kafka.TopicSpec{Name: name, Partitions: 1, ReplicationFactor: p.cfg.ReplicationFactor,
			Configs: map[string]string{policyKey: "compact"}})
	}
	return append(specs, kafka.TopicSpec{Name: schema.TasksTopic(p.cfg.TopicPrefix), Partitions: p.cfg.Tasks, ReplicationFactor: p.cfg.ReplicationFactor,
		Configs: map[string]string{policyKey: "compact"}})
}

// dataTopic is a data topic as it is created.
func (p *process) dataTopic(name string) kafka.TopicSpec {
	configs := map[string]string{policyKey: "delete"}
	maps.Copy(configs, p.cfg.TopicConfigs)
	configs["max.message.bytes"] = strconv.FormatInt(p.cfg.MaxMessageBytes, 10)
	return kafka.TopicSpec{Name: name, Partitions: p.cfg.Partitions, ReplicationFactor: p.cfg.ReplicationFactor, Configs: configs}
}

// ensureTopics sees to the internal topics, and refuses those that would lose what is kept on them. Where no topic is created, all
// that are missing are named at once, those of tables too.
func (p *process) ensureTopics(ctx context.Context, tables []admin.Table) error {
	internal := p.internalTopics()
	needed := internal
	if !p.cfg.TopicCreate {
		for _, t := range tables {
			topic, err := schema.DataTopic(p.cfg.TopicPrefix, t.FullName())
			if err != nil {
				return err
			}
			needed = append(needed, p.dataTopic(topic))
		}
		needed = append(needed, p.cfg.MissingTopics...)
	}
	if err := p.createTopics(ctx, needed...); err != nil {
		return fmt.Errorf("prepare topics: %w", err)
	}
	for _, s := range p.cfg.MissingTopics {
		return fmt.Errorf("topic %s was created just now: start the connector again", s.Name)
	}
	for _, s := range internal {
		if s.Name == schema.TasksTopic(p.cfg.TopicPrefix) {
			continue // it holds no records
		}
		config, err := p.cfg.Kafka.TopicConfig(ctx, s.Name)
		if err != nil {
			return err
		}
		if policy := config[policyKey]; policy != "compact" {
			return fmt.Errorf("topic %s has %s=%s, it would lose what waltap keeps on it; set it: kafka-configs.sh --alter --entity-type topics --entity-name %s --add-config %s=compact",
				s.Name, policyKey, policy, s.Name, policyKey)
		}
	}
	return nil
}

// createTopics creates those that are missing, or where that is not allowed says how it is done.
func (p *process) createTopics(ctx context.Context, specs ...kafka.TopicSpec) error {
	if p.cfg.TopicCreate {
		return p.cfg.Kafka.EnsureTopics(ctx, specs...)
	}
	if err := p.cfg.Kafka.RequireTopics(ctx, specs...); err != nil {
		return fmt.Errorf("topic.creation.enable: false, and %w", err)
	}
	return nil
}

// prepareTopic creates a table's topic when it is missing, and refuses one that would lose data.
func (c *Capture) prepareTopic(ctx context.Context, t *captured) error {
	spec := c.dataTopic(t.topic)
	info, err := c.cfg.Kafka.Topic(ctx, t.topic)
	if errors.Is(err, kafka.ErrUnknownTopic) {
		if err = c.createTopics(ctx, spec); err == nil {
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
	if policy := config[policyKey]; strings.Contains(policy, "compact") && !c.cfg.AllowCompacted {
		return fmt.Errorf("topic %s has %s=%s: its records are partial updates of a row, compaction would lose cells; set it: kafka-configs.sh --alter --entity-type topics --entity-name %s --add-config %s=delete; or accept it by topic.compacted.allow: true",
			t.topic, policyKey, policy, t.topic, policyKey)
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
		regions, err := c.regions(ctx, t.name)
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
