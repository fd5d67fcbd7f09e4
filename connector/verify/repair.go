package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/waltap/waltap/internal/crash"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/sink"
	"github.com/waltap/waltap/sink/hbase"
)

const (
	// repairBytes and repairCells bound what is written at once of a row.
	repairBytes = 4 << 20
	repairCells = 2000
	// applyPatience is how long writing a row is tried.
	applyPatience = 2 * time.Minute
	// maxExamples is how many of each action a report shows.
	maxExamples = 5
)

// RepairOptions of Repair.
type RepairOptions struct {
	// Options say what is compared, and how. Mode, Found and StateFile count for the comparison that finds what to repair.
	Options
	// From is a differences file: its rows are repaired. "": all rows that the comparison finds.
	From string
	// Execute writes. Without it nothing is, and the report says what would be.
	Execute bool
	// DeleteExtra also removes at the target what the source does not have.
	DeleteExtra bool
	// Apply is how it is written; default hbase.Auto.
	Apply hbase.Mode
}

// Action is one kind of thing that repair writes, or leaves.
type Action struct {
	// What: put, the names of the delete markers, or delete (of a version that only the target has).
	What  string `json:"what"`
	Cells int64  `json:"cells"`
	Bytes int64  `json:"bytes"` // of rows, families, qualifiers, values and tags
	// Examples are the first of them.
	Examples []Difference `json:"examples"`
}

// RepairReport is what Repair has done, or would do.
type RepairReport struct {
	Executed bool `json:"executed"`
	// Compared is the comparison that went before, of all rows; nil when a differences file was given.
	Compared *Report `json:"compared,omitempty"`
	// Found is the comparison that found what to repair: of all rows, or of those in the differences file.
	Found *Report `json:"found"`
	// Actions are what was written, or would be.
	Actions []Action `json:"actions"`
	// Left is what is not: extra cells without DeleteExtra, and delete markers that only the target has.
	Left []Action `json:"left"`
	// After is the comparison, afterwards, of the rows that were found. Nil unless Executed.
	After *Report `json:"after,omitempty"`
}

// Clean tells whether nothing differs any more: for a plan, whether nothing did.
func (r *RepairReport) Clean() bool {
	if r.After != nil {
		return r.After.Clean()
	}
	return r.Found.Clean()
}

// The actions that are not named by the cell that is written.
const (
	actPut    = "put"
	actDelete = "delete"
	// Reasons why something is left.
	leftExtra  = "extra cells (to remove them: delete-extra)"
	leftMarker = "delete markers that only the target has (a major compaction of the target removes them)"
)

// Repair makes the target's rows that differ like the source's. It writes exactly the cells that differ, with their timestamps
// and tags, by the way that a sink writes: a repetition changes nothing. Each row is read again right before, as a comparison
// reads rows that differ: what the pipeline is about to bring is left to it.
func Repair(ctx context.Context, o RepairOptions) (_ *RepairReport, err error) {
	o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.Visible {
		return nil, errors.New("a repair compares versions and delete markers, too: visible cells alone do not tell what to write")
	}
	if o.NoRecheck {
		return nil, errors.New("a repair reads rows that differ again before it writes: that cannot be switched off")
	}
	from := o.From
	var compared *Report
	if from == "" {
		var remove func()
		if from, compared, remove, err = o.find(ctx); err != nil {
			return nil, err
		}
		defer remove()
	}
	crash.Point(crash.RepairFound)
	rows, err := readRows(from)
	if err != nil {
		return nil, err
	}
	r := &repair{RepairOptions: o, out: &RepairReport{Executed: o.Execute, Compared: compared}, actions: make(map[string]*Action), left: make(map[string]*Action)}
	if err := r.run(ctx, rows); err != nil {
		return nil, err
	}
	r.out.Actions, r.out.Left = sorted(r.actions), sorted(r.left)
	return r.out, nil
}

// find compares first; it returns the file with the differences, and the report.
func (o *RepairOptions) find(ctx context.Context) (file string, r *Report, remove func(), err error) {
	first := o.Options
	remove = func() {}
	if first.DifferencesFile == "" {
		f, err := os.CreateTemp("", "waltap-differences-*.jsonl")
		if err != nil {
			return "", nil, nil, fmt.Errorf("write the differences: %w", err)
		}
		first.DifferencesFile = f.Name()
		remove = func() { os.Remove(f.Name()) }
		if err := f.Close(); err != nil {
			return "", nil, nil, errors.Join(fmt.Errorf("write the differences: %w", err), os.Remove(first.DifferencesFile))
		}
	}
	first.Exceptions = false
	if r, err = newComparison(first).run(ctx); err != nil {
		remove()
		return "", nil, nil, err
	}
	return first.DifferencesFile, r, remove, nil
}

// rowsOf are rows by table, in the order of the file.
type rowsOf struct {
	tables []string
	keys   map[string][][]byte
}

// readRows lists the rows of a differences file, each once.
func readRows(file string) (*rowsOf, error) {
	out := &rowsOf{keys: make(map[string][][]byte)}
	type id [2]uint64
	seen := make(map[string]map[id]bool)
	err := ReadDifferences(file, func(d *Difference) error {
		if seen[d.Table] == nil {
			seen[d.Table] = make(map[id]bool)
			out.tables = append(out.tables, d.Table)
		}
		k := id{maphash.Bytes(seed, d.Row), maphash.Bytes(secondSeed, d.Row)}
		if !seen[d.Table][k] {
			seen[d.Table][k] = true
			out.keys[d.Table] = append(out.keys[d.Table], bytes.Clone(d.Row))
		}
		return nil
	})
	return out, err
}

func (r *rowsOf) each(each func(table string, key []byte) error) error {
	for _, t := range r.tables {
		for _, k := range r.keys[t] {
			if err := each(t, k); err != nil {
				return err
			}
		}
	}
	return nil
}

// repair is one Repair at work.
type repair struct {
	RepairOptions
	out     *RepairReport
	applier *hbase.Applier
	source  schema.UUID

	mu            sync.Mutex
	actions, left map[string]*Action
	open          map[string]*schema.Change // of rows that are being read, by table and row
	size          map[string]int64
}

// over makes a comparison of rows.
func (r *repair) over(rows *rowsOf) *comparison {
	o := r.Options
	o.Mode, o.StateFile, o.Resume, o.DifferencesFile, o.Found = Rows, "", false, "", nil
	c := newComparison(o)
	c.given = rows.each
	return c
}

func (r *repair) run(ctx context.Context, rows *rowsOf) (err error) {
	r.open, r.size = make(map[string]*schema.Change), make(map[string]int64)
	c := r.over(rows)
	c.act, c.rowRead = r.act, r.flush
	c.opened = func() (err error) {
		r.source, err = schema.ParseUUID(c.clusters[0].ID())
		return err
	}
	if r.Execute {
		if err := r.openApplier(ctx); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, r.applier.Close()) }()
	}
	if r.out.Found, err = c.run(ctx); err != nil || !r.Execute {
		return err
	}
	r.out.After, err = r.over(rows).run(ctx)
	return err
}

func (r *repair) openApplier(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	cfg := hbase.Config{Target: r.Target, Mapping: r.Mapping, Mode: r.Apply, Log: r.Log}
	if r.Pipeline != nil {
		cfg.Descriptors = sink.NewDescriptors(r.Pipeline.Kafka)
	}
	r.applier, err = hbase.Open(ctx, cfg)
	return err
}

// act decides what is to be done about a difference.
func (r *repair) act(ctx context.Context, t *table, key []byte, f *finding) error {
	source, target := f.cells[0], f.cells[1]
	d := func() Difference { return (&comparison{Options: r.Options}).difference(t, key, f) }
	var write schema.Cell
	what := ""
	switch {
	case source != nil:
		write, what = cloneCell(source), source.Type.String()
		if source.Type == schema.Put {
			what = actPut
		}
	case target.Type != schema.Put:
		r.count(r.left, leftMarker, key, target, d)
		return nil
	case !r.DeleteExtra:
		r.count(r.left, leftExtra, key, target, d)
		return nil
	default:
		write, what = cloneCell(target), actDelete
		write.Type, write.Value, write.Tags = schema.Delete, nil, nil
	}
	size := r.count(r.actions, what, key, &write, d)
	if !r.Execute {
		return nil
	}
	id := t.name + " " + string(key)
	r.mu.Lock()
	c := r.open[id]
	if c == nil {
		c = &schema.Change{Table: t.name, Row: bytes.Clone(key)}
		r.open[id] = c
	}
	c.Cells = append(c.Cells, write)
	r.size[id] += size
	full := r.size[id] >= repairBytes || len(c.Cells) >= repairCells
	r.mu.Unlock()
	if full {
		return r.flush(ctx, t, key)
	}
	return nil
}

// flush writes what there is to write of a row.
func (r *repair) flush(ctx context.Context, t *table, key []byte) error {
	id := t.name + " " + string(key)
	r.mu.Lock()
	c := r.open[id]
	delete(r.open, id)
	delete(r.size, id)
	r.mu.Unlock()
	if c == nil {
		return nil
	}
	// As the pipeline would bring it: a stream back from the target leaves it out.
	c.Timestamp = time.Now().UnixMilli()
	c.Source = schema.Source{Connector: "waltap-repair", ClusterID: r.source, Kind: schema.KindScan}
	topic, err := schema.DataTopic(r.prefix(), t.name)
	if err != nil {
		return err
	}
	begun := time.Now()
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := r.applier.Apply(ctx, &sink.Batch{Topic: topic, Changes: []schema.Change{*c}})
		var refused *sink.RefusedError
		var permanent *sink.PermanentError
		switch {
		case err == nil:
			crash.Point(crash.RepairWritten)
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.As(err, &refused), errors.As(err, &permanent), time.Since(begun) > applyPatience:
			return fmt.Errorf("repair row %q of %s: %w", key, t.target, err)
		}
		r.Log.Warn("repeating", "error", err)
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// prefix is that of the topic which a change is said to come from.
func (r *repair) prefix() string {
	if r.Pipeline != nil {
		return r.Pipeline.Prefix
	}
	return "repair"
}

// count notes an action.
func (r *repair) count(to map[string]*Action, what string, key []byte, k *schema.Cell, d func() Difference) (size int64) {
	size = int64(len(key) + len(k.Family) + len(k.Qualifier) + len(k.Value) + len(k.Tags))
	r.mu.Lock()
	defer r.mu.Unlock()
	a := to[what]
	if a == nil {
		a = &Action{What: what}
		to[what] = a
	}
	a.Cells++
	a.Bytes += size
	if len(a.Examples) < maxExamples {
		a.Examples = append(a.Examples, d())
	}
	return size
}

func sorted(actions map[string]*Action) []Action {
	out := []Action{}
	for _, a := range actions {
		out = append(out, *a)
	}
	slices.SortFunc(out, func(a, b Action) int { return compareStrings(a.What, b.What) })
	return out
}
