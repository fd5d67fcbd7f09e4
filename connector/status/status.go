// Package status holds what a running process says about itself: one
// structure, written by the connectors and read by everything that shows it,
// such as the progress lines, /status, /metrics and /readyz.
package status

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// The classes of connectors.
const (
	SourceClass = "HBaseSource"
	SinkClass   = "HBaseSink"
)

// Process is the status of one process.
type Process struct {
	Version string
	Started time.Time
	// Connectors are set before the Process is shown; then Add and Remove change them.
	Connectors []*Connector
	// Empty: a process without connectors is ready, too.
	Empty bool

	scrapes scrapes

	mu    sync.Mutex
	peers map[string]PeerView  // by connector
	tasks map[string]TasksView // likewise
}

// Add shows one more connector.
func (p *Process) Add(c *Connector) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Connectors = append(slices.Clone(p.Connectors), c)
}

// Remove shows a connector no more.
func (p *Process) Remove(c *Connector) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Connectors = slices.DeleteFunc(slices.Clone(p.Connectors), func(other *Connector) bool { return other == c })
}

// Now are the connectors at this moment.
func (p *Process) Now() []*Connector {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.Connectors
}

// Ready reports whether the process has connectors and each of them runs, or has stopped as it should: one that is paused, or at its end, must
// not keep a rolling update or the draining of a node waiting.
func (p *Process) Ready() bool {
	all := p.Now()
	for _, c := range all {
		if s := c.State(); !s.Running() && s != Stopped {
			return false
		}
	}
	return p.Empty || len(all) > 0
}

// State is what a connector is doing.
type State string

// The states of a connector.
const (
	Starting State = "STARTING" // connects and prepares
	Snapshot State = "SNAPSHOT" // reads what the tables held before
	Running  State = "RUNNING"  // streams changes
	Waiting  State = "WAITING"  // cannot go on until something outside changes; tries again by itself
	Failed   State = "FAILED"   // gave up; Connector.Error says why
	Stopped  State = "STOPPED"  // ended as it should
)

// Running reports whether a connector in this state moves records.
func (s State) Running() bool { return s == Running || s == Snapshot }

// Connect is the state in Kafka Connect's words: UNASSIGNED, RUNNING, FAILED or STOPPED.
func (s State) Connect() string {
	switch s {
	case Running, Snapshot, Waiting:
		return "RUNNING"
	case Failed, Stopped:
		return string(s)
	}
	return "UNASSIGNED"
}

// Counters count what a connector, or one of its tables, has moved since the
// process started. All are safe for concurrent use.
type Counters struct {
	Records      atomic.Int64 // acknowledged by the target (source: Kafka, sink: its store)
	Cells        atomic.Int64
	Bytes        atomic.Int64 // of record keys and values
	SnapshotRows atomic.Int64 // rows the scan has read
	LastRecord   atomic.Int64 // Change.Timestamp of the latest record, ms; 0: none yet
}

// Add counts acknowledged records. lastRecord is the latest one's
// Change.Timestamp.
func (c *Counters) Add(records, cells, bytes, lastRecord int64) {
	c.Records.Add(records)
	c.Cells.Add(cells)
	c.Bytes.Add(bytes)
	for {
		old := c.LastRecord.Load()
		if lastRecord <= old || c.LastRecord.CompareAndSwap(old, lastRecord) {
			return
		}
	}
}

// Connector is the status of one connector. Safe for concurrent use.
type Connector struct {
	Name, Class string

	Counters
	Calls               atomic.Int64 // source: replication calls that came in; sink: batches applied
	Answered            atomic.Int64 // source: replication calls of which Kafka has all
	Refused             atomic.Int64 // source: replication calls answered with an exception; HBase sends them again
	ShippedOps          atomic.Int64 // source: Records that came by replication
	ShippedBytes        atomic.Int64 // source: their Bytes
	RescanRequired      atomic.Bool  // source: it has failed because of a gap (RESNAPSHOT_REQUIRED)
	Replays             atomic.Int64 // source: WAL edits that HBase shipped again
	BelowReadPoint      atomic.Int64 // source: changes left out because the scan had delivered them
	BeforeEpoch         atomic.Int64 // source: changes left out because they were written before the table was truncated, restored or created again
	Markers             atomic.Int64 // source: markers in the WAL that carry no data
	BulkLoads           atomic.Int64 // source: announcements of HFiles that no WAL holds, each time HBase sends one
	LastBulkLoad        atomic.Int64 // source: when the latest came, ms; 0: none
	LateRecords         atomic.Int64 // source: changes with a write time below the watermark, less its margin, that came after it
	Looped              atomic.Int64 // sink: changes left out because they came from the target
	Superseded          atomic.Int64 // sink: cells left out of late replays, as newer ones had been applied
	Kept                atomic.Int64 // sink: cells left out because of hbase.no.overwrite
	Skipped             atomic.Int64 // sink: changes left out because they were written after the end time
	DeadLettered        atomic.Int64 // records, and markers of the WAL, that are on the dead-letter topic
	SchemaChanges       atomic.Int64 // source: tables published anew because they were altered; sink: tables created and altered at the target
	Split               atomic.Int64 // source: changes that were over a topic's limit and went in several records
	LagRecords          atomic.Int64 // sink: records of its partitions that are not applied
	Retries             atomic.Int64 // attempts that failed and were repeated
	LagMillis           atomic.Int64 // from the write at the source to the acknowledgement, of the latest record
	SnapshotBytes       atomic.Int64
	SnapshotLeft        atomic.Int64 // source: seconds that the scan is likely to take yet; 0: not known
	SnapshotReread      atomic.Int64 // source: rows that the scan read once more, as they were not acknowledged
	SnapshotShardsDone  atomic.Int64
	SnapshotShardsTotal atomic.Int64

	mu     sync.Mutex
	state  State
	phase  string
	reason string
	since  time.Time
	tables map[string]*Counters
	topics map[string]bool
	mark   watermark
	scan   scanState
}

// Topic notes that a sink has read the topic.
func (c *Connector) Topic(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.topics == nil {
		c.topics = make(map[string]bool)
	}
	c.topics[name] = true
}

// NewConnector returns the status of a connector that is Starting.
func NewConnector(name, class string) *Connector {
	return &Connector{Name: name, Class: class, state: Starting, since: time.Now(), tables: map[string]*Counters{}}
}

// Set says what the connector is doing: its state and, for people, the step it
// is at or what it waits for. An error set before is cleared.
func (c *Connector) Set(state State, phase string) { c.set(state, phase, "") }

// Fail sets the state Failed with its cause.
func (c *Connector) Fail(err error) { c.set(Failed, "", err.Error()) }

func (c *Connector) set(state State, phase, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != state {
		c.since = time.Now()
	}
	c.state, c.phase, c.reason = state, phase, reason
}

// State is the connector's present state.
func (c *Connector) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Table returns the counters of one table, "namespace:table". Keep the result:
// the call takes a lock.
func (c *Connector) Table(name string) *Counters {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, ok := c.tables[name]
	if !ok {
		t = new(Counters)
		c.tables[name] = t
	}
	return t
}

// ProcessView is a Process at one moment, in the form /status shows.
type ProcessView struct {
	Version    string          `json:"version"`
	Started    time.Time       `json:"started"`
	Ready      bool            `json:"ready"`
	Connectors []ConnectorView `json:"connectors"`
	Peers      []PeerView      `json:"peers,omitempty"` // of the sources that this process looks after, by connector
	Tasks      []TasksView     `json:"tasks,omitempty"` // of the connectors that this process looks after, by connector
}

// ConnectorView is a Connector at one moment.
type ConnectorView struct {
	Name  string    `json:"name"`
	Class string    `json:"class"`
	State State     `json:"state"`
	Phase string    `json:"phase,omitempty"`
	Error string    `json:"error,omitempty"`
	Since time.Time `json:"since"` // of the state
	CountersView
	Calls          int64          `json:"calls"`
	Answered       int64          `json:"answered"`
	Refused        int64          `json:"refused"`
	ShippedOps     int64          `json:"shippedOps"`
	ShippedBytes   int64          `json:"shippedBytes"`
	RescanRequired bool           `json:"rescanRequired,omitempty"`
	Replays        int64          `json:"replays"`
	Retries        int64          `json:"retries"`
	BelowReadPoint int64          `json:"belowReadPoint"`
	BeforeEpoch    int64          `json:"beforeEpoch"`
	Markers        int64          `json:"markers"`
	BulkLoads      int64          `json:"bulkLoads,omitempty"`
	LastBulkLoad   int64          `json:"lastBulkLoadMs,omitempty"`
	Looped         int64          `json:"looped"`
	Superseded     int64          `json:"superseded"`
	Kept           int64          `json:"kept"`
	Skipped        int64          `json:"skipped"`
	DeadLettered   int64          `json:"deadLettered"`
	Split          int64          `json:"split"`
	SchemaChanges  int64          `json:"schemaChanges"`
	LagRecords     int64          `json:"lagRecords"`
	LagMS          *int64         `json:"lagMs,omitempty"` // nil before the first record
	LateRecords    int64          `json:"lateRecords"`
	Watermark      *WatermarkView `json:"watermark,omitempty"` // nil before the first one, or what keeps it
	Snapshot       *SnapshotView  `json:"snapshot,omitempty"`
	Tables         []TableView    `json:"tables"` // by name
	Topics         []string       `json:"-"`      // sink: that it has read
}

// SnapshotView is the progress of a scan.
type SnapshotView struct {
	Rows        int64              `json:"rows"`
	Bytes       int64              `json:"bytes"`
	Reread      int64              `json:"reread"`
	ShardsDone  int64              `json:"shardsDone"`
	ShardsTotal int64              `json:"shardsTotal"`
	SecondsLeft int64              `json:"secondsLeft,omitempty"` // an estimate; 0: not known, or complete
	Limits      ScanLimits         `json:"limits"`
	Tables      []ScannedTableView `json:"tables,omitempty"` // by name
}

// TableView is a table of a connector at one moment.
type TableView struct {
	Name string `json:"name"`
	CountersView
	SnapshotRows int64 `json:"snapshotRows"`
}

// CountersView is what connectors and tables both count.
type CountersView struct {
	Records    int64      `json:"records"`
	Cells      int64      `json:"cells"`
	Bytes      int64      `json:"bytes"`
	LastRecord *time.Time `json:"lastRecord,omitempty"` // nil before the first record
}

// View returns the present status.
func (p *Process) View() ProcessView {
	all := p.Now()
	v := ProcessView{Version: p.Version, Started: p.Started, Ready: p.Ready(), Connectors: make([]ConnectorView, len(all))}
	for i, c := range all {
		v.Connectors[i] = c.View()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	v.Peers, v.Tasks = sortedOf(p.peers), sortedOf(p.tasks)
	return v
}

// View returns the present status.
func (c *Connector) View() ConnectorView {
	v := ConnectorView{
		Name: c.Name, Class: c.Class,
		CountersView: c.Counters.view(),
		Calls:        c.Calls.Load(), Answered: c.Answered.Load(), Refused: c.Refused.Load(), ShippedOps: c.ShippedOps.Load(), ShippedBytes: c.ShippedBytes.Load(),
		RescanRequired: c.RescanRequired.Load(), Replays: c.Replays.Load(), Retries: c.Retries.Load(),
		BelowReadPoint: c.BelowReadPoint.Load(), BeforeEpoch: c.BeforeEpoch.Load(), Markers: c.Markers.Load(), BulkLoads: c.BulkLoads.Load(), LastBulkLoad: c.LastBulkLoad.Load(), Looped: c.Looped.Load(), Superseded: c.Superseded.Load(), Kept: c.Kept.Load(), LagRecords: c.LagRecords.Load(), Skipped: c.Skipped.Load(),
		DeadLettered: c.DeadLettered.Load(), Split: c.Split.Load(), SchemaChanges: c.SchemaChanges.Load(),
		LateRecords: c.LateRecords.Load(),
		Tables:      []TableView{},
	}
	if v.LastRecord != nil {
		lag := c.LagMillis.Load()
		v.LagMS = &lag
	}
	limits := c.locked(&v)
	if v.Snapshot != nil && limits != nil {
		v.Snapshot.Limits = limits()
	}
	slices.Sort(v.Topics)
	slices.SortFunc(v.Tables, func(a, b TableView) int { return cmp.Compare(a.Name, b.Name) })
	return v
}

// locked fills in what the lock protects, which every acknowledgement takes as well: it only copies.
func (c *Connector) locked(v *ConnectorView) (limits func() ScanLimits) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if total := c.SnapshotShardsTotal.Load(); total > 0 {
		v.Snapshot = &SnapshotView{
			Rows: c.SnapshotRows.Load(), Bytes: c.SnapshotBytes.Load(), Reread: c.SnapshotReread.Load(),
			ShardsDone: c.SnapshotShardsDone.Load(), ShardsTotal: total,
		}
		if v.Snapshot.ShardsDone < total {
			v.Snapshot.SecondsLeft = c.SnapshotLeft.Load()
		}
		v.Snapshot.Tables = c.scan.view()
	}
	v.Watermark = c.mark.view(time.Now())
	v.State, v.Phase, v.Error, v.Since = c.state, c.phase, c.reason, c.since
	for name, t := range c.tables {
		v.Tables = append(v.Tables, TableView{Name: name, CountersView: t.view(), SnapshotRows: t.SnapshotRows.Load()})
	}
	v.Topics = slices.Collect(maps.Keys(c.topics))
	return c.scan.limits
}

func (c *Counters) view() CountersView {
	v := CountersView{Records: c.Records.Load(), Cells: c.Cells.Load(), Bytes: c.Bytes.Load()}
	if ms := c.LastRecord.Load(); ms != 0 {
		t := time.UnixMilli(ms).UTC()
		v.LastRecord = &t
	}
	return v
}
