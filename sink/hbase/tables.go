package hbase

import (
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

// ensureTable makes table, under its name at the target, ready to take changes: created or given the
// families it lacks when Config.Create allows it. What is there is never taken away or changed.
func (a *Applier) ensureTable(ctx context.Context, topic, table string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ready[table] {
		return nil
	}
	name := a.cfg.Renames.Apply(table)
	have, err := a.lookUp(ctx, name)
	switch {
	case err == nil:
		if err = a.addFamilies(ctx, topic, table, have); err == nil {
			err = a.widenTable(ctx, name)
		}
	case errors.Is(err, admin.ErrTableNotFound):
		err = a.createTable(ctx, topic, table, name)
	default:
		err = fmt.Errorf("look up table %s at the destination: %w", name, err)
	}
	if err != nil {
		return err
	}
	a.ready[table] = true
	return nil
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

func (a *Applier) createTable(ctx context.Context, topic, table, name string) error {
	if !a.cfg.Create {
		return &sink.PermanentError{Err: fmt.Errorf("the destination has no table %s; create it, or set hbase.table.create: true", name)}
	}
	d, err := a.cfg.Descriptors.Lookup(ctx, topic, table, true)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	if err := a.createNamespace(ctx, name); err != nil {
		return err
	}
	t := adminTable(d, name)
	a.widen(&t)
	err = a.cluster.CreateTable(ctx, t, d.Splits)
	if err != nil && !errors.Is(err, admin.ErrTableExists) {
		return fmt.Errorf("create table %s at the destination: %w", name, err)
	}
	a.cfg.Log.Info("table created at the destination", "table", name, "families", len(d.Families), "regions", len(d.Splits)+1)
	return nil
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

// addFamilies gives an existing table the families of the descriptor that it lacks.
func (a *Applier) addFamilies(ctx context.Context, topic, table string, have *admin.Table) error {
	d, err := a.cfg.Descriptors.Lookup(ctx, topic, table, true)
	if err != nil {
		var permanent *sink.PermanentError
		if errors.As(err, &permanent) && !a.cfg.Create {
			return nil // the operator made the table and vouches for it
		}
		return err
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
		return nil
	}
	if !a.cfg.Create {
		return &sink.PermanentError{Err: fmt.Errorf("table %s at the destination has no family %s; add it, or set hbase.table.create: true",
			have.FullName(), strings.Join(missing, ", "))}
	}
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	if err := a.cluster.ModifyTable(ctx, next); err != nil {
		return fmt.Errorf("add family %s to table %s at the destination: %w", strings.Join(missing, ", "), have.FullName(), err)
	}
	a.cfg.Log.Info("families added at the destination", "table", have.FullName(), "families", missing)
	return nil
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
