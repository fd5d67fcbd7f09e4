package config

import (
	"log/slog"
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/waltap/waltap/schema"
)

const maxMilliseconds = int64(365 * 24 * time.Hour / time.Millisecond)

// keys is the one table of configuration keys, in the order of the reference. Only
// a connector's name, and the list of connectors itself, stand beside it.
var keys = slices.Concat(ownKeys, workerKeys, restKeys, signalKeys, migrationKeys, filterKeys, fileKeys, converterKeys, kafkaKeys)

// ownKeys are those of waltap's own; those that Kafka's users know are converterKeys and kafkaKeys.
var ownKeys = []Key{
	{
		Name: "bootstrap.servers", Scope: InProcess, Type: List, Required: true, Example: "127.0.0.1:9092",
		Doc: "Kafka brokers to ask for the others, host:port.",
		set: into(parseHostPorts, func(t *target) *[]string { return &t.process.BootstrapServers }),
	},
	{
		Name: "group.id", Scope: InProcess, Type: String, Default: "waltap",
		Doc: "Processes of one group.id share the work.",
		set: text(func(t *target) *string { return &t.process.GroupID }),
	},
	{
		Name: "listeners", Scope: InProcess, Type: String, Default: "http://127.0.0.1:8083",
		Doc: "Where the REST API (docs/rest.md), status and metrics are served, http://host:port or https://host:port. Port 0 lets the system choose one. Beyond this machine: with https and rest.auth.*.",
		set: into(parseListener, func(t *target) *string { return &t.process.Listeners }),
	},
	{
		Name: "listeners.pprof.enable", Scope: InProcess, Type: Boolean, Default: "false",
		Doc: "Serve Go's profiles (CPU, heap, goroutines, trace) under /debug/pprof/ on listeners, to find where time and memory go. Taking one costs CPU, and whoever reaches the port can.",
		set: boolean(func(t *target) *bool { return &t.process.Profiles }),
	},
	{
		Name: "log.format", Scope: InProcess, Type: String, Default: "text", Values: []string{"text", "json"},
		Doc: "How log lines are written to stderr.",
		set: text(func(t *target) *LogFormat { return &t.process.LogFormat }),
	},
	{
		Name: "log.level", Scope: InProcess, Type: String, Default: "info", Values: []string{"debug", "info", "warn", "error"},
		Doc: "The least severe level that is logged.",
		set: into(parseLevel, func(t *target) *slog.Level { return &t.process.LogLevel }),
	},

	{
		Name: "connector.class", Scope: InSource | InSink, Type: String, Required: true, Values: []string{"HBaseSource", "HBaseSink"}, Example: "HBaseSource",
		Doc: "What the connector is: HBaseSource captures tables into Kafka, HBaseSink applies them to another cluster.",
		set: func(*target, string) error { return nil },
	},
	{
		Name: "tasks.max", Scope: InSource | InSink, Type: Integer, Default: "8", Min: 1, Max: 1024,
		Doc: "A source: into how many tasks a scan is dealt. Processes that run the same connector share them, so at most so many scan at once. Fixed when the task topic is created (docs/processes.md).",
		set: func(t *target, value string) error {
			if t.source != nil {
				return number(func(t *target) *int { return &t.source.TasksMax })(t, value)
			}
			return number(func(t *target) *int { return &t.sink.TasksMax })(t, value)
		},
	},
	{
		Name: "hbase.zookeeper.quorum", Scope: InSource | InSink, Type: List, Required: true, Example: "127.0.0.1:2181",
		Doc:    "ZooKeeper servers of the HBase cluster, host or host:port (2181).",
		unless: detached,
		set:    into(parseQuorum, func(t *target) *[]string { return &t.hbase.ZooKeeperQuorum }),
	},
	{
		Name: "hbase.zookeeper.znode.parent", Scope: InSource | InSink, Type: String, Default: "/hbase",
		Doc: "Root znode of the HBase cluster (its zookeeper.znode.parent).",
		set: into(parseZNode, func(t *target) *string { return &t.hbase.ZNodeParent }),
	},
	{
		Name: "connection.timeout.ms", Scope: InSource | InSink, Type: Milliseconds, Default: "10000", Min: 1, Max: maxMilliseconds,
		Doc: "How long to wait for ZooKeeper and HBase servers when connecting.",
		set: milliseconds(func(t *target) *time.Duration { return &t.hbase.ConnectionTimeout }),
	},

	{
		Name: "topic.prefix", Scope: InSource, Type: String, Required: true, Example: "orders",
		Doc: "A table's records go to the topic <topic.prefix>.<namespace>.<table>.",
		set: into(checked(schema.CheckPrefix), func(t *target) *string { return &t.source.TopicPrefix }),
	},
	{
		Name: "table.include.list", Scope: InSource, Type: RegexList, Required: true, Example: "default:orders, shop:.*",
		Doc: "Tables to capture: regular expressions that match the whole of namespace:table. An entry without a namespace is of the namespace default. An entry of letters, digits and '_', '-', '.' only is a table's name, and that table must exist. All tables: .*:.*",
		set: into(ParseTablePatterns, func(t *target) *[]TablePattern { return &t.source.Tables.Include }),
	},
	{
		Name: "table.exclude.list", Scope: InSource, Type: RegexList, Example: "shop:tmp_.*",
		Doc: "Tables to leave out of table.include.list, written in the same way.",
		set: into(ParseTablePatterns, func(t *target) *[]TablePattern { return &t.source.Tables.Exclude }),
	},
	{
		Name: "table.refresh.interval.ms", Scope: InSource, Type: Milliseconds, Default: "30000", Min: 1000, Max: maxMilliseconds,
		Doc: "How often to look for tables of the source that have come to match an expression of table.include.list. They are scanned in concurrent order while the others stream (docs/snapshot-order.md).",
		set: milliseconds(func(t *target) *time.Duration { return &t.source.TableRefresh }),
	},
	{
		Name: "column.include.list", Scope: InSource, Type: RegexList, Example: "default:orders:a, shop:.*:b:price.*",
		Doc: "Families and columns to capture, of the tables chosen: namespace:table:family or namespace:table:family:qualifier, each part a regular expression that matches the whole of its name. Absent: all. A family's delete marker is captured with any of its columns. It may not change later.",
		set: into(parseColumnPatterns, func(t *target) *[]schema.ColumnPattern { return &t.source.Scope.Columns }),
	},
	{
		Name: "row.start", Scope: InSource, Type: String, Example: `user1\x00`,
		Doc: "First row to capture, by scan and stream, as the HBase shell writes it (\\xNN for bytes). Absent: the first of all. It may not change later.",
		set: into(ParseRow, func(t *target) *[]byte { return &t.source.Scope.RowStart }),
	},
	{
		Name: "row.stop", Scope: InSource, Type: String, Example: "user2",
		Doc: "Row before which capture ends, written as row.start. Absent: the end of the table. It may not change later.",
		set: into(ParseRow, func(t *target) *[]byte { return &t.source.Scope.RowStop }),
	},
	{
		Name: "snapshot.timestamp.min", Scope: InSource, Type: Integer, Default: "0",
		Doc: "The scan reads cells and delete markers from this timestamp on. 0: all. The stream has no such bound. It may not change later.",
		set: number(func(t *target) *int64 { return &t.source.Scope.MinTimestamp }),
	},
	{
		Name: "snapshot.timestamp.max", Scope: InSource, Type: Integer, Default: "0",
		Doc: "The scan reads cells and delete markers before this timestamp. 0: all. The stream has no such bound. It may not change later.",
		set: number(func(t *target) *int64 { return &t.source.Scope.MaxTimestamp }),
	},
	{
		Name: "hbase.peer.id", Scope: InSource, Type: String, DefaultDoc: "waltap_<name>, other characters than letters, digits and '_' replaced by '_'", Example: "waltap_orders",
		Doc: "Id of the replication peer at the source: letters, digits, '_' and '.'.",
		set: into(parsePeerID, func(t *target) *string { return &t.source.Peer.ID }),
	},
	{
		Name: "hbase.peer.create", Scope: InSource, Type: Boolean, Default: "true",
		Doc: "Create the peer, with exactly the captured tables. false: it must exist.",
		set: boolean(func(t *target) *bool { return &t.source.Peer.Create }),
	},
	{
		Name: "hbase.peer.serial", Scope: InSource, Type: Boolean, Default: "false",
		Doc: "Create the peer as a serial one (HBase 2.1 and later): HBase ships the edits of a row in their order also over moves, splits and merges of its region, at the price of latency then. Fixed for the life of the peer.",
		set: boolean(func(t *target) *bool { return &t.source.Peer.Serial }),
	},
	{
		Name: "hbase.peer.zookeeper.quorum", Scope: InSource, Type: List, DefaultDoc: "the source's (hbase.zookeeper.quorum)", Example: "127.0.0.1:2181",
		Doc: "ZooKeeper servers where waltap registers as a cluster to replicate to. The source's master and region servers read there.",
		set: into(parseQuorum, func(t *target) *[]string { return &t.source.Peer.ZooKeeperQuorum }),
	},
	{
		Name: "hbase.peer.znode.parent", Scope: InSource, Type: String, DefaultDoc: "/waltap_<name>, characters replaced as in hbase.peer.id", Example: "/waltap_orders",
		Doc: "Root znode of that registration. Never that of a real cluster.",
		set: into(parseZNode, func(t *target) *string { return &t.source.Peer.ZNodeParent }),
	},
	{
		Name: "hbase.peer.zookeeper.session.timeout.ms", Scope: InSource, Type: Milliseconds, Default: "30000", Min: 1000, Max: maxMilliseconds,
		Doc: "Session timeout of the registration: how long the source keeps sending to a worker that died.",
		set: milliseconds(func(t *target) *time.Duration { return &t.source.Peer.SessionTimeout }),
	},
	{
		Name: "hbase.peer.listen", Scope: InSource, Type: String, Default: "0.0.0.0:16220",
		Doc: "Address the source's region servers ship their WAL to, host:port. Port 0 lets the system choose one.",
		set: into(parseListen, func(t *target) *string { return &t.source.Peer.Listen }),
	},
	{
		Name: "hbase.peer.advertised.host", Scope: InSource, Type: String, DefaultDoc: "peer.advertised.host.name of the process, or the machine's hostname", Example: "worker-1.example.com",
		Doc: "Host name or address under which the source's region servers reach this machine.",
		set: into(parseHost, func(t *target) *string { return &t.source.Peer.AdvertisedHost }),
	},
	{
		Name: "hbase.peer.allow", Scope: InSource, Type: List, Example: "10.0.0.0/8, 192.168.1.7",
		Doc: "Addresses and CIDR networks that may connect to hbase.peer.listen besides the source's region servers.",
		set: into(parsePrefixes, func(t *target) *[]netip.Prefix { return &t.source.Peer.Allow }),
	},
	{
		Name: "hbase.peer.max.bytes.in.flight", Scope: InSource, Type: Size, Default: "128MiB", Min: 1 << 20,
		Doc: "Most bytes of calls from region servers that are held while Kafka has not acknowledged them. One larger call is let through alone.",
		set: number(func(t *target) *int64 { return &t.source.Peer.MaxBytesInFlight }),
	},
	{
		Name: "hbase.replication.scope", Scope: InSource, Type: String, Default: "require", Values: []string{"require", "set"},
		Doc: "What to do when a captured column family has REPLICATION_SCOPE 0: require stops and prints the command to run, set alters the table. All other peers without a table list begin to ship it then.",
		set: text(func(t *target) *ReplicationScope { return &t.source.ReplicationScope }),
	},
	{
		Name: "hbase.replication.scope.allow.peers", Scope: InSource, Type: List, Example: "backup_cluster",
		Doc: "Ids of the other peers that may begin to ship the tables when hbase.replication.scope is set, and the heartbeat table when that is created. Any other such peer makes the connector refuse, or estimate the watermark (watermark.mode).",
		set: into(parseList, func(t *target) *[]string { return &t.source.ReplicationScopeAllowPeers }),
	},
	{
		Name: "snapshot.mode", Scope: InSource, Type: String, Default: "initial", Values: []string{"initial", "no_data", "initial_only", "when_needed"},
		Doc: "initial: scan the tables, then stream their changes. no_data: changes only. initial_only: scan only. when_needed: as initial, and scan a table again by itself after a gap in capture (docs/gaps.md).",
		set: text(func(t *target) *SnapshotMode { return &t.source.Snapshot.Mode }),
	},
	{
		Name: "snapshot.order", Scope: InSource, Type: String, Default: "exact", Values: []string{"exact", "concurrent"},
		Doc: "exact: changes queue in HBase's WAL until the scan is done, so each row's records are in order. The source needs room for that WAL. concurrent: changes flow during the scan, for tables too large to queue behind; docs/snapshot-order.md has its exceptions. Tables that join later are always scanned in concurrent order.",
		set: text(func(t *target) *SnapshotOrder { return &t.source.Snapshot.Order }),
	},
	{
		Name: "snapshot.gap.accept", Scope: InSource, Type: List, Example: "default:orders/2",
		Doc: "Tables that go on after a gap in capture without a new scan, each with the number of the epoch that begins so; the error of a gap names it (docs/gaps.md). What the gap has lost stays lost. A later gap has another number.",
		set: into(parseAcceptGaps, func(t *target) *map[string]int64 { return &t.source.Snapshot.AcceptGaps }),
	},
	{
		Name: "snapshot.max.threads", Scope: InSource, Type: Integer, Default: "2", Min: 1, Max: 1024,
		Doc: "How many regions are scanned at once.",
		set: number(func(t *target) *int { return &t.source.Snapshot.MaxThreads }),
	},
	{
		Name: "snapshot.scanners.per.server", Scope: InSource, Type: Integer, Default: "1", Min: 1, Max: 1024,
		Doc: "How many regions of one region server are scanned at once.",
		set: number(func(t *target) *int { return &t.source.Snapshot.ScannersPerServer }),
	},
	{
		Name: "snapshot.fetch.size", Scope: InSource, Type: Size, Default: "2MiB", Min: 1 << 10, Max: 1 << 30,
		Doc: "Bytes a region server returns per call of a scan.",
		set: number(func(t *target) *int64 { return &t.source.Snapshot.FetchSize }),
	},
	{
		Name: "snapshot.progress.interval.ms", Scope: InSource, Type: Milliseconds, Default: "5000", Min: 100, Max: 600_000,
		Doc: "How often the progress inside a range is saved, at the latest after 64 MiB. A scan that is killed reads again what lies behind it: two intervals at most.",
		set: milliseconds(func(t *target) *time.Duration { return &t.source.Snapshot.ProgressInterval }),
	},
	{
		Name: "watermark.mode", Scope: InSource, Type: String, Default: "heartbeat", Values: []string{"heartbeat", "metrics", "off"},
		Doc: "How the watermark is found, the time up to which every acknowledged write is in Kafka. heartbeat: proved, by a cell a second to each region server in a small table of waltap's own (waltap_heartbeat_<hbase.peer.id>). metrics: estimated from the source's replication metrics. Where heartbeats are not possible, metrics is used and a warning logged.",
		set: text(func(t *target) *WatermarkMode { return &t.source.Watermark.Mode }),
	},
	{
		Name: "watermark.fallback.ms", Scope: InSource, Type: Milliseconds, Default: "120000", Max: maxMilliseconds,
		Doc: "How long heartbeats may prove nothing new, while the source's metrics show no backlog, before the watermark becomes an estimate: the right to write them is gone, their table is, a server cannot be given a region of it. It is proved again when they come back. 0: never.",
		set: milliseconds(func(t *target) *time.Duration { return &t.source.Watermark.Patience }),
	},
	{
		Name: "watermark.estimate.slack.ms", Scope: InSource, Type: Milliseconds, Default: "310000", Max: maxMilliseconds,
		Doc: "What is taken off an estimated watermark. HBase looks at an idle WAL as rarely as every replication.source.sleepforretries × replication.source.maxretriesmultiplier (5 minutes by default), and no metric shows what it has not read.",
		set: milliseconds(func(t *target) *time.Duration { return &t.source.Watermark.Slack }),
	},
	{
		Name: "watermark.margin.ms", Scope: InSource | InSink, Type: Milliseconds, Default: "5000", Max: maxMilliseconds,
		Doc: "How far behind end.time a watermark must be: a write that HBase acknowledged late has an earlier write time. A source counts records that come later than that as late.",
		set: func(t *target, value string) error {
			if t.source != nil {
				return milliseconds(func(t *target) *time.Duration { return &t.source.Watermark.Margin })(t, value)
			}
			return milliseconds(func(t *target) *time.Duration { return &t.sink.WatermarkMargin })(t, value)
		},
	},
	{
		Name: "end.time", Scope: InSource | InSink, Type: String, Example: "2026-11-21T00:00:00Z",
		Doc: "Where to end, RFC 3339: the connector ends by itself when everything before it is through. A source ends when its watermark has passed it by watermark.margin.ms; its scan reads no cell with a later timestamp. A sink leaves out changes written at the source after it (scan records are always applied), and ends when every source of the topics has published such a watermark and all below it is applied.",
		set: func(t *target, value string) error {
			if t.source != nil {
				return into(parseTime, func(t *target) *time.Time { return &t.source.EndTime })(t, value)
			}
			return into(parseTime, func(t *target) *time.Time { return &t.sink.EndTime })(t, value)
		},
	},
	{
		Name: "peer.on.end", Scope: InSource, Type: String, Default: "remove", Values: []string{"remove", "keep"},
		Doc: "What becomes of the peer when end.time has come. keep: HBase keeps its WALs for it until you remove it.",
		set: text(func(t *target) *PeerOnEnd { return &t.source.PeerOnEnd }),
	},
	{
		Name: "hbase.peer.on.delete", Scope: InSource, Type: String, Default: "remove", Values: []string{"remove", "keep"},
		Doc: "What becomes of the connector's own peer, its heartbeat table and its znodes when the connector is deleted. keep: HBase keeps its WALs for the peer until you remove it (waltap peer remove).",
		set: text(func(t *target) *PeerOnEnd { return &t.source.PeerOnDelete }),
	},
	{
		Name: "snapshot.shard.max.bytes", Scope: InSource, Type: Size, Default: "1GiB", Min: 1 << 20,
		Doc: "A region above this size is scanned in several parts, cut at sampled rows. The size is what its server reports, in MiB.",
		set: number(func(t *target) *int64 { return &t.source.Snapshot.ShardMaxBytes }),
	},
	{
		Name: "snapshot.max.wal.hold", Scope: InSource, Type: Milliseconds, Default: "21600000", Min: 1000, Max: maxMilliseconds,
		Doc: "How long the source may keep its WALs for a scan, milliseconds. What happens over it is snapshot.on.wal.hold.",
		set: milliseconds(func(t *target) *time.Duration { return &t.source.Snapshot.MaxWALHold }),
	},
	{
		Name: "snapshot.on.wal.hold", Scope: InSource, Type: String, Default: "fail", Values: []string{"fail", "concurrent"},
		Doc: "When a scan is not complete within snapshot.max.wal.hold: fail keeps the peer, and with it the WALs, until the connector is started with more time, or the peer is removed. concurrent lets the changes flow and goes on with the scan in concurrent order (snapshot.order).",
		set: text(func(t *target) *OnWALHold { return &t.source.Snapshot.OnWALHold }),
	},
	{
		Name: "snapshot.max.rows.per.second", Scope: InSource, Type: Integer, Default: "0", Max: math.MaxInt32,
		Doc: "Most rows that the scan reads in a second. 0: no limit. PUT /v1/connectors/NAME/snapshot/limits changes it while it runs.",
		set: number(func(t *target) *int64 { return &t.source.Snapshot.MaxRowsPerSecond }),
	},
	{
		Name: "snapshot.max.bytes.per.second", Scope: InSource, Type: Size, Default: "0",
		Doc: "Most bytes that the scan reads in a second. 0: no limit. PUT /v1/connectors/NAME/snapshot/limits changes it while it runs.",
		set: number(func(t *target) *int64 { return &t.source.Snapshot.MaxBytesPerSecond }),
	},
	{
		Name: "errors.oversized.policy", Scope: InSource, Type: String, Default: "fail", Values: []string{"fail", "dead-letter", "split"},
		Doc: "What to do with a record that is over its topic's max.message.bytes. fail: HBase keeps it and sends it again until the topic takes it. dead-letter: it goes to errors.deadletterqueue.topic.name. split: its cells go in several records of the same edit; a single cell that is over the limit is dead-lettered with errors.tolerance all, else it fails.",
		set: text(func(t *target) *OversizedPolicy { return &t.source.Oversized }),
	},
	{
		Name: "errors.tolerance", Scope: InSource | InSink, Type: String, Default: "none", Values: []string{"none", "all"},
		Doc: "none: the connector stops, or HBase keeps what it sends, at the first record that cannot be delivered. all: such records go to errors.deadletterqueue.topic.name, and the connector goes on. A sink: records that cannot be read, and changes that the target refuses. A source: markers of bulk loads and cells that are none of HBase's. docs/dead-letters.md has more.",
		set: text(func(t *target) *Tolerance { return &t.errors.Tolerance }),
	},
	{
		Name: "errors.deadletterqueue.topic.name", Scope: InSource | InSink, Type: String, Example: "dlq-orders",
		Doc: "Dead-letter topic. It is created with one partition and no end of retention when it does not exist. waltap dlq shows its records and puts them back.",
		set: into(parseDeadLetterTopic, func(t *target) *string { return &t.errors.DeadLetterTopic }),
	},
	{
		Name: "errors.deadletterqueue.topic.replication.factor", Scope: InSource | InSink, Type: Integer, Default: "-1", Min: -1, Max: math.MaxInt16,
		Doc: "Replicas of a dead-letter topic that is created. -1: the brokers' default.",
		set: into(parseReplication, func(t *target) *int16 { return &t.errors.DeadLetterFactor }),
	},
	{
		Name: "errors.deadletterqueue.context.headers.enable", Scope: InSource | InSink, Type: Boolean, Default: "true",
		Doc: "Say in __connect.errors.* headers why a record is a dead letter and where it was. waltap dlq needs them; Kafka Connect's default is false.",
		set: boolean(func(t *target) *bool { return &t.errors.DeadLetterContext }),
	},
	{
		Name: "errors.retry.timeout", Scope: InSink, Type: Integer, Default: "-1", Min: -1, Max: maxMilliseconds,
		Doc: "How long a batch is repeated that fails for a reason that may pass, such as a target that is away, milliseconds; then the connector stops. -1: for ever. It makes no dead letters. Kafka Connect's default is 0.",
		set: milliseconds(func(t *target) *time.Duration { return &t.errors.RetryTimeout }),
	},
	{
		Name: "errors.retry.delay.max.ms", Scope: InSink, Type: Milliseconds, Default: "5000", Min: 1, Max: maxMilliseconds,
		Doc: "Longest pause between two attempts. It begins with 100 ms and doubles. Kafka Connect's default is 60000.",
		set: milliseconds(func(t *target) *time.Duration { return &t.errors.RetryDelayMax }),
	},

	{
		Name: "topics", Scope: InSink, Type: List, Example: "orders.default.orders, orders.shop.items",
		Doc: "Topics to apply. Exactly one of topics and topics.regex must be given.",
		set: into(parseTopics, func(t *target) *[]string { return &t.sink.Topics }),
	},
	{
		Name: "topics.regex", Scope: InSink, Type: String, Example: `orders\..*`,
		Doc: "Topics to apply: a regular expression that matches the whole name.",
		set: into(parseTopicsRegex, topicsRegex),
	},
	{
		Name: "hbase.table.rename", Scope: InSink, Type: List, Example: "default:orders=default:orders_copy, shop:items=copy:items",
		Doc: "Tables that have another name at the target, from=to. The others keep theirs.",
		set: into(schema.ParseRenames, func(t *target) *schema.Renames { return &t.sink.Mapping.Tables }),
	},
	{
		Name: "hbase.namespace.rename", Scope: InSink, Type: List, Example: "shop=store",
		Doc: "Namespaces that have another name at the target, from=to, for all tables in them that hbase.table.rename does not name.",
		set: into(schema.ParseNamespaceRenames, func(t *target) *schema.NamespaceRenames { return &t.sink.Mapping.Namespaces }),
	},
	{
		Name: "hbase.family.rename", Scope: InSink, Type: List, Example: "data=d, shop:items:data=i",
		Doc: "Families that have another name at the target: from=to for those of all tables, namespace:table:from=to for that of one, named as at the source. Tables are created with the new names, and delete markers follow.",
		set: into(schema.ParseFamilyRenames, func(t *target) *schema.FamilyRenames { return &t.sink.Mapping.Families }),
	},
	{
		Name: "hbase.apply", Scope: InSink, Type: String, Default: "auto", Values: []string{"auto", "replication", "mutation"},
		Doc: "How changes are written. mutation: by puts and deletes to the servers of their rows, as a client does. replication: by the call that HBase's own replication makes; it takes all tags, and costs the target more. auto: by mutation, but for cells with tags other than a TTL, which a target with cell ACLs or visibility labels takes from no client: these by replication until the target refuses it, which is logged.",
		set: text(func(t *target) *ApplyMode { return &t.sink.Apply }),
	},
	{
		Name: "hbase.no.overwrite", Scope: InSink, Type: Boolean, Default: "false",
		Doc: "Leave columns alone that have a value at the target, whoever wrote it and whatever its timestamp, and apply no delete markers: to fill up a table that is in use already. Changes to what this sink has written itself are left out, too (docs/filters.md). Written by mutation, checked column by column: slow.",
		set: boolean(func(t *target) *bool { return &t.sink.NoOverwrite }),
	},
	{
		Name: "hbase.table.create", Scope: InSink, Type: Boolean, Default: "true",
		Doc: "Create tables that the target lacks, with the source's families, attributes and splits. false: they must exist.",
		set: boolean(func(t *target) *bool { return &t.sink.CreateTables }),
	},
	{
		Name: "schema.evolution", Scope: InSink, Type: String, Values: []string{"none", "basic"}, Example: "basic",
		DefaultDoc: "basic with hbase.table.create: true, else none",
		Doc:        "What becomes of the target's tables when they are altered at the source, while changes flow or before. basic: families, attributes and configuration keys that a table lacks are added, VERSIONS, MIN_VERSIONS, TTL and KEEP_DELETED_CELLS are raised; nothing is taken away, lowered or otherwise changed. none: they are left alone, and a change of a family that a table lacks stops the sink (docs/schema.md).",
		set:        text(func(t *target) *Evolution { return &t.sink.Evolution }),
	},
	{
		Name: "consumer.start", Scope: InSink, Type: String, Default: "committed",
		Doc: "Where to begin: committed | earliest | latest | timestamp:2026-11-20T10:00:00Z | offsets:topic/0=17,topic/1=23. committed goes on where the group stopped (a new group begins at the earliest record). The others move the group, whatever it has committed, each time a process starts while no other process of the group runs; one that joins a running group goes on where that stands. latest is where the topics end when the process starts. timestamp is the first record produced to Kafka at or after that time, the partition's end when there is none: the time of producing, not that of the write at HBase. offsets leaves partitions that are not named at the committed offset.",
		set: into(parseConsumerStart, func(t *target) *ConsumerStart { return &t.sink.ConsumerStart }),
	},
	{
		Name: "consumer.group.id", Scope: InSink, Type: String, DefaultDoc: "connect-<name>", Example: "connect-orders-copy",
		Doc: "Consumer group of the sink. Sinks that apply to different targets need different ones.",
		set: text(func(t *target) *string { return &t.sink.GroupID }),
	},
	{
		Name: "batch.max.records", Scope: InSink, Type: Integer, Default: "4000", Min: 1, Max: 1_000_000,
		Doc: "Most records applied in one batch. Each partition has one; with more than 8 in a process, they are smaller, so that all together take no more memory.",
		set: number(func(t *target) *int { return &t.sink.BatchMaxRecords }),
	},
	{
		Name: "batch.max.bytes", Scope: InSink, Type: Size, Default: "4MiB", Min: 1 << 10, Max: 1 << 30,
		Doc: "Most bytes of records applied in one batch. A larger record is applied alone. With more than 8 partitions in a process less, as batch.max.records.",
		set: number(func(t *target) *int64 { return &t.sink.BatchMaxBytes }),
	},
	{
		Name: "batch.linger.ms", Scope: InSink, Type: Milliseconds, Default: "50", Max: 60_000,
		Doc: "How long a batch that is not full waits for more.",
		set: milliseconds(func(t *target) *time.Duration { return &t.sink.BatchLinger }),
	},
	{
		Name: "hbase.table.late.put.window.ms", Scope: InSink, Type: Milliseconds, Default: "0", Max: maxMilliseconds,
		Doc: "For the time of a migration: how late a put may arrive after a newer delete and still be hidden by it. The target's tables keep delete markers for that long (hbase.hstore.time.to.purge.deletes) although a major compaction comes. A larger value that is there stays; the one before is kept in the table's attribute waltap.time.to.purge.deletes.before. 0: the tables are left alone.",
		set: milliseconds(func(t *target) *time.Duration { return &t.sink.LatePutWindow }),
	},
}
