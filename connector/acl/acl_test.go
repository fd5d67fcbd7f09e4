package acl

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waltap/waltap/connector/config"
)

var update = flag.Bool("update", false, "write docs/kafka-acls.md anew")

// document is docs/kafka-acls.md as the table of rights has it.
func document() []byte {
	var b bytes.Buffer
	b.WriteString(`# The rights that waltap needs in Kafka

Written from connector/acl; a test keeps the two equal, and end-to-end tests run a source, a sink and a migration with exactly these rights on a
real broker, and find each of them used; the commands too. They leave out those that are "only for" something that does not happen there.

` + "`waltap acls -f FILE`" + ` prints the kafka-acls.sh commands for the connectors of a configuration; with ` + "`--for verify`" + ` those for ` + "`waltap verify`" + ` and
` + "`repair`" + `, with ` + "`--for migrate`" + ` those for all steps of a migration, and with ` + "`--for worker`" + ` those of a worker of a group. With ` + "`offset.storage.topic`" + ` the rights on ` + "`__waltap-offsets.<topic.prefix>`" + ` are on that topic. In the names here, ` + "`<topic.prefix>`" + ` is the key of that name of the
source, ` + "`<consumer.group.id>`" + ` that of the sink (` + "`connect-<name>`" + ` by default).

No right on the cluster is needed. (Brokers before Kafka 2.8 grant producer ids only with IdempotentWrite on the cluster; without it a
source goes on without one and says so, see ` + "`producer.override.enable.idempotence`" + `.) Read and Write hold Describe. A topic that a user may not
describe does not exist for it: a sink with ` + "`topics.regex`" + ` does not see it.

`)
	for _, role := range Roles {
		fmt.Fprintf(&b, "## %s\n\n| resource | name | pattern | operations | what for |\n|---|---|---|---|---|\n", role.Name)
		for _, r := range role.Rights {
			pattern := "literal"
			if r.Prefixed {
				pattern = "prefixed"
			}
			fmt.Fprintf(&b, "| %s | `%s` | %s | %s | %s |\n", r.Resource, r.Name, pattern, strings.Join(r.Operations, ", "), r.For)
		}
		b.WriteString("\n")
	}
	b.WriteString(`## ` + "`waltap migrate cutover --reverse`" + ` and its undoing, in addition

The reverse stream has a source and a sink of its own, numbered, of a like name: ` + "`<name>-reverse-1`" + ` with the topic.prefix
` + "`<topic.prefix>-reverse-1`" + `. Those of the two connectors above, and of the other steps, on everything that begins with ` + "`<topic.prefix>-reverse-`" + `,
` + "`__waltap-offsets.<topic.prefix>-reverse-`" + ` (and so on), and on the groups ` + "`waltap-<name>-reverse-`" + ` and ` + "`connect-<name of the sink>-reverse-`" + `. ` +
		"`waltap acls -f FILE --for migrate`" + ` prints them.

# The rights that waltap needs in HBase

Where the clusters have ` + "`AccessController`" + `. Letters as the HBase shell's grant takes them; on the cluster means without a table. HBase tells
definitions of tables only to who has A or C on them.

| | at the source | at the destination |
|---|---|---|
| source connector | A and C on the cluster (peers, WALs, the heartbeat table), R on the tables | |
| sink connector | | W on the tables that are there (who creates one owns it); on the cluster with ` + "`hbase.apply: replication`" + `, or where cells have tags other than a TTL (cell ACLs, visibility labels); A and C on the cluster with ` + "`hbase.table.create`" + `, else A with ` + "`hbase.table.late.put.window.ms`" + ` |
| ` + "`waltap verify`" + ` | R and A (or C) on the tables | the same |
| ` + "`waltap repair --execute`" + ` | R and A (or C) on the tables | R and A (or C) on the tables; W as a sink connector |
| ` + "`waltap schema export`, `diff`" + ` | A (or C) on the tables | the same |
| ` + "`waltap schema apply`" + ` | | A and C on the cluster |
| ` + "`waltap migrate plan`" + ` | A on the cluster | A on the cluster |
| ` + "`waltap migrate start`" + ` | R, A and C on the cluster | A and C on the cluster; W as a sink connector |
| ` + "`waltap migrate verify`, `repair`" + ` | as verify and repair | the same |
| ` + "`waltap migrate cutover`, `cleanup`" + ` | R, A and C on the cluster | R, A and C on the cluster |
| ` + "`waltap migrate cutover --reverse`" + ` | W on the tables in addition, for who runs ` + "`start`" + `; on the cluster as for a sink connector | C on the cluster in addition, for the same |
| ` + "`waltap migrate status`, `pause`, `resume`" + ` | none; ` + "`pause`" + ` reads the queues in ZooKeeper | none |

` + "`grant 'waltap', 'RWCA'`" + ` on both holds all of them.
`)
	return append(bytes.TrimRight(b.Bytes(), "\n"), '\n')
}

func TestDocument(t *testing.T) {
	file := filepath.Join("..", "..", "docs", "kafka-acls.md")
	if *update {
		if err := os.WriteFile(file, document(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(document()), string(got)); d != "" {
		t.Errorf("%s differs from the table of rights: run go test ./connector/acl -update\n%s", file, d)
	}
}

func parse(t *testing.T, source, sink string) *config.Process {
	t.Helper()
	text := "bootstrap.servers: k:9092\nconnectors:\n"
	if source != "" {
		text += "  - {name: s, connector.class: HBaseSource, hbase.zookeeper.quorum: zk, topic.prefix: orders, table.include.list: t" + strings.TrimPrefix(source, "-") + "}\n"
	}
	if sink != "" {
		text += "  - {name: k, connector.class: HBaseSink, hbase.zookeeper.quorum: zk" + sink + "}\n"
	}
	p, err := config.Parse("p.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// lines writes rights as the commands do, without what all of them have in common.
func lines(rights []Right) []string {
	var out []string
	for _, r := range rights {
		out = append(out, strings.TrimPrefix(r.Command("k:9092", "User:w"), "kafka-acls.sh --bootstrap-server k:9092 --add --allow-principal User:w "))
	}
	return out
}

func TestOfConnector(t *testing.T) {
	data := "--operation Write --topic orders. --resource-pattern-type prefixed"
	p := parse(t, "-", `, topics.regex: orders\..*, end.time: "2026-11-20T10:00:00Z", consumer.group.id: my group`)
	source, err := OfConnector(p, &p.Connectors[0], "")
	if err != nil || len(source) != len(Source.Rights) || lines(source)[0] != data {
		t.Errorf("source: %q, %v", lines(source), err)
	}
	sink, err := OfConnector(p, &p.Connectors[1], "")
	if d := cmp.Diff([]string{
		"--operation Read --topic orders. --resource-pattern-type prefixed",
		"--operation Read --group 'my group'",
		"--operation Read --topic __waltap-tables.orders",
		"--operation Read --topic __waltap-schema.orders",
		"--operation Read --topic __waltap-watermarks.orders",
		"--operation Read --operation Write --operation DescribeConfigs --topic __waltap-sinks",
		"--operation Create --topic __waltap-sinks",
	}, lines(sink)); d != "" || err != nil {
		t.Errorf("sink: %v\n%s", err, d)
	}
	// With a dead-letter topic.
	p = parse(t, ", errors.oversized.policy: dead-letter, errors.deadletterqueue.topic.name: dead", `, topics.regex: orders\..*, errors.tolerance: all, errors.deadletterqueue.topic.name: dead2`)
	for i, topic := range []string{"dead", "dead2"} {
		rights, err := OfConnector(p, &p.Connectors[i], "")
		if want := []string{"--operation Write --operation DescribeConfigs --topic " + topic, "--operation Create --topic " + topic}; err != nil || !slices.Equal(lines(rights)[len(rights)-2:], want) {
			t.Errorf("rights %q, %v; want %q", lines(rights), err, want)
		}
	}
	// With a topic of signals.
	p = parse(t, ", signal.kafka.topic: orders-signal", `, topics.regex: orders\..*`)
	rights, err := OfConnector(p, &p.Connectors[0], "")
	if want := []string{"--operation Read --topic orders-signal", "--operation Read --group waltap-signals-" + p.Connectors[0].Name}; err != nil || !slices.Equal(lines(rights)[len(rights)-2:], want) {
		t.Errorf("rights %q, %v; want %q", lines(rights), err, want)
	}
	// Nothing is created, the topics are named, the source is elsewhere.
	p = parse(t, ", topic.creation.enable: false", ", topics: 'other.default.a, other.default.b', topic.creation.enable: false")
	if source, err = OfConnector(p, &p.Connectors[0], ""); err != nil || slices.ContainsFunc(lines(source), func(s string) bool { return strings.Contains(s, "Create") }) {
		t.Errorf("source: %q, %v", lines(source), err)
	}
	if _, err := OfConnector(p, &p.Connectors[1], ""); err == nil || !strings.Contains(err.Error(), "--topic-prefix") {
		t.Errorf("a source elsewhere: %v", err)
	}
	sink, err = OfConnector(p, &p.Connectors[1], "other")
	if d := cmp.Diff([]string{
		"--operation Read --topic other.default.a",
		"--operation Read --topic other.default.b",
		"--operation Read --group connect-k",
		"--operation Read --topic __waltap-tables.other",
		"--operation Read --topic __waltap-schema.other",
		"--operation Read --operation Write --operation DescribeConfigs --topic __waltap-sinks",
	}, lines(sink)); d != "" || err != nil {
		t.Errorf("sink: %v\n%s", err, d)
	}
	p = parse(t, "-", `, topics.regex: ".*orders"`)
	if _, err := OfConnector(p, &p.Connectors[1], ""); err == nil || !strings.Contains(err.Error(), "topics.regex has no fixed beginning") {
		t.Errorf("no beginning: %v", err)
	}
}

func TestOfWorker(t *testing.T) {
	own := []string{"--operation Read --operation Write --operation DescribeConfigs --topic ", "--operation Create --topic "}
	for _, tc := range []struct {
		worker config.Worker
		topics []string
	}{
		{config.Worker{}, []string{"__waltap-configs.g", "__waltap-status.g"}},
		{config.Worker{ConfigTopic: "c", StatusTopic: "s", OffsetTopic: "o"}, []string{"c", "s", "o"}},
	} {
		var want []string
		for _, topic := range tc.topics {
			want = append(want, own[0]+topic, own[1]+topic)
		}
		want = append(want, "--operation Read --group waltap-workers-g")
		for _, topic := range []string{StateTopic, "__waltap-dlq"} { // of the web page
			want = append(want, "--operation Read --operation DescribeConfigs --topic "+topic)
		}
		if d := cmp.Diff(want, lines(OfWorker(&config.Process{GroupID: "g", Worker: tc.worker}))); d != "" {
			t.Error(d)
		}
	}
}

// With offset.storage.topic nothing is asked for on the topic of the prefix, and the topic of all is not to be deleted.
func TestSharedOffsetsTopic(t *testing.T) {
	p := parse(t, "-", `, topics.regex: orders\..*`)
	p.Worker.OffsetTopic = "all-offsets"
	source, err := OfConnector(p, &p.Connectors[0], "")
	if err != nil {
		t.Fatal(err)
	}
	m, err := OfMigration(p, &p.Connectors[0], &p.Connectors[1])
	if err != nil {
		t.Fatal(err)
	}
	for what, rights := range map[string][]Right{"source": source, "start": m.Start, "steps": m.Steps} {
		all := strings.Join(lines(rights), "\n")
		if strings.Contains(all, "__waltap-offsets.orders\n") || strings.Contains(all, "--operation Delete --topic all-offsets") || !strings.Contains(all, "--operation Read --operation") || !strings.Contains(all, "--topic all-offsets") {
			t.Errorf("%s:\n%s", what, all)
		}
	}
}
