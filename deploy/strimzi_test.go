package deploy

import (
	"bytes"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/waltap/waltap/connector/acl"
	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

var update = flag.Bool("update", false, "write the examples for Strimzi anew")

// kafkaUser is a KafkaUser of Strimzi.
type kafkaUser struct {
	APIVersion string   `yaml:"apiVersion"`
	Kind       string   `yaml:"kind"`
	Metadata   metadata `yaml:"metadata"`
	Spec       struct {
		Authentication struct {
			Type string `yaml:"type"`
		} `yaml:"authentication"`
		Authorization struct {
			Type string `yaml:"type"`
			ACLs []rule `yaml:"acls"`
		} `yaml:"authorization"`
	} `yaml:"spec"`
}

type metadata struct {
	Name   string            `yaml:"name"`
	Labels map[string]string `yaml:"labels"`
}

type rule struct {
	Resource struct {
		Type        string `yaml:"type"`
		Name        string `yaml:"name"`
		PatternType string `yaml:"patternType"`
	} `yaml:"resource"`
	Operations []string `yaml:"operations"`
}

// TestExamplesForStrimzi: the rights in kafkauser.yaml are those that waltap acls prints for pipeline.yaml, and those of a worker
// (docs/workers.md). Both files are written by this test.
func TestExamplesForStrimzi(t *testing.T) {
	b, err := os.ReadFile("strimzi/pipeline.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// The certificates are not there.
	lines := slices.DeleteFunc(strings.SplitAfter(string(b), "\n"), func(l string) bool { return strings.Contains(l, "ssl.") || strings.Contains(l, "security.") })
	cfg, err := config.Parse("pipeline.yaml", []byte(strings.Join(lines, "")))
	if err != nil {
		t.Fatal(err)
	}
	rights := workerRights(cfg.GroupID)
	for i := range cfg.Connectors {
		r, err := acl.OfConnector(cfg, &cfg.Connectors[i], "")
		if err != nil {
			t.Fatal(err)
		}
		rights = append(rights, r...)
	}
	u := kafkaUser{APIVersion: "kafka.strimzi.io/v1", Kind: "KafkaUser", Metadata: metadata{"waltap", map[string]string{"strimzi.io/cluster": "my-cluster"}}}
	u.Spec.Authentication.Type, u.Spec.Authorization.Type = "tls", "simple"
	u.Spec.Authorization.ACLs = rules(rights)
	compare(t, "strimzi/kafkauser.yaml", `# The user of waltap: its rights for the connectors of pipeline.yaml, and those of a worker. Written by a test from what waltap acls prints
# (go test ./deploy -update). kafka.strimzi.io/v1beta2 before Strimzi 0.49.
#
# Strimzi's KafkaConnect and KafkaConnector resources cannot run waltap: they run Kafka Connect's own workers, which are Java. Run waltap's worker
# with the Helm chart (deploy/helm/waltap) beside Strimzi's Kafka.
`, marshal(t, u))

	topics := []kafka.TopicSpec{{Name: "orders.default.orders", Partitions: 8, ReplicationFactor: 3, Configs: map[string]string{"cleanup.policy": "delete", "max.message.bytes": "12582912", "retention.ms": "604800000"}}}
	for _, name := range []string{schema.OffsetsTopic("orders"), schema.SchemaTopic("orders"), schema.TablesTopic("orders"), schema.WatermarksTopic("orders"), "__waltap-sinks"} {
		topics = append(topics, kafka.TopicSpec{Name: name, Partitions: 1, ReplicationFactor: 3, Configs: map[string]string{"cleanup.policy": "compact"}})
	}
	topics = append(topics, kafka.TopicSpec{Name: schema.TasksTopic("orders"), Partitions: int32(cfg.Connectors[0].Source.TasksMax), ReplicationFactor: 3, Configs: map[string]string{"cleanup.policy": "compact"}})
	var text []string
	for _, s := range topics {
		text = append(text, s.Manifest("my-cluster"))
	}
	compare(t, "strimzi/kafkatopics.yaml", `# Topics made by hand, for topic.creation.enable: false (docs/topics.md). Without it waltap creates its topics itself. A connector that misses some
# names all of them, in this form.
`, strings.Join(text, "---\n"))
}

// workerRights are those of docs/workers.md.
func workerRights(group string) []acl.Right {
	var out []acl.Right
	for _, topic := range []string{"__waltap-configs." + group, "__waltap-status." + group} {
		out = append(out, acl.Right{Resource: kafka.Topic, Name: topic, Operations: []string{kafka.OpRead, kafka.OpWrite, kafka.OpDescribeConfigs, kafka.OpCreate}})
	}
	return append(out, acl.Right{Resource: kafka.Group, Name: "waltap-workers-" + group, Operations: []string{kafka.OpRead}})
}

// rules merges the rights on one resource.
func rules(rights []acl.Right) []rule {
	var out []rule
	for _, r := range rights {
		var x rule
		x.Resource.Type, x.Resource.Name, x.Resource.PatternType = strings.ToLower(r.Resource), r.Name, "literal"
		if r.Prefixed {
			x.Resource.PatternType = "prefix"
		}
		i := slices.IndexFunc(out, func(o rule) bool { return o.Resource == x.Resource })
		if i < 0 {
			i, out = len(out), append(out, x)
		}
		for _, op := range r.Operations {
			if !slices.Contains(out[i].Operations, op) {
				out[i].Operations = append(out[i].Operations, op)
			}
		}
	}
	return out
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func compare(t *testing.T, file, head, body string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(head+body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil || string(b) != head+body {
		t.Errorf("%s is not up to date (go test ./deploy -update): %v\n%s", file, err, head+body)
	}
}
