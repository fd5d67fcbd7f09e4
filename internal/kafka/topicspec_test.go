package kafka

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestRequireTopics(t *testing.T) {
	cluster := fakeCluster(t, kfake.SeedTopics(1, "there"))
	c := connect(t, cluster)
	specs := []TopicSpec{
		{Name: "there", Partitions: 1, ReplicationFactor: 1},
		{Name: "orders.default.Big_Table", Partitions: 8, ReplicationFactor: 3, Configs: map[string]string{"retention.ms": "1000", "cleanup.policy": "delete"}},
		{Name: "__waltap-offsets.orders", Partitions: 1, ReplicationFactor: -1, Configs: map[string]string{"cleanup.policy": "compact"}},
		{Name: "orders.shop.items", Partitions: -1, ReplicationFactor: -1},
	}
	err := c.RequireTopics(testContext(t), specs...)
	if _, ok := errors.AsType[*MissingTopicsError](err); !ok {
		t.Fatalf("%v", err)
	}
	const want = `3 topics do not exist: orders.default.Big_Table, __waltap-offsets.orders, orders.shop.items; create what is missing:
    kafka-topics.sh --bootstrap-server BOOT --create --topic orders.default.Big_Table --partitions 8 --replication-factor 3 --config cleanup.policy=delete --config retention.ms=1000
    kafka-topics.sh --bootstrap-server BOOT --create --topic __waltap-offsets.orders --partitions 1 --config cleanup.policy=compact
    kafka-topics.sh --bootstrap-server BOOT --create --topic orders.shop.items
or with the topic operator of Strimzi (kafka.strimzi.io/v1beta2 before Strimzi 0.49; the label names your Kafka resource):
---
apiVersion: kafka.strimzi.io/v1
kind: KafkaTopic
metadata:
    name: orders-default-big-table-5a657628
    labels:
        strimzi.io/cluster: my-cluster
spec:
    topicName: orders.default.Big_Table
    partitions: 8
    replicas: 3
    config:
        cleanup.policy: delete
        retention.ms: "1000"
---
apiVersion: kafka.strimzi.io/v1
kind: KafkaTopic
metadata:
    name: waltap-offsets-orders-a1733ea8
    labels:
        strimzi.io/cluster: my-cluster
spec:
    topicName: __waltap-offsets.orders
    partitions: 1
    config:
        cleanup.policy: compact
---
apiVersion: kafka.strimzi.io/v1
kind: KafkaTopic
metadata:
    name: orders.shop.items
    labels:
        strimzi.io/cluster: my-cluster
spec: {}`
	if d := cmp.Diff(want, strings.ReplaceAll(err.Error(), cluster.ListenAddrs()[0], "BOOT")); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if err := c.RequireTopics(testContext(t), specs[0]); err != nil {
		t.Error(err)
	}
	err = c.RequireTopics(testContext(t), specs[3])
	if err == nil || !strings.HasPrefix(err.Error(), "topic orders.shop.items does not exist; create what is missing:\n") {
		t.Errorf("%v", err)
	}
}

func TestResourceNamesDiffer(t *testing.T) {
	seen := make(map[string]string)
	for _, topic := range []string{"a.b", "a_b", "a-b", "A.b", "a..b", "__", "-", ".a", strings.Repeat("x_", 120)} {
		name := resourceName(topic)
		if !resourceNames.MatchString(name) || len(name) > 253 {
			t.Errorf("%s becomes %q, which Kubernetes does not take", topic, name)
		}
		if other, twice := seen[name]; twice {
			t.Errorf("%s and %s both become %s", topic, other, name)
		}
		seen[name] = topic
	}
}

func TestTopicNotCreated(t *testing.T) {
	for _, tc := range []struct {
		err  *kerr.Error
		want string
	}{
		{kerr.InvalidTopicException, "choose another topic.prefix"},
		{kerr.InvalidReplicationFactor, "topic.creation.default.replication.factor"},
		{kerr.InvalidConfig, "topic.creation.default.*"},
		{kerr.PolicyViolation, "create.topic.policy"},
		{kerr.TopicAuthorizationFailed, "--operation Create --topic new"},
	} {
		t.Run(tc.err.Message, func(t *testing.T) {
			cluster := fakeCluster(t)
			cluster.ControlKey(int16(kmsg.CreateTopics), func(req kmsg.Request) (kmsg.Response, error, bool) {
				res := req.ResponseKind().(*kmsg.CreateTopicsResponse)
				res.Topics = append(res.Topics, kmsg.CreateTopicsResponseTopic{Topic: "new", ErrorCode: tc.err.Code})
				return res, nil, true
			})
			err := connect(t, cluster).EnsureTopics(testContext(t), TopicSpec{Name: "new", Partitions: 1, ReplicationFactor: 1})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v; want %q", err, tc.want)
			}
		})
	}
}
