package hbase

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/sink"
)

// table is a table of the source as it stands at the target. It is never changed.
type table struct {
	name    string // full, at the target
	wire    string // name in HBase's text form
	renames map[string][]byte
	// taken are the names at the target of families that are renamed; known the families of the source that were checked
	// against them.
	taken, known map[string]bool

	families map[string]bool // that it has
	absent   map[string]bool // that changes had and it has not; looked for after the first of them
	seen     time.Time
	made     *schema.Table // the descriptor that it was last compared with; nil: none
}

const (
	// lookAgain is how long a table in which a family was missing is not looked at again.
	lookAgain = time.Second
	// evolveInterval is how old the source's descriptors may be, to which tables are compared while their changes are applied.
	evolveInterval = 5 * time.Second
)

// family returns the name of a family at the target.
func (t *table) family(name []byte) []byte {
	if to, ok := t.renames[string(name)]; ok {
		return to
	}
	return name
}

// missing is the first family of c for which the table has none, by its name at the target.
func (t *table) missing(c *schema.Change) (string, bool) {
	last := []byte(nil)
	for i := range c.Cells {
		name := c.Cells[i].Family
		if bytes.Equal(name, last) {
			continue
		}
		if to := t.family(name); !t.families[string(to)] {
			return string(to), true
		}
		last = name
	}
	return "", false
}

// merges is a family of c that was not there when the table was looked at, and that would become one with a renamed one.
func (t *table) merges(c *schema.Change) (string, bool) {
	if len(t.taken) == 0 {
		return "", false
	}
	for i := range c.Cells {
		f := c.Cells[i].Family
		if _, renamed := t.renames[string(f)]; !renamed && t.taken[string(f)] && !t.known[string(f)] {
			return string(f), true
		}
	}
	return "", false
}

// table returns the table of c, ready to take c: created when Config.Create allows it, and given what it lacks when Config.Evolve does.
// Nothing is ever taken away or lowered. A change for whose family there is no place is a
// *refusal; the target is looked at again before, for each family at once, then once a second.
func (a *Applier) table(ctx context.Context, topic string, c *schema.Change) (*table, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.ready[c.Table]
	if t != nil {
		family, missing := t.missing(c)
		_, merges := t.merges(c)
		if !missing && !merges {
			if altered, err := a.altered(ctx, topic, c.Table, t); !altered || err != nil {
				return t, err
			}
			t = nil
		} else if missing && !t.absent[family] {
			t = nil // it may have come since: the source published it before this change
		}
	}
	if t == nil || time.Since(t.seen) > lookAgain {
		before := a.ready[c.Table]
		var err error
		if t, err = a.ensureTable(ctx, topic, c.Table); err != nil {
			return nil, err
		}
		if before != nil && time.Since(before.seen) <= lookAgain {
			maps.Copy(t.absent, before.absent)
		}
		a.ready[c.Table] = t
	}
	if family, merges := t.merges(c); merges {
		return nil, &sink.PermanentError{Err: fmt.Errorf("table %s has a family %s, to which hbase.family.rename renames another: the two would be merged at the destination; rename %s, too",
			c.Table, family, family)}
	}
	family, missing := t.missing(c)
	if missing {
		t.absent[family] = true
	}
	switch {
	case !missing:
		return t, nil
	case a.cfg.Evolve:
		return nil, &refusal{fmt.Sprintf("neither table %s at the destination nor its descriptor at the source has a family %q; add it, if the change is right", t.name, family)}
	}
	return nil, &refusal{fmt.Sprintf("table %s at the destination has no family %s; add it there (alter '%s', {NAME => '%s'} in the hbase shell, or waltap schema apply), or set schema.evolution: basic",
		t.name, family, t.name, family)}
}

// altered tells whether the source has published another descriptor of a table than the one that t was compared with.
func (a *Applier) altered(ctx context.Context, topic, table string, t *table) (bool, error) {
	if !a.cfg.Evolve || t.made == nil {
		return false, nil
	}
	d, err := a.cfg.Descriptors.Within(ctx, topic, table, evolveInterval)
	return err == nil && !sameDefinition(d, t.made), err
}

// sameDefinition compares two descriptors but for their regions, which a table that is there keeps.
func sameDefinition(a, b *schema.Table) bool {
	return reflect.DeepEqual(a.Families, b.Families) && maps.Equal(a.Attributes, b.Attributes) && maps.Equal(a.Configuration, b.Configuration)
}

// ensureTable is table for one that is not known, or not enough; the caller holds a.mu.
func (a *Applier) ensureTable(ctx context.Context, topic, table string) (*table, error) {
	name := a.cfg.Mapping.Table(table)
	d, err := a.descriptor(ctx, topic, table)
	if err != nil {
		return nil, err
	}
	if err := a.checkSources(topic, table, name, d); err != nil {
		return nil, err
	}
	t, err := a.mapTable(table, name, d)
	if err != nil {
		return nil, err
	}
	have, err := a.lookUp(ctx, name)
	switch {
	case err == nil:
		if have, err = a.complete(ctx, d, t, have); err == nil {
			err = a.widenTable(ctx, name)
		}
	case errors.Is(err, admin.ErrTableNotFound):
		have, err = a.createTable(ctx, topic, table, d, t)
	default:
		err = fmt.Errorf("look up table %s at the destination: %w", name, err)
	}
	if err != nil {
		return nil, err
	}
	t.families, t.absent, t.seen, t.made = make(map[string]bool), make(map[string]bool), time.Now(), d
	for _, f := range have.Families {
		t.families[f.Name] = true
	}
	a.sources[name] = table
	return t, nil
}

// descriptor is what the source has published of a table. It is nil when nobody needs it, or when there is none and Config.Create is
// off: the operator has made the table and vouches for it.
func (a *Applier) descriptor(ctx context.Context, topic, table string) (*schema.Table, error) {
	if !a.cfg.Create && !a.cfg.Evolve && (a.cfg.Mapping.Empty() || a.cfg.Descriptors == nil) {
		return nil, nil
	}
	if err := strange(topic, table); err != nil {
		return nil, err
	}
	d, err := a.cfg.Descriptors.Lookup(ctx, topic, table, true)
	var permanent *sink.PermanentError
	if errors.As(err, &permanent) && !a.cfg.Create {
		return nil, nil
	}
	return d, err
}

// checkSources refuses a second table that would be written to name: one that this process has applied, or one that the source
// has published with d and whose topic is consumed, too.
func (a *Applier) checkSources(topic, table, name string, d *schema.Table) error {
	if !a.cfg.Mapping.RenamesTables() {
		return nil
	}
	others := []string{table}
	if other, ok := a.sources[name]; ok {
		others = append(others, other)
	}
	if d != nil {
		published, err := a.cfg.Descriptors.Tables(topic, table)
		if err != nil {
			return err
		}
		for _, other := range published {
			if a.cfg.Consumes == nil || a.cfg.Consumes(other.Topic) {
				others = append(others, other.Table)
			}
		}
	}
	for _, other := range others {
		if err := a.cfg.Mapping.CheckTables([]string{table, other}); err != nil {
			return &sink.PermanentError{Err: err}
		}
	}
	return nil
}

// mapTable says what becomes of a table and its families.
func (a *Applier) mapTable(of, name string, d *schema.Table) (*table, error) {
	t := &table{name: name, wire: tableName(name)}
	renames := a.cfg.Mapping.Families.Of(of)
	if len(renames) == 0 {
		return t, nil
	}
	t.renames, t.taken, t.known = make(map[string][]byte), make(map[string]bool), make(map[string]bool)
	for from, to := range renames {
		if from != to {
			t.renames[from], t.taken[to] = []byte(to), true
		}
	}
	if d != nil {
		var families []string
		for _, f := range d.Families {
			families = append(families, f.Name)
			t.known[f.Name] = true
		}
		if err := renames.Check(families); err != nil {
			return nil, &sink.PermanentError{Err: fmt.Errorf("check hbase.family.rename: table %s: %w", of, err)}
		}
	}
	return t, nil
}

// strange refuses a change of a table that does not belong on its topic.
func strange(topic, table string) error {
	if _, ok := schema.PrefixOfTopic(topic, table); ok {
		return nil
	}
	return &refusal{fmt.Sprintf("topic %s holds a change of table %s, whose topic should end with its name: it was not written by a waltap source", topic, table)}
}

const (
	// lookUpTimeout bounds one look at the destination's tables: a destination that is away is to be seen soon.
	lookUpTimeout = 10 * time.Second
	// createTimeout bounds the creation of a table with its regions.
	createTimeout = 3 * time.Minute
)

func (a *Applier) lookUp(ctx context.Context, name string) (*admin.Table, error) {
	ctx, cancel := context.WithTimeout(ctx, lookUpTimeout)
	defer cancel()
	return a.cluster.Table(ctx, name)
}

func (a *Applier) createTable(ctx context.Context, topic, table string, d *schema.Table, as *table) (*admin.Table, error) {
	if err := strange(topic, table); err != nil {
		return nil, err
	}
	if !a.cfg.Create {
		return nil, &sink.PermanentError{Err: fmt.Errorf("the destination has no table %s; create it, or set hbase.table.create: true", as.name)}
	}
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	if err := a.createNamespace(ctx, as.name); err != nil {
		return nil, err
	}
	t, err := a.fit(ctx, adminTable(d, as))
	if err != nil {
		return nil, fmt.Errorf("create table %s at the destination: %w", as.name, err)
	}
	a.widen(&t)
	err = a.cluster.CreateTable(ctx, t, d.Splits)
	switch {
	case errors.Is(err, admin.ErrTableExists): // another process was faster
		return a.lookUp(ctx, as.name)
	case err != nil:
		return nil, fmt.Errorf("create table %s at the destination: %w", as.name, err)
	}
	a.cfg.Log.Info("table created at the destination", "table", as.name, "families", len(d.Families), "regions", len(d.Splits)+1)
	a.schemaChanged()
	return &t, nil
}

func (a *Applier) createNamespace(ctx context.Context, table string) error {
	ns, _ := schema.SplitTable(table)
	if ns == schema.DefaultNamespace {
		return nil
	}
	have, err := a.cluster.Namespaces(ctx)
	if err != nil {
		return fmt.Errorf("list the destination's namespaces: %w", err)
	}
	if slices.Contains(have, ns) {
		return nil
	}
	if err := a.cluster.CreateNamespace(ctx, ns); err != nil {
		return fmt.Errorf("create namespace %s at the destination: %w", ns, err)
	}
	return nil
}

// adminTable is the table of descriptor d under the names it has at the target.
func adminTable(d *schema.Table, as *table) admin.Table {
	ns, q := schema.SplitTable(as.name)
	t := admin.Table{Namespace: ns, Qualifier: q, Attributes: d.Attributes, Configuration: d.Configuration}
	for _, f := range d.Families {
		name := string(as.family([]byte(f.Name)))
		t.Families = append(t.Families, admin.Family{Name: name, Attributes: f.Attributes, Configuration: f.Configuration})
	}
	return t
}
