package schema

import (
	"fmt"
	"strings"
)

// maxTopicLength is Kafka's limit for a topic's name.
const maxTopicLength = 249

// The internal topics begin with two underscores, so that no pattern on the
// prefix of the data topics catches them.
const (
	internalTopics  = "__waltap-"
	tablesTopic     = internalTopics + "tables."
	schemaTopic     = internalTopics + "schema."
	watermarksTopic = internalTopics + "watermarks."
	offsetsTopic    = internalTopics + "offsets."
	tasksTopic      = internalTopics + "tasks."
)

// TablesTopic is the compacted topic of the table descriptors (key: the full
// table name, value: Table as JSON).
func TablesTopic(prefix string) string { return tablesTopic + prefix }

// SchemaTopic is the compacted topic of the Avro schemas that records are written with (key: the fingerprint, 16 hexadecimal
// digits, value: the schema).
func SchemaTopic(prefix string) string { return schemaTopic + prefix }

// PrefixOfSchemaTopic is the inverse of SchemaTopic.
func PrefixOfSchemaTopic(topic string) (string, bool) { return strings.CutPrefix(topic, schemaTopic) }

// WatermarksTopic is the compacted topic of the watermarks.
func WatermarksTopic(prefix string) string { return watermarksTopic + prefix }

// OffsetsTopic is the compacted topic of the source's progress.
func OffsetsTopic(prefix string) string { return offsetsTopic + prefix }

// TasksTopic is the topic without records whose partitions are the tasks that the processes of a source share.
func TasksTopic(prefix string) string { return tasksTopic + prefix }

// CheckPrefix reports whether prefix may be a topic prefix: letters, digits,
// '.', '_' and '-', short enough for the internal topics, and not waltap's own.
func CheckPrefix(prefix string) error {
	if prefix == "" {
		return fmt.Errorf("check topic prefix: it is empty")
	}
	for _, r := range prefix {
		if !topicChar(r) {
			return fmt.Errorf("check topic prefix %q: Kafka does not allow %q in a topic: use letters, digits, '.', '_' and '-'", prefix, r)
		}
	}
	if strings.HasPrefix(prefix, internalTopics) {
		return fmt.Errorf("check topic prefix %q: topics that begin with %s are waltap's internal ones", prefix, internalTopics)
	}
	if longest := len(watermarksTopic) + len(prefix); longest > maxTopicLength {
		return fmt.Errorf("check topic prefix %q: %d characters, the limit is %d", prefix, len(prefix), maxTopicLength-len(watermarksTopic))
	}
	return nil
}

// DataTopic is the topic of a table's records, "<prefix>.<namespace>.<table>",
// with '_' for each character Kafka does not allow. A name over 249 bytes is an
// error, as is a prefix that CheckPrefix refuses.
func DataTopic(prefix, table string) (string, error) {
	if err := CheckPrefix(prefix); err != nil {
		return "", err
	}
	suffix, err := topicSuffix(table)
	if err != nil {
		return "", err
	}
	topic := prefix + suffix
	if len(topic) > maxTopicLength {
		return "", fmt.Errorf("name topic of table %s: %q has %d characters, Kafka's limit is %d: choose a shorter topic.prefix", table, topic, len(topic), maxTopicLength)
	}
	return topic, nil
}

// CheckTopicCollisions reports two tables whose records would go to one topic,
// such as ns "a.b", table "c" and ns "a", table "b.c"; or to topics that differ
// only in '.' and '_', of which Kafka refuses to create the second. A table
// whose topic cannot be named is reported too.
func CheckTopicCollisions(prefix string, tables []string) error {
	type owner struct{ table, topic string }
	owners := make(map[string]owner, len(tables))
	for _, table := range tables {
		table = NormalizeTable(table)
		topic, err := DataTopic(prefix, table)
		if err != nil {
			return err
		}
		metric := strings.ReplaceAll(topic, ".", "_") // Kafka's metric names; it refuses two topics that share one
		other, ok := owners[metric]
		switch {
		case !ok:
			owners[metric] = owner{table, topic}
		case other.table == table:
		case other.topic == topic:
			return fmt.Errorf("check topics: tables %s and %s would share the topic %s: capture one of them by a connector with another topic.prefix", other.table, table, topic)
		default:
			return fmt.Errorf("check topics: the topics %s of table %s and %s of table %s differ only in '.' and '_', which Kafka refuses: capture one of them by a connector with another topic.prefix", other.topic, other.table, topic, table)
		}
	}
	return nil
}

// PrefixOfTopic is the inverse of DataTopic for a known table: the prefix of
// topic when it is the table's data topic under some prefix.
func PrefixOfTopic(topic, table string) (string, bool) {
	suffix, err := topicSuffix(table)
	if err != nil {
		return "", false
	}
	prefix, ok := strings.CutSuffix(topic, suffix)
	if !ok || CheckPrefix(prefix) != nil {
		return "", false
	}
	return prefix, true
}

func topicSuffix(table string) (string, error) {
	namespace, qualifier, ok := cutTable(NormalizeTable(table))
	if !ok {
		return "", fmt.Errorf("name topic of table %q: want namespace:table", table)
	}
	return "." + sanitizeTopic(namespace) + "." + sanitizeTopic(qualifier), nil
}

func sanitizeTopic(s string) string {
	return strings.Map(func(r rune) rune {
		if topicChar(r) {
			return r
		}
		return '_'
	}, s)
}

func topicChar(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-'
}
