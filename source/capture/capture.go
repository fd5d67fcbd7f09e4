// Package capture runs one source connector: it brings tables under capture in the order that loses
// and doubles nothing, and keeps them there.
//
// The order (snapshot.order: exact): REPLICATION_SCOPE set on all regions, WALs rolled, our peer added in the held
// (disabled) state so that HBase queues its WAL for us, tables scanned into Kafka, peer enabled, queue followed. Of the
// queue, what the scan has delivered is left out by its sequence (see scan.ReadPoints). Every step is kept on the
// offsets topic before the next begins, so that a capture that was killed goes on where it was.
//
// In concurrent order, and for tables that join later (join.go), the peer ships from the first second and the tables are scanned
// beside: see concurrent.go.
//
// Several processes may run the same connector. One of them leads: it takes all these steps and receives the changes. The
// scan is shared by all (process.go); when the leader dies another one goes on where it was.
package capture

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/waltap/waltap/internal/filesystem"
	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/source"
	"github.com/waltap/waltap/source/replication"
	"github.com/waltap/waltap/source/scan"
	"github.com/waltap/waltap/source/tasks"
	"github.com/waltap/waltap/source/watermark"
)

// Values of Config.SnapshotMode.
const (
	SnapshotInitial     = "initial"      // scan, then follow
	SnapshotInitialOnly = "initial_only" // scan, then stop
	SnapshotNoData      = "no_data"      // follow only
	SnapshotWhenNeeded  = "when_needed"  // as initial; scans again by itself after a gap
)

// Stats is told what a capture does.
type Stats interface {
	replication.Stats
	scan.Stats
	watermark.Stats
	// Shards tells how far the scan is, that of all processes.
	Shards(done, total int)
	// Parts tells how far the scan of one table is, in key order; see scan.Parts.
	Parts(table string, parts []scan.Part)
	// SchemaChanged is told how many tables were published anew because they were altered at the source.
	SchemaChanged(tables int)
	// Acked is told what Kafka has acknowledged.
	Acked(table string, t source.Tally)
	// DeadLettered and Split are told what the policy for undeliverable records did: see source.Policy.
	DeadLettered(n int)
	Split(changes int)
	// Starting, Scanning, Streaming and Waiting say what the capture does now; text is for its user.
	Starting(text string)
	Scanning(text string)
	Streaming(text string) // text: what keeps some tables out, if anything does
	Waiting(text string)   // changes do not flow until something outside is mended
}

// TableFilter chooses tables by their full names; Named lists those that must exist.
type TableFilter interface {
	Match(table string) bool
	Named() []string
}

// Encodings says how the records of a topic are written.
type Encodings interface {
	// Of is asked before the first record of the topic is written, by each process, and again whenever its tables are looked
	// at. registry.Retriable tells of an error whether asking later may help.
	Of(ctx context.Context, topic string) (source.Encoding, error)
}

// Config of a Capture; names follow the configuration keys.
type Config struct {
	Connector string
	Version   string
	Source    admin.Config
	Kafka     *kafka.Client

	Tasks             int32 // into how many the scan is dealt, when the task topic is created
	TopicPrefix       string
	OffsetsTopic      string // of the progress; "": that of the prefix
	TopicCreate       bool
	Partitions        int32
	ReplicationFactor int16
	MaxMessageBytes   int64
	TopicConfigs      map[string]string // others of data topics
	AllowCompacted    bool              // data topics may be compacted
	MissingTopics     []kafka.TopicSpec // found missing already, where topics are not created: to be named with the others
	Producer          kafka.ProducerConfig
	Encodings         Encodings // nil: rows as keys, values as Avro in single-object encoding

	Tables          TableFilter
	Scope           schema.Scope
	SetScope        bool
	ScopeAllowPeers []string
	TableRefresh    time.Duration // how often the source is asked for tables that have come to match

	PeerID             string
	PeerCreate         bool
	PeerSerial         bool
	PeerQuorum         []string
	PeerRoot           string
	PeerSessionTimeout time.Duration
	Listen             string
	AdvertisedHost     string
	Allow              []netip.Prefix
	MaxBytesInFlight   int64

	SnapshotMode      string
	SnapshotOrder     string
	SnapshotReader    string              // ReaderScan, ReaderFiles
	Snapshots         map[string]string   // by table: one that is there, to be read; only with SnapshotInitialOnly
	Root              filesystem.Location // of the source's files; without a path it is not known
	RootUser          string              // as whom they are read
	SnapshotThreads   int
	ScannersPerServer int
	FetchBytes        int64
	ProgressInterval  time.Duration
	MaxWALHold        time.Duration
	AcceptGaps        map[string]int64 // by table: the epoch that may begin without a scan after a gap
	// ConcurrentOverHold: a scan that is not complete within MaxWALHold goes on in concurrent order.
	ConcurrentOverHold bool
	ShardBytes         int64
	Limiter            *scan.Limiter

	WatermarkMode string // see package watermark
	// WatermarkMargin, WatermarkPatience and WatermarkSlack: see watermark.Config.
	WatermarkMargin, WatermarkPatience, WatermarkSlack time.Duration
	// EndTime, when not zero: the scan reads nothing newer, and the capture ends when the watermark has passed it.
	EndTime    time.Time
	RemovePeer bool // when the end time has come

	// Undeliverable says what becomes of what cannot be delivered; all but its MaxBytes, Compression and counters.
	Undeliverable source.Policy

	// Successors tells a process that stops whether another one is to go on with its work: then it receives until that one does. Nil:
	// when others are in the connector's group.
	Successors func() bool
	// Owned, if set, lists the tasks that this process is to have, if it can be chosen.
	Owned func() []int

	ConnectTimeout time.Duration
	Stats          Stats
	Log            *slog.Logger
}

func (c *Config) offsetsTopic() string {
	return cmp.Or(c.OffsetsTopic, schema.OffsetsTopic(c.TopicPrefix))
}

// Capture is one source connector at work: what the leading process does.
type Capture struct {
	*process
	leadership *tasks.Leadership

	tables []captured
	pub    *source.Publisher // of changes
	marks  tableMarks

	following bool // changes flow, and alterations of tables are followed

	turn     turn
	lookFrom int // the table that the next look begins with

	background background
	refused    map[string]string // tables that match and cannot be captured: why
	missed     map[string]string // tables of which a family is not captured: why
	altered    chan struct{}     // the receiver has met a family that is not known
	flow       flow
	stalled    string // why no change flows; "": they do
	waits      string // for whom a complete scan waits; of scanTables

	obeyed uint64 // Changes of the store when nothing that was asked for was left

	unswept bool // snapshots of tables that were read are left

	watermark  *watermark.Watermark // nil: none
	heartbeats string               // the heartbeat table; "": none
	producer   *kafka.Producer
}

func (c *Capture) run(ctx context.Context) error {
	if err := c.selectTables(ctx); err != nil {
		return err
	}
	c.cfg.Stats.Starting("preparing topics")
	if err := c.loadTables(); err != nil {
		return err
	}
	producer := c.cfg.Kafka.NewProducer(c.cfg.Producer)
	handedOver := false
	defer func() {
		if !handedOver {
			producer.Close()
		}
	}()
	c.producer = producer
	c.pub = source.NewPublisher(producer, 0, c.cfg.Stats.Acked)
	policy := c.cfg.Undeliverable
	policy.MaxBytes, policy.Compression, policy.DeadLettered, policy.Split = producer.MaxMessageBytes, c.cfg.Producer.Compression, c.cfg.Stats.DeadLettered, c.cfg.Stats.Split
	c.pub.SetPolicy(policy)
	for i := range c.tables {
		if err := c.prepareTopic(ctx, &c.tables[i]); err != nil {
			return err
		}
	}
	initialOnly := c.cfg.SnapshotMode == SnapshotInitialOnly
	if !initialOnly {
		if ended, err := c.endedBefore(ctx); ended || err != nil {
			return err
		}
	}
	if err := c.checkStart(ctx); err != nil {
		return err
	}
	if initialOnly {
		return c.snapshotOnly(ctx)
	}
	if err := c.prepareWatermark(ctx); err != nil {
		return err
	}
	r, err := c.listen()
	if err != nil {
		return err
	}
	err = c.follow(ctx, r)
	if ctx.Err() != nil && r.open() {
		before := c.registeredNow(r)
		handedOver = c.leadership.HandOver(func() error {
			defer producer.Close()
			c.awaitSuccessor(r, before)
			return r.close()
		})
	}
	if handedOver {
		return err
	}
	return errors.Join(err, r.close())
}

func (c *Capture) selectTables(ctx context.Context) error {
	tables, err := c.listTables(ctx)
	if err == nil && !c.cfg.detached() {
		tables, err = c.scoped(ctx, tables)
	}
	if err != nil {
		return err
	}
	names := make([]string, len(tables))
	for i, t := range tables {
		n, err := c.newCaptured(t)
		if err != nil {
			return err
		}
		names[i] = n.name
		c.tables = append(c.tables, *n)
	}
	return schema.CheckTopicCollisions(c.cfg.TopicPrefix, names)
}

// scoped sees to the scope of tables, and leaves out those that are not shipped.
func (c *Capture) scoped(ctx context.Context, tables []admin.Table) ([]admin.Table, error) {
	if err := c.checkScope(ctx, tables); err != nil {
		return nil, err
	}
	if c.cfg.SetScope {
		if err := setScope(ctx, c.cluster, tables, c.cfg.PeerID, c.cfg.ScopeAllowPeers); err != nil {
			return nil, err
		}
		var err error
		if tables, err = c.listTables(ctx); err != nil {
			return nil, err
		}
	}
	return c.withScope(tables)
}

// newCaptured is t with its families in scope and its topic.
func (c *Capture) newCaptured(t admin.Table) (*captured, error) {
	name := t.FullName()
	topic, err := schema.DataTopic(c.cfg.TopicPrefix, name)
	if err != nil {
		return nil, err
	}
	families := c.cfg.Scope.Families(name, c.readable(t))
	if len(families) == 0 && c.cfg.detached() {
		return nil, fmt.Errorf("column.include.list: no family of table %s matches; name one, or take the table off table.include.list", name)
	}
	if len(families) == 0 {
		return nil, fmt.Errorf("column.include.list: no family of table %s with %s 1 matches; name one, or take the table off table.include.list", name, scopeAttribute)
	}
	return &captured{Table: t, name: name, families: families, topic: topic}, nil
}

// loadTables reads what is known of the tables; one not known yet begins with epoch 1.
func (c *Capture) loadTables() error {
	for i := range c.tables {
		t := &c.tables[i]
		st, known, err := c.state.table(t.name)
		if err != nil {
			return err
		}
		if !known {
			st = tableState{Epoch: 1, Families: t.families, Scope: c.cfg.Scope.String()}
		}
		if st.Unshipped == nil {
			st.Unshipped = t.unshipped()
		}
		if was, is := st.Scope, c.cfg.Scope.String(); was != is {
			return fmt.Errorf("table %s was captured with another scope (%s; now %s): what it left out would be missing; restore the keys that narrow it (docs/filters.md), or capture under a new connector and topic.prefix",
				t.name, scopeText(was), scopeText(is))
		}
		t.state = st
	}
	return nil
}

func scopeText(s string) string {
	if s == "" {
		return "everything"
	}
	return s
}

// follow brings every table under capture and stays until ctx ends or the capture is broken.
func (c *Capture) follow(ctx context.Context, r *receiver) error {
	takesOver, err := c.takesOver(ctx)
	if err != nil {
		return err
	}
	if !takesOver {
		if err := c.register(ctx, r); err != nil {
			return err
		}
	}
	st, err := c.ensurePeer(ctx)
	if err != nil {
		return err
	}
	if err := c.refreshFamilies(ctx); err != nil {
		return err
	}
	if !c.background.open {
		if err := c.scanHeld(ctx, &st); err != nil {
			return err
		}
		if err := c.release(ctx, st); err != nil {
			return err
		}
	}
	if err := c.register(ctx, r); err != nil {
		return err
	}
	r.letIn()
	sctx, cancel := context.WithCancel(ctx)
	var burying sync.WaitGroup
	burying.Go(func() { c.bury(sctx, r) })
	defer burying.Wait()
	defer cancel()
	return c.stream(ctx, r, st)
}

// scan reads the tables that were not read yet and marks them as captured.
func (c *Capture) scan(ctx context.Context) error {
	if err := c.publishDescriptors(ctx, c.tables); err != nil {
		return err
	}
	var todo []scan.Table
	var names []string
	for i := range c.tables {
		if t := &c.tables[i]; !t.state.Captured && (c.cfg.SnapshotMode != SnapshotNoData || t.state.Asked != nil) {
			todo = append(todo, c.narrowed(t))
			names = append(names, t.name)
		}
	}
	if len(todo) > 0 {
		c.cfg.Stats.Scanning(tableList(names))
		for _, t := range c.tables {
			if err := awaitLife(ctx, t.state.Since); err != nil {
				return err
			}
		}
		if err := c.scanTables(ctx, todo); err != nil {
			return err
		}
		if again, err := c.checkScanned(ctx); err != nil {
			return err
		} else if again {
			return c.scan(ctx)
		}
		c.cfg.Log.Info("scan complete", "tables", len(todo))
	}
	for i := range c.tables {
		t := &c.tables[i]
		if !t.state.Captured {
			if err := c.setCaptured(ctx, t); err != nil {
				return err
			}
		}
		if err := c.mark(t); err != nil {
			return err
		}
	}
	return nil
}

// setCaptured keeps that the scan has delivered the table, which ends the work on it.
func (c *Capture) setCaptured(ctx context.Context, t *captured) error {
	t.state.Captured, t.state.Scanned, t.state.Asked = true, time.Now().UnixMilli(), nil
	if err := c.state.saveTable(ctx, t.name, t.state); err != nil {
		return err
	}
	if err := c.state.clearShards(ctx, t.name); err != nil {
		return err
	}
	return c.dropSnapshot(ctx, t.name)
}

func (c *Capture) scanTable(t *captured) scan.Table {
	return scan.Table{Name: t.name, Families: t.families, Epoch: t.state.Epoch, Scope: &c.cfg.Scope}
}

// mark opens the receiver for the table's changes.
func (c *Capture) mark(t *captured) error {
	ranges, err := c.state.Ranges(t.name, t.state.Epoch)
	if err != nil {
		return err
	}
	m := replication.Table{Epoch: t.state.Epoch, Since: t.state.Since, Keeper: c.cfg.Scope.Keeper(t.name), Families: setOf(t.state.Families), Later: setOf(t.state.Later)}
	m.ReadPoint, m.Scanned = t.state.readPoint(ranges), t.state.Scanned
	c.marks.set(t.name, m)
	return nil
}

func setOf(names []string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, n := range names {
		set[n] = true
	}
	return set
}
