package config

import (
	"strings"
	"testing"

	"github.com/waltap/waltap/internal/secret"
)

const (
	goodSource = `bootstrap.servers: k:9092
connectors:
  - name: s
    connector.class: HBaseSource
    hbase.zookeeper.quorum: zk
    topic.prefix: p
    table.include.list: t
`
	goodSink = `bootstrap.servers: k:9092
connectors:
  - name: k
    connector.class: HBaseSink
    hbase.zookeeper.quorum: zk
    topics: a
`
)

func TestWrongConfigurations(t *testing.T) {
	cases := []struct{ name, text, want string }{
		{"empty", "", "p.yaml: the file is empty"},
		{"only comments", "# nothing\n", "p.yaml: the file is empty"},
		{"no map", "- a\n", "p.yaml:1: want keys and values, such as bootstrap.servers: 127.0.0.1:9092"},
		{"no YAML", "a: b\n\tc: d\n", "p.yaml:2: parse YAML: found a tab character that violates indentation"},
		{"two documents", goodSink + "---\na: b\n", "p.yaml:7: want one YAML document, there is a second one"},
		{"no connectors", "bootstrap.servers: k:1\n", "p.yaml: connectors: required: a list of connectors, each with its name, connector.class and other keys"},
		{"connectors as a map", "bootstrap.servers: k:1\nconnectors: {a: b}\n", "p.yaml:2: connectors: required: a list of connectors, each with its name, connector.class and other keys"},
		{"a connector as a word", "bootstrap.servers: k:1\nconnectors:\n  - orders\n", "p.yaml:3: connectors: want keys and values of a connector, each on a line of its own"},
		{"connectors twice", goodSink + "connectors: []\n", "p.yaml:7: connectors: the key stands on line 2 too"},
		{"a key twice", goodSink + "    topics: b\n", "p.yaml:7: connector k: topics: the key stands on line 6 too"},
		{"a nested key twice", goodSource + "    topic: {prefix: q}\n", "p.yaml:8: connector s: topic.prefix: the key stands on line 6 too"},
		{"a list of maps", goodSource + "    hbase.peer.allow: [{a: b}]\n", "p.yaml:8: connector s: hbase.peer.allow: want a list of plain values"},
		{"an alias of a map", "x: &x {y: z}\n" + goodSource + "    hbase.peer.id: *x\n", `p.yaml:1: x.y: unknown key
p.yaml:9: connector s: hbase.peer.id: want a value or a list of values; an alias may stand for a single value only`},

		{"typo in a process key", "bootstrap.server: k:1\nconnectors:\n  - {name: k, connector.class: HBaseSink, hbase.zookeeper.quorum: z, topics: a}\n", `p.yaml: bootstrap.servers: required, for example 127.0.0.1:9092: Kafka brokers to ask for the others, host:port.
p.yaml:1: bootstrap.server: unknown key: did you mean bootstrap.servers?`},
		{"typo in a source key", goodSource + "    hbase.peer.creat: true\n", "p.yaml:8: connector s: hbase.peer.creat: unknown key: did you mean hbase.peer.create?"},
		{"a key without its beginning", goodSource + "    peer.id: a\n", "p.yaml:8: connector s: peer.id: unknown key: did you mean hbase.peer.id?"},
		{"nothing like it", goodSource + "    colour: red\n", "p.yaml:8: connector s: colour: unknown key"},
		{"a source key in a sink", goodSink + "    hbase.peer.id: a\n", "p.yaml:7: connector k: hbase.peer.id: this is a key of connectors of class HBaseSource"},
		{"a process key in a sink", goodSink + "    log.level: info\n", "p.yaml:7: connector k: log.level: this is a key of the process (at the top of the file)"},
		{"a connector key at the top", "tasks.max: 1\n" + goodSink, "p.yaml:1: tasks.max: this is a key of connectors of class HBaseSource and connectors of class HBaseSink"},

		{"no name", strings.Replace(goodSink, "- name: k", "- tasks.max: 1", 1), "p.yaml:3: name: required, for example orders-source: the connector's name, of which its peer, its progress and its consumer group are named"},
		{"a name with a line end", strings.Replace(goodSink, "name: k", `name: "k\nk"`, 1), "p.yaml:3: connector k\nk: name: \"k\\nk\" is not a name: it may hold no control characters, such as line ends"},
		{"the same name twice", goodSink + "  - name: k\n    connector.class: HBaseSink\n    hbase.zookeeper.quorum: zk\n    topics: a\n    consumer.group.id: x\n", "p.yaml:7: connector k: name: the connector on line 3 has the same name"},
		{"no class", strings.Replace(goodSink, "connector.class: HBaseSink", "tasks.max: 1", 1), "p.yaml:3: connector k: connector.class: required, for example HBaseSource: What the connector is: HBaseSource captures tables into Kafka, HBaseSink applies them to another cluster."},
		{"unknown class", strings.Replace(goodSink, "HBaseSink", "HbaseSink", 1), `p.yaml:4: connector k: connector.class: "HbaseSink" is not one of HBaseSource, HBaseSink: did you mean HBaseSink?`},
		{"all faults at once", `log.level: loud
connectors:
  - name: s
    connector.class: HBaseSource
    tasks.max: 0
    snapshot.mode: initial-only
`, `p.yaml: bootstrap.servers: required, for example 127.0.0.1:9092: Kafka brokers to ask for the others, host:port.
p.yaml:1: log.level: "loud" is not one of debug, info, warn, error
p.yaml:3: connector s: hbase.zookeeper.quorum: required, for example 127.0.0.1:2181: ZooKeeper servers of the HBase cluster, host or host:port (2181).
p.yaml:3: connector s: table.include.list: required, for example default:orders, shop:.*: Tables to capture: regular expressions that match the whole of namespace:table. An entry without a namespace is of the namespace default. An entry of letters, digits and '_', '-', '.' only is a table's name, and that table must exist. All tables: .*:.*
p.yaml:3: connector s: topic.prefix: required, for example orders: A table's records go to the topic <topic.prefix>.<namespace>.<table>.
p.yaml:5: connector s: tasks.max: 0 is too small: want at least 1
p.yaml:6: connector s: snapshot.mode: "initial-only" is not one of initial, no_data, initial_only, when_needed: did you mean initial_only?`},

		{"neither topics nor regex", strings.Replace(goodSink, "topics: a", "tasks.max: 1", 1), "p.yaml:3: connector k: topics: required, or else topics.regex: which topics to apply"},
		{"topics and regex", goodSink + "    topics.regex: b\n", "p.yaml:7: connector k: topics.regex: topics is given too: give exactly one of the two"},
		{"the source's own znode", goodSource + "    hbase.peer.znode.parent: /hbase\n", "p.yaml:8: connector s: hbase.peer.znode.parent: /hbase is the source cluster's own znode: waltap would register as one of its region servers"},
		{"end time", goodSource + "    end.time: tomorrow\n", `p.yaml:8: connector s: end.time: "tomorrow" is not a time: want RFC 3339, such as 2026-11-20T10:00:00Z`},
		{"end time without a watermark", goodSource + "    end.time: 2026-11-21T00:00:00Z\n    watermark.mode: \"off\"\n", "p.yaml:8: connector s: end.time: needs the watermark: set watermark.mode to heartbeat or metrics"},
		{"two sinks in a group", goodSink + "  - {name: l, connector.class: HBaseSink, hbase.zookeeper.quorum: z, topics: a, consumer.group.id: connect-k}\n", "p.yaml:7: connector l: consumer.group.id: connector k has the group connect-k too: give each its own"},
		{"tolerance without a place", goodSink + "    errors.tolerance: all\n", "p.yaml:7: connector k: errors.tolerance: all needs errors.deadletterqueue.topic.name: waltap drops no record"},
		{"oversized without a place", goodSource + "    errors.oversized.policy: dead-letter\n", "p.yaml:8: connector s: errors.oversized.policy: dead-letter needs errors.deadletterqueue.topic.name"},
		{"dead letters that the sink reads", goodSink + "    errors.deadletterqueue.topic.name: a\n", "p.yaml:7: connector k: errors.deadletterqueue.topic.name: the sink itself reads topic a: name one that neither topics nor topics.regex has"},
		{"dead letters like a table", goodSource + "    errors.deadletterqueue.topic.name: p.dead\n", "p.yaml:8: connector s: errors.deadletterqueue.topic.name: p.dead begins like the topics of tables (p.): sinks would take it for one of them"},
		{"dead letters that another sink reads", goodSink + "  - {name: l, connector.class: HBaseSink, hbase.zookeeper.quorum: z, topics: b, errors.deadletterqueue.topic.name: a}\n",
			"p.yaml:7: connector l: errors.deadletterqueue.topic.name: connector l puts dead letters on topic a, which connector k would apply: give them a topic that no sink reads"},
		{"dead letters of a source that a sink reads", goodSource + "    errors.deadletterqueue.topic.name: dead\n  - {name: l, connector.class: HBaseSink, hbase.zookeeper.quorum: z, topics.regex: 'de.*'}\n",
			"p.yaml:9: connector l: errors.deadletterqueue.topic.name: connector s puts dead letters on topic dead, which connector l would apply: give them a topic that no sink reads"},
		{"two sources alike", goodSource + "  - {name: S, connector.class: HBaseSource, hbase.zookeeper.quorum: zk, topic.prefix: p, table.include.list: u, hbase.peer.id: waltap_s, hbase.peer.znode.parent: /waltap_s}\n", `p.yaml:8: connector S: hbase.peer.id: connector s has the peer waltap_s of the same cluster too: give each its own
p.yaml:8: connector S: hbase.peer.listen: connector s listens on 0.0.0.0:16220 too: give each its own port
p.yaml:8: connector S: hbase.peer.znode.parent: connector s registers at /waltap_s too: give each its own
p.yaml:8: connector S: topic.prefix: connector s has the prefix p too: give each its own, or capture the tables by one connector`},
	}
	for _, tc := range cases {
		p, err := Parse("p.yaml", []byte(tc.text))
		if err == nil || err.Error() != tc.want {
			t.Errorf("%s:\n got %v\nwant %s", tc.name, err, tc.want)
		}
		if p != nil {
			t.Errorf("%s: a configuration came with the error", tc.name)
		}
	}
}

func TestWrongValues(t *testing.T) {
	cases := []struct{ key, value, want string }{
		{"bootstrap.servers", "kafka", `"kafka" is not an address: want host:port`},
		{"bootstrap.servers", "k:9092,:1", `":1" is not an address: the host is missing`},
		{"bootstrap.servers", "k:0", `"k:0" is not an address: want a port from 1 to 65535`},
		{"bootstrap.servers", " , ", `the list is empty: give a value or remove the key`},
		{"listeners", "127.0.0.1:8083", `"127.0.0.1:8083" is not a listener: want http://host:port or https://host:port`},
		{"listeners", "https://a", `"https://a" is not a listener: "a" is not an address: want host:port`},
		{"listeners", "http://a", `"http://a" is not a listener: "a" is not an address: want host:port`},
		{"listeners", "http://a:1/x", `"http://a:1/x" is not a listener: want http://host:port or https://host:port`},
		{"log.level", "", `the value is empty: give one or remove the key`},
		{"tasks.max", "many", `"many" is not a number: want an integer`},
		{"tasks.max", "1.5", `"1.5" is not a number: want an integer`},
		{"tasks.max", "2000", `2000 is too large: want at most 1024`},
		{"connection.timeout.ms", "10s", `"10s" is not a number: want milliseconds, an integer`},
		{"hbase.zookeeper.quorum", "zk:2181/hbase", `"zk:2181/hbase" is not a ZooKeeper server: the path goes to the key that ends in znode.parent`},
		{"hbase.zookeeper.znode.parent", "hbase", `"hbase" is not a znode: want an absolute path such as /hbase`},
		{"hbase.peer.znode.parent", "/", `"/" is not a znode: want an absolute path such as /hbase`},
		{"hbase.peer.id", "a-b", `"a-b" is not a peer id: want letters, digits, '_' and '.' (HBase allows no '-')`},
		{"hbase.peer.create", "yes", `"yes" is not true or false`},
		{"hbase.peer.listen", "16220", `"16220" is not an address: want host:port`},
		{"hbase.peer.listen", "a:70000", `"a:70000" is not an address: want a port from 0 to 65535`},
		{"hbase.peer.advertised.host", "a:1", `"a:1" is not a host: want a name or an IPv4 address, without a port`},
		{"hbase.peer.allow", "10.0.0.0/33", `"10.0.0.0/33" is neither an IP address nor a CIDR network such as 10.0.0.0/8`},
		{"hbase.peer.max.bytes.in.flight", "1QB", `"1QB" is not a size: want bytes, such as 1048576 or 1MiB`},
		{"hbase.peer.max.bytes.in.flight", "1 BK", `"1 BK" is not a size: want one of the suffixes KiB, MiB, GiB, KB, MB, GB`},
		{"hbase.peer.max.bytes.in.flight", "99999999999GiB", `"99999999999GiB" is too large`},
		{"hbase.peer.max.bytes.in.flight", "1K", `1K is too small: want at least 1048576`},
		{"topic.prefix", "a b", `check topic prefix "a b": Kafka does not allow ' ' in a topic: use letters, digits, '.', '_' and '-'`},
		{"table.include.list", "a(", "\"a(\" is not a regular expression: error parsing regexp: missing closing ): `a(`"},
		{"table.include.list", ":a", `check table name ":a": want table or namespace:table`},
		{"table.exclude.list", "", `the list is empty: give a table or remove the key`},
		{"snapshot.gap.accept", "orders", `"orders" is not a table and the number of its next epoch, such as default:orders/2: take it from the error of the gap`},
		{"snapshot.gap.accept", "orders/1", `"orders/1" is not a table and the number of its next epoch, such as default:orders/2: take it from the error of the gap`},
		{"snapshot.order", "any", `"any" is not one of exact, concurrent`},
		{"topic.creation.default.replication.factor", "0", `0 replicas cannot be: want -1 for the brokers' default, or at least 1`},
		{"topics", "orders.*", `"orders.*" is not a topic: want letters, digits, '.', '_' and '-', at most 249; patterns go to topics.regex`},
		{"topics.regex", "[", "\"[\" is not a regular expression: error parsing regexp: missing closing ]: `[`"},
		{"hbase.table.rename", "a", `parse rename "a": want namespace:table=namespace:table`},
		{"errors.tolerance", "lenient", `"lenient" is not one of none, all`},
		{"errors.oversized.policy", "skip", `"skip" is not one of fail, dead-letter, split`},
		{"errors.deadletterqueue.topic.name", "a b", `"a b" is not a topic: want letters, digits, '.', '_' and '-', at most 249`},
		{"errors.deadletterqueue.topic.name", "__waltap-x", `"__waltap-x" is one of waltap's own topics: want another name`},
		{"errors.deadletterqueue.topic.replication.factor", "0", `0 replicas cannot be: want -1 for the brokers' default, or at least 1`},
		{"errors.retry.timeout", "-2", `-2 is too small: want at least -1`},
		{"errors.retry.delay.max.ms", "0", `0 is too small: want at least 1`},
		{"batch.linger.ms", "-1", `-1 is too small: want at least 0`},
		{"security.protocol", "TLS", `"TLS" is not one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL`},
		{"sasl.mechanism", "GSSAPI", `"GSSAPI" is not one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512`},
		{"ssl.truststore.type", "BKS", `"BKS" is not one of PEM`},
		{"ssl.endpoint.identification.algorithm", "none", `"none" is neither https nor empty`},
		{"ssl.enabled.protocols", "TLSv1.1", `"TLSv1.1" is not one of TLSv1.2, TLSv1.3`},
		{"config.providers.x.class", "com.example.Vault", `"com.example.Vault" is no provider that waltap has: want FileConfigProvider, DirectoryConfigProvider or EnvVarConfigProvider of org.apache.kafka.common.config.provider`},
		{"topic.creation.default.retention.m", "1", `Kafka has no topic configuration retention.m: did you mean topic.creation.default.retention.ms?`},
		{"topic.creation.default.partition", "1", `Kafka has no topic configuration partition: did you mean topic.creation.default.partitions?`},
		{"producer.override.acks", "1", `"1" is not all: HBase is told that a record is safe only when all in-sync replicas have it`},
		{"producer.override.enable.idempotence", "yes", `"yes" is not true or false`},
		{"consumer.override.isolation.level", "read_committed", `waltap's sources write without transactions: there is nothing that read_committed would leave out; remove the key`},
		{"consumer.override.isolation.level", "x", `"x" is not read_uncommitted`},
		{"consumer.override.max.poll.interval.ms", "9000", `9000 is too small: want at least 15000`},
	}
	for _, tc := range cases {
		k := lookup(tc.key)
		if k == nil {
			t.Errorf("%s: no such key", tc.key)
			continue
		}
		tgt := &target{process: new(Process), security: new(security), resolver: new(secret.Resolver), hbase: new(HBase), errors: new(Errors), source: new(Source), sink: new(Sink)}
		if err := k.parse(tgt, tc.key, tc.value); err == nil || err.Error() != tc.want {
			t.Errorf("%s: %q:\n got %v\nwant %s", tc.key, tc.value, err, tc.want)
		}
	}
}

func TestDistance(t *testing.T) {
	cases := []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}, {"same", "same", 0}}
	for _, tc := range cases {
		if got := distance(tc.a, tc.b); got != tc.want {
			t.Errorf("distance(%q, %q) = %d, want %d", tc.a, tc.b, got, tc.want)
		}
	}
}
