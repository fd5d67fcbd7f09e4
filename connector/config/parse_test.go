package config

import (
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waltap/waltap/internal/secret"
	"github.com/waltap/waltap/schema"
)

const smallest = `
bootstrap.servers: k:9092
connectors:
  - name: orders-source
    connector.class: HBaseSource
    hbase.zookeeper.quorum: zk
    topic.prefix: orders
    table.include.list: orders
  - name: orders-copy
    connector.class: HBaseSink
    hbase.zookeeper.quorum: zk2
    topics: orders.default.orders
`

var compareConfig = cmp.Options{
	cmp.AllowUnexported(TablePattern{}, schema.Renames{}),
	cmp.Comparer(func(a, b *regexp.Regexp) bool {
		return (a == nil) == (b == nil) && (a == nil || a.String() == b.String())
	}),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

func TestDefaults(t *testing.T) {
	got, err := Parse("p.yaml", []byte(smallest))
	if err != nil {
		t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	want := &Process{
		Worker:           Worker{ConfigReplicas: -1, StatusReplicas: -1, SessionTimeout: 10 * time.Second},
		BootstrapServers: []string{"k:9092"}, GroupID: "waltap", Listeners: "http://127.0.0.1:8083", LogFormat: LogText, LogLevel: slog.LevelInfo,
		Kafka: Kafka{ClientID: "waltap"}, REST: REST{MaxBody: 1 << 20, MaxConnections: 1000}, Migration: Migration{MaxFreeze: time.Hour, Fence: FenceReadOnly},
		Connectors: []Connector{{
			Name: "orders-source", Class: HBaseSource,
			Source: &Source{
				TasksMax: 8,
				HBase:    HBase{ZooKeeperQuorum: []string{"zk:2181"}, ZNodeParent: "/hbase", ConnectionTimeout: 10 * time.Second},
				Peer: Peer{
					ID: "waltap_orders_source", Create: true, ZooKeeperQuorum: []string{"zk:2181"}, ZNodeParent: "/waltap_orders_source",
					SessionTimeout: 30 * time.Second, Listen: "0.0.0.0:16220", AdvertisedHost: host, MaxBytesInFlight: 128 << 20,
				},
				ReplicationScope: ScopeRequire,
				TopicPrefix:      "orders",
				TableRefresh:     30 * time.Second,
				Tables:           TableFilter{Include: []TablePattern{{text: "orders", name: "default:orders"}}},
				Snapshot:         Snapshot{Mode: SnapshotInitial, Order: SnapshotExact, MaxThreads: 2, ScannersPerServer: 1, FetchSize: 2 << 20, ProgressInterval: 5 * time.Second, ShardMaxBytes: 1 << 30, MaxWALHold: 6 * time.Hour, OnWALHold: OnWALHoldFail},
				Files:            Files{Reader: ReaderScan, User: "hbase"},
				TopicCreation:    TopicCreation{Enable: true, Partitions: 8, ReplicationFactor: -1, MaxMessageBytes: 12 << 20},
				KeyConverter:     Converter{Format: FormatBytes, AutoRegister: true},
				ValueConverter:   Converter{Format: FormatAvro, AutoRegister: true},
				Producer:         Producer{CompressionType: "snappy", BatchSize: 1044480, RequestTimeout: 10 * time.Second},
				Watermark:        Watermark{Mode: WatermarkHeartbeat, Margin: 5 * time.Second, Patience: 2 * time.Minute, Slack: 310 * time.Second},
				PeerOnEnd:        PeerRemove,
				PeerOnDelete:     PeerRemove,
				Errors:           Errors{Tolerance: ToleranceNone, DeadLetterFactor: -1, DeadLetterContext: true},
				Oversized:        OversizedFail,
			},
			Raw: map[string]string{"connector.class": "HBaseSource", "hbase.zookeeper.quorum": "zk", "topic.prefix": "orders", "table.include.list": "orders"},
		}, {
			Name: "orders-copy", Class: HBaseSink,
			Sink: &Sink{
				TasksMax: 8,
				HBase:    HBase{ZooKeeperQuorum: []string{"zk2:2181"}, ZNodeParent: "/hbase", ConnectionTimeout: 10 * time.Second},
				Topics:   []string{"orders.default.orders"}, CreateTables: true, Evolution: EvolutionBasic, Apply: ApplyAuto, ConsumerStart: ConsumerStart{Mode: StartCommitted}, GroupID: "connect-orders-copy",
				BatchMaxRecords: 4000, BatchMaxBytes: 4 << 20, BatchLinger: 50 * time.Millisecond, WatermarkMargin: 5 * time.Second,
				Errors:        Errors{Tolerance: ToleranceNone, DeadLetterFactor: -1, DeadLetterContext: true, RetryTimeout: -time.Millisecond, RetryDelayMax: 5 * time.Second},
				Consumer:      Consumer{FetchMinBytes: 1, FetchMaxWait: 500 * time.Millisecond, SessionTimeout: 10 * time.Second, MaxPollInterval: 30 * time.Second},
				TopicCreation: TopicCreation{Enable: true, ReplicationFactor: -1},
			},
			Raw: map[string]string{"connector.class": "HBaseSink", "hbase.zookeeper.quorum": "zk2", "topics": "orders.default.orders"},
		}},
	}
	if d := cmp.Diff(want, got, compareConfig); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if got.ListenAddress() != "127.0.0.1:8083" {
		t.Errorf("ListenAddress() = %q", got.ListenAddress())
	}
}

// TestEveryValue sets every key to another value than its default, nested and
// as lists.
func TestEveryValue(t *testing.T) {
	t.Setenv("WALTAP_TEST_PASSWORD", "p:w")
	const text = `
bootstrap: {servers: ["a:1", "b:2"]}
group.id: g
listeners: http://[::1]:0/
log: {format: json, level: debug}
connectors:
  - name: s
    connector: {class: HBaseSource}
    tasks.max: 4
    hbase:
      zookeeper.quorum: [ "z1:1", z2 ]
      zookeeper: {znode.parent: /hb/x}
      peer:
        id: my_peer
        create: false
        serial: true
        zookeeper: {quorum: "p1, p2:7", session.timeout.ms: 5000}
        znode.parent: /v
        listen: ":0"
        advertised.host: 10.1.1.1
        allow: 10.0.0.1/8, ::1
        max.bytes.in.flight: 2G
      replication.scope: set
      replication.scope.allow.peers: [a, b]
    connection.timeout.ms: 7
    topic.prefix: p
    table.include.list: ["t{1,2}", "shop:.*"]
    table.exclude.list: shop:tmp
    snapshot: {mode: no_data, order: exact, max.threads: 3, scanners.per.server: 4, fetch.size: 64 KiB, gap.accept: "t/2, shop:t/7"}
    topic.creation: {enable: false, default: {partitions: 9, replication.factor: 3, max.message.bytes: 1048576, cleanup.policy: [compact, delete], retention.ms: 1000, confluent.x: y}}
    topic.compacted.allow: true
    value.converter: debezium-avro
    value.converter.auto.register.schemas: false
    value.converter.basic.auth: {credentials.source: USER_INFO, user.info: "u:${env:WALTAP_TEST_PASSWORD}"}
    value.converter.schema.registry: {url: [http://r1:8081/, https://r2/x]}
    key.converter: io.confluent.connect.avro.AvroConverter
    key.converter.bearer.auth: {credentials.source: STATIC_TOKEN, token: "${env:WALTAP_TEST_PASSWORD}"}
    key.converter.schema.registry: {url: http://k, wait.ms: 9}
    producer.override:
      compression.type: zstd
      batch.size: 16384
      linger.ms: 5
      max.request.size: 1MiB
      request.timeout.ms: 30000
      acks: -1
      enable.idempotence: true
    watermark: {mode: metrics, margin.ms: 7, fallback.ms: 0, estimate.slack.ms: 6}
    end.time: 2026-11-21T01:00:00.5+01:00
    peer.on.end: keep
    hbase.peer.on.delete: keep
    errors: {tolerance: all, oversized.policy: split, deadletterqueue: {topic: {name: dlq-p, replication.factor: 2}, context.headers.enable: false}}
  - name: k
    connector.class: HBaseSink
    topics.regex: p\.(a|b)
    hbase.zookeeper.quorum: z3
    hbase.zookeeper.znode.parent: /h
    hbase.table.rename: [a=b, "n:c=n:d"]
    hbase.table.create: false
    consumer.start: latest
    consumer.group.id: cg
    batch: {max.records: 5, max.bytes: 2KB, linger.ms: 0}
    topic.creation: {enable: false, default.replication.factor: 2}
    consumer.override:
      fetch: {min.bytes: 10, max.wait.ms: 20, max.bytes: 50KB}
      max.partition.fetch.bytes: 40KB
      session.timeout.ms: 30000
      heartbeat.interval.ms: 1000
      max.poll.interval.ms: 60000
      isolation.level: read_uncommitted
    end.time: 2026-11-21T00:00:00Z
    watermark.margin.ms: 8
    errors: {tolerance: all, deadletterqueue.topic.name: dlq, retry: {timeout: 0, delay.max.ms: 9}}
    value.converter.schema.registry.url: http://r:8081
`
	got, err := Parse("p.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]any{[]string{"a:1", "b:2"}, "g", "http://[::1]:0", LogJSON, slog.LevelDebug},
		[]any{got.BootstrapServers, got.GroupID, got.Listeners, got.LogFormat, got.LogLevel}); d != "" {
		t.Errorf("process (-want +got):\n%s", d)
	}
	patterns, err := ParseTablePatterns("t{1,2},shop:.*")
	if err != nil || len(patterns) != 2 {
		t.Fatal(patterns, err)
	}
	source := &Source{
		TasksMax: 4,
		HBase:    HBase{ZooKeeperQuorum: []string{"z1:1", "z2:2181"}, ZNodeParent: "/hb/x", ConnectionTimeout: 7 * time.Millisecond},
		Peer: Peer{
			ID: "my_peer", Serial: true, ZooKeeperQuorum: []string{"p1:2181", "p2:7"}, ZNodeParent: "/v", SessionTimeout: 5 * time.Second,
			Listen: ":0", AdvertisedHost: "10.1.1.1",
			Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}, MaxBytesInFlight: 2 << 30,
		},
		ReplicationScope: ScopeSet, ReplicationScopeAllowPeers: []string{"a", "b"},
		TopicPrefix:  "p",
		TableRefresh: 30 * time.Second,
		Tables: TableFilter{
			Include: patterns,
			Exclude: []TablePattern{{text: "shop:tmp", name: "shop:tmp"}},
		},
		Snapshot: Snapshot{Mode: SnapshotNoData, Order: SnapshotExact, MaxThreads: 3, ScannersPerServer: 4, FetchSize: 64 << 10, AcceptGaps: map[string]int64{"default:t": 2, "shop:t": 7}, ProgressInterval: 5 * time.Second, ShardMaxBytes: 1 << 30, MaxWALHold: 6 * time.Hour, OnWALHold: OnWALHoldFail},
		Files:    Files{Reader: ReaderScan, User: "hbase"},
		TopicCreation: TopicCreation{Partitions: 9, ReplicationFactor: 3, MaxMessageBytes: 1 << 20, AllowCompacted: true,
			Configs: map[string]string{"cleanup.policy": "compact,delete", "retention.ms": "1000", "confluent.x": "y"}},
		KeyConverter: Converter{Format: FormatAvro, AutoRegister: true, Registry: Registry{
			Key: "key.converter", URLs: []string{"http://k"}, Token: secret.New("p:w"), Wait: 9 * time.Millisecond,
		}},
		ValueConverter: Converter{Format: FormatDebeziumAvro, Registry: Registry{
			Key: "value.converter", URLs: []string{"http://r1:8081", "https://r2/x"}, User: "u", Password: secret.New("p:w"), Wait: 30 * time.Second,
		}},
		Producer: Producer{CompressionType: "zstd", BatchSize: 16 << 10, Linger: 5 * time.Millisecond, MaxRequestSize: 1 << 20, RequestTimeout: 30 * time.Second,
			Idempotence: IdempotenceRequired},
		Watermark: Watermark{Mode: WatermarkMetrics, Margin: 7 * time.Millisecond, Slack: 6 * time.Millisecond},
		EndTime:   time.UnixMilli(1795219200500), PeerOnEnd: PeerKeep, PeerOnDelete: PeerKeep,
		Errors: Errors{Tolerance: ToleranceAll, DeadLetterTopic: "dlq-p", DeadLetterFactor: 2}, Oversized: OversizedSplit,
	}
	if d := cmp.Diff(source, got.Connectors[0].Source, compareConfig); d != "" {
		t.Errorf("source (-want +got):\n%s", d)
	}
	renames, err := schema.ParseRenames("a=b,n:c=n:d")
	if err != nil {
		t.Fatal(err)
	}
	sink := &Sink{
		TasksMax: 8, HBase: HBase{ZooKeeperQuorum: []string{"z3:2181"}, ZNodeParent: "/h", ConnectionTimeout: 10 * time.Second},
		Registry:    Registry{Key: "value.converter", URLs: []string{"http://r:8081"}},
		TopicsRegex: regexp.MustCompile(`^(?:p\.(a|b))$`), Mapping: schema.Mapping{Tables: renames}, Evolution: EvolutionNone, Apply: ApplyAuto, ConsumerStart: ConsumerStart{Mode: StartLatest}, GroupID: "cg",
		BatchMaxRecords: 5, BatchMaxBytes: 2000, EndTime: time.UnixMilli(1795219200000), WatermarkMargin: 8 * time.Millisecond,
		Errors:        Errors{Tolerance: ToleranceAll, DeadLetterTopic: "dlq", DeadLetterFactor: -1, DeadLetterContext: true, RetryDelayMax: 9 * time.Millisecond},
		TopicCreation: TopicCreation{ReplicationFactor: 2},
		Consumer: Consumer{FetchMinBytes: 10, FetchMaxWait: 20 * time.Millisecond, FetchMaxBytes: 50_000, MaxPartitionFetchBytes: 40_000,
			SessionTimeout: 30 * time.Second, HeartbeatInterval: time.Second, MaxPollInterval: time.Minute},
	}
	if d := cmp.Diff(sink, got.Connectors[1].Sink, compareConfig); d != "" {
		t.Errorf("sink (-want +got):\n%s", d)
	}
	for topic, want := range map[string]bool{"p.a": true, "p.b": true, "p.c": false, "xp.a": false, "p.ab": false, "pxa": false} {
		if got.Connectors[1].Sink.MatchTopic(topic) != want {
			t.Errorf("MatchTopic(%q) = %v", topic, !want)
		}
	}
}

func TestParseConnector(t *testing.T) {
	c, err := ParseConnector("copy", map[string]string{
		"name": "copy", "connector.class": "HBaseSink", "hbase.zookeeper.quorum": "zk", "topics": "a, b", "tasks.max": " 2 ",
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "copy" || c.Class != HBaseSink || c.Sink.TasksMax != 2 || !c.Sink.MatchTopic("b") || c.Sink.MatchTopic("c") {
		t.Errorf("%+v %+v", c, c.Sink)
	}
	_, err = ParseConnector("copy", map[string]string{"name": "other", "connector.class": "HBaseSink", "topcs": "a"})
	want := []Fault{
		{Connector: "other", Key: "hbase.zookeeper.quorum", Message: "required, for example 127.0.0.1:2181: ZooKeeper servers of the HBase cluster, host or host:port (2181)."},
		{Connector: "copy", Key: "name", Message: `"other" differs from the connector's name "copy"`},
		{Connector: "other", Key: "topcs", Message: "unknown key: did you mean topics?"},
		{Connector: "other", Key: "topics", Message: "required, or else topics.regex: which topics to apply"},
	}
	var faulty *Error
	if !errors.As(err, &faulty) {
		t.Fatalf("error %T: %v", err, err)
	}
	if d := cmp.Diff(want, faulty.Faults); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestParseFileThatIsNotThere(t *testing.T) {
	if _, err := ParseFile("no-such-file.yaml"); !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), "read configuration: ") {
		t.Errorf("%v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(smallest))
	f.Add(reference())
	f.Add([]byte("a: &x {b: *x}\nconnectors: [*x, [], {<<: *x}]"))
	f.Add([]byte("connectors:\n- {name: a, connector.class: HBaseSource, table.include.list: 'a{1,2},(?i:x),[a,b]'}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse("f.yaml", b)
		if err != nil {
			var faulty *Error
			if !errors.As(err, &faulty) || len(faulty.Faults) == 0 || err.Error() == "" {
				t.Fatalf("error %T %v", err, err)
			}
			return
		}
		for _, c := range p.Connectors {
			if (c.Source == nil) == (c.Sink == nil) {
				t.Fatalf("connector %s is both or neither", c.Name)
			}
			again, err := p.ParseConnector(c.Name, c.Raw)
			if err != nil {
				t.Fatalf("connector %s from its raw keys: %v", c.Name, err)
			}
			if d := cmp.Diff(&c, again, compareConfig); d != "" {
				t.Fatalf("connector %s from its raw keys (-file +raw):\n%s", c.Name, d)
			}
		}
	})
}

func TestWorkerFile(t *testing.T) {
	p, err := parse("w.yaml", []byte("bootstrap.servers: k1:9092\nconfig.storage.topic: c\nrest.advertised.host.name: w1\nrest.advertised.port: 99\n"), true)
	if err != nil {
		t.Fatal(err)
	}
	if p.Worker.ConfigTopic != "c" || p.Worker.AdvertisedHost != "w1" || p.Worker.AdvertisedPort != 99 || len(p.Connectors) != 0 {
		t.Errorf("got %+v", p)
	}
	_, err = parse("w.yaml", []byte("bootstrap.servers: k1:9092\nconnectors:\n  - name: a\n"), true)
	if err == nil || !strings.Contains(err.Error(), "w.yaml:2: connectors: a worker's connectors are not in its file") {
		t.Errorf("a worker's file with connectors: %v", err)
	}
}

// TestAdvertisedHostOfTheProcess: sources that come over REST are advertised under the name of the worker that runs them.
func TestAdvertisedHostOfTheProcess(t *testing.T) {
	t.Setenv("PEER_HOST", "pod-0.example")
	process := "bootstrap.servers: k:9092\npeer.advertised.host.name: ${env:PEER_HOST}\n"
	p, err := parse("p.yaml", []byte(process), true)
	if err != nil {
		t.Fatal(err)
	}
	props := map[string]string{"connector.class": "HBaseSource", "hbase.zookeeper.quorum": "zk", "topic.prefix": "p", "table.include.list": "t"}
	c, err := p.ParseConnector("s", props)
	if err != nil || c.Source.Peer.AdvertisedHost != "pod-0.example" {
		t.Errorf("%+v, %v", c, err)
	}
	props["hbase.peer.advertised.host"] = "other.example"
	if c, err = p.ParseConnector("s", props); err != nil || c.Source.Peer.AdvertisedHost != "other.example" {
		t.Errorf("%+v, %v", c, err)
	}
	p, err = Parse("p.yaml", []byte(process+"connectors:\n  - {name: s, connector.class: HBaseSource, hbase.zookeeper.quorum: zk, topic.prefix: p, table.include.list: t}\n"))
	if err != nil || p.Connectors[0].Source.Peer.AdvertisedHost != "pod-0.example" {
		t.Errorf("in a file: %+v, %v", p, err)
	}
}
