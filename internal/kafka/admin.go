package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/segmentio/kafka-go/protocol/deletetopics"
	"github.com/segmentio/kafka-go/protocol/describeconfigs"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

// TopicInfo describes a topic.
type TopicInfo struct {
	Name       string
	ID         string // "": topic ids came with metadata version 10, kafka-go speaks up to 8
	Partitions int32
}

// EnsureTopics creates the topics that do not exist and leaves those that do as they are, whatever their settings. It
// returns when the metadata shows a leader for each partition of every topic.
func (c *Client) EnsureTopics(ctx context.Context, specs ...TopicSpec) error {
	names := make([]string, len(specs))
	for i, s := range specs {
		names[i] = s.Name
	}
	missing := func(ctx context.Context) (map[string]bool, error) {
		if len(names) == 0 {
			return nil, nil
		}
		res, err := c.readMetadata(ctx, names)
		if err != nil {
			return nil, err
		}
		return c.topicsWithoutLeader(res)
	}
	err := c.retry(ctx, func(ctx context.Context, _ time.Time) error {
		pending, err := missing(ctx)
		if err != nil || len(pending) == 0 {
			return err
		}
		var create []TopicSpec
		for _, s := range specs {
			if absent, listed := pending[s.Name]; listed && absent {
				create = append(create, s)
			}
		}
		if len(create) > 0 {
			if err := c.createTopics(ctx, create); err != nil {
				return err
			}
			if pending, err = missing(ctx); err != nil || len(pending) == 0 {
				return err
			}
		}
		return brokerError(int16(codeLeaderNotAvailable), "topics not ready yet: "+strings.Join(sortedKeys(pending), ", "))
	})
	if err != nil {
		return fmt.Errorf("ensure topics %s: %w", strings.Join(names, ", "), err)
	}
	return nil
}

// topicsWithoutLeader maps each topic that is not ready to whether it does not exist at all.
func (c *Client) topicsWithoutLeader(res *metadata.Response) (map[string]bool, error) {
	pending := make(map[string]bool)
	for _, t := range res.Topics {
		switch err := brokerError(t.ErrorCode, ""); {
		case hasCode(err, codeUnknownTopic):
			pending[t.Name] = true
			continue
		case hasCode(err, codeLeaderNotAvailable):
			pending[t.Name] = false
			continue
		case err != nil:
			return nil, fmt.Errorf("topic %s: %w", t.Name, c.deniedTopic(err, OpDescribe, t.Name))
		}
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 || p.LeaderID < 0 {
				pending[t.Name] = false
			}
		}
	}
	return pending, nil
}

func (c *Client) createTopics(ctx context.Context, specs []TopicSpec) error {
	res, err := c.askCreate(ctx, specs, false)
	if err != nil {
		return err
	}
	var errs []error
	for _, t := range res.Topics {
		if err := brokerError(t.ErrorCode, t.ErrorMessage); err != nil && !hasCode(err, codeTopicAlreadyExists) {
			errs = append(errs, fmt.Errorf("create topic %s: %w%s", t.Name, c.deniedTopic(err, OpCreate, t.Name), createRemedy(err)))
		}
	}
	return errors.Join(errs...)
}

func createRemedy(err error) string {
	switch {
	case hasCode(err, codeInvalidTopic):
		return "; choose another topic.prefix"
	case hasCode(err, codeInvalidReplication):
		return "; set topic.creation.default.replication.factor to at most the number of brokers, -1 for their default"
	case hasCode(err, codeInvalidConfig):
		return "; check the keys topic.creation.default.*"
	case hasCode(err, codePolicyViolation):
		return "; change the keys topic.creation.default.* to what the brokers' create.topic.policy allows, or set topic.creation.enable: false and create the topic yourself"
	case hasCode(err, codeTopicAuthorization, codeClusterAuthorization):
		return "; or set topic.creation.enable: false and create the topic yourself"
	}
	return ""
}

// Topic describes one topic, freshly read. The error is ErrUnknownTopic when it does not exist.
func (c *Client) Topic(ctx context.Context, name string) (TopicInfo, error) {
	var info TopicInfo
	err := c.retry(ctx, func(ctx context.Context, _ time.Time) error {
		t, err := c.topicMetadata(ctx, name)
		if hasCode(err, codeUnknownTopic) {
			info = TopicInfo{}
			return nil
		}
		if err == nil {
			info = TopicInfo{Name: t.Name, Partitions: int32(len(t.Partitions))}
		}
		return err
	})
	if err == nil && info.Name == "" {
		err = ErrUnknownTopic
	}
	if err != nil {
		return TopicInfo{}, fmt.Errorf("describe topic %s: %w", name, err)
	}
	return info, nil
}

func (c *Client) topicExists(ctx context.Context, name string) (bool, error) {
	_, err := c.Topic(ctx, name)
	if errors.Is(err, ErrUnknownTopic) {
		return false, nil
	}
	return err == nil, err
}

// Topics describes all topics of the cluster that this user may see, Kafka's own internal ones left out, sorted by name.
func (c *Client) Topics(ctx context.Context) ([]TopicInfo, error) {
	var infos []TopicInfo
	err := c.retry(ctx, func(ctx context.Context, _ time.Time) error {
		res, err := c.readMetadata(ctx, nil)
		if err != nil {
			return err
		}
		infos = infos[:0]
		for _, t := range res.Topics {
			if t.IsInternal {
				continue
			}
			if err := brokerError(t.ErrorCode, ""); err != nil {
				return fmt.Errorf("topic %s: %w", t.Name, err)
			}
			infos = append(infos, TopicInfo{Name: t.Name, Partitions: int32(len(t.Partitions))})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	slices.SortFunc(infos, func(a, b TopicInfo) int { return strings.Compare(a.Name, b.Name) })
	return infos, nil
}

// TopicConfig returns the topic's effective configuration, defaults included, e.g. cleanup.policy, max.message.bytes.
// Sensitive values are "". It needs the right DESCRIBE_CONFIGS on the topic.
func (c *Client) TopicConfig(ctx context.Context, topic string) (map[string]string, error) {
	const resourceTopic = 2
	configs := make(map[string]string)
	err := c.retry(ctx, func(ctx context.Context, _ time.Time) error {
		m, err := c.exchangeAny(ctx, &describeconfigs.Request{
			Resources: []describeconfigs.RequestResource{{ResourceType: resourceTopic, ResourceName: topic}},
		})
		if err != nil {
			return err
		}
		for _, r := range m.(*describeconfigs.Response).Resources {
			if err := brokerError(r.ErrorCode, r.ErrorMessage); err != nil {
				return c.deniedTopic(err, OpDescribeConfigs, topic)
			}
			for _, e := range r.ConfigEntries {
				configs[e.ConfigName] = e.ConfigValue
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("describe configuration of topic %s: %w", topic, err)
	}
	return configs, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// DeleteTopics deletes topics and waits until the metadata shows none of them. One that does not exist is none to delete.
func (c *Client) DeleteTopics(ctx context.Context, names ...string) error {
	if len(names) == 0 { // metadata of none would be that of all
		return nil
	}
	err := c.retry(ctx, func(ctx context.Context, _ time.Time) error {
		res, err := c.readMetadata(ctx, names)
		if err != nil {
			return err
		}
		var there []string
		for _, t := range res.Topics {
			if err := brokerError(t.ErrorCode, ""); !hasCode(err, codeUnknownTopic) {
				there = append(there, t.Name)
			}
		}
		if len(there) == 0 {
			return nil
		}
		if err := c.deleteTopics(ctx, there); err != nil {
			return err
		}
		return brokerError(int16(codeLeaderNotAvailable), "topics not gone yet: "+strings.Join(there, ", "))
	})
	if err != nil {
		return fmt.Errorf("delete topics %s: %w", strings.Join(names, ", "), err)
	}
	return nil
}

func (c *Client) deleteTopics(ctx context.Context, names []string) error {
	addr, err := c.controller(ctx)
	if err != nil {
		return err
	}
	m, err := c.exchange(ctx, addr, &deletetopics.Request{TopicNames: names, TimeoutMs: int32(c.cfg.RequestTimeout.Milliseconds() / 2)})
	if err != nil {
		return err
	}
	var errs []error
	for _, t := range m.(*deletetopics.Response).Responses {
		if err := brokerError(t.ErrorCode, ""); err != nil && !hasCode(err, codeUnknownTopic) {
			errs = append(errs, fmt.Errorf("delete topic %s: %w", t.Name, c.deniedTopic(err, OpDelete, t.Name)))
		}
	}
	return errors.Join(errs...)
}

// controller is the address of the cluster's controller. A KRaft broker forwards what is for it; one of the ZooKeeper age
// answers NOT_CONTROLLER, so the controller is asked first.
func (c *Client) controller(ctx context.Context) (string, error) {
	meta, err := c.readMetadata(ctx, []string{})
	if err != nil {
		return "", err
	}
	c.cluster.mu.Lock()
	addr, ok := c.cluster.brokers[meta.ControllerID]
	c.cluster.mu.Unlock()
	if !ok {
		return "", brokerError(int16(codeNotController), "the cluster has no controller at the moment")
	}
	return addr, nil
}
