package tables

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/descriptor"
	"github.com/waltap/waltap/schema"
)

// Action is what becomes of a difference.
type Action string

// The actions.
const (
	Same    Action = "same"           // a namespace or a table as it should be
	Add     Action = "add"            // Apply adds it
	Alter   Action = "alter"          // Apply changes it when Options.Alter is set
	Decide  Action = "needs decision" // Apply changes it when Options.Alter and Options.Shrink are set
	Refused Action = "refused"        // Apply does nothing at all before this is settled
	LeftOff Action = "left out"       // it is not taken over, by rule
	Note    Action = "note"           // the destination has something else, and keeps it
)

// Differs tells whether something is to be done about the difference, by Apply or by somebody.
func (a Action) Differs() bool { return a != Same && a != LeftOff && a != Note }

// The kinds of what a Difference is about, beside those of package descriptor.
const (
	KindNamespace = "namespace"
	KindTable     = "table"
	KindProperty  = "property" // of a namespace
	KindSplits    = "splits"
)

// Difference is one thing in which a destination differs from a File, or a table or namespace that is the same. Names and values
// are in the form of Text.
type Difference struct {
	Namespace string `json:"namespace,omitempty"`
	Table     string `json:"table,omitempty"` // at the destination
	Family    string `json:"family,omitempty"`
	Kind      string `json:"kind"` // namespace, property, table, family, attribute, configuration, splits
	Name      string `json:"name,omitempty"`
	Want      string `json:"want,omitempty"`
	Have      string `json:"have,omitempty"` // at the destination
	Action    Action `json:"action"`
	Why       string `json:"why,omitempty"`
	Remedy    string `json:"remedy,omitempty"`
}

// Options of Diff and Apply.
type Options struct {
	// Alter changes attributes that are there and differ; with Shrink also to fewer versions and shorter lives.
	Alter, Shrink bool
	// Keep names attributes that are taken over although the destination may lack what they need.
	Keep descriptor.Keep
	// Mapping, when set, is that of the sink that fills the tables: a table that it would write elsewhere is refused.
	Mapping *schema.Mapping
	// Prepare, when set, may change a table right before it is created.
	Prepare func(*admin.Table)
	// Log is told of each thing that Apply has done, in words.
	Log func(text string)
}

// Diff compares the definitions of f with what stands at dst, and says what Apply would do. It changes nothing. The order is
// that of f.
func Diff(ctx context.Context, f *File, dst *admin.Cluster, o Options) ([]Difference, error) {
	p, err := newPlan(ctx, f, dst, o)
	if err != nil {
		return nil, err
	}
	return p.differences, nil
}

// Differ tells whether anything of a comparison differs: see Action.Differs.
func Differ(all []Difference) bool {
	return slices.ContainsFunc(all, func(d Difference) bool { return d.Action.Differs() })
}

// Left lists the differences that Apply leaves with these options.
func (o *Options) Left(all []Difference) []Difference {
	return slices.DeleteFunc(slices.Clone(all), func(d Difference) bool {
		switch d.Action {
		case Alter:
			return o.Alter
		case Decide:
			return o.Alter && o.Shrink && d.Kind != KindProperty
		case Refused:
			return false
		}
		return true
	})
}

// plan is what is to be done at a destination.
type plan struct {
	Options
	dst         *admin.Cluster
	target      descriptor.Target
	differences []Difference
	steps       []step
	logging     sync.Mutex // of Log
}

// step is one change of the destination.
type step struct {
	table string // "": of a namespace
	done  string // what it did, in words
	do    func(ctx context.Context) error
}

func newPlan(ctx context.Context, f *File, dst *admin.Cluster, o Options) (*plan, error) {
	if err := errors.Join(f.check(), o.Keep.Check()); err != nil {
		return nil, err
	}
	status, err := dst.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("compare tables: the destination: %w", err)
	}
	p := &plan{Options: o, dst: dst, target: descriptor.Target{Version: status.Version, Source: f.Source.Version, Check: dst.CheckTable}}
	if err := p.namespaces(ctx, f); err != nil {
		return nil, fmt.Errorf("compare tables: the destination: %w", err)
	}
	var names []string
	for _, t := range f.Tables {
		names = append(names, t.Name)
	}
	all, err := dst.TablesNamed(ctx, names)
	if err != nil {
		return nil, fmt.Errorf("compare tables: the destination: %w", err)
	}
	have := make(map[string]*admin.Table)
	for i := range all {
		have[all[i].FullName()] = &all[i]
	}
	for i := range f.Tables {
		if err := p.table(ctx, &f.Tables[i], have[f.Tables[i].Name]); err != nil {
			return nil, fmt.Errorf("compare table %s: the destination: %w", f.Tables[i].Name, err)
		}
	}
	return p, nil
}

func (p *plan) add(d Difference) { p.differences = append(p.differences, d) }

// namespaces plans the namespaces of the file and those of its tables.
func (p *plan) namespaces(ctx context.Context, f *File) error {
	all, err := p.dst.NamespacesWithProperties(ctx)
	if err != nil {
		return err
	}
	have := make(map[string]admin.Namespace)
	for _, ns := range all {
		have[ns.Name] = ns
	}
	want := make(map[string]Namespace)
	for _, t := range f.Tables {
		if ns, _ := schema.SplitTable(t.Name); ns != schema.DefaultNamespace {
			want[ns] = Namespace{Name: ns}
		}
	}
	for _, ns := range f.Namespaces {
		want[ns.Name] = ns
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		ns := want[name]
		is, there := have[name]
		p.namespace(ns, is, there)
		for _, l := range ns.LeftOut {
			p.add(Difference{Namespace: name, Kind: KindProperty, Name: Text(l.Part.Name), Want: Text(l.Value), Action: LeftOff, Why: l.Why, Remedy: remedyLeftOut})
		}
	}
	return nil
}

func (p *plan) namespace(ns Namespace, have admin.Namespace, there bool) {
	if !there {
		p.add(Difference{Namespace: ns.Name, Kind: KindNamespace, Action: Add})
		p.steps = append(p.steps, step{"", "namespace " + ns.Name + " created", func(ctx context.Context) error {
			err := p.dst.CreateNamespaceWithProperties(ctx, admin.Namespace{Name: ns.Name, Properties: ns.Properties})
			if errors.Is(err, admin.ErrNamespaceExists) { // somebody was faster, or an earlier try of ours
				return nil
			}
			return err
		}})
		return
	}
	same := true
	for _, key := range slices.Sorted(maps.Keys(ns.Properties)) {
		if have.Properties[key] == ns.Properties[key] {
			continue
		}
		same = false
		p.add(Difference{Namespace: ns.Name, Kind: KindProperty, Name: Text(key), Want: Text(ns.Properties[key]), Have: Text(have.Properties[key]), Action: Decide,
			Why:    "waltap does not change namespaces that are there",
			Remedy: fmt.Sprintf("run in the destination's hbase shell: alter_namespace '%s', {METHOD => 'set', '%s' => '%s'}; or edit the file", ns.Name, key, ns.Properties[key])})
	}
	if same {
		p.add(Difference{Namespace: ns.Name, Kind: KindNamespace, Action: Same})
	}
}

const remedyLeftOut = "--keep NAME takes it over, or edit the file"

// table plans one table; have is nil when the destination lacks it.
func (p *plan) table(ctx context.Context, t *Table, have *admin.Table) error {
	before := len(p.differences)
	if p.Mapping != nil {
		if to := p.Mapping.Table(t.of()); to != t.Name {
			p.add(Difference{Table: t.Name, Kind: KindTable, Action: Refused,
				Why:    fmt.Sprintf("the sink writes %s to %s", t.of(), to),
				Remedy: fmt.Sprintf("set hbase.table.rename: %s=%s in the sink, or edit the file", t.of(), t.Name)})
		}
		p.families(t)
	}
	if have != nil {
		if err := p.compare(ctx, t, have); err != nil {
			return err
		}
	} else if err := p.create(ctx, t); err != nil {
		return err
	}
	if !slices.ContainsFunc(p.differences[before:], func(d Difference) bool { return d.Action.Differs() }) {
		p.differences = slices.Insert(p.differences, before, Difference{Table: t.Name, Kind: KindTable, Action: Same})
	}
	for _, l := range t.LeftOut {
		p.add(Difference{Table: t.Name, Family: Text(l.Part.Family), Kind: string(l.Part.Kind), Name: Text(l.Part.Name), Want: Text(l.Value), Action: LeftOff, Why: l.Why, Remedy: remedyLeftOut})
	}
	return nil
}

// families refuses families that the sink would write elsewhere.
func (p *plan) families(t *Table) {
	renames := p.Mapping.Families.Of(t.of())
	for _, f := range t.Families {
		of := f.Source
		if of == "" {
			of = f.Name
		}
		if to := renames.Apply(of); to != f.Name {
			p.add(Difference{Table: t.Name, Family: Text(f.Name), Kind: string(descriptor.FamilyKind), Action: Refused,
				Why:    fmt.Sprintf("the sink writes family %s to %s", Text(of), Text(to)),
				Remedy: fmt.Sprintf("set hbase.family.rename: %s:%s=%s in the sink, or edit the file", t.of(), Text(of), Text(f.Name))})
		}
	}
}

// fit is the table as the destination can have it, without some parts; ok is false when that was refused.
func (p *plan) fit(ctx context.Context, t *Table) (fit admin.Table, without []descriptor.Part, ok bool, err error) {
	fit, left, unchecked, err := p.target.Fit(ctx, t.descriptor(), p.Keep)
	var refused *admin.TableRefusedError
	if errors.As(err, &refused) {
		p.add(Difference{Table: t.Name, Kind: KindTable, Action: Refused, Why: "the destination's master refuses it: " + refused.Reason, Remedy: "edit the file, or do without --keep"})
		return fit, nil, false, nil
	}
	if err != nil {
		return fit, nil, false, err
	}
	for _, l := range left {
		without = append(without, l.Part)
		p.add(Difference{Table: t.Name, Family: Text(l.Family), Kind: string(l.Kind), Name: Text(l.Name), Want: Text(l.Value), Action: LeftOff, Why: l.Why,
			Remedy: "install what it needs at the destination, or edit the file; --keep NAME takes it over untested"})
	}
	if unchecked != nil {
		p.add(Difference{Table: t.Name, Kind: KindTable, Action: Note, Why: "the destination's master could not be asked whether it can load codecs and classes: " + unchecked.Error()})
	}
	return fit, without, true, nil
}

func (p *plan) create(ctx context.Context, t *Table) error {
	fit, _, ok, err := p.fit(ctx, t)
	if err != nil || !ok {
		return err
	}
	p.add(Difference{Table: t.Name, Kind: KindTable, Action: Add, Want: t.size()})
	done := fmt.Sprintf("table %s created, %s", t.Name, t.size())
	p.steps = append(p.steps, step{t.Name, done, func(ctx context.Context) error {
		if p.Prepare != nil {
			p.Prepare(&fit)
		}
		return p.dst.CreateTable(ctx, fit, t.Splits)
	}})
	return nil
}

// size is how many families and regions a table has, in words.
func (t *Table) size() string {
	count := func(n int, one, more string) string {
		if n == 1 {
			return "1 " + one
		}
		return fmt.Sprintf("%d %s", n, more)
	}
	return count(len(t.Families), "family", "families") + ", " + count(len(t.Splits)+1, "region", "regions")
}

// classes are those of changes that are made to a table that is there.
func (o *Options) classes() []descriptor.Class {
	classes := []descriptor.Class{descriptor.Addition}
	if o.Alter {
		classes = append(classes, descriptor.Alteration)
	}
	if o.Alter && o.Shrink {
		classes = append(classes, descriptor.Reduction)
	}
	return classes
}

// compare plans the changes of a table that is there.
func (p *plan) compare(ctx context.Context, t *Table, have *admin.Table) error {
	if len(descriptor.Compare(t.descriptor(), *have)) > 0 { // else nothing has to be loaded that is not loaded already
		fit, without, ok, err := p.fit(ctx, t)
		if err != nil || !ok {
			return err
		}
		for _, l := range t.LeftOut {
			without = append(without, l.Part)
		}
		p.changes(t, fit, *have, without)
	}
	return p.splits(ctx, t)
}

// changes plans what is to become of have, the parts without which fit is left alone.
func (p *plan) changes(t *Table, fit, have admin.Table, without []descriptor.Part) {
	changes := slices.DeleteFunc(descriptor.Compare(fit, have), func(c descriptor.Change) bool { return slices.Contains(without, c.Part) })
	for _, c := range changes {
		d := Difference{Table: t.Name, Family: Text(c.Family), Kind: string(c.Kind), Name: Text(c.Name), Want: Text(c.Want), Have: Text(c.Have)}
		switch c.Class {
		case descriptor.Addition:
			d.Action = Add
		case descriptor.Alteration:
			d.Action, d.Remedy = Alter, "apply --alter changes it; or edit the file"
		case descriptor.Reduction:
			d.Action, d.Why = Decide, "the destination keeps more: with less, its next major compaction removes what is over it"
			d.Remedy = "apply --alter --shrink reduces it; or edit the file"
		case descriptor.Extra:
			d.Action, d.Why = Note, "the destination has it, the file does not: it stays"
		}
		p.add(d)
	}
	next, done := descriptor.Merge(fit, have, changes, p.classes()...)
	if len(done) == 0 {
		return
	}
	text := "table " + t.Name + " altered: "
	for i, c := range done {
		if i > 0 {
			text += ", "
		}
		text += words(c)
	}
	p.steps = append(p.steps, step{t.Name, text, func(ctx context.Context) error { return p.dst.ModifyTable(ctx, next) }})
}

// words says what a change does: "VERSIONS of family d 1 -> 3".
func words(c descriptor.Change) string {
	if c.Kind == descriptor.FamilyKind {
		return "family " + Text(c.Family) + " added"
	}
	s := Text(c.Name)
	if c.Family != "" {
		s += " of family " + Text(c.Family)
	}
	if c.Have == "" {
		return s + " set to " + Text(c.Want)
	}
	return s + " " + Text(c.Have) + " -> " + Text(c.Want)
}

// splits notes where the regions of a table that is there begin elsewhere: nothing is lost by that, and they move on their own.
func (p *plan) splits(ctx context.Context, t *Table) error {
	regions, err := p.dst.Regions(ctx, t.Name)
	if err != nil {
		return err
	}
	var have [][]byte
	for _, r := range regions {
		if len(r.Start) > 0 {
			have = append(have, r.Start)
		}
	}
	if slices.EqualFunc(t.Splits, have, bytes.Equal) {
		return nil
	}
	d := Difference{Table: t.Name, Kind: KindSplits, Want: fmt.Sprintf("%d regions", len(t.Splits)+1), Have: fmt.Sprintf("%d regions", len(have)+1), Action: Note,
		Why: "a table that is there keeps its regions"}
	if len(have) < len(t.Splits) {
		d.Remedy = "an empty table with few regions takes a copy slowly: drop it and let apply create it, or split it in the hbase shell"
	}
	p.add(d)
	return nil
}
