package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/createtopics"
	"github.com/segmentio/kafka-go/protocol/describegroups"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

// Operations by their numbers in the bit fields of authorized operations (AclOperation of Kafka).
var operationBits = map[string]int{OpRead: 3, OpWrite: 4, OpCreate: 5, OpDelete: 6, OpDescribe: 8, OpDescribeConfigs: 10}

// notAsked is the bit field of a broker that was not asked.
const notAsked = -1 << 31

// Operations are what this user may do with a resource. Known is false when the brokers do not say (before Kafka 2.3).
type Operations struct {
	Known bool
	bits  int32
}

// May tells whether an operation is among them. Operations imply others as Kafka's authorizer has it: the brokers have
// reckoned that in.
func (o Operations) May(operation string) bool {
	bit, ok := operationBits[operation]
	return ok && o.bits&(1<<bit) != 0
}

func operations(bits int32) Operations {
	return Operations{Known: bits != notAsked, bits: max(0, bits)}
}

// TopicOperations asks what this user may do with topics, whether they exist or not. One that it may not describe allows
// nothing but perhaps Create and DescribeConfigs, about which the brokers are silent then.
func (c *Client) TopicOperations(ctx context.Context, topics ...string) (map[string]Operations, error) {
	all := make(map[string]Operations, len(topics))
	if len(topics) == 0 {
		return all, nil
	}
	err := c.retry(ctx, func(ctx context.Context, _ time.Time) error {
		m, err := c.exchangeAny(ctx, &metadata.Request{TopicNames: topics, IncludeTopicAuthorizedOperations: true})
		if err != nil {
			return err
		}
		for _, t := range m.(*metadata.Response).Topics {
			err := brokerError(t.ErrorCode, "")
			switch {
			case hasCode(err, codeTopicAuthorization):
				all[t.Name] = Operations{Known: true}
			case err == nil || hasCode(err, codeUnknownTopic, codeLeaderNotAvailable):
				all[t.Name] = operations(t.TopicAuthorizedOperations)
			default:
				return fmt.Errorf("topic %s: %w", t.Name, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("ask for the rights on topics: %w", err)
	}
	return all, nil
}

// GroupOperations asks what this user may do with a consumer group, whether it exists or not.
func (c *Client) GroupOperations(ctx context.Context, group string) (Operations, error) {
	var found Operations
	err := c.coordinate(ctx, group, &describegroups.Request{Groups: []string{group}, IncludeAuthorizedOperations: true}, func(m protocol.Message) error {
		for _, g := range m.(*describegroups.Response).Groups {
			if err := brokerError(g.ErrorCode, ""); err != nil {
				return err
			}
			found = operations(g.AuthorizedOperations)
		}
		return nil
	})
	if hasCode(err, codeGroupAuthorization) {
		return Operations{Known: true}, nil
	}
	if err != nil {
		return found, fmt.Errorf("ask for the rights on group %s: %w", group, err)
	}
	return found, nil
}

// TryCreate asks the brokers whether they would create the topics now, by their limits, their policy and the rights of this
// user. Nothing is created. The errors are by topic; those that would be created have none.
func (c *Client) TryCreate(ctx context.Context, specs ...TopicSpec) (map[string]error, error) {
	refused := make(map[string]error)
	err := c.retry(ctx, func(ctx context.Context, _ time.Time) error {
		res, err := c.askCreate(ctx, specs, true)
		if err != nil {
			return err
		}
		for _, t := range res.Topics {
			if err := brokerError(t.ErrorCode, t.ErrorMessage); err != nil {
				refused[t.Name] = fmt.Errorf("%w%s", c.deniedTopic(err, OpCreate, t.Name), createRemedy(err))
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("ask whether topics can be created: %w", err)
	}
	return refused, nil
}

// askCreate sends a CreateTopics request to the controller.
func (c *Client) askCreate(ctx context.Context, specs []TopicSpec, validate bool) (*createtopics.Response, error) {
	req := &createtopics.Request{TimeoutMs: int32(c.cfg.RequestTimeout.Milliseconds() / 2), ValidateOnly: validate}
	for _, s := range specs {
		t := createtopics.RequestTopic{Name: s.Name, NumPartitions: s.Partitions, ReplicationFactor: s.ReplicationFactor}
		for _, k := range sortedKeys(s.Configs) {
			t.Configs = append(t.Configs, createtopics.RequestConfig{Name: k, Value: s.Configs[k]})
		}
		req.Topics = append(req.Topics, t)
	}
	addr, err := c.controller(ctx)
	if err != nil {
		return nil, err
	}
	m, err := c.exchange(ctx, addr, req)
	if err != nil {
		return nil, err
	}
	return m.(*createtopics.Response), nil
}

// Brokers lists the brokers' addresses as they advertise them, by node id.
func (c *Client) Brokers(ctx context.Context) (map[int32]string, error) {
	var brokers map[int32]string
	err := c.retry(ctx, func(ctx context.Context, _ time.Time) error {
		if _, err := c.readMetadata(ctx, []string{}); err != nil {
			return err
		}
		c.cluster.mu.Lock()
		defer c.cluster.mu.Unlock()
		brokers = maps.Clone(c.cluster.brokers)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list brokers: %w", err)
	}
	return brokers, nil
}

// Ping opens a connection to the broker at addr, with all of its handshake, and closes it.
func (c *Client) Ping(ctx context.Context, addr string) error {
	cn, err := dial(ctx, &c.cfg, addr)
	if err != nil {
		return err
	}
	cn.close()
	return nil
}

// Replicas describes the partitions of a topic: the least number of replicas, and of those in sync, that one has.
type Replicas struct{ Partitions, Least, InSync int }

// TopicReplicas reads them. The error is ErrUnknownTopic when the topic does not exist.
func (c *Client) TopicReplicas(ctx context.Context, topic string) (Replicas, error) {
	var r Replicas
	unknown := false
	err := c.retry(ctx, func(ctx context.Context, _ time.Time) error {
		t, err := c.topicMetadata(ctx, topic)
		if unknown = errors.Is(err, ErrUnknownTopic); unknown {
			return nil
		}
		if err != nil {
			return err
		}
		r = Replicas{Partitions: len(t.Partitions)}
		var replicas, inSync []int
		for _, p := range t.Partitions {
			replicas, inSync = append(replicas, len(p.ReplicaNodes)), append(inSync, len(p.IsrNodes))
		}
		if len(replicas) > 0 {
			r.Least, r.InSync = slices.Min(replicas), slices.Min(inSync)
		}
		return nil
	})
	if unknown {
		err = ErrUnknownTopic
	}
	if err != nil {
		return Replicas{}, fmt.Errorf("describe topic %s: %w", topic, err)
	}
	return r, nil
}
