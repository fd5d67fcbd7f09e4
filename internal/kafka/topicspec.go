package kafka

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// TopicSpec is a topic to create.
type TopicSpec struct {
	Name              string
	Partitions        int32 // -1: the broker's num.partitions
	ReplicationFactor int16 // -1: the broker's default.replication.factor
	Configs           map[string]string
}

// Command is the command of Kafka's that creates the topic.
func (s TopicSpec) Command(bootstrap string) string {
	b := fmt.Sprintf("kafka-topics.sh --bootstrap-server %s --create --topic %s", shellQuote(bootstrap), shellQuote(s.Name))
	if s.Partitions > 0 {
		b += " --partitions " + strconv.Itoa(int(s.Partitions))
	}
	if s.ReplicationFactor > 0 {
		b += " --replication-factor " + strconv.Itoa(int(s.ReplicationFactor))
	}
	for _, k := range sortedKeys(s.Configs) {
		b += " --config " + shellQuote(k+"="+s.Configs[k])
	}
	return b
}

// kafkaTopic is a KafkaTopic of Strimzi's topic operator. What it leaves out is the brokers' default.
type kafkaTopic struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Metadata   struct {
		Name   string            `yaml:"name"`
		Labels map[string]string `yaml:"labels"`
	} `yaml:"metadata"`
	Spec struct {
		TopicName  string            `yaml:"topicName,omitempty"`
		Partitions int32             `yaml:"partitions,omitempty"`
		Replicas   int16             `yaml:"replicas,omitempty"`
		Config     map[string]string `yaml:"config,omitempty"`
	} `yaml:"spec"`
}

// Manifest is the topic as a KafkaTopic of Strimzi's topic operator, for the Kafka resource of that name.
func (s TopicSpec) Manifest(cluster string) string {
	m := kafkaTopic{APIVersion: "kafka.strimzi.io/v1", Kind: "KafkaTopic"}
	m.Metadata.Name = resourceName(s.Name)
	m.Metadata.Labels = map[string]string{"strimzi.io/cluster": cluster}
	if m.Metadata.Name != s.Name {
		m.Spec.TopicName = s.Name
	}
	m.Spec.Partitions, m.Spec.Replicas, m.Spec.Config = max(0, s.Partitions), max(0, s.ReplicationFactor), s.Configs
	b, err := yaml.Marshal(m)
	if err != nil {
		return err.Error() // not of strings and numbers
	}
	return string(b)
}

var resourceNames = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)

// resourceName is a name that Kubernetes takes: the topic's own when it can be, else one made of it.
func resourceName(topic string) string {
	if resourceNames.MatchString(topic) {
		return topic
	}
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(topic))
	sum := sha256.Sum256([]byte(topic))
	return strings.Trim(strings.Trim(name, "-")+"-"+hex.EncodeToString(sum[:4]), "-")
}

// MissingTopicsError says which topics have to be created by hand, and how.
type MissingTopicsError struct {
	Specs     []TopicSpec
	Bootstrap string
}

func (e *MissingTopicsError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s; create what is missing:", e.Summary())
	for _, s := range e.Specs {
		b.WriteString("\n    " + s.Command(e.Bootstrap))
	}
	b.WriteString("\nor with the topic operator of Strimzi (kafka.strimzi.io/v1beta2 before Strimzi 0.49; the label names your Kafka resource):")
	for _, s := range e.Specs {
		b.WriteString("\n---\n" + strings.TrimRight(s.Manifest("my-cluster"), "\n"))
	}
	return b.String()
}

// Summary names the topics.
func (e *MissingTopicsError) Summary() string {
	names := make([]string, len(e.Specs))
	for i, s := range e.Specs {
		names[i] = s.Name
	}
	if len(names) == 1 {
		return fmt.Sprintf("topic %s does not exist", names[0])
	}
	return fmt.Sprintf("%d topics do not exist: %s", len(names), strings.Join(names, ", "))
}

// RequireTopics returns a *MissingTopicsError that has all of specs that do not exist.
func (c *Client) RequireTopics(ctx context.Context, specs ...TopicSpec) error {
	var missing []TopicSpec
	for _, s := range specs {
		there, err := c.topicExists(ctx, s.Name)
		if err != nil {
			return err
		}
		if !there {
			missing = append(missing, s)
		}
	}
	if len(missing) > 0 {
		return &MissingTopicsError{Specs: missing, Bootstrap: c.cfg.bootstrap()}
	}
	return nil
}
