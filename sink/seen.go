package sink

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

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
	now, err := s.look(ctx, topics)
	if err != nil {
		return err
	}
	s.checking.Lock()
	defer s.checking.Unlock()
	for _, topic := range topics {
		if n, there := now[topic]; there {
			if err := s.checkTopic(ctx, topic, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// look says what topics are now; one that does not exist is left out.
func (s *Sink) look(ctx context.Context, topics []string) (map[string]seen, error) {
	if err := s.openStore(ctx); err != nil {
		return nil, err
	}
	ids, err := s.cfg.Kafka.TopicIDs(ctx, topics...)
	if err != nil {
		return nil, err
	}
	infos, err := s.cfg.Kafka.Topics(ctx)
	if err != nil {
		return nil, err
	}
	now := make(map[string]seen)
	for _, t := range infos {
		if id, there := ids[t.Name]; there && t.Partitions > 0 && slices.Contains(topics, t.Name) {
			now[t.Name] = seen{TopicID: id, Partitions: t.Partitions}
		}
	}
	return now, nil
}

func (s *Sink) openStore(ctx context.Context) error {
	s.checking.Lock()
	defer s.checking.Unlock()
	if s.store != nil {
		return nil
	}
	if err := s.ensureSeenTopic(ctx); err != nil {
		return fmt.Errorf("remember the topics of group %s: %w", s.cfg.Group, err)
	}
	store, err := checkpoint.Open(ctx, s.cfg.Kafka, SeenTopic)
	if err != nil {
		return fmt.Errorf("remember the topics of group %s: %w", s.cfg.Group, err)
	}
	s.store = store
	return nil
}

// ensureSeenTopic creates SeenTopic, or where that is not allowed says how it is created.
func (s *Sink) ensureSeenTopic(ctx context.Context) error {
	spec := kafka.TopicSpec{Name: SeenTopic, Partitions: 1, ReplicationFactor: s.cfg.ReplicationFactor, Configs: map[string]string{"cleanup.policy": "compact"}}
	if !s.cfg.KeepTopics {
		return s.cfg.Kafka.EnsureTopics(ctx, spec)
	}
	if err := s.cfg.Kafka.RequireTopics(ctx, append(s.cfg.MissingTopics, spec)...); err != nil {
		return fmt.Errorf("topic.creation.enable: false, and %w", err)
	}
	for _, t := range s.cfg.MissingTopics {
		return fmt.Errorf("topic %s was created just now: start the connector again", t.Name)
	}
	return nil
}

// checkTopic is checkTopics for one; the caller holds s.checking.
func (s *Sink) checkTopic(ctx context.Context, topic string, now seen) error {
	was, known := s.seen[topic]
	if !known {
		var err error
		if known, err = s.store.Get(s.cfg.Group, seenKey(topic), &was); err != nil {
			return fmt.Errorf("remember the topics of group %s: %w", s.cfg.Group, err)
		}
	}
	err := changedTopic(s.cfg.Group, topic, was, now)
	switch {
	case known && err != nil:
		return &PermanentError{err}
	case known && (was.TopicID != "" || now.TopicID == ""):
		s.seen[topic] = was
		return nil
	}
	return s.seeTopic(ctx, topic, now)
}

// seeTopic remembers topic as it is; the caller holds s.checking.
func (s *Sink) seeTopic(ctx context.Context, topic string, now seen) error {
	if err := s.store.Put(ctx, s.cfg.Group, seenKey(topic), now); err != nil {
		return fmt.Errorf("remember the topics of group %s: %w", s.cfg.Group, err)
	}
	s.seen[topic] = now
	return nil
}

// checkGone stops the sink when a topic that the group has seen, and that it would read, is not among topics, those that are
// there, any more. A broker that has just started does not know all of them: it is believed after a while.
func (s *Sink) checkGone(ctx context.Context, topics []string) error {
	if err := s.openStore(ctx); err != nil {
		return err
	}
	s.checking.Lock()
	defer s.checking.Unlock()
	return s.store.Each(s.cfg.Group, func(key map[string]string, _ json.RawMessage) error {
		topic := key["topic"]
		since, missing := s.missing[topic]
		switch {
		case !s.wants(topic) || slices.Contains(topics, topic):
			delete(s.missing, topic)
		case !missing:
			s.missing[topic] = time.Now()
		case time.Since(since) > s.gonePatience:
			return &PermanentError{fmt.Errorf("topic %s, which group %s has read, is not there any more, or this user may not see it any more: what it held may not have been applied; copy its table again; or, if it was deleted on purpose, stop the sink and run: waltap offsets forget --group %s --topic %s",
				topic, s.cfg.Group, s.cfg.Group, topic)}
		}
		return nil
	})
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
	if _, err := client.Topic(ctx, SeenTopic); errors.Is(err, kafka.ErrUnknownTopic) {
		return nil // no sink has run
	}
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
