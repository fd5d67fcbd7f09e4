//go:build e2e

package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/e2e/testenv"
	"github.com/waltap/waltap/internal/kafka"
)

// TestTopicsThatWouldLoseDataAreRefused: by a source, with what to do.
func TestTopicsThatWouldLoseDataAreRefused(t *testing.T) {
	t.Parallel()
	client := kafkaClient(t)
	table := testenv.Name(t)
	createTable(t, table, "a")
	load(t, table, 10, "a")
	// source starts with topic there already; all its topics begin with its own name.
	source := func(there func(prefix string) kafka.TopicSpec) *pipe {
		p := &pipe{name: testenv.Name(t), tables: table, source: keys{"snapshot.mode": "initial_only"}}
		if err := client.EnsureTopics(testenv.Context(t, time.Minute), there(p.name)); err != nil {
			t.Fatal(err)
		}
		return p
	}
	topic := func(name, policy string) kafka.TopicSpec {
		return kafka.TopicSpec{Name: name, Partitions: 4, ReplicationFactor: 1, Configs: map[string]string{"cleanup.policy": policy}}
	}
	t.Run("a compacted data topic", func(t *testing.T) {
		p := source(func(prefix string) kafka.TopicSpec { return topic(prefix+".default."+table, "compact") })
		refused(t, processYAML(p.sourceConfig()), "cleanup.policy=compact", "kafka-configs.sh --alter --entity-type topics --entity-name "+p.name+".default."+table, "topic.compacted.allow: true")
		p.source["topic.compacted.allow"] = "true"
		ends(t, p)
	})
	t.Run("an internal topic that is not compacted", func(t *testing.T) {
		p := source(func(prefix string) kafka.TopicSpec { return topic("__waltap-tables."+prefix, "delete") })
		refused(t, processYAML(p.sourceConfig()), "cleanup.policy=delete", "--entity-name __waltap-tables."+p.name+" --add-config cleanup.policy=compact")
	})
	t.Run("a topic whose name Kafka takes for the same", func(t *testing.T) {
		p := source(func(prefix string) kafka.TopicSpec {
			return topic(strings.ReplaceAll(prefix+".default."+table, ".", "_"), "delete")
		})
		refused(t, processYAML(p.sourceConfig()), "collides with existing topic", "choose another topic.prefix")
	})
	t.Run("a configuration that Kafka does not have", func(t *testing.T) {
		p := &pipe{name: testenv.Name(t), tables: table, source: keys{"snapshot.mode": "initial_only", "topic.creation.default.vendor.retention": "1"}}
		refused(t, processYAML(p.sourceConfig()), "vendor.retention", "check the keys topic.creation.default.*")
	})
	t.Run("another number of partitions than before", func(t *testing.T) {
		p := &pipe{name: testenv.Name(t), tables: table, source: keys{"snapshot.mode": "initial_only", "topic.creation.default.retention.ms": "86400000",
			"producer.override.linger.ms": "5", "producer.override.enable.idempotence": "true", "producer.override.max.request.size": "1MiB"}}
		ends(t, p)
		name := p.name + ".default." + table
		configs, err := client.TopicConfig(testenv.Context(t, time.Minute), name)
		if err != nil || configs["retention.ms"] != "86400000" || configs["cleanup.policy"] != "delete" {
			t.Errorf("topic %s was created with %v, %v", name, configs, err)
		}
		ctx := testenv.Context(t, time.Minute)
		if _, err := env.Kafka.RunTools(ctx, shellWords("kafka-topics.sh --bootstrap-server "+env.Kafka.Bootstrap()+" --alter --topic "+name+" --partitions 5")); err != nil {
			t.Fatal(err)
		}
		awaitPartitions(ctx, t, client, name, 5)
		refused(t, processYAML(p.sourceConfig()), "has 5 partitions, it had 4 when the capture began", "capture under a new topic.prefix")
	})
}

// ends runs a source that ends by itself.
func ends(t *testing.T, p *pipe) {
	t.Helper()
	w := env.StartWaltap(t, testenv.WaltapOptions{Config: processYAML(p.sourceConfig())})
	if code, err := w.Wait(testenv.Context(t, time.Minute)); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v", code, err)
	}
}

func awaitPartitions(ctx context.Context, t *testing.T, client *kafka.Client, topic string, n int32) {
	t.Helper()
	for {
		info, err := client.Topic(ctx, topic)
		if err != nil {
			t.Fatal(err)
		}
		if info.Partitions == n {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}
