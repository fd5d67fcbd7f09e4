package hbase

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/sink"
)

// tableAtTarget is what is known of a table there.
type tableAtTarget struct {
	families map[string]bool
	seen     time.Time
}

// lookAgain is how long a table in which a family was missing is not looked at again.
const lookAgain = time.Second

// missing is the first family of c that the table lacks.
func (t *tableAtTarget) missing(c *schema.Change) (string, bool) {
	last := []byte(nil)
	for i := range c.Cells {
		name := c.Cells[i].Family
		if bytes.Equal(name, last) {
			continue
		}
		if !t.families[string(name)] {
			return string(name), true
		}
		last = name
	}
	return "", false
}

// ensure makes the table of c, under its name at the target, ready to take c: created or given the families it lacks when
// Config.Create allows it. What is there is never taken away or changed. A change for whose family there is no place is a
// *refusal; the target is looked at again before, once a second.
func (a *Applier) ensure(ctx context.Context, topic string, c *schema.Change) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	have := a.ready[c.Table]
	if have != nil {
		if _, missing := have.missing(c); !missing {
			return nil
		}
	}
	if have == nil || time.Since(have.seen) > lookAgain {
		var err error
		if have, err = a.ensureTable(ctx, topic, c.Table); err != nil {
			return err
		}
		a.ready[c.Table] = have
	}
	family, missing := have.missing(c)
	switch {
	case !missing:
		return nil
	case a.cfg.Create:
		return &refusal{fmt.Sprintf("neither table %s at the destination nor its descriptor at the source has a family %q; add it, if the change is right", a.cfg.Renames.Apply(c.Table), family)}
	}
	return &refusal{fmt.Sprintf("table %s at the destination has no family %s; add it, or set hbase.table.create: true", a.cfg.Renames.Apply(c.Table), family)}
}

func (a *Applier) ensureTable(ctx context.Context, topic, table string) (*tableAtTarget, error) {
	name := a.cfg.Renames.Apply(table)
	t, err := a.lookUp(ctx, name)
	switch {
	case err == nil:
		if t, err = a.addFamilies(ctx, topic, table, t); err == nil {
			err = a.widenTable(ctx, name)
		}
	case errors.Is(err, admin.ErrTableNotFound):
		t, err = a.createTable(ctx, topic, table, name)
	default:
		err = fmt.Errorf("look up table %s at the destination: %w", name, err)
	}
	if err != nil {
		return nil, err
	}
	have := &tableAtTarget{families: make(map[string]bool), seen: time.Now()}
	for _, f := range t.Families {
		have.families[f.Name] = true
	}
	return have, nil
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

func (a *Applier) createTable(ctx context.Context, topic, table, name string) (*admin.Table, error) {
	if err := strange(topic, table); err != nil {
		return nil, err
	}
	if !a.cfg.Create {
		return nil, &sink.PermanentError{Err: fmt.Errorf("the destination has no table %s; create it, or set hbase.table.create: true", name)}
	}
	d, err := a.cfg.Descriptors.Lookup(ctx, topic, table, true)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	if err := a.createNamespace(ctx, name); err != nil {
		return nil, err
	}
	t := adminTable(d, name)
	a.widen(&t)
	err = a.cluster.CreateTable(ctx, t, d.Splits)
	switch {
	case errors.Is(err, admin.ErrTableExists): // another process was faster
		return a.lookUp(ctx, name)
	case err != nil:
		return nil, fmt.Errorf("create table %s at the destination: %w", name, err)
	}
	a.cfg.Log.Info("table created at the destination", "table", name, "families", len(d.Families), "regions", len(d.Splits)+1)
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

// addFamilies gives an existing table the families of the descriptor that it lacks, if Config.Create allows it, and returns the
// table as it is then.
func (a *Applier) addFamilies(ctx context.Context, topic, table string, have *admin.Table) (*admin.Table, error) {
	if !a.cfg.Create {
		return have, nil // the operator made the table and vouches for it
	}
	if err := strange(topic, table); err != nil {
		return nil, err
	}
	d, err := a.cfg.Descriptors.Lookup(ctx, topic, table, true)
	if err != nil {
		return nil, err
	}
	want := adminTable(d, have.FullName())
	next := *have
	next.Families = slices.Clone(have.Families)
	var missing []string
	for _, f := range want.Families {
		if !slices.ContainsFunc(have.Families, func(h admin.Family) bool { return h.Name == f.Name }) {
			missing = append(missing, f.Name)
			next.Families = append(next.Families, f)
		}
	}
	if len(missing) == 0 {
		return have, nil
	}
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	if err := a.cluster.ModifyTable(ctx, next); err != nil {
		return nil, fmt.Errorf("add family %s to table %s at the destination: %w", strings.Join(missing, ", "), have.FullName(), err)
	}
	a.cfg.Log.Info("families added at the destination", "table", have.FullName(), "families", missing)
	return &next, nil
}

// adminTable is the table of descriptor d under the name it has at the target.
func adminTable(d *schema.Table, name string) admin.Table {
	ns, q := schema.SplitTable(name)
	t := admin.Table{Namespace: ns, Qualifier: q, Attributes: d.Attributes, Configuration: d.Configuration}
	for _, f := range d.Families {
		t.Families = append(t.Families, admin.Family{Name: f.Name, Attributes: f.Attributes, Configuration: f.Configuration})
	}
	return t
}
