package config

import (
	"math"
	"time"

	"github.com/waltap/waltap/internal/secret"
)

// kafkaKeys are the keys of Kafka's own and of Kafka Connect's names: how the brokers are reached, topics, producers
// and consumers.
var kafkaKeys = []Key{
	{
		Name: "client.id", Scope: InProcess, Type: String, Default: "waltap",
		Doc: "Name of this process in the brokers' logs and quotas.",
		set: text(func(t *target) *string { return &t.process.Kafka.ClientID }),
	},
	{
		Name: keyProtocol, Scope: InProcess, Type: String, Default: "PLAINTEXT", Values: protocols,
		Doc: "How the brokers of bootstrap.servers are spoken to, as their listener wants it: with TLS (SSL), with users that authenticate (SASL), with both or neither. docs/kafka-security.md has an example of each.",
		set: text(func(t *target) *string { return &t.security.protocol }),
	},
	{
		Name: keyMechanism, Scope: InProcess, Type: String, Values: mechanisms, DefaultDoc: "none; required with SASL", Example: "SCRAM-SHA-512",
		Doc: "How users authenticate.",
		set: text(func(t *target) *string { return &t.security.mechanism }),
	},
	{
		Name: keyUsername, Scope: InProcess, Type: String, Example: "waltap",
		Doc: "The user, unless sasl.jaas.config names it.",
		set: text(func(t *target) *string { return &t.security.username }),
	},
	{
		Name: keyPassword, Scope: InProcess, Type: Password, Example: "${file:/etc/waltap/secrets.properties:kafka.password}",
		Doc: "The user's password. It does not stand here itself: ${file:/path:key} is a key of a Java properties file, ${directory:/path:file} the content of a file, ${env:NAME} an environment variable.",
		set: password(func(t *target) *secret.Secret { return &t.security.password }),
	},
	{
		Name: keyJAAS, Scope: InProcess, Type: Password, asWritten: true,
		Example: `org.apache.kafka.common.security.scram.ScramLoginModule required username="waltap" password="${file:/etc/waltap/secrets.properties:kafka.password}";`,
		Doc:     "User and password as Kafka's Java clients take them, in place of sasl.username and sasl.password: PlainLoginModule or ScramLoginModule. The password, or the whole, is a reference.",
		set: func(t *target, value string) (err error) {
			t.security.jaas, err = parseJAAS(t.resolver, value)
			return err
		},
	},
	{
		Name: "ssl.truststore.location", Scope: InProcess, Type: String, DefaultDoc: "none: the authorities that this machine trusts", Example: "/etc/waltap/kafka-ca.pem",
		Doc: "PEM file with the certificates of the authorities that sign the brokers' certificates. It is read for each connection, so a renewed one needs no restart; so is ssl.keystore.location.",
		set: text(func(t *target) *string { return &t.security.tls.TrustStore }),
	},
	{
		Name: "ssl.truststore.certificates", Scope: InProcess, Type: String, Example: "${directory:/run/secrets:ca.crt}",
		Doc: "The same inline, read at the start.",
		set: text(func(t *target) *string { return &t.security.tls.Certificates }),
	},
	{
		Name: "ssl.truststore.type", Scope: InProcess, Type: String, Default: "PEM", Values: []string{"PEM"}, anyValue: true,
		Doc: "JKS and PKCS12 are refused with the command that converts them.",
		set: into(parseStoreType, func(t *target) *string { return &t.security.trustType }),
	},
	{
		Name: "ssl.keystore.location", Scope: InProcess, Type: String, Example: "/etc/waltap/kafka-client.pem",
		Doc: "PEM file with waltap's own private key and its certificate chain, for brokers that want one (ssl.client.auth).",
		set: text(func(t *target) *string { return &t.security.tls.KeyStore }),
	},
	{
		Name: "ssl.keystore.certificate.chain", Scope: InProcess, Type: String, Example: "${directory:/run/secrets:tls.crt}",
		Doc: "The certificate chain inline, PEM, read at the start; with ssl.keystore.key.",
		set: text(func(t *target) *string { return &t.security.tls.Chain }),
	},
	{
		Name: "ssl.keystore.key", Scope: InProcess, Type: Password, Example: "${directory:/run/secrets:tls.key}",
		Doc: "The private key inline, PEM (PKCS#8, also encrypted); a reference, as sasl.password is.",
		set: password(func(t *target) *secret.Secret { return &t.security.tls.Key }),
	},
	{
		Name: "ssl.keystore.type", Scope: InProcess, Type: String, Default: "PEM", Values: []string{"PEM"}, anyValue: true,
		Doc: "JKS and PKCS12 are refused with the command that converts them.",
		set: into(parseStoreType, func(t *target) *string { return &t.security.keyType }),
	},
	{
		Name: "ssl.key.password", Scope: InProcess, Type: Password, Example: "${env:KAFKA_KEY_PASSWORD}",
		Doc: "Password of the private key, when that is encrypted; a reference, as sasl.password is.",
		set: password(func(t *target) *secret.Secret { return &t.security.tls.KeyPassword }),
	},
	{
		Name: "ssl.endpoint.identification.algorithm", Scope: InProcess, Type: String, Default: "https", Values: []string{"https", ""}, anyValue: true,
		Doc: "https: a broker's certificate must name its host. Empty: any host is taken, whoever has a certificate of the same authority can pose as a broker.",
		set: into(parseHostCheck, func(t *target) *bool { return &t.security.tls.SkipHostCheck }),
	},
	{
		Name: "ssl.enabled.protocols", Scope: InProcess, Type: List, Default: "TLSv1.2,TLSv1.3",
		Doc: "The TLS versions to speak.",
		set: parseTLSVersions,
	},
	{
		Name: keyProviders, Scope: InProcess, Type: List, DefaultDoc: "file, directory, env", Example: "file, env",
		Doc: "The configuration providers that references name. These three are always there, so that the key is needed only for other names of theirs.",
		set: func(*target, string) error { return nil }, // see resolverOf
	},
	{
		Name: "config.providers.<name>.class", Part: "secrets", Scope: InProcess, Type: String, Example: "org.apache.kafka.common.config.provider.FileConfigProvider",
		Doc:   "What a provider of another name is: FileConfigProvider, DirectoryConfigProvider or EnvVarConfigProvider.",
		named: func(_ *target, _, value string) error { _, err := secret.ProviderOfClass(value); return err },
	},

	{
		Name: "topic.creation.enable", Scope: InSource | InSink, Type: Boolean, Default: "true",
		Doc: "Create topics that do not exist: data topics and internal ones of a source, __waltap-sinks of a sink. false: they must exist; those that do not are named with the commands, and the Strimzi manifests, that create them (docs/topics.md).",
		set: boolean(func(t *target) *bool { return &t.topicCreation().Enable }),
	},
	{
		Name: "topic.creation.default.partitions", Scope: InSource, Type: Integer, Default: "8", Min: 1, Max: 100_000,
		Doc: "Partitions of a data topic that is created. A row is always in the same one.",
		set: number(func(t *target) *int32 { return &t.source.TopicCreation.Partitions }),
	},
	{
		Name: "topic.creation.default.replication.factor", Scope: InSource | InSink, Type: Integer, Default: "-1", Min: -1, Max: math.MaxInt16,
		Doc: "Replicas of a topic that is created, internal ones too. -1: the brokers' default.",
		set: into(parseReplication, func(t *target) *int16 { return &t.topicCreation().ReplicationFactor }),
	},
	{
		Name: "topic.creation.default.max.message.bytes", Scope: InSource, Type: Size, Default: "12MiB", Min: 1 << 20, Max: math.MaxInt32,
		Doc: "max.message.bytes of a data topic that is created: the largest record that gets in. HBase's own limit for a cell is 10 MiB by default.",
		set: number(func(t *target) *int64 { return &t.source.TopicCreation.MaxMessageBytes }),
	},
	{
		Name: "topic.creation.default.<topic config>", Part: "retention.ms", Scope: InSource, Type: String, DefaultDoc: "cleanup.policy: delete, else the brokers'", Example: "604800000",
		Doc:   "Any other configuration of Kafka's for a data topic that is created, such as retention.ms, compression.type or min.insync.replicas.",
		named: setTopicConfig,
	},
	{
		Name: "topic.compacted.allow", Scope: InSource, Type: Boolean, Default: "false",
		Doc: "Accept data topics with a cleanup.policy that compacts. A record holds the part of a row that was changed: compaction keeps only the last one of a row, and the cells that earlier ones held are lost to who reads the topic from its beginning.",
		set: boolean(func(t *target) *bool { return &t.source.TopicCreation.AllowCompacted }),
	},

	{
		Name: "producer.override.compression.type", Scope: InSource, Type: String, Default: "snappy", Values: []string{"none", "gzip", "snappy", "lz4", "zstd"},
		Doc: "Compression of record batches. snappy takes less of the broker's time than none, and little here; see performance.md.",
		set: text(func(t *target) *string { return &t.source.Producer.CompressionType }),
	},
	{
		Name: "producer.override.batch.size", Scope: InSource, Type: Size, Default: "1044480", Min: 1 << 10, Max: 1 << 30,
		Doc: "Most bytes of records that go to a partition in one request, before compression. A larger record goes alone. A smaller max.message.bytes of the topic is obeyed.",
		set: number(func(t *target) *int { return &t.source.Producer.BatchSize }),
	},
	{
		Name: "producer.override.linger.ms", Scope: InSource, Type: Milliseconds, Default: "0", Max: 60_000,
		Doc: "How long records wait for others to fill a request. 0: they wait only while a request of their partition is in flight. HBase waits with them.",
		set: milliseconds(func(t *target) *time.Duration { return &t.source.Producer.Linger }),
	},
	{
		Name: "producer.override.max.request.size", Scope: InSource, Type: Size, DefaultDoc: "none; max.message.bytes of the topic is the limit", Min: 1 << 10, Max: math.MaxInt32, Example: "12MiB",
		Doc: "Refuse a record that is larger than this as it is sent.",
		set: number(func(t *target) *int { return &t.source.Producer.MaxRequestSize }),
	},
	{
		Name: "producer.override.request.timeout.ms", Scope: InSource, Type: Milliseconds, Default: "10000", Min: 100, Max: 600_000,
		Doc: "How long a broker may take to answer a request, the wait for its replicas included, before it is sent again.",
		set: milliseconds(func(t *target) *time.Duration { return &t.source.Producer.RequestTimeout }),
	},
	{
		Name: "producer.override.acks", Scope: InSource, Type: String, Default: "all", Values: []string{"all", "-1"}, anyValue: true,
		Doc: "Which replicas must have a record before HBase is told that it is safe: all that are in sync. Other values are refused.",
		set: func(_ *target, value string) error { _, err := parseAcks(value); return err },
	},
	{
		Name: "producer.override.enable.idempotence", Scope: InSource, Type: Boolean, DefaultDoc: "true where the cluster grants a producer id, else false, with a warning", Example: "true",
		Doc: "Let brokers recognise a request that is sent again, so that it is not appended twice. true: fail where the cluster does not grant a producer id.",
		set: into(parseIdempotence, func(t *target) *Idempotence { return &t.source.Producer.Idempotence }),
	},

	{
		Name: "consumer.override.fetch.min.bytes", Scope: InSink, Type: Size, Default: "1", Min: 1, Max: 1 << 30,
		Doc: "How much a broker collects before it answers a fetch, for at most fetch.max.wait.ms.",
		set: number(func(t *target) *int { return &t.sink.Consumer.FetchMinBytes }),
	},
	{
		Name: "consumer.override.fetch.max.wait.ms", Scope: InSink, Type: Milliseconds, Default: "500", Min: 1, Max: 60_000,
		Doc: "How long a broker waits for fetch.min.bytes.",
		set: milliseconds(func(t *target) *time.Duration { return &t.sink.Consumer.FetchMaxWait }),
	},
	{
		Name: "consumer.override.fetch.max.bytes", Scope: InSink, Type: Size, DefaultDoc: "256KiB, or batch.max.bytes if that is less", Min: 1 << 10, Max: 1 << 30, Example: "50MiB",
		Doc: "About the most bytes of one answer. Each partition is fetched by itself, so the smaller of this and max.partition.fetch.bytes counts. A larger record is fetched all the same. With more than 8 partitions in a process it is less, as batch.max.records.",
		set: number(func(t *target) *int { return &t.sink.Consumer.FetchMaxBytes }),
	},
	{
		Name: "consumer.override.max.partition.fetch.bytes", Scope: InSink, Type: Size, DefaultDoc: "256KiB, or batch.max.bytes if that is less", Min: 1 << 10, Max: 1 << 30, Example: "4MiB",
		Doc: "About the most bytes of a partition in one answer.",
		set: number(func(t *target) *int { return &t.sink.Consumer.MaxPartitionFetchBytes }),
	},
	{
		Name: "consumer.override.session.timeout.ms", Scope: InSink, Type: Milliseconds, Default: "10000", Min: 1000, Max: 1_800_000,
		Doc: "How long the partitions of a process that died stay with it. Within group.min.session.timeout.ms and group.max.session.timeout.ms of the brokers.",
		set: milliseconds(func(t *target) *time.Duration { return &t.sink.Consumer.SessionTimeout }),
	},
	{
		Name: "consumer.override.heartbeat.interval.ms", Scope: InSink, Type: Milliseconds, DefaultDoc: "a tenth of session.timeout.ms, at most 3000", Min: 100, Max: 600_000, Example: "1000",
		Doc: "How often a member of the group shows that it is alive, and learns of a rebalance.",
		set: milliseconds(func(t *target) *time.Duration { return &t.sink.Consumer.HeartbeatInterval }),
	},
	{
		Name: "consumer.override.max.poll.interval.ms", Scope: InSink, Type: Milliseconds, Default: "30000", Min: 15_000, Max: maxMilliseconds,
		Doc: "How long the group waits in a rebalance for a member to finish the batches it has in hand, for which a member takes 10 seconds at most.",
		set: milliseconds(func(t *target) *time.Duration { return &t.sink.Consumer.MaxPollInterval }),
	},
	{
		Name: "consumer.override.isolation.level", Scope: InSink, Type: String, Default: "read_uncommitted", Values: []string{"read_uncommitted"}, anyValue: true,
		Doc: "waltap's sources write without transactions, so there is nothing else to choose.",
		set: func(_ *target, value string) error { _, err := parseIsolation(value); return err },
	},
}

// password sets a secret.
func password(field func(*target) *secret.Secret) func(*target, string) error {
	return into(func(s string) (secret.Secret, error) { return secret.New(s), nil }, field)
}
