package capture

import (
	"cmp"
	"context"
	"slices"

	"github.com/waltap/waltap/internal/hbase/admin"
)

// A table that is truncated, restored from a snapshot, or dropped and created again keeps its name, and its changes keep
// flowing: what went with it is not in its WAL. hbase:meta tells (seen on 2.6.4):
//
//   - table:state is written whenever a table is disabled or enabled, and all of these ask for a disabled table. While it
//     stays, nothing of the kind has happened. It stays over splits, merges, moves, alters and restarts of the cluster.
//   - info:seqnumDuringOpen is written at every opening of a region. Truncating and creating make regions of new names. A
//     restore deletes the rows of all regions and writes them anew, also where a region keeps its name, as does a clone of a
//     snapshot. So an opening from before that is still there says that the table is the one it was.
//
// Truncating one region (truncate_region of 2.6) cannot be told: neither the table's state nor the region's name changes, and its
// sequences begin where they were when it was opened last, as they do after a crash.

// identity tells a table from another one of its name. It is kept in tableState.
type identity struct {
	// Enabled is when the table was put into service, ms, by the master's clock; 0: not known (before HBase 2.0).
	Enabled int64 `json:"enabled,omitempty"`
	// Opened is the newest opening of a region that was seen, ms.
	Opened int64 `json:"opened"`
}

const (
	// keptOpenings is how many openings of a region hbase:meta keeps at least (hbase.meta.versions).
	keptOpenings = 3
	// regionsPerLook bounds the regions that are looked at by turns, beside those of tables that were disabled.
	regionsPerLook = 500
	// tablesPerLook bounds the tables of a look of which regions are read: where there is no table:state, that is all.
	tablesPerLook = 20
)

// comparison decides by the regions of a table whether it is the one it was.
type comparison struct {
	opened int64 // identity.Opened

	same     bool
	regions  int
	old      int   // regions that were created before
	restored int   // of these, those of which the openings are gone
	created  int64 // the first region that was created since, ms; 0: none
}

// add takes a region, and tells whether more are needed.
func (c *comparison) add(r admin.RegionHistory) (more bool) {
	c.regions++
	c.same = c.same || slices.ContainsFunc(r.Opens, func(o admin.Opening) bool { return o.Time <= c.opened })
	switch {
	case r.Created > c.opened:
		if c.created == 0 || r.Created < c.created {
			c.created = r.Created
		}
	case len(r.Opens) < keptOpenings: // else the older ones may have been pushed out
		c.old, c.restored = c.old+1, c.restored+1
	default:
		c.old++
	}
	return !c.same
}

// verdict says what has become of the table, "" when it is the one it was. It is not decided while it has no open region.
func (c *comparison) verdict() (what string, decided bool) {
	switch {
	case c.same:
		return "", true
	case c.regions == 0:
		return "", false
	case c.restored > 0:
		return "was restored from a snapshot", true
	case c.old == 0:
		return "was truncated, or dropped and created again", true
	}
	return "was disabled and enabled, and hbase:meta no longer tells whether it was restored from a snapshot meanwhile", true
}

// compare tells what has become of a table since its identity was taken. since: all changes of the table as it is now were
// written later, ms; 0: not known.
func (c *Capture) compare(ctx context.Context, t *captured, states map[string]admin.TableState) (what string, since int64, decided bool, err error) {
	id := t.state.Identity
	s, known := states[t.name]
	switch {
	case known && !s.Enabled:
		return "", 0, false, nil
	case known && s.Since == id.Enabled:
		return "", 0, true, nil
	}
	v := comparison{opened: id.Opened}
	if err := c.cluster.RegionHistories(ctx, t.name, nil, v.add); err != nil {
		return "", 0, false, err
	}
	what, decided = v.verdict()
	if decided && what == "" {
		id.Enabled = s.Since
		return "", 0, true, c.state.saveTable(ctx, t.name, t.state)
	}
	if since = s.Enabling; !known && v.old == 0 {
		since = v.created
	}
	return what, since, decided, nil
}

// identify takes the identity of a table, nil while no region of it is open.
func (c *Capture) identify(ctx context.Context, name string, states map[string]admin.TableState) (*identity, error) {
	s, known := states[name]
	if known && !s.Enabled {
		return nil, nil
	}
	id := &identity{Enabled: s.Since}
	err := c.cluster.RegionHistories(ctx, name, nil, func(r admin.RegionHistory) bool {
		id.Opened = max(id.Opened, newest(r))
		return true
	})
	if err != nil || id.Opened == 0 {
		return nil, err
	}
	return id, nil
}

func newest(r admin.RegionHistory) (ms int64) {
	for _, o := range r.Opens {
		ms = max(ms, o.Time)
	}
	return ms
}

// turn looks at the regions of one table after the other, some at each look, for newer openings: hbase:meta forgets old ones.
type turn struct {
	table  string
	after  []byte // the region that was looked at last; nil: the next look begins with the first
	opened int64  // the newest opening, ms
}

// nextTurn reads the regions whose turn it is. What it finds holds only when the table turns out to be the same afterwards.
func (c *Capture) nextTurn(ctx context.Context) error {
	u := &c.turn
	if u.after == nil {
		u.table = c.tableAfter(u.table)
	}
	after, n := u.after, 0
	u.after, u.opened = nil, 0
	if !slices.ContainsFunc(c.tables, func(t captured) bool { return t.name == u.table && t.looked() && t.state.Identity != nil }) {
		return nil
	}
	return c.cluster.RegionHistories(ctx, u.table, after, func(r admin.RegionHistory) bool {
		u.opened = max(u.opened, newest(r))
		if n++; n == regionsPerLook {
			u.after = r.Name
		}
		return n < regionsPerLook
	})
}

// tableAfter is the table whose turn is next, by name.
func (c *Capture) tableAfter(name string) string {
	first, next := "", ""
	for _, t := range c.tables {
		if first == "" || t.name < first {
			first = t.name
		}
		if t.name > name && (next == "" || t.name < next) {
			next = t.name
		}
	}
	return cmp.Or(next, first)
}

// applyTurn keeps what the turn has found of a table that is the same.
func (c *Capture) applyTurn(ctx context.Context, t *captured) error {
	if c.turn.table != t.name || c.turn.opened <= t.state.Identity.Opened {
		return nil
	}
	t.state.Identity.Opened = c.turn.opened
	return c.state.saveTable(ctx, t.name, t.state)
}
