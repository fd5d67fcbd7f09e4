// Package config reads the configuration of a process and of its connectors.
//
// Both come as flat keys in the manner of Kafka Connect: a YAML file for a
// process (ParseFile), a map for one connector (ParseConnector). The table
// behind Keys is the one place where a key, its type, its default and its
// meaning are written down; parsing, checks, suggestions and the reference in
// docs/reference-config.yaml follow from it.
//
// Nothing is passed over: an unknown key is an error, and all faults are
// reported at once (*Error), each with its file, line, connector and key.
package config

import (
	"cmp"
	"log/slog"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/waltap/waltap/internal/secret"
	"github.com/waltap/waltap/schema"
)

// Process is the configuration of one waltap process.
type Process struct {
	BootstrapServers []string // bootstrap.servers, host:port
	GroupID          string   // group.id
	Listeners        string   // listeners, http://host:port or https://host:port; port 0 lets the system choose
	Profiles         bool     // listeners.pprof.enable
	LogFormat        LogFormat
	LogLevel         slog.Level
	Kafka            Kafka
	// Providers are the names of config.providers beside file, directory and env.
	Providers  map[string]secret.Provider
	REST       REST
	Migration  Migration
	Worker     Worker
	Connectors []Connector
}

// Worker is what workers of one group need beyond a process.
type Worker struct {
	ConfigTopic, StatusTopic, OffsetTopic string // "": see the keys' defaults
	ConfigReplicas, StatusReplicas        int16  // -1: the brokers' default
	AdvertisedHost                        string // "": that of the listener
	AdvertisedPort                        int    // 0: that of the listener
	PeerHost                              string // default of hbase.peer.advertised.host; "": the machine's hostname
	SessionTimeout                        time.Duration
}

// WithWorkerTopics is p with the names of a worker's topics that its keys leave to their defaults.
func (p *Process) WithWorkerTopics() *Process {
	out := *p
	out.Worker.ConfigTopic = cmp.Or(p.Worker.ConfigTopic, "__waltap-configs."+p.GroupID)
	out.Worker.StatusTopic = cmp.Or(p.Worker.StatusTopic, "__waltap-status."+p.GroupID)
	return &out
}

// OffsetsTopic is where the progress of a source with this topic.prefix is kept; shared: other sources keep theirs there, too.
func (p *Process) OffsetsTopic(prefix string) (topic string, shared bool) {
	if p.Worker.OffsetTopic != "" {
		return p.Worker.OffsetTopic, true
	}
	return schema.OffsetsTopic(prefix), false
}

// ListenAddress is the host:port of Listeners.
func (p *Process) ListenAddress() string {
	u, err := url.Parse(p.Listeners)
	if err != nil {
		return p.Listeners
	}
	return u.Host
}

// Connector is the configuration of one connector. Exactly one of Source and
// Sink is set, as its class says.
type Connector struct {
	Name   string
	Class  Class
	Source *Source
	Sink   *Sink
	// Raw holds the keys as they were given, lists comma separated, without
	// name and without defaults.
	Raw map[string]string
}

// Class is a connector.class.
type Class string

// The connector classes.
const (
	HBaseSource Class = "HBaseSource" // captures tables of an HBase cluster
	HBaseSink   Class = "HBaseSink"   // applies captured changes to an HBase cluster
)

// LogFormat is a log.format.
type LogFormat string

// The log formats.
const (
	LogText LogFormat = "text"
	LogJSON LogFormat = "json"
)

// HBase says how to reach an HBase cluster.
type HBase struct {
	ZooKeeperQuorum   []string // hbase.zookeeper.quorum, host:port
	ZNodeParent       string   // hbase.zookeeper.znode.parent
	ConnectionTimeout time.Duration
}

// Source is the configuration of an HBaseSource.
type Source struct {
	TasksMax int
	HBase    HBase
	Peer     Peer

	ReplicationScope           ReplicationScope
	ReplicationScopeAllowPeers []string // peers that may begin to ship the tables

	TopicPrefix    string
	KeyConverter   Converter
	ValueConverter Converter
	Tables         TableFilter
	TableRefresh   time.Duration
	Scope          schema.Scope
	Snapshot       Snapshot
	Files          Files // of the history, where it is read from files
	TopicCreation  TopicCreation
	Producer       Producer

	Watermark Watermark
	EndTime   time.Time // zero: none
	PeerOnEnd PeerOnEnd

	PeerOnDelete PeerOnEnd

	Errors    Errors
	Oversized OversizedPolicy

	SignalTopic string // "": none
}

// Errors says what becomes of records that cannot be delivered.
type Errors struct {
	Tolerance         Tolerance
	DeadLetterTopic   string // "": none
	DeadLetterFactor  int16  // replicas of the topic when it is created, -1: the brokers' default
	DeadLetterContext bool   // headers say why a record is there
	// Of a sink: how long a batch that fails is repeated, negative: for ever; and the longest pause between two attempts.
	RetryTimeout, RetryDelayMax time.Duration
}

// Tolerance is an errors.tolerance.
type Tolerance string

// What a connector does about a record that cannot be delivered.
const (
	ToleranceNone Tolerance = "none" // it stops
	ToleranceAll  Tolerance = "all"  // it puts the record on the dead-letter topic
)

// OversizedPolicy is an errors.oversized.policy.
type OversizedPolicy string

// What becomes of a record over its topic's max.message.bytes.
const (
	OversizedFail       OversizedPolicy = "fail"
	OversizedDeadLetter OversizedPolicy = "dead-letter"
	OversizedSplit      OversizedPolicy = "split"
)

// Watermark says how a source finds its watermark.
type Watermark struct {
	Mode     WatermarkMode
	Margin   time.Duration
	Patience time.Duration // until an estimate takes the place of a proof that does not come; 0: for ever
	Slack    time.Duration // taken off an estimate
}

// WatermarkMode is a watermark.mode.
type WatermarkMode string

// The watermark modes.
const (
	WatermarkHeartbeat WatermarkMode = "heartbeat" // proved
	WatermarkMetrics   WatermarkMode = "metrics"   // estimated
	WatermarkOff       WatermarkMode = "off"
)

// PeerOnEnd is a peer.on.end.
type PeerOnEnd string

// What becomes of the peer at the end time.
const (
	PeerRemove PeerOnEnd = "remove"
	PeerKeep   PeerOnEnd = "keep"
)

// Peer is the replication peer a source registers at its cluster, and the
// virtual cluster that stands behind it.
type Peer struct {
	ID               string
	Create           bool
	Serial           bool
	ZooKeeperQuorum  []string // where the virtual cluster registers, host:port
	ZNodeParent      string
	SessionTimeout   time.Duration
	Listen           string         // host:port
	AdvertisedHost   string         // the name the source's region servers connect to
	Allow            []netip.Prefix // addresses that may connect besides the source's region servers
	MaxBytesInFlight int64
}

// ReplicationScope is a hbase.replication.scope.
type ReplicationScope string

// What to do about column families that HBase does not replicate.
const (
	ScopeRequire ReplicationScope = "require" // stop and print the command to run
	ScopeSet     ReplicationScope = "set"     // alter the table
)

// Snapshot says what is read of the tables before their changes.
type Snapshot struct {
	Mode              SnapshotMode
	Order             SnapshotOrder
	MaxThreads        int
	ScannersPerServer int
	FetchSize         int64 // bytes of one answer of a scan
	ProgressInterval  time.Duration
	ShardMaxBytes     int64
	MaxWALHold        time.Duration
	OnWALHold         OnWALHold
	MaxRowsPerSecond  int64            // 0: no limit
	MaxBytesPerSecond int64            // 0: no limit
	AcceptGaps        map[string]int64 // by table: the epoch that may begin without a scan after a gap
}

// SnapshotMode is a snapshot.mode.
type SnapshotMode string

// The snapshot modes.
const (
	SnapshotInitial     SnapshotMode = "initial"      // scan, then changes
	SnapshotNoData      SnapshotMode = "no_data"      // changes only
	SnapshotInitialOnly SnapshotMode = "initial_only" // scan only, then the connector is done
	SnapshotWhenNeeded  SnapshotMode = "when_needed"  // as initial; scan again after a gap in capture
)

// SnapshotOrder is a snapshot.order.
type SnapshotOrder string

// The orders of scan and changes.
const (
	SnapshotExact      SnapshotOrder = "exact"      // changes queue in HBase's WAL until the scan is done
	SnapshotConcurrent SnapshotOrder = "concurrent" // changes flow during the scan
)

// OnWALHold is a snapshot.on.wal.hold.
type OnWALHold string

// What becomes of a scan that is not complete within snapshot.max.wal.hold.
const (
	OnWALHoldFail       OnWALHold = "fail"
	OnWALHoldConcurrent OnWALHold = "concurrent" // it goes on in concurrent order
)

// TopicCreation says how topics that do not exist yet are made. Of a sink, Enable
// and ReplicationFactor count.
type TopicCreation struct {
	Enable            bool
	Partitions        int32
	ReplicationFactor int16 // -1: the broker's default
	MaxMessageBytes   int64
	Configs           map[string]string // other configurations of data topics, as Kafka names them
	AllowCompacted    bool              // data topics may be compacted
}

// Sink is the configuration of an HBaseSink.
type Sink struct {
	TasksMax int
	HBase    HBase

	// Exactly one of Topics and TopicsRegex is set. See MatchTopic.
	Topics      []string
	TopicsRegex *regexp.Regexp

	Registry        Registry // of records in Confluent's wire format
	Mapping         schema.Mapping
	CreateTables    bool
	Evolution       Evolution
	Apply           ApplyMode
	NoOverwrite     bool
	ConsumerStart   ConsumerStart
	GroupID         string
	BatchMaxRecords int
	BatchMaxBytes   int64
	BatchLinger     time.Duration
	Consumer        Consumer
	TopicCreation   TopicCreation

	EndTime         time.Time // zero: none
	WatermarkMargin time.Duration
	LatePutWindow   time.Duration // 0: the tables keep their own time to purge deletes

	Errors Errors
}

// Evolution is a schema.evolution.
type Evolution string

// What becomes of tables at the target when they are altered at the source.
const (
	EvolutionNone  Evolution = "none"  // nothing
	EvolutionBasic Evolution = "basic" // additions are made
)

// ApplyMode is an hbase.apply.
type ApplyMode string

// How changes are written.
const (
	ApplyAuto        ApplyMode = "auto"
	ApplyReplication ApplyMode = "replication"
	ApplyMutation    ApplyMode = "mutation"
)

// MatchTopic reports whether the sink reads the topic. A regular expression
// must match the whole name.
func (s *Sink) MatchTopic(topic string) bool {
	if s.TopicsRegex != nil {
		return s.TopicsRegex.MatchString(topic)
	}
	for _, t := range s.Topics {
		if t == topic {
			return true
		}
	}
	return false
}

// ConsumerStart is a consumer.start: where a sink begins on a partition.
type ConsumerStart struct {
	Mode    StartMode
	Time    time.Time                  // of StartTimestamp
	Offsets map[string]map[int32]int64 // of StartOffsets, by topic and partition
}

// StartMode is the first word of a consumer.start.
type StartMode string

// Where a sink begins on a partition.
const (
	StartCommitted StartMode = "committed" // at the committed offset, the earliest when there is none
	StartEarliest  StartMode = "earliest"
	StartLatest    StartMode = "latest"
	StartTimestamp StartMode = "timestamp"
	StartOffsets   StartMode = "offsets"
)

// TopicsBegin is what the names of all topics that TopicsRegex matches begin with.
func (s *Sink) TopicsBegin() string {
	text := strings.TrimSuffix(strings.TrimPrefix(s.TopicsRegex.String(), anchoredBegin), anchoredEnd)
	re, err := regexp.Compile(text)
	if err != nil {
		return "" // it was compiled before
	}
	begin, _ := re.LiteralPrefix()
	return begin
}
