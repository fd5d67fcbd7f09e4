package capture

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/waltap/waltap/internal/hbase/admin"
)

// A table that is altered at the source while its changes flow is published anew. A family that is added with REPLICATION_SCOPE
// 1 is captured from its first change on: the peer lists the whole table, so HBase ships it, and the receiver refuses
// a call with it until its descriptor is on Kafka:
//
//	the family is added and written to; HBase ships the change; the call fails, which wakes the watch loop
//	the loop keeps the family in the table's state, publishes the descriptor, tells the receiver
//	HBase sends the call again; a sink that meets the change finds the family in the descriptor
//
// A family that was there before without being shipped is another matter: what it holds was never delivered. That is a gap.

// wholeTable tells whether the peer lists a table without naming families: nothing narrows them.
func (c *Capture) wholeTable() bool { return len(c.cfg.Scope.Columns) == 0 }

// unshipped lists the families of t that are not captured.
func (t *captured) unshipped() []string {
	var out []string
	for _, f := range t.Table.Families {
		if !slices.Contains(t.families, f.Name) {
			out = append(out, f.Name)
		}
	}
	slices.Sort(out)
	return out
}

// uncaptured lists the families that are shipped now and are not captured in this epoch.
func (t *captured) uncaptured() []string {
	return slices.DeleteFunc(slices.Clone(t.families), func(f string) bool { return slices.Contains(t.state.Families, f) })
}

// newFamily wakes the watch loop; the receiver has met a family that is not captured.
func (c *Capture) newFamily() {
	select {
	case c.altered <- struct{}{}:
	default:
	}
}

// evolve follows what was altered of a table, whose descriptor is now another one; p is our peer. It says what is a gap.
func (c *Capture) evolve(ctx context.Context, t *captured, now *admin.Table, p *admin.Peer) (gap string, err error) {
	if reflect.DeepEqual(t.Table, *now) {
		return "", nil
	}
	var came, raised []string
	missed := ""
	for _, f := range c.cfg.Scope.Families(t.name, scopedFamilies(*now)) {
		switch {
		case slices.Contains(t.state.Families, f):
		case slices.Contains(t.state.Unshipped, f) || !p.Ships(t.name, f):
			raised = append(raised, f)
		default:
			came = append(came, f)
		}
	}
	if len(raised) > 0 {
		return notScannedText(raised), nil
	}
	for _, f := range now.Families {
		if c.cfg.SetScope && f.Scope() != 1 && len(c.cfg.Scope.Families(t.name, []string{f.Name})) > 0 {
			missed = fmt.Sprintf("family %s has %s %s: add families with 1 from the start, what is written to them before is not captured", f.Name, scopeAttribute, f.Attributes[scopeAttribute])
		}
	}
	next := *t
	next.Table = *now
	next.families = append(slices.Clone(t.families), came...)
	next.state.Families = append(slices.Clone(t.state.Families), came...)
	next.state.Later = append(slices.Clone(t.state.Later), came...)
	next.state.Unshipped = next.unshipped()
	if err := c.state.saveTable(ctx, t.name, next.state); err != nil {
		return "", err
	}
	if err := c.publishDescriptors(ctx, []captured{next}); err != nil {
		return "", err
	}
	drop := c.cfg.Scope.DropTTL
	if !reflect.DeepEqual(descriptor(*t, nil, drop), descriptor(next, nil, drop)) {
		c.cfg.Stats.SchemaChanged(1)
		c.cfg.Log.Info("a table was altered at the source, its descriptor is published anew", "table", t.name, "families_added", came)
	}
	*t = next
	c.setMissed(t.name, missed)
	return "", c.mark(t)
}

// notScannedText is the gap of families whose past is not captured.
func notScannedText(families []string) string {
	return fmt.Sprintf("has families of which nothing was captured so far: %s of %s is 1 now, and what was written before is not known", scopeAttribute, strings.Join(families, ", "))
}

// setMissed keeps why a family of a table is not captured; "": all are.
func (c *Capture) setMissed(table, why string) {
	if c.missed == nil {
		c.missed = make(map[string]string)
	}
	if delete(c.missed, table); why != "" {
		c.missed[table] = why
		c.cfg.Log.Warn("a family is not captured", "table", table, "reason", why)
	}
}

// refreshFamilies looks once more at the families of tables whose scan is about to begin: one that came after the first look, and before
// the peer listed the table, is scanned, too.
func (c *Capture) refreshFamilies(ctx context.Context) error {
	var names []string
	for i := range c.tables {
		if c.tables[i].unscanned() {
			names = append(names, c.tables[i].name)
		}
	}
	tables, err := c.cluster.TablesNamed(ctx, names)
	if err != nil {
		return err
	}
	for _, now := range tables {
		i := slices.IndexFunc(c.tables, func(t captured) bool { return t.name == now.FullName() })
		if err := c.refresh(ctx, &c.tables[i], now); err != nil {
			return err
		}
	}
	return nil
}

func (c *Capture) refresh(ctx context.Context, t *captured, now admin.Table) error {
	n, err := c.newCaptured(now)
	if err != nil || slices.Equal(n.families, t.families) || !c.wholeTable() {
		return err
	}
	ranges, err := c.state.Ranges(t.name, t.state.Epoch)
	if err != nil || len(ranges) > 0 { // an earlier process has begun the scan: the peer lists the table since then
		return err
	}
	t.Table, t.families = now, n.families
	t.state.Families, t.state.Unshipped = t.families, t.unshipped()
	return c.state.saveTable(ctx, t.name, t.state)
}
