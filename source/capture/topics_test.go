package capture

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/source"
)

// topicCapture is a capture of the tables a and b with a Kafka cluster in this process.
func topicCapture(t *testing.T, change ...func(*Config)) (*Capture, context.Context) {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	client, err := kafka.Connect(ctx, kafka.Config{BootstrapServers: cluster.ListenAddrs()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	c := &Capture{process: &process{cfg: Config{Kafka: client, TopicPrefix: "p", TopicCreate: true, Tasks: 2, Partitions: 4, ReplicationFactor: 1, MaxMessageBytes: 1 << 20,
		TopicConfigs: map[string]string{"retention.ms": "1000"}}}, tables: []captured{tableIn("a", tableState{}), tableIn("b", tableState{})}}
	for _, f := range change {
		f(&c.cfg)
	}
	producer := client.NewProducer(kafka.ProducerConfig{})
	t.Cleanup(func() { producer.Close() })
	c.pub = source.NewPublisher(producer, 0, func(string, source.Tally) {})
	return c, ctx
}

func (c *Capture) prepareAll(ctx context.Context) error {
	var tables []admin.Table
	for _, t := range c.tables {
		tables = append(tables, t.Table)
	}
	err := c.ensureTopics(ctx, tables)
	for i := range c.tables {
		if err == nil {
			err = c.prepareTopic(ctx, &c.tables[i])
		}
	}
	return err
}

func TestTopicsAreCreated(t *testing.T) {
	c, ctx := topicCapture(t)
	for range 2 { // the second time they are there
		if err := c.prepareAll(ctx); err != nil {
			t.Fatal(err)
		}
	}
	for topic, want := range map[string]map[string]string{
		"p.default.a": {"cleanup.policy": "delete", "max.message.bytes": "1048576", "retention.ms": "1000"}, "p.default.b": {"cleanup.policy": "delete"},
		"__waltap-offsets.p": {"cleanup.policy": "compact"}, "__waltap-schema.p": {"cleanup.policy": "compact"},
		"__waltap-tables.p": {"cleanup.policy": "compact"}, "__waltap-watermarks.p": {"cleanup.policy": "compact"}, "__waltap-tasks.p": nil,
	} {
		got, err := c.cfg.Kafka.TopicConfig(ctx, topic)
		if err != nil {
			t.Errorf("%s: %v", topic, err)
		}
		for k, v := range want {
			if got[k] != v {
				t.Errorf("%s: %s=%s, want %s", topic, k, got[k], v)
			}
		}
		partitions := int32(4)
		if topic == schema.TasksTopic("p") {
			partitions = 2
		} else if strings.HasPrefix(topic, "__") {
			partitions = 1
		}
		if info, err := c.cfg.Kafka.Topic(ctx, topic); err != nil || info.Partitions != partitions {
			t.Errorf("%s: %d partitions, %v", topic, info.Partitions, err)
		}
	}
}

func TestMissingTopicsAreNamedAllAtOnce(t *testing.T) {
	c, ctx := topicCapture(t, func(cfg *Config) { cfg.TopicCreate, cfg.ReplicationFactor = false, -1 })
	if err := c.cfg.Kafka.EnsureTopics(ctx, c.internalTopics()[1]); err != nil {
		t.Fatal(err)
	}
	err := c.prepareAll(ctx)
	if err == nil {
		t.Fatal("no error")
	}
	text := err.Error()
	for _, want := range []string{
		"topic.creation.enable: false, and 6 topics do not exist",
		"--create --topic __waltap-offsets.p --partitions 1 --config cleanup.policy=compact\n",
		"--create --topic __waltap-tables.p --partitions 1 --config cleanup.policy=compact\n",
		"--create --topic __waltap-watermarks.p --partitions 1 --config cleanup.policy=compact\n",
		"--create --topic __waltap-tasks.p --partitions 2 --config cleanup.policy=compact\n",
		"--create --topic p.default.a --partitions 4 --config cleanup.policy=delete --config max.message.bytes=1048576 --config retention.ms=1000\n",
		"--create --topic p.default.b --partitions 4 ",
		"kind: KafkaTopic", "topicName: __waltap-offsets.p\n", "name: p.default.a\n", "max.message.bytes: \"1048576\"\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the error does not say %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, schema.SchemaTopic("p")) {
		t.Errorf("the error names a topic that is there:\n%s", text)
	}
	// A table that joins later is named by itself.
	if err := c.cfg.Kafka.EnsureTopics(ctx, append(c.internalTopics(), c.dataTopic(c.tables[0].topic))...); err != nil {
		t.Fatal(err)
	}
	if err := c.prepareTopic(ctx, &c.tables[0]); err != nil {
		t.Error(err)
	}
	if err := c.prepareTopic(ctx, &c.tables[1]); err == nil || !strings.Contains(err.Error(), "topic.creation.enable: false, and topic p.default.b does not exist; create what is missing:\n") {
		t.Errorf("%v", err)
	}
}

func TestTopicsRefused(t *testing.T) {
	spec := func(name, policy string, partitions int32) kafka.TopicSpec {
		return kafka.TopicSpec{Name: name, Partitions: partitions, ReplicationFactor: 1, Configs: map[string]string{"cleanup.policy": policy}}
	}
	for _, tc := range []struct {
		name   string
		there  kafka.TopicSpec
		change func(*Config)
		want   string // of the error; "": accepted
	}{
		{"a compacted data topic", spec("p.default.a", "compact", 4), nil, "topic p.default.a has cleanup.policy=compact: its records are partial updates of a row, compaction would lose cells; set it: kafka-configs.sh --alter --entity-type topics --entity-name p.default.a --add-config cleanup.policy=delete; or accept it by topic.compacted.allow: true"},
		{"compacted and deleted", spec("p.default.a", "compact,delete", 4), nil, "cleanup.policy=compact,delete"},
		{"a compacted data topic, allowed", spec("p.default.a", "compact", 4), func(cfg *Config) { cfg.AllowCompacted = true }, ""},
		{"an internal topic that is not compacted", spec("__waltap-tables.p", "delete", 1), nil, "topic __waltap-tables.p has cleanup.policy=delete, it would lose what waltap keeps on it; set it: kafka-configs.sh --alter --entity-type topics --entity-name __waltap-tables.p --add-config cleanup.policy=compact"},
		{"other partitions at the first start", spec("p.default.a", "delete", 7), nil, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, ctx := topicCapture(t)
			if tc.change != nil {
				tc.change(&c.cfg)
			}
			if err := c.cfg.Kafka.EnsureTopics(ctx, tc.there); err != nil {
				t.Fatal(err)
			}
			err := c.prepareAll(ctx)
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v\nwant %s", err, tc.want)
			}
		})
	}
}

func TestChangedPartitionCount(t *testing.T) {
	c, ctx := topicCapture(t)
	if err := c.prepareAll(ctx); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]int32{4, 4}, []int32{c.tables[0].state.Partitions, c.tables[1].state.Partitions}); d != "" {
		t.Error(d)
	}
	c.tables[1].state.Partitions = 3 // as an earlier run has kept it
	want := "topic p.default.b has 4 partitions, it had 3 when the capture began: the records of a row would lie in two partitions, out of order; restore the topic, or capture under a new topic.prefix"
	if err := c.prepareAll(ctx); err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}
