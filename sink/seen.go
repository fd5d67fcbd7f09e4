package sink

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/internal/kafka"
)

// SeenTopic is the compacted topic that holds what each group knows of the topics it has read:
//
//	["<group>",{"topic":"<topic>"}] → {"topicId":"…","partitions":8}
//
// An offset says nothing by itself: it may be one of a topic that was deleted and created again, and is then within
// the new log by chance; and after a change of the partition count a row's older and newer records are in two
// partitions, which have no order.
const SeenTopic = "__waltap-sinks"

// seen is what is remembered of one topic.
type seen struct {
	TopicID    string `json:"topicId"` // "" with brokers that give none
	Partitions int32  `json:"partitions"`
}

func seenKey(topic string) map[string]string { return map[string]string{"topic": topic} }

// checkTopics stops the sink when one of topics is not what the group has seen under its name. A topic that is new to the
// group is remembered.
func (s *Sink) checkTopics(ctx context.Context, topics []string) error {
	s.checking.Lock()
	defer s.checking.Unlock()
	if s.store == nil {
		store, err := checkpoint.Open(ctx, s.cfg.Kafka, SeenTopic)
		if err != nil {
			return fmt.Errorf("remember the topics of group %s: %w", s.cfg.Group, err)
		}
		s.store = store
	}
	ids, err := s.cfg.Kafka.TopicIDs(ctx, topics...)
	if err != nil {
		return err
	}
	infos, err := s.cfg.Kafka.Topics(ctx)
	if err != nil {
		return err
	}
	partitions := make(map[string]int32)
	for _, t := range infos {
		if s.wants(t.Name) {
			partitions[t.Name] = t.Partitions
		}
	}
	if err := s.checkStart(partitions); err != nil {
		return err
	}
	for _, topic := range topics {
		id, there := ids[topic]
		if n := partitions[topic]; n > 0 && there {
			if err := s.checkTopic(ctx, topic, seen{TopicID: id, Partitions: n}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Sink) checkTopic(ctx context.Context, topic string, now seen) error {
	was, known := s.seen[topic]
	first := !known
	if first {
		var err error
		if known, err = s.store.Get(s.cfg.Group, seenKey(topic), &was); err != nil {
			return fmt.Errorf("remember the topics of group %s: %w", s.cfg.Group, err)
		}
	}
	err := changedTopic(s.cfg.Group, topic, was, now)
	switch {
	case known && err == nil && (was.TopicID != "" || now.TopicID == ""):
		s.seen[topic] = was
		return nil
	case known && err != nil && first && s.cfg.Start.Mode != StartCommitted:
		// Asked for at this start: the committed offsets, which belong to the topic of before, are not used.
		s.cfg.Log.Warn("the topic has changed since the group read it; consumer.start says to go on", "topic", topic, "change", err.Error())
	case known && err != nil:
		return &PermanentError{err}
	}
	if err := s.store.Put(ctx, s.cfg.Group, seenKey(topic), now); err != nil {
		return fmt.Errorf("remember the topics of group %s: %w", s.cfg.Group, err)
	}
	s.seen[topic] = now
	return nil
}

// changedTopic says in what a topic is not the one that the group has seen, and what to do; nil when it is.
func changedTopic(group, topic string, was, now seen) error {
	reset := fmt.Sprintf("stop the sink and run: waltap offsets reset --group %s --topic %s --to-earliest", group, topic)
	switch {
	case was.TopicID != "" && now.TopicID != "" && was.TopicID != now.TopicID:
		return fmt.Errorf("topic %s was deleted and created again since group %s read it: what the old one held may not have been applied; copy the tables again; or, to go on with what the new topic holds, %s", topic, group, reset)
	case was.Partitions != now.Partitions:
		return fmt.Errorf("topic %s has %d partitions, group %s has seen %d: rows have moved to other partitions, and the order of their older and newer records is not known; copy the tables again under another topic.prefix; or, to apply the whole topic once more, %s", topic, now.Partitions, group, was.Partitions, reset)
	}
	return nil
}

// ForgetTopics takes the topics from what the group remembers, so that it accepts them as they are now. The group must not run.
func ForgetTopics(ctx context.Context, client *kafka.Client, group string, topics []string) error {
	store, err := checkpoint.Open(ctx, client, SeenTopic)
	if err != nil {
		return fmt.Errorf("forget the topics of group %s: %w", group, err)
	}
	defer store.Close()
	for _, topic := range topics {
		if err := store.Delete(ctx, group, seenKey(topic)); err != nil {
			return fmt.Errorf("forget topic %s of group %s: %w", topic, group, err)
		}
	}
	return nil
}

func comparePartitions(a, b kafka.TopicPartition) int {
	return cmp.Or(strings.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
}

// topicsOf lists the topics of an assignment.
func topicsOf(a *kafka.Assignment) []string {
	var topics []string
	for _, p := range a.Partitions {
		topics = append(topics, p.Topic)
	}
	return slices.Compact(topics)
}
