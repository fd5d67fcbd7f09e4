package verify

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/sink"
	"github.com/waltap/waltap/source/scan"
)

// Mode says what of the tables is compared.
type Mode string

// The modes. The zero Mode is Full.
const (
	Full Mode = "full"
	// SampleRows compares rows chosen by a hash of their keys. All rows are read nevertheless: HBase cannot choose them.
	SampleRows Mode = "sample-rows"
	// SampleRegions compares whole regions of the source, of large ones parts, and reads nothing of the others.
	SampleRegions Mode = "sample-regions"
	// Hash compares a hash of each range of Options.HashRows rows, and rows only in ranges whose hashes differ.
	Hash Mode = "hash"
	// Changed compares only rows whose keys appear in the data topics behind Options.ChangedSince.
	Changed Mode = "changed"
	// Rows is the mode of the reports of Repair: it compares the rows that it was given.
	Rows Mode = "rows"
)

// Pipeline is the waltap pipeline between the two clusters.
type Pipeline struct {
	Kafka   *kafka.Client
	Schemas *sink.Schemas // to read records of changed rows with; default: those on the topics of Kafka
	// Prefix is the source's topic.prefix, Connector its name, Group the sink's consumer group.
	Prefix, Connector, Group string
	// NoWatermark: none is published (any more). The topics tell changed rows only, and prove nothing.
	NoWatermark bool
}

// Options of Run. Zero numbers mean the default.
type Options struct {
	Source, Target admin.Config
	// Tables at the source, in full names; Mapping names them, and their families, at the target.
	Tables []string
	// Select chooses tables of the source when none is named.
	Select  func(table string) bool
	Mapping schema.Mapping
	// Scope is what a pipeline captures: what it leaves out is no difference. Nil: all. Its timestamps (of the full scan) count
	// like MinTimestamp and MaxTimestamp when those are 0.
	Scope *schema.Scope

	RowStart, RowStop []byte // from start, inclusive, to stop, exclusive; empty: no bound
	// MinTimestamp (inclusive) and MaxTimestamp (exclusive) of cells, ms; 0: no bound.
	MinTimestamp, MaxTimestamp int64
	Families                   []string // at the source; none: all
	// Visible compares only what a client sees, not hidden versions and delete markers: for ends that cannot scan raw.
	Visible bool
	// Versions is how many versions of a column a Visible comparison reads; 0: all that are kept.
	Versions int

	Mode        Mode
	SampleRatio float64 // of the sample modes: above 0, up to 1
	HashRows    int     // rows of a range in Hash; default 8192

	// ChangedSince is where mode Changed begins to read the topics: Report.Since of an earlier pass.
	ChangedSince Offsets

	// Pipeline, when there is one, proves what the target must have. Nil: rows that differ are read again for RecheckFor.
	Pipeline *Pipeline
	// RecheckFor is how long a row must go on differing when nothing proves that the target has caught up; default 30s.
	RecheckFor time.Duration
	// WatermarkTimeout is how long a watermark may stand still before Run gives up; default 10m.
	WatermarkTimeout time.Duration
	// NoRecheck counts rows that differ at first sight: false alarms where the tables are written to.
	NoRecheck bool

	// MaxBadRows ends the comparison when so many rows are bad; 0: it goes to the end. Rows that were in hand then count, too.
	MaxBadRows int64

	Parallel   int   // ranges compared at once; default 4
	FetchBytes int64 // asked of a region server per call; default 2 MiB
	ShardBytes int64 // a region above it is compared in several ranges; default 1 GiB
	// Limits hold the reading back, at each end. Limiter, when set, takes their place and may be changed at any time.
	Limits  scan.Limits
	Limiter *scan.Limiter

	// StateFile keeps the progress; with Resume a comparison goes on from it. It is removed when the comparison is complete.
	StateFile string
	Resume    bool
	// Era tells comparisons apart whose ends are not what they were, though all else is equal: none goes on from another's state.
	Era string
	// DifferencesFile gets a line of JSON for each difference. Exceptions adds those that leave a row good.
	DifferencesFile string
	Exceptions      bool
	ValueBytes      int // of a value in a difference; default 100

	// Found, when set, is told of each difference that counts; it is called by many goroutines.
	Found func(Difference)
	// Progress, when set, is called about once a second, and at the end.
	Progress func(Progress)
	Log      *slog.Logger
}

func (o *Options) withDefaults() {
	defaults := []struct {
		field *int
		value int
	}{{&o.HashRows, 8192}, {&o.Parallel, 4}, {&o.ValueBytes, 100}}
	for _, d := range defaults {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	if o.Mode == "" {
		o.Mode = Full
	}
	if o.RecheckFor <= 0 {
		o.RecheckFor = 30 * time.Second
	}
	if o.WatermarkTimeout <= 0 {
		o.WatermarkTimeout = 10 * time.Minute
	}
	if o.FetchBytes <= 0 {
		o.FetchBytes = 2 << 20
	}
	if o.ShardBytes <= 0 {
		o.ShardBytes = 1 << 30
	}
	if o.Limiter == nil {
		o.Limiter = scan.NewLimiter(o.Limits)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if s := o.Scope; s != nil {
		if o.MinTimestamp == 0 && o.MaxTimestamp == 0 {
			o.MinTimestamp, o.MaxTimestamp = s.MinTimestamp, s.MaxTimestamp
		}
	}
}

// check reports all faults of the options.
func (o *Options) check() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(o.Tables) == 0 && o.Select == nil {
		fault("no table is given")
	}
	if err := o.Mapping.CheckTables(o.Tables); err != nil {
		errs = append(errs, err)
	}
	if len(o.RowStop) > 0 && string(o.RowStart) >= string(o.RowStop) {
		fault("no row lies between %q and %q", o.RowStart, o.RowStop)
	}
	if o.MaxTimestamp > 0 && o.MinTimestamp >= o.MaxTimestamp {
		fault("no timestamp lies between %d and %d", o.MinTimestamp, o.MaxTimestamp)
	}
	if o.Versions < 0 || o.Versions > 0 && !o.Visible {
		fault("a number of versions belongs to a comparison of visible cells")
	}
	switch o.Mode {
	case Full, Hash:
	case SampleRows, SampleRegions:
		if o.SampleRatio <= 0 || o.SampleRatio > 1 {
			fault("the ratio of the sample is %v: want one above 0 and up to 1", o.SampleRatio)
		}
	case Changed:
		switch {
		case o.Pipeline == nil:
			fault("to compare changed rows only, the pipeline must be given: its topics name them")
		case len(o.ChangedSince) == 0:
			fault("to compare changed rows only, give since when: the report of an earlier pass")
		}
	default:
		fault("mode %q is none of full, sample-rows, sample-regions, hash, changed", o.Mode)
	}
	if o.Resume && o.StateFile == "" {
		fault("there is nothing to resume from: no state file is given")
	}
	return errors.Join(errs...)
}
