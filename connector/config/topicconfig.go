package config

import (
	"fmt"
	"slices"
	"strings"
)

// topicConfigs are the topic configurations of Apache Kafka 4.3, to recognise a misspelt one by. Others are left to the
// brokers: newer releases and other vendors have more.
var topicConfigs = []string{
	"cleanup.policy", "compression.gzip.level", "compression.lz4.level", "compression.type", "compression.zstd.level", "delete.retention.ms",
	"errors.deadletterqueue.group.enable", "file.delete.delay.ms", "flush.messages", "flush.ms", "follower.replication.throttled.replicas", "index.interval.bytes",
	"leader.replication.throttled.replicas", "local.retention.bytes", "local.retention.ms", "max.compaction.lag.ms", "max.message.bytes",
	"message.timestamp.after.max.ms", "message.timestamp.before.max.ms", "message.timestamp.type", "min.cleanable.dirty.ratio",
	"min.compaction.lag.ms", "min.insync.replicas", "preallocate", "remote.copy.disable", "remote.log.delete.on.disable", "remote.storage.enable",
	"retention.bytes", "retention.ms", "segment.bytes", "segment.index.bytes", "segment.jitter.ms", "segment.ms", "unclean.leader.election.enable",
	"partitions", "replication.factor", // keys of their own
}

// setTopicConfig keeps one topic.creation.default.<config>.
func setTopicConfig(t *target, name, value string) error {
	if !slices.Contains(topicConfigs, name) {
		for _, known := range topicConfigs {
			if distance(name, known) <= 2 {
				return fmt.Errorf("Kafka has no topic configuration %s: did you mean topic.creation.default.%s?", name, known)
			}
		}
	}
	if t.source.TopicCreation.Configs == nil {
		t.source.TopicCreation.Configs = make(map[string]string)
	}
	t.source.TopicCreation.Configs[name] = value
	return nil
}

// completeTopics refuses to create what would be refused when it is there.
func completeTopics(s *section, c *TopicCreation, f *faults) {
	const policy = "cleanup.policy"
	if strings.Contains(c.Configs[policy], "compact") && !c.AllowCompacted {
		f.add(s.fault("topic.creation.default."+policy), "a record holds the part of a row that was changed, so compaction would lose cells: use delete, or accept that by topic.compacted.allow: true")
	}
}
