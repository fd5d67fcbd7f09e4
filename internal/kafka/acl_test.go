package kafka

import (
	"context"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waltap/waltap/internal/secret"
	"github.com/waltap/waltap/internal/testcert"
)

var aclKinds = map[string]kmsg.ACLResourceType{Topic: kmsg.ACLResourceTypeTopic, Group: kmsg.ACLResourceTypeGroup}

var aclOperations = map[string]kmsg.ACLOperation{
	OpRead: kmsg.ACLOperationRead, OpWrite: kmsg.ACLOperationWrite, OpCreate: kmsg.ACLOperationCreate,
	OpDescribe: kmsg.ACLOperationDescribe, OpDescribeConfigs: kmsg.ACLOperationDescribeConfigs,
}

// connectAs connects a user that has these rights and no others, to a cluster with topic t.
func connectAs(t *testing.T, rights ...ACL) *Client {
	t.Helper()
	var acls []kfake.ACL
	for _, r := range rights {
		pattern := kmsg.ACLResourcePatternTypeLiteral
		if r.Prefixed {
			pattern = kmsg.ACLResourcePatternTypePrefixed
		}
		acls = append(acls, kfake.ACL{Resource: aclKinds[r.Resource], Name: r.Name, Pattern: pattern, Operation: aclOperations[r.Operation], Allow: true})
	}
	cluster := fakeCluster(t, kfake.EnableSASL(), kfake.EnableACLs(), kfake.User("PLAIN", "alice", "p", acls...), kfake.SeedTopics(1, "t"))
	return connect(t, cluster, func(cfg *Config) { cfg.SASL = &SASL{"PLAIN", "alice", secret.New("p")} })
}

func on(operation, resource, name string) ACL {
	return ACL{Operation: operation, Resource: resource, Name: name}
}

// TestMissingRightIsNamed asks for each call the one right that is missing.
func TestMissingRightIsNamed(t *testing.T) {
	describe := on(OpDescribe, Topic, "t")
	group := on(OpRead, Group, "g")
	offsets := map[TopicPartition]int64{t0: 1}
	consume := func(ctx context.Context, c *Client) error {
		return c.ConsumeGroup(ctx, GroupConfig{GroupID: "g", Topics: []string{"t"}, JoinBackoff: time.Millisecond}, func(context.Context, *Assignment) error { return errors.New("handle was called") })
	}
	for _, tc := range []struct {
		name string
		have []ACL
		lack ACL
		call func(ctx context.Context, c *Client) error
	}{
		{"describe a topic", nil, describe, func(ctx context.Context, c *Client) error { _, err := c.Topic(ctx, "t"); return err }},
		{"ids of topics", nil, describe, func(ctx context.Context, c *Client) error { _, err := c.TopicIDs(ctx, "t"); return err }},
		{"configuration of a topic", []ACL{describe}, on(OpDescribeConfigs, Topic, "t"), func(ctx context.Context, c *Client) error { _, err := c.TopicConfig(ctx, "t"); return err }},
		{"ensure a topic", nil, on(OpDescribe, Topic, "new"), func(ctx context.Context, c *Client) error {
			return c.EnsureTopics(ctx, TopicSpec{Name: "new", Partitions: 1, ReplicationFactor: 1})
		}},
		{"create a topic", []ACL{on(OpDescribe, Topic, "new")}, on(OpCreate, Topic, "new"), func(ctx context.Context, c *Client) error {
			return c.EnsureTopics(ctx, TopicSpec{Name: "new", Partitions: 1, ReplicationFactor: 1})
		}},
		{"produce", []ACL{describe}, on(OpWrite, Topic, "t"), func(ctx context.Context, c *Client) error {
			p := c.NewProducer(ProducerConfig{})
			defer p.Close()
			return produceWait(ctx, p, t0, records("a", 1))
		}},
		{"end offsets", nil, describe, func(ctx context.Context, c *Client) error { _, err := c.EndOffsets(ctx, "t"); return err }},
		{"fetch", []ACL{describe}, on(OpRead, Topic, "t"), func(ctx context.Context, c *Client) error {
			_, err := c.Fetch(ctx, t0, 0, 1<<20, 10*time.Millisecond)
			return err
		}},
		{"group's members", nil, on(OpDescribe, Group, "g"), func(ctx context.Context, c *Client) error { _, err := c.GroupMembers(ctx, "g"); return err }},
		{"committed offsets, group", []ACL{describe}, on(OpDescribe, Group, "g"), func(ctx context.Context, c *Client) error {
			_, err := c.CommittedOffsets(ctx, "g", []TopicPartition{t0})
			return err
		}},
		{"commit, group", []ACL{on(OpRead, Topic, "t"), on(OpDescribe, Group, "g")}, group, func(ctx context.Context, c *Client) error { return c.CommitOffsets(ctx, "g", offsets) }},
		{"commit, topic", []ACL{group, describe}, on(OpRead, Topic, "t"), func(ctx context.Context, c *Client) error { return c.CommitOffsets(ctx, "g", offsets) }},
		{"consume, topic", []ACL{group}, describe, consume},
		{"consume, group", []ACL{on(OpRead, Topic, "t")}, group, consume},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := tc.call(testContext(t), connectAs(t, tc.have...))
			denied, ok := errors.AsType[*AuthorizationError](err)
			if !ok || denied.ACL != tc.lack || Retriable(err) {
				t.Fatalf("%v; want an error about %s", err, tc.lack)
			}
			text := "User:alice lacks the right " + tc.lack.String() + "; an administrator gives it with: " + tc.lack.Command(denied.Bootstrap, "User:alice")
			if !strings.Contains(err.Error(), text) {
				t.Errorf("error %q does not say %q", err, text)
			}
			// With the right it works, or fails for want of another one.
			err = tc.call(testContext(t), connectAs(t, append(tc.have, tc.lack)...))
			if again, ok := errors.AsType[*AuthorizationError](err); ok && again.ACL == tc.lack {
				t.Errorf("with the right it fails the same way: %v", err)
			}
		})
	}
}

func TestACLCommand(t *testing.T) {
	for want, a := range map[string]ACL{
		"--operation Read --topic orders":                                        on(OpRead, Topic, "orders"),
		"--operation Write --topic orders. --resource-pattern-type prefixed":     {Operation: OpWrite, Resource: Topic, Name: "orders.", Prefixed: true},
		"--operation Read --group 'my group'":                                    on(OpRead, Group, "my group"),
		"--operation IdempotentWrite --cluster":                                  on(OpIdempotentWrite, Cluster, ""),
		"--operation Describe --group connect- --resource-pattern-type prefixed": {Operation: OpDescribe, Resource: Group, Name: "connect-", Prefixed: true},
	} {
		const head = "kafka-acls.sh --bootstrap-server a:1,b:2 --add --allow-principal 'User:CN=it'\\''s me,O=x' "
		if got := a.Command("a:1,b:2", "User:CN=it's me,O=x"); got != head+want {
			t.Errorf("%s\nwant %s", got, head+want)
		}
	}
}

func TestPrincipal(t *testing.T) {
	a := newCA(t, "a")
	// Encoded the other way round than Go does by itself, with an attribute that has no short name.
	subject := pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{
		{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "waltap, prod"},
		{Type: asn1.ObjectIdentifier{2, 5, 4, 8}, Value: "Berlin"},
		{Type: asn1.ObjectIdentifier{2, 5, 4, 11}, Value: "Data"},
	}}
	chain, key := a.issue(testcert.Leaf{Subject: subject})
	withKey := &TLS{Key: secret.New(key), Chain: chain}
	for want, cfg := range map[string]Config{
		"User:ANONYMOUS": {},
		"User:alice":     {SASL: &SASL{Username: "alice"}, TLS: withKey},
		`User:OU=Data,ST=Berlin,CN=waltap\, prod`: {TLS: withKey},
	} {
		if got := cfg.Principal(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if got := (&Config{TLS: &TLS{}}).Principal(); got != "User:ANONYMOUS" {
		t.Errorf("without a certificate: %s", got)
	}
}
