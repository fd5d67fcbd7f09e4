package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/waltap/waltap/connector/acl"
	"github.com/waltap/waltap/connector/migrate"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/internal/secret"
)

// secured writes a configuration of a source and a sink whose user has a password.
func secured(t *testing.T, brokers, more string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secrets.properties"), []byte("password=hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "pipeline.yaml")
	text := "bootstrap.servers: " + brokers + "\n" + strings.ReplaceAll(more, "DIR", dir) + `
connectors:
  - {name: s, connector.class: HBaseSource, hbase.zookeeper.quorum: "127.0.0.1:1", topic.prefix: p, table.include.list: t}
  - {name: copy, connector.class: HBaseSink, hbase.zookeeper.quorum: "127.0.0.1:1", topics.regex: 'p\..*'}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const scramUser = "security.protocol: SASL_PLAINTEXT\nsasl: {mechanism: SCRAM-SHA-256, username: alice, password: '${file:DIR/secrets.properties:password}'}"

func TestACLs(t *testing.T) {
	if acl.StateTopic != migrate.StateTopic {
		t.Errorf("rights are listed for topic %s, and the state of migrations is on %s", acl.StateTopic, migrate.StateTopic)
	}
	run := func(args ...string) (int, string, string) {
		var out, errs bytes.Buffer
		code := Main(append([]string{"acls"}, args...), &out, &errs)
		return code, out.String(), errs.String()
	}
	code, out, errs := run("-f", secured(t, "k:9092", scramUser))
	for _, want := range []string{
		"# connector s\n",
		"kafka-acls.sh --bootstrap-server k:9092 --add --allow-principal User:alice --operation Write --topic p. --resource-pattern-type prefixed\n",
		"# connector copy\n",
		"kafka-acls.sh --bootstrap-server k:9092 --add --allow-principal User:alice --operation Read --group connect-copy\n",
	} {
		if code != exitOK || !strings.Contains(out, want) {
			t.Errorf("exit code %d, no %q in\n%s%s", code, want, out, errs)
		}
	}
	for what, wants := range map[string][]string{
		"verify": {"# waltap verify -f, waltap repair -f\n", "--operation Describe --topic p. --resource-pattern-type prefixed\n", "--operation Describe --group connect-copy\n"},
		"migrate": {"# wave all: waltap migrate start\n", "--operation Write --topic p. --resource-pattern-type prefixed\n", "# wave all: the other steps of waltap migrate\n", "--operation Delete --topic __waltap-offsets.p\n",
			"# wave all: waltap migrate start, for cutover --reverse in addition\n", "--operation Write --topic p-reverse- --resource-pattern-type prefixed\n", "--operation Read --group connect-copy-reverse- --resource-pattern-type prefixed\n"},
	} {
		code, out, errs := run("-f", secured(t, "k:9092", scramUser), "--for", what)
		for _, want := range wants {
			if code != exitOK || !strings.Contains(out, want) {
				t.Errorf("--for %s: exit code %d, no %q in\n%s%s", what, code, want, out, errs)
			}
		}
		if strings.Contains(out, "__waltap-migrations-reverse") || strings.Contains(out, "<") {
			t.Errorf("--for %s:\n%s", what, out)
		}
	}
	file := filepath.Join(t.TempDir(), "worker.yaml")
	if err := os.WriteFile(file, []byte("bootstrap.servers: k:9092\ngroup.id: g\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs = run("-f", file, "--for", "worker", "--principal", "User:bob"); code != exitOK || !strings.Contains(out, "--group waltap-workers-g\n") || strings.Contains(out, "<") {
		t.Errorf("--for worker: exit code %d: %s%s", code, out, errs)
	}
	if code, out, errs = run("-f", secured(t, "k:9092", ""), "--principal", "User:bob"); code != exitOK || !strings.Contains(out, "--allow-principal User:bob ") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	if code, _, errs = run("-f", secured(t, "k:9092", "")); code != exitUsage || !strings.Contains(errs, "--principal") {
		t.Errorf("without a user: exit code %d: %s", code, errs)
	}
}

// TestOffsetsOfASecuredCluster: -f takes the credentials, and a wrong password is told without telling it.
func TestOffsetsOfASecuredCluster(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "p.default.t"), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "alice", "hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	brokers := strings.Join(c.ListenAddrs(), ",")
	client, err := kafka.Connect(t.Context(), kafka.Config{BootstrapServers: c.ListenAddrs(), SASL: &kafka.SASL{Mechanism: "SCRAM-SHA-256", Username: "alice", Password: secret.New("hunter2")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if err := client.CommitOffsets(t.Context(), "connect-copy", map[kafka.TopicPartition]int64{{Topic: "p.default.t"}: 0}); err != nil {
		t.Fatal(err)
	}
	file := secured(t, brokers, scramUser)
	if code, stdout, stderr := run("-f", file, "get"); code != exitOK || !strings.Contains(stdout, "p.default.t") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(file), "secrets.properties"), []byte("password=swordfish\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := run("-f", file, "get")
	if code != exitFailure || !strings.Contains(stderr, `user "alice" or the password is wrong`) || strings.Contains(stdout+stderr, "swordfish") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
}
