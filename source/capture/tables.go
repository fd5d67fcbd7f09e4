package capture

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/source/watermark"
)

const (
	scopeAttribute = "REPLICATION_SCOPE"
	ttlAttribute   = "TTL"
)

// captured is a table of the source with the families that are captured.
type captured struct {
	admin.Table
	name      string // "namespace:qualifier"
	families  []string
	topic     string
	state     tableState
	joining   bool // not on the peer's table list yet
	gone      bool // the source does not have it
	goneSince time.Time
	lost      []string // captured families of which nothing is shipped any more
}

// unscanned tells whether the table is still to be scanned.
func (t *captured) unscanned() bool { return !t.state.Captured && !t.gone }

// listTables lists the tables that are to be captured, by name. System tables are never chosen.
func (p *process) listTables(ctx context.Context) ([]admin.Table, error) {
	all, err := p.allTables(ctx)
	if err != nil {
		return nil, err
	}
	names := make(map[string]bool, len(all))
	var out []admin.Table
	for _, t := range all {
		name := t.FullName()
		names[name] = true
		if p.cfg.Tables.Match(name) && !watermark.IsTable(name) {
			out = append(out, t)
		}
	}
	var errs []error
	for _, name := range p.cfg.Tables.Named() {
		switch {
		case names[name]:
		case p.cfg.detached():
			errs = append(errs, fmt.Errorf("table.include.list: snapshot.name names no snapshot of table %s, and there is no hbase.zookeeper.quorum to make one", name))
		default:
			errs = append(errs, fmt.Errorf("table.include.list: the source has no table %s", name))
		}
	}
	if len(out) == 0 && len(errs) == 0 {
		errs = append(errs, errors.New("table.include.list: no table of the source matches"))
	}
	sort.Slice(out, func(i, j int) bool { return out[i].FullName() < out[j].FullName() })
	return out, errors.Join(errs...)
}

func (p *process) allTables(ctx context.Context) ([]admin.Table, error) {
	if p.cfg.detached() {
		return p.snapshotTables()
	}
	all, err := p.cluster.Tables(ctx, false)
	if err != nil {
		return nil, fmt.Errorf("list the source's tables: %w", err)
	}
	return all, nil
}

// scopedFamilies lists the families that HBase ships to peers.
func scopedFamilies(t admin.Table) []string {
	var out []string
	for _, f := range t.Families {
		if f.Scope() == 1 {
			out = append(out, f.Name)
		}
	}
	sort.Strings(out)
	return out
}

// requireScope refuses tables of which nothing would be shipped, with the command that changes it.
func requireScope(tables []admin.Table) error {
	var errs []error
	for _, t := range tables {
		if len(scopedFamilies(t)) > 0 {
			continue
		}
		var alter []string
		for _, f := range t.Families {
			alter = append(alter, fmt.Sprintf("{NAME => '%s', %s => '1'}", f.Name, scopeAttribute))
		}
		errs = append(errs, fmt.Errorf("table %s has no family with %s 1, so HBase ships nothing of it; run in the hbase shell: alter '%s', %s  (or set hbase.replication.scope: set)",
			t.FullName(), scopeAttribute, t.FullName(), strings.Join(alter, ", ")))
	}
	return errors.Join(errs...)
}

// withScope refuses tables that are included by their names, and of which nothing would be shipped. Those that an
// expression matches may join later, if there are others: else a table that came to match while this connector ran would
// keep it from being started again.
func (c *Capture) withScope(tables []admin.Table) ([]admin.Table, error) {
	named := c.cfg.Tables.Named()
	var out, later []admin.Table
	for _, t := range tables {
		if len(scopedFamilies(t)) == 0 && !slices.Contains(named, t.FullName()) {
			later = append(later, t)
			continue
		}
		out = append(out, t)
	}
	if len(out) == 0 || !c.cfg.PeerCreate || c.cfg.SnapshotMode == SnapshotInitialOnly {
		out, later = tables, nil
	}
	refused := make(map[string]string)
	for _, t := range later {
		refused[t.FullName()] = requireScope([]admin.Table{t}).Error()
	}
	c.setRefused(refused)
	return out, requireScope(out)
}

// setScope raises the scope of all families of tables. It changes nothing, and fails, when another peer
// would begin to ship a family because of it and is not in allowed: where that peer's target lacks the
// table, its replication would stall for ever.
func setScope(ctx context.Context, cluster *admin.Cluster, tables []admin.Table, self string, allowed []string) error {
	peers, err := cluster.Peers(ctx)
	if err != nil {
		return fmt.Errorf("list the source's peers: %w", err)
	}
	raise, refused := raising(tables, peers, self, allowed)
	if err := errors.Join(refused...); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(alterAtOnce)
	for _, t := range raise {
		g.Go(func() error {
			if err := cluster.ModifyTable(ctx, t); err != nil {
				return fmt.Errorf("set %s of table %s: %w", scopeAttribute, t.FullName(), err)
			}
			return nil
		})
	}
	return g.Wait()
}

// alterAtOnce is how many tables are altered at once: each has its regions reopened.
const alterAtOnce = 4

// raising lists the tables whose scope is to be raised, as they are then, and why that is not done.
func raising(tables []admin.Table, peers []admin.Peer, self string, allowed []string) (raise []admin.Table, refused []error) {
	for _, t := range tables {
		changed, would := raised(t, peers, self)
		for _, id := range would {
			if !slices.Contains(allowed, id) {
				refused = append(refused, fmt.Errorf("hbase.replication.scope: set would make peer %q ship table %s too; "+
					"give that peer a table list, or allow it by hbase.replication.scope.allow.peers: %s", id, t.FullName(), id))
			}
		}
		if changed != nil {
			raise = append(raise, *changed)
		}
	}
	return raise, refused
}

// raised returns t with every scope at 1, nil when nothing changes, and the other peers that would begin to ship it.
func raised(t admin.Table, peers []admin.Peer, self string) (changed *admin.Table, would []string) {
	families := slices.Clone(t.Families)
	for i, f := range families {
		if f.Scope() == 1 {
			continue
		}
		attributes := make(map[string]string, len(f.Attributes)+1)
		for k, v := range f.Attributes {
			attributes[k] = v
		}
		attributes[scopeAttribute] = "1"
		families[i].Attributes = attributes
		for _, p := range peers {
			if p.ID != self && p.Ships(t.FullName(), f.Name) && !slices.Contains(would, p.ID) {
				would = append(would, p.ID)
			}
		}
		changed = &t
	}
	if changed != nil {
		changed.Families = families
	}
	return changed, would
}

// descriptor is what a sink needs to create the table: the captured families only, without their
// replication scope (at the target it would make the target's own peers ship the copy) and, with dropTTL, without their time
// to live.
func descriptor(t captured, regions []admin.Region, dropTTL bool) schema.Table {
	d := schema.Table{Name: t.name, Epoch: t.state.Epoch, Attributes: t.Attributes, Configuration: t.Configuration}
	for _, f := range t.Table.Families {
		if !slices.Contains(t.families, f.Name) {
			continue
		}
		attributes := make(map[string]string, len(f.Attributes))
		for k, v := range f.Attributes {
			if k != scopeAttribute && !(dropTTL && k == ttlAttribute) {
				attributes[k] = v
			}
		}
		d.Families = append(d.Families, schema.Family{Name: f.Name, Attributes: attributes, Configuration: f.Configuration})
	}
	for _, r := range regions {
		if len(r.Start) > 0 {
			d.Splits = append(d.Splits, r.Start)
		}
	}
	return d
}
