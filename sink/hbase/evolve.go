package hbase

import (
	"context"
	"fmt"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/descriptor"
	"github.com/waltap/waltap/schema"
)

// unknownVersion is that of a destination which does not tell: no part of a table is known to be missing there.
const unknownVersion = "unknown"

// fit is what the target can have of a table of the source: without what is the source's own, and what the target does not know or
// cannot load. What is left out is logged; waltap schema apply can take it over.
func (a *Applier) fit(ctx context.Context, t admin.Table) (admin.Table, error) {
	if a.version == "" {
		status, err := a.cluster.Status(ctx)
		switch {
		case err == nil:
			a.version = status.Version
		case admin.IsRetriable(err):
			return t, err
		default: // some that speak HBase's protocol do not tell
			a.cfg.Log.Warn("the destination does not tell its version: what that lacks is not left out of tables", "error", err)
			a.version = unknownVersion
		}
	}
	carried, left := descriptor.Carry(t, nil)
	target := descriptor.Target{Version: a.version, Check: a.cluster.CheckTable}
	fit, lacking, unchecked, err := target.Fit(ctx, carried, nil)
	if err != nil {
		return t, err
	}
	for _, l := range append(left, lacking...) {
		a.cfg.Log.Warn("left out of a table at the destination", "table", t.FullName(), "what", l.Part.String(), "value", l.Value, "reason", l.Why)
	}
	if unchecked != nil {
		a.cfg.Log.Warn("the destination's master could not be asked whether it can load a table's codecs and classes", "table", t.FullName(), "error", unchecked)
	}
	return fit, nil
}

// additions lists in what have lacks something of want that may be added.
func additions(want, have admin.Table) []descriptor.Change {
	var out []descriptor.Change
	for _, c := range descriptor.Compare(want, have) {
		if c.Class == descriptor.Addition && !c.Implied {
			out = append(out, c)
		}
	}
	return out
}

// complete adds to a table that is there what the descriptor has more, if Config.Evolve allows it, and returns the table as it is then.
func (a *Applier) complete(ctx context.Context, d *schema.Table, as *table, have *admin.Table) (*admin.Table, error) {
	if !a.cfg.Evolve || d == nil {
		return have, nil
	}
	want, _ := descriptor.Carry(adminTable(d, as), nil)
	if len(additions(want, *have)) == 0 {
		return have, nil
	}
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	want, err := a.fit(ctx, adminTable(d, as))
	if err != nil {
		return nil, fmt.Errorf("add to table %s at the destination: %w", have.FullName(), err)
	}
	next, changes := descriptor.Merge(want, *have, additions(want, *have), descriptor.Addition)
	if len(changes) == 0 {
		return have, nil
	}
	if err := a.cluster.ModifyTable(ctx, next); err != nil {
		return nil, fmt.Errorf("add to table %s at the destination: %w", have.FullName(), err)
	}
	for _, c := range changes {
		a.cfg.Log.Info("added at the destination", "table", have.FullName(), "what", c.Part.String(), "was", c.Have, "is", c.Want)
	}
	a.schemaChanged()
	return &next, nil
}

func (a *Applier) schemaChanged() {
	if a.cfg.SchemaChanged != nil {
		a.cfg.SchemaChanged()
	}
}
