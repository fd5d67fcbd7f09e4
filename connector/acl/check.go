package acl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/waltap/waltap/internal/check"
	"github.com/waltap/waltap/internal/kafka"
)

// RightsCheck is the check of Check.
var RightsCheck = &check.Check{Name: "kafka.rights", Title: "Kafka lets us do what we need",
	Means:  "The rights of docs/kafka-acls.md, on each topic and group of the connector. The brokers are asked what this user may do there; a topic need not exist for that. Where no authorizer is set everybody may do everything.",
	Limits: "Brokers before Kafka 2.3 do not say. A Kafka that has never had a consumer group creates its __consumer_offsets when it is asked for the rights on one.",
	Remedy: "waltap acls -f FILE prints the commands that give the rights."}

// silentTimeout bounds the question about a right of which brokers are silent.
const silentTimeout = 2 * time.Second

// checker is a Check at work.
type checker struct {
	client    *kafka.Client
	topics    []string
	on        map[string]kafka.Operations // by topic
	principal string
	bootstrap string
}

// Check looks whether the client's user has the rights, on those of the topics that they are about.
func Check(ctx context.Context, client *kafka.Client, cfg *kafka.Config, rights []Right, topics []string) []check.Result {
	c := checker{client: client, principal: cfg.Principal(), bootstrap: strings.Join(cfg.BootstrapServers, ",")}
	for _, r := range rights {
		if r.Resource == kafka.Topic && !r.Prefixed && !slices.Contains(topics, r.Name) {
			topics = append(topics, r.Name)
		}
	}
	c.topics = topics
	var err error
	if c.on, err = client.TopicOperations(ctx, topics...); err != nil {
		return []check.Result{RightsCheck.Error("", err)}
	}
	var results []check.Result
	used := 0
	for _, r := range rights {
		missing, known, err := c.missing(ctx, r)
		subject := fmt.Sprintf("%s on %s", strings.Join(missing, ", "), r.subject())
		switch {
		case err != nil:
			results = append(results, RightsCheck.Error(r.subject(), err))
		case !known:
			return []check.Result{RightsCheck.Unknown("", "these brokers do not say what a user may do")}
		case len(missing) > 0:
			results = append(results, RightsCheck.Fail(subject, fmt.Sprintf("%s lacks it: %s", c.principal, r.For), r.Command(c.bootstrap, c.principal)))
		default:
			used++
		}
	}
	if used > 0 {
		results = append([]check.Result{RightsCheck.Right(c.principal, "has %d of %d rights that are needed", used, len(rights))}, results...)
	}
	return results
}

func (r Right) subject() string {
	text := strings.ToLower(r.Resource) + " " + r.Name
	if r.Prefixed {
		text += "*"
	}
	return text
}

// missing lists the operations of a right that the user lacks on any resource that it is about.
func (c *checker) missing(ctx context.Context, r Right) (operations []string, known bool, err error) {
	if r.Resource == kafka.Group {
		on, err := c.client.GroupOperations(ctx, r.Name)
		if err != nil {
			return nil, false, err
		}
		return lacking(r, on, func(string) bool { return false }), on.Known, nil
	}
	lacks := make(map[string]bool)
	for _, topic := range c.topics {
		if topic != r.Name && !(r.Prefixed && strings.HasPrefix(topic, r.Name)) {
			continue
		}
		on := c.on[topic]
		if !on.Known {
			return nil, false, nil
		}
		for _, o := range lacking(r, on, func(operation string) bool { return c.granted(ctx, topic, operation) }) {
			lacks[o] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(r.Operations), func(o string) bool { return !lacks[o] }), true, nil
}

// lacking lists the operations that on does not have, and of which otherwise does not hold.
func lacking(r Right, on kafka.Operations, otherwise func(operation string) bool) []string {
	return slices.DeleteFunc(slices.Clone(r.Operations), func(o string) bool { return on.May(o) || otherwise(o) })
}

// granted tries what the brokers do not tell of a topic: Create may be granted on the cluster, and of a topic that may not be
// described they say nothing. What cannot be told is taken for granted.
func (c *checker) granted(ctx context.Context, topic, operation string) bool {
	ctx, cancel := context.WithTimeout(ctx, silentTimeout)
	defer cancel()
	var err error
	switch operation {
	case kafka.OpCreate:
		var refused map[string]error
		refused, err = c.client.TryCreate(ctx, kafka.TopicSpec{Name: topic, Partitions: 1, ReplicationFactor: -1})
		if err == nil {
			err = refused[topic]
		}
	case kafka.OpDescribeConfigs:
		if c.on[topic].May(kafka.OpDescribe) {
			return false
		}
		_, err = c.client.TopicConfig(ctx, topic)
	default:
		return false
	}
	return !errors.As(err, new(*kafka.AuthorizationError))
}
