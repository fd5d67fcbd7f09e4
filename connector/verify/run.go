package verify

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/source/scan"
)

const (
	// openTimeout bounds the first contact with a cluster.
	openTimeout = 30 * time.Second
	// progressInterval is how often the progress is told and saved.
	progressInterval = time.Second
)

// comparison is one Run.
type comparison struct {
	Options
	clusters  [2]*admin.Cluster
	compacted [2]*compactions
	limiters  [2]*scan.Limiter
	tables    []*table
	units     []*unit
	settler   *settler
	pipe      *pipe // nil: none
	file      *differences

	started time.Time
	since   Offsets
	resumed bool
	stopped bool         // at MaxBadRows
	keys    atomic.Int64 // that the topics named

	// given are the rows to compare in mode Rows.
	given func(each func(table string, key []byte) error) error
	// act, when set, is told of each difference that counts, with its cells, while its row is read; rowRead when it was read.
	act     func(ctx context.Context, t *table, key []byte, f *finding) error
	rowRead func(ctx context.Context, t *table, key []byte) error
	opened  func() error // when both clusters are connected

	waitingFor atomic.Value // string
	retries    atomic.Int64

	mu   sync.Mutex // of the units
	live Counts
}

func newComparison(o Options) *comparison {
	c := &comparison{Options: o, started: time.Now()}
	c.waitingFor.Store("")
	c.limiters = [2]*scan.Limiter{o.Limiter, scan.NewLimiter(o.Limiter.Limits())}
	return c
}

// run carries the comparison through.
func (c *comparison) run(ctx context.Context) (_ *Report, err error) {
	if err := c.open(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if c.opened != nil {
		if err := c.opened(); err != nil {
			return nil, err
		}
	}
	if err := c.plan(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.file.close()) }()
	err = c.work(ctx)
	if errors.Is(err, errEnough) {
		c.stopped, err = true, nil
	}
	if err != nil || c.stopped {
		if err = errors.Join(err, c.save()); err != nil {
			return nil, err
		}
	}
	return c.result()
}

// errEnough ends a comparison that has found Options.MaxBadRows.
var errEnough = errors.New("as many rows are bad as were asked for")

// open connects to both clusters.
func (c *comparison) open(ctx context.Context) error {
	for e, cfg := range [2]admin.Config{c.Source, c.Target} {
		octx, cancel := context.WithTimeout(ctx, openTimeout)
		cluster, err := admin.Open(octx, cfg)
		cancel()
		if err != nil {
			return errors.Join(fmt.Errorf("connect to the %s: %w", [2]End{AtSource, AtTarget}[e], err), c.close())
		}
		c.clusters[e], c.compacted[e] = cluster, &compactions{cluster: cluster}
	}
	return nil
}

func (c *comparison) close() error {
	var errs []error
	for _, cluster := range c.clusters {
		if cluster != nil {
			errs = append(errs, cluster.Close())
		}
	}
	return errors.Join(errs...)
}

// plan finds out what is to be compared, in which ranges, and what of it an earlier run has done.
func (c *comparison) plan(ctx context.Context) error {
	if err := c.list(ctx); err != nil {
		return err
	}
	for _, name := range c.Tables {
		sides, err := newSides(ctx, &c.Options, c.clusters, name)
		if err != nil {
			return err
		}
		c.tables = append(c.tables, &table{name: name, target: c.Mapping.Table(name), sides: sides, renames: c.Mapping.Families.Of(name),
			countsAll: sides[0].keeper == nil && sides[1].keeper == nil && c.MinTimestamp == 0 && c.MaxTimestamp == 0})
	}
	if err := c.openPipe(ctx); err != nil {
		return err
	}
	c.settler = newSettler(c)
	var was *state
	if c.Resume && !c.byRow() {
		var err error
		if was, err = c.readState(); err != nil {
			return err
		}
	}
	var err error
	if c.file, err = openDifferences(c.DifferencesFile, was); err != nil {
		return err
	}
	switch {
	case was != nil:
		return c.resume(was)
	case c.byRow():
		for _, t := range c.tables {
			c.units = append(c.units, &unit{table: t, mu: &c.mu})
		}
		return nil
	}
	return c.cut(ctx)
}

// byRow tells whether single rows are compared, and no ranges.
func (c *comparison) byRow() bool { return c.Mode == Changed || c.Mode == Rows }

// list finds the tables that are chosen by Select.
func (c *comparison) list(ctx context.Context) error {
	if len(c.Tables) > 0 {
		return nil
	}
	all, err := c.clusters[0].Tables(ctx, false)
	if err != nil {
		return fmt.Errorf("list the tables of the source: %w", err)
	}
	for i := range all {
		if name := all[i].FullName(); c.Select(name) {
			c.Tables = append(c.Tables, name)
		}
	}
	if len(c.Tables) == 0 {
		return errors.New("the source has no table to compare")
	}
	return c.Mapping.CheckTables(c.Tables)
}

// readState returns nil when there is no state to resume.
func (c *comparison) readState() (*state, error) {
	if _, err := os.Stat(c.StateFile); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	was, err := readState(c.StateFile)
	if err != nil {
		return nil, err
	}
	if now := c.fingerprint(c.clusters[0].ID(), c.clusters[1].ID()); was.Comparison != now {
		return nil, fmt.Errorf("the state file %s is of another comparison: begin anew without it, or repeat the flags of that one\nit was: %s\nnow:    %s", c.StateFile, was.Comparison, now)
	}
	return was, nil
}

// resume takes over what an earlier run has done.
func (c *comparison) resume(was *state) error {
	c.resumed, c.started, c.since = true, was.Started, was.Since
	for _, r := range was.Ranges {
		i := slices.IndexFunc(c.tables, func(t *table) bool { return t.name == r.Table })
		if i < 0 {
			return fmt.Errorf("the state file %s names table %s, which is not compared", c.StateFile, r.Table)
		}
		c.units = append(c.units, &unit{table: c.tables[i], span: span{r.Start, r.End}, size: r.Size, mu: &c.mu, upto: r.Upto, done: r.Done, counts: r.Counts})
		c.live.add(&r.Counts)
	}
	return nil
}

// cut makes ranges of the tables: regions of the source, large ones in parts.
func (c *comparison) cut(ctx context.Context) error {
	start, stop := c.RowStart, c.RowStop
	if s := c.Scope; s != nil {
		if bytes.Compare(s.RowStart, start) > 0 {
			start = s.RowStart
		}
		if len(stop) == 0 || len(s.RowStop) > 0 && bytes.Compare(s.RowStop, stop) < 0 {
			stop = s.RowStop
		}
	}
	planner := scan.New(scan.Config{Cluster: c.clusters[0], Progress: noProgress{}, Stats: planStats{c}, Threads: c.Parallel, ShardBytes: c.ShardBytes})
	var tables []scan.Table
	for _, t := range c.tables {
		tables = append(tables, scan.Table{Name: t.name, Families: t.sides[0].families, Scope: &schema.Scope{RowStart: start, RowStop: stop}})
	}
	shards, err := planner.Plan(ctx, tables, nil, 1)
	if err != nil {
		return fmt.Errorf("cut the tables into ranges: %w", err)
	}
	scan.Sort(shards)
	if c.Mode == SampleRegions {
		shards = sample(shards, c.SampleRatio)
	}
	for _, s := range shards {
		i := slices.IndexFunc(c.tables, func(t *table) bool { return t.name == s.Table })
		c.units = append(c.units, &unit{table: c.tables[i], span: span{s.Start, s.End}, size: s.Bytes, mu: &c.mu})
	}
	return nil
}

// sample chooses so many shards of each table, one at least; the same ones in every run.
func sample(shards []scan.Shard, ratio float64) []scan.Shard {
	of := make(map[string][]int)
	for i := range shards {
		of[shards[i].Table] = append(of[shards[i].Table], i)
	}
	var keep []int
	for _, list := range of {
		slices.SortFunc(list, func(a, b int) int { return cmp.Compare(spread(shards[a].Start), spread(shards[b].Start)) })
		n := max(1, int(ratio*float64(len(list))+0.5))
		keep = append(keep, list[:n]...)
	}
	slices.Sort(keep)
	out := make([]scan.Shard, len(keep))
	for i, k := range keep {
		out[i] = shards[k]
	}
	return out
}

// work compares all units.
func (c *comparison) work(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var shown sync.WaitGroup
	sctx, end := context.WithCancel(ctx)
	shown.Go(func() {
		if err := c.show(sctx); err != nil {
			cancel(err)
		}
	})
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.settler.run(gctx) })
	g.Go(func() error {
		if err := c.compareAll(gctx); err != nil {
			return err
		}
		c.settler.end()
		return nil
	})
	err := g.Wait()
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	end()
	shown.Wait()
	if err == nil {
		err = context.Cause(ctx)
	}
	c.tell(time.Time{}, Counts{})
	return err
}

func (c *comparison) compareAll(ctx context.Context) error {
	if c.Mode == Rows {
		return c.compareGiven(ctx)
	}
	if c.Mode == Changed {
		return c.compareChanged(ctx)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(c.Parallel)
	for _, u := range c.units {
		if u.done { // by an earlier run
			continue
		}
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return context.Cause(ctx)
			}
			if err := c.compare(ctx, u); err != nil {
				return fmt.Errorf("compare table %s: %w", u.table.name, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// show tells and saves the progress until ctx ends.
func (c *comparison) show(ctx context.Context) error {
	tick := time.NewTicker(progressInterval)
	defer tick.Stop()
	last, lastAt := Counts{}, time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if l := c.Limiter.Limits(); l != c.limiters[1].Limits() {
			c.limiters[1].Set(l)
		}
		last = c.tell(lastAt, last)
		lastAt = time.Now()
		if err := c.save(); err != nil {
			return err
		}
	}
}

// tell tells the progress since the last one.
func (c *comparison) tell(lastAt time.Time, last Counts) Counts {
	c.mu.Lock()
	p := Progress{Counts: c.live.clone(), Phase: "comparing", Ranges: len(c.units)}
	var done, all float64
	for _, u := range c.units {
		all += float64(u.size)
		if u.done {
			p.RangesDone++
			done += float64(u.size)
		} else {
			done += min(float64(u.size), float64(u.counts.Bytes))
		}
	}
	c.mu.Unlock()
	if all > 0 {
		p.Fraction = done / all
	}
	switch c.Mode {
	case Changed:
		p.Phase = "comparing changed rows"
	case Rows:
		p.Phase = "reading rows again"
	}
	p.Waiting = c.settler.waitingRows()
	p.WaitingFor, _ = c.waitingFor.Load().(string)
	if s := time.Since(lastAt).Seconds(); !lastAt.IsZero() && s > 0 {
		p.RowsSecond = int64(float64(p.Rows()-last.Rows()) / s)
		p.BytesSecond = int64(float64(p.Bytes-last.Bytes) / s)
	}
	if c.Progress != nil {
		c.Progress(p)
	}
	return p.Counts
}

// save writes the state file. What it says is judged is in the differences file before.
func (c *comparison) save() error {
	if c.StateFile == "" || c.byRow() {
		return nil
	}
	s := state{FormatVersion: stateFormatVersion, Comparison: c.fingerprint(c.clusters[0].ID(), c.clusters[1].ID()), Started: c.started, Since: c.since}
	c.mu.Lock()
	for _, u := range c.units {
		s.Ranges = append(s.Ranges, stateRange{Table: u.table.name, Start: u.span.start, End: u.span.end, Upto: u.upto, Done: u.done, Size: u.size, Counts: u.counts.clone()})
	}
	c.mu.Unlock()
	if err := c.file.flush(); err != nil {
		return err
	}
	b, err := json.Marshal(&s)
	if err == nil {
		err = writeFile(c.StateFile, func(w io.Writer) error {
			_, err := w.Write(b)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("write the state file: %w", err)
	}
	return nil
}

// result makes the report of a comparison that is complete, and removes its state.
func (c *comparison) result() (*Report, error) {
	r := &Report{FormatVersion: ReportFormatVersion, SourceCluster: c.clusters[0].ID(), TargetCluster: c.clusters[1].ID(),
		Started: c.started, Ended: time.Now(), Mode: c.Mode, Comparison: c.fingerprint(c.clusters[0].ID(), c.clusters[1].ID()), Raw: !c.Visible, Proved: c.pipe != nil && c.pipe.proved(), Resumed: c.resumed, Stopped: c.stopped,
		Since: c.since, ChangedKeys: c.keys.Load(), Differences: c.DifferencesFile}
	if c.Mode == SampleRows || c.Mode == SampleRegions {
		r.SampleRatio = c.SampleRatio
	}
	for _, t := range c.tables {
		tr := TableReport{Table: t.name, Target: t.target, Counts: Counts{Differences: make(map[Kind]int64), Exceptions: make(map[Exception]int64)}}
		for _, u := range c.units {
			if u.table != t {
				continue
			}
			if !u.done && !c.stopped {
				return nil, fmt.Errorf("compare table %s: the range from %q to %q is not complete", t.name, u.span.start, u.span.end)
			}
			tr.add(&u.counts)
			for _, p := range u.parts { // of a comparison that was stopped
				tr.add(&p.counts)
			}
		}
		r.Tables = append(r.Tables, tr)
	}
	r.total()
	if err := c.file.flush(); err != nil {
		return nil, err
	}
	if c.StateFile != "" && !c.stopped {
		if err := os.Remove(c.StateFile); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("remove the state file: %w", err)
		}
	}
	return r, nil
}

// report tells of a difference that counts.
func (c *comparison) report(d Difference) error {
	if c.Found != nil {
		c.Found(d)
	}
	return c.write(d)
}

func (c *comparison) write(d Difference) error { return c.file.write(&d) }

// retry notes what heals by itself.
func (c *comparison) retry(err error) {
	c.retries.Add(1)
	c.Log.Warn("repeating", "error", err)
}

// noProgress is that of a scan which has not begun.
type noProgress struct{}

func (noProgress) Save(context.Context, scan.Range) error     { return nil }
func (noProgress) Ranges(string, int64) ([]scan.Range, error) { return nil, nil }

// planStats takes what the planning of ranges tells.
type planStats struct{ c *comparison }

func (planStats) Row(string, int64, int, int64) {}
func (planStats) Left(time.Duration)            {}
func (planStats) Reread(int64)                  {}
func (p planStats) Retry(err error)             { p.c.retry(err) }
