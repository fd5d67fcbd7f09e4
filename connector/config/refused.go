package config

import "strings"

// Refused is a key that users of Kafka and Kafka Connect know and that waltap does not honour.
type Refused struct {
	Name   string // ends with * for all that begin so
	Scope  Scope
	Reason string
}

const perConnector = "every connector of a process reaches Kafka in the same way: give security.protocol, sasl.* and ssl.* at the top of the file, or run the connector in a process of its own"

// refusals says why, in the order of the reference.
var refusals = []Refused{
	{"ssl.truststore.password", InProcess, "a PEM trust store has no password. A JKS or PKCS12 store is converted with: " + "keytool -list -rfc -keystore truststore.jks > truststore.pem"},
	{"ssl.keystore.password", InProcess, "a PEM key store has no password; that of its private key is ssl.key.password. docs/kafka-security.md has the commands that convert a JKS or PKCS12 store"},
	{"ssl.protocol", InProcess, "the TLS versions are those of ssl.enabled.protocols"},
	{"ssl.cipher.suites", InProcess, "the cipher suites are those of Go's TLS library, which keeps weak ones out"},
	{"ssl.provider", InProcess, "waltap has no Java security providers"},
	{"ssl.engine.factory.class", InProcess, "waltap runs no Java classes"},
	{"ssl.keymanager.algorithm", InProcess, "waltap has no Java security providers"},
	{"ssl.trustmanager.algorithm", InProcess, "waltap has no Java security providers"},
	{"ssl.secure.random.implementation", InProcess, "waltap has no Java security providers"},
	{"sasl.kerberos.*", InProcess, "sasl.mechanism GSSAPI is not supported: use PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, or a client certificate (ssl.keystore.*)"},
	{"sasl.oauthbearer.*", InProcess, "sasl.mechanism OAUTHBEARER is not supported: use PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, or a client certificate (ssl.keystore.*)"},
	{"sasl.client.callback.handler.class", InProcess, "waltap runs no Java classes: give the credentials by sasl.username and sasl.password"},
	{"sasl.login.*", InProcess, "waltap runs no Java classes: give the credentials by sasl.username and sasl.password"},

	{"producer.override.delivery.timeout.ms", InSource, "waltap gives no record up: it sends again for as long as HBase waits for the answer of a call (hbase.rpc.timeout at the source), and HBase sends again what was not answered"},
	{"producer.override.retries", InSource, "waltap gives no record up: it sends again for as long as HBase waits for the answer of a call"},
	{"producer.override.max.in.flight.requests.per.connection", InSource, "one request is in flight for each partition, which keeps a row's changes in order"},
	{"producer.override.buffer.memory", InSource, "the bytes in flight are bounded by hbase.peer.max.bytes.in.flight"},
	{"producer.override.max.block.ms", InSource, "waltap waits for Kafka for as long as HBase waits for the answer of a call"},
	{"producer.override.transactional.id", InSource, "waltap writes without transactions: a source delivers at least once, and its sinks apply a replay without effect"},
	{"producer.override.partitioner.*", InSource, "a row's partition is murmur2 of its key, as the Java client has it, so that all its changes are in one"},
	{"producer.override.key.serializer", InSource, "the key of a record is the row"},
	{"producer.override.value.serializer", InSource, "records are encoded as value.converter says"},
	{"producer.override.bootstrap.servers", InSource, perConnector},
	{"producer.override.security.*", InSource, perConnector},
	{"producer.override.sasl.*", InSource, perConnector},
	{"producer.override.ssl.*", InSource, perConnector},

	{"value.converter.value.subject.name.strategy", InSource, "the subject of a topic's values is <topic>-value (TopicNameStrategy)"},
	{"key.converter.key.subject.name.strategy", InSource, "the subject of a topic's keys is <topic>-key (TopicNameStrategy)"},
	{"value.converter.use.latest.version", InSource, "the schema of waltap's records is fixed: the one that is registered, or looked up, is its own"},
	{"value.converter.use.schema.id", InSource, "the schema of waltap's records is fixed: its id is asked of the registry"},
	{"value.converter.latest.compatibility.strict", InSource, "the schema of waltap's records is fixed: the one that is registered, or looked up, is its own"},

	{"consumer.override.auto.offset.reset", InSink, "waltap never leaves records out by itself: when a committed offset is not in the log any more, the sink stops and names what is lost (waltap offsets reset goes on). Where a new group begins is consumer.start"},
	{"consumer.override.enable.auto.commit", InSink, "offsets are committed when the records below them are applied, once a second"},
	{"consumer.override.auto.commit.interval.ms", InSink, "offsets are committed when the records below them are applied, once a second"},
	{"consumer.override.max.poll.records", InSink, "how much is applied at once is batch.max.records and batch.max.bytes"},
	{"consumer.override.group.id", InSink, "the group is consumer.group.id"},
	{"consumer.override.group.instance.id", InSink, "members of the group are not static: several processes of one connector would need different values"},
	{"consumer.override.partition.assignment.strategy", InSink, "waltap shares the partitions out in contiguous ranges"},
	{"consumer.override.key.deserializer", InSink, "the encoding of a record is known by its first bytes"},
	{"consumer.override.value.deserializer", InSink, "the encoding of a record is known by its first bytes"},
	{"consumer.override.bootstrap.servers", InSink, perConnector},
	{"consumer.override.security.*", InSink, perConnector},
	{"consumer.override.sasl.*", InSink, perConnector},
	{"consumer.override.ssl.*", InSink, perConnector},
}

// Refusals lists the keys that waltap knows and does not honour.
func Refusals() []Refused { return append([]Refused(nil), refusals...) }

// whyRefused returns the reason, "" for a key that is not refused by name.
func whyRefused(name string) string {
	for _, r := range refusals {
		prefix, all := strings.CutSuffix(r.Name, "*")
		if name == r.Name || all && strings.HasPrefix(name, prefix) {
			return r.Reason
		}
	}
	return ""
}
