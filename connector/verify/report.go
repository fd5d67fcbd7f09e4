package verify

import (
	"maps"
	"slices"
	"time"
)

// Kind says how a cell differs.
type Kind string

// The kinds of differences.
const (
	Missing Kind = "missing" // the source has a put, the target nothing of its column
	Extra   Kind = "extra"   // the target has a put, the source nothing of its column
	Version Kind = "version" // one end has a version of a column of which the other has only others
	Value   Kind = "value"   // the same cell has another value
	Tags    Kind = "tags"    // the same cell has other tags (a time to live, visibility), the value is the same
	Marker  Kind = "marker"  // one end has a delete marker that the other has not
)

// Kinds lists all of them.
var Kinds = []Kind{Missing, Extra, Version, Value, Tags, Marker}

// Exception names why a cell differs without being wrong, or what is known of one that is.
type Exception string

// The exceptions that leave a row good: nobody sees the difference, and HBase makes it by itself.
const (
	// Hidden: a put that a delete marker hides; HBase drops it at a flush or a compaction.
	Hidden Exception = "hidden"
	// OverVersions: a put beyond the VERSIONS of its family; HBase drops it at a flush or a compaction.
	OverVersions Exception = "over-versions"
	// Expired: a cell whose time to live is over, or within a minute of it.
	Expired Exception = "expired"
	// Compacted: a delete marker that hides nothing, and that a major compaction at the other end may have dropped.
	Compacted Exception = "compacted"
	// Redundant: a delete marker that hides nothing which another one at the other end would not hide.
	Redundant Exception = "redundant"
	// Removed: a one-version delete at the target for a version that the source has not; repair leaves it behind.
	Removed Exception = "removed"
)

// The exceptions that name what a bad row may come from.
const (
	// LatePut: the target holds a delete marker, older than the source's last major compaction, that hides a put which the source
	// shows: the put came to the source after its marker was compacted away.
	LatePut Exception = "late-put"
	// NewVersionBehavior: the family has NEW_VERSION_BEHAVIOR, where the order of writes counts and not the timestamps alone.
	NewVersionBehavior Exception = "new-version-behavior"
)

// End is one of the two ends.
type End string

// The ends.
const (
	AtSource End = "source"
	AtTarget End = "target"
)

// Difference is one cell that differs: a line of the differences file. Bytes are base64 in JSON; Text has them for the eye.
type Difference struct {
	Table  string `json:"table"`  // at the source
	Target string `json:"target"` // the table at the target
	Row    []byte `json:"row"`
	Kind   Kind   `json:"kind"`
	At     End    `json:"at,omitempty"` // the only end that has the cell; empty: both have it
	// Exception is set where something is known about the cause.
	Exception Exception `json:"exception,omitempty"`
	Family    string    `json:"family"` // at the source
	Qualifier []byte    `json:"qualifier"`
	Timestamp int64     `json:"timestamp"`
	Type      string    `json:"type"` // Put, Delete, DeleteColumn, DeleteFamily, DeleteFamilyVersion
	// Values and tags, cut off behind Options.ValueBytes; lengths are the true ones.
	SourceValue  []byte `json:"sourceValue,omitempty"`
	TargetValue  []byte `json:"targetValue,omitempty"`
	SourceLength int    `json:"sourceLength,omitempty"`
	TargetLength int    `json:"targetLength,omitempty"`
	SourceTags   []byte `json:"sourceTags,omitempty"`
	TargetTags   []byte `json:"targetTags,omitempty"`
	Text         string `json:"text"` // "row" family:"qualifier" @timestamp type
}

// Counts are what a comparison has counted.
type Counts struct {
	// GoodRows and BadRows are as HBase's VerifyReplication counts them: rows that either end has.
	GoodRows int64 `json:"goodRows"`
	BadRows  int64 `json:"badRows"`
	// The bad rows: which only one end has, and those that both have.
	OnlyInSourceRows     int64 `json:"onlyInSourceRows"`
	OnlyInTargetRows     int64 `json:"onlyInTargetRows"`
	ContentDifferentRows int64 `json:"contentDifferentRows"`
	// ExceptedRows are the good rows with an exception.
	ExceptedRows int64 `json:"exceptedRows"`
	// RecheckedRows differed when they were first read; SettledRows of them did not when they were read again.
	RecheckedRows int64 `json:"recheckedRows"`
	SettledRows   int64 `json:"settledRows"`
	// SkippedRows were left out by the sample.
	SkippedRows int64 `json:"skippedRows,omitempty"`

	Cells int64 `json:"cells"` // read at the source
	Bytes int64 `json:"bytes"` // read at the source

	Differences map[Kind]int64      `json:"differences"` // cells of bad rows
	Exceptions  map[Exception]int64 `json:"exceptions"`  // cells
}

// Rows is how many were compared.
func (c *Counts) Rows() int64 { return c.GoodRows + c.BadRows }

// Different is how many cells differ, without exceptions that leave a row good.
func (c *Counts) Different() int64 {
	var n int64
	for _, k := range c.Differences {
		n += k
	}
	return n
}

// add adds o to c.
func (c *Counts) add(o *Counts) {
	c.GoodRows += o.GoodRows
	c.BadRows += o.BadRows
	c.OnlyInSourceRows += o.OnlyInSourceRows
	c.OnlyInTargetRows += o.OnlyInTargetRows
	c.ContentDifferentRows += o.ContentDifferentRows
	c.ExceptedRows += o.ExceptedRows
	c.RecheckedRows += o.RecheckedRows
	c.SettledRows += o.SettledRows
	c.SkippedRows += o.SkippedRows
	c.Cells += o.Cells
	c.Bytes += o.Bytes
	for k, n := range o.Differences {
		if c.Differences == nil {
			c.Differences = make(map[Kind]int64)
		}
		c.Differences[k] += n
	}
	for k, n := range o.Exceptions {
		if c.Exceptions == nil {
			c.Exceptions = make(map[Exception]int64)
		}
		c.Exceptions[k] += n
	}
}

func (c *Counts) clone() Counts {
	out := *c
	out.Differences, out.Exceptions = maps.Clone(c.Differences), maps.Clone(c.Exceptions)
	return out
}

// Offsets are places in data topics, by topic and partition.
type Offsets map[string]map[int32]int64

// TableReport is what was found of one table.
type TableReport struct {
	Table  string `json:"table"`  // at the source
	Target string `json:"target"` // its name at the target
	Counts
}

// Report is what Run has found.
type Report struct {
	FormatVersion int       `json:"formatVersion"`
	SourceCluster string    `json:"sourceCluster"` // cluster ids
	TargetCluster string    `json:"targetCluster"`
	Started       time.Time `json:"started"` // of the first run, when it was resumed
	Ended         time.Time `json:"ended"`
	Mode          Mode      `json:"mode"`
	// Comparison says what was compared: the ends, tables, bounds and mode.
	Comparison  string  `json:"comparison"`
	SampleRatio float64 `json:"sampleRatio,omitempty"`
	Raw         bool    `json:"raw"` // versions and delete markers, not only visible cells
	// Proved: rows that differed were read again after the watermark. Otherwise after Options.RecheckFor.
	Proved bool `json:"proved"`
	// Stopped: Options.MaxBadRows was reached, and the rest was not compared.
	Stopped bool `json:"stopped,omitempty"`
	// Resumed: earlier runs have done part of it.
	Resumed bool `json:"resumed"`

	Counts               // of all tables
	Tables []TableReport `json:"tables"`

	// Since are the ends of the data topics when the comparison began: what has changed since is behind them. It is what
	// Options.ChangedSince of a later pass takes. Nil without a pipeline.
	Since Offsets `json:"since,omitempty"`
	// ChangedKeys is how many rows the topics named, when only changed rows were compared.
	ChangedKeys int64 `json:"changedKeys,omitempty"`
	// Differences is the file with a line for each difference.
	Differences string `json:"differencesFile,omitempty"`
}

// ReportFormatVersion is the version of the reports this release writes.
const ReportFormatVersion = 1

// Clean tells whether no row is bad.
func (r *Report) Clean() bool { return r.BadRows == 0 }

// total sums the tables up.
func (r *Report) total() {
	slices.SortFunc(r.Tables, func(a, b TableReport) int { return compareStrings(a.Table, b.Table) })
	r.Counts = Counts{Differences: make(map[Kind]int64), Exceptions: make(map[Exception]int64)}
	for i := range r.Tables {
		r.add(&r.Tables[i].Counts)
	}
}

func compareStrings(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Progress is where a comparison stands.
type Progress struct {
	Counts
	Phase       string  `json:"phase"`       // comparing, reading changed keys …
	Ranges      int     `json:"ranges"`      // of rows
	RangesDone  int     `json:"rangesDone"`  //
	Fraction    float64 `json:"fraction"`    // of the bytes that the source is likely to have; 0: unknown
	Waiting     int     `json:"waiting"`     // rows that differed and are still to be read again
	WaitingFor  string  `json:"waitingFor"`  // what they wait for; "": nothing
	RowsSecond  int64   `json:"rowsSecond"`  // compared in the last second
	BytesSecond int64   `json:"bytesSecond"` // read at the source in the last second
}
