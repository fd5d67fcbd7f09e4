package capture

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/source/watermark"
)

// joinTimeout bounds one look for new tables, which may alter some.
const joinTimeout = time.Minute

// join takes tables that have come to match since the start under capture, in concurrent order. What keeps it from that is
// shown and tried again: the other tables go on.
func (c *Capture) join(ctx context.Context, st captureState) {
	jctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	refused := make(map[string]string)
	if err := c.joinTables(jctx, st, refused); err != nil {
		refused["new tables"] = err.Error()
	}
	if ctx.Err() != nil {
		return
	}
	c.setRefused(refused)
	c.scanNext(ctx)
	c.showFlow()
}

// setRefused keeps why tables that match are not captured, and logs what is new.
func (c *Capture) setRefused(refused map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(refused)) {
		if c.refused[name] != refused[name] {
			c.cfg.Log.Warn("a table that matches is not captured yet", "table", name, "reason", refused[name])
		}
	}
	c.refused = refused
}

// notJoined says which tables match and are not captured, and why; "" when all are.
func (c *Capture) notJoined() string {
	var texts []string
	for _, name := range slices.Sorted(maps.Keys(c.refused)) {
		texts = append(texts, "not captured: "+name+": "+c.refused[name])
	}
	return strings.Join(texts, "; ")
}

// joinTables looks at the source's tables. All new ones go to the peer in one update: HBase restarts its sources for each.
func (c *Capture) joinTables(ctx context.Context, st captureState, refused map[string]string) error {
	all, err := c.cluster.Tables(ctx, false)
	if err != nil {
		return fmt.Errorf("list the source's tables: %w", err)
	}
	var joined []captured
	for _, t := range c.newTables(all) {
		n, err := c.candidate(ctx, t, joined)
		if err != nil {
			refused[t.FullName()] = err.Error()
			continue
		}
		joined = append(joined, *n)
	}
	if len(joined) > 0 {
		if err := c.announce(ctx, joined); err != nil {
			return err
		}
		c.tables = append(c.tables, joined...)
		c.showFlow() // before a change of theirs comes: no watermark from here to the end of their scan
	}
	return c.extendPeer(ctx, st)
}

// newTables lists the tables that match and are not captured, by name, and notes which of the captured ones are gone. One
// that was dropped and created again is new.
func (c *Capture) newTables(all []admin.Table) []admin.Table {
	there := make(map[string]bool, len(all))
	for _, t := range all {
		there[t.FullName()] = true
	}
	c.tables = slices.DeleteFunc(c.tables, func(t captured) bool {
		return t.gone && t.state.Dropped && there[t.name] && c.joins(t.name) && (c.background.done == nil || c.background.table != t.name)
	})
	known := make(map[string]bool, len(c.tables))
	for i := range c.tables {
		t := &c.tables[i]
		known[t.name] = true
		if !there[t.name] {
			t.dropped()
		}
	}
	var out []admin.Table
	for _, t := range all {
		if name := t.FullName(); c.cfg.Tables.Match(name) && !watermark.IsTable(name) && !known[name] {
			out = append(out, t)
		}
	}
	slices.SortFunc(out, func(a, b admin.Table) int { return strings.Compare(a.FullName(), b.FullName()) })
	return out
}

// candidate makes a table ready to be captured, beside the tables there are and those that join with it.
func (c *Capture) candidate(ctx context.Context, t admin.Table, joined []captured) (*captured, error) {
	if c.cfg.SetScope {
		if err := setScope(ctx, c.cluster, []admin.Table{t}, c.cfg.PeerID, c.cfg.ScopeAllowPeers); err != nil {
			return nil, err
		}
		now, err := c.cluster.Table(ctx, t.FullName())
		if err != nil {
			return nil, fmt.Errorf("read table %s: %w", t.FullName(), err)
		}
		t = *now
	}
	if err := requireScope([]admin.Table{t}); err != nil {
		return nil, err
	}
	n, err := c.newCaptured(t)
	if err != nil {
		return nil, err
	}
	names := []string{n.name}
	for _, other := range slices.Concat(c.tables, joined) {
		names = append(names, other.name)
	}
	if err := schema.CheckTopicCollisions(c.cfg.TopicPrefix, names); err != nil {
		return nil, err
	}
	if err := c.joinState(ctx, n); err != nil {
		return nil, err
	}
	return n, c.prepareTopic(ctx, n)
}

// joinState begins the table's state: anew when it was captured once, as what happened since is not known.
func (c *Capture) joinState(ctx context.Context, n *captured) error {
	old, known, err := c.state.table(n.name)
	if err != nil {
		return err
	}
	if known {
		if err := c.state.clearRanges(ctx, n.name); err != nil {
			return err
		}
	}
	accepted := old.Gap != "" && c.accepted(&captured{name: n.name, state: old})
	scanned := c.cfg.SnapshotMode != SnapshotNoData && !accepted
	n.joining = true
	n.state, err = c.newEpoch(ctx, n.name, old)
	n.state.Families, n.state.Captured, n.state.Concurrent = n.families, !scanned, scanned
	return err
}

// extendPeer puts the tables that join on the peer's list. Their scans begin only then: what the source shipped by the
// old list is visible to them.
func (c *Capture) extendPeer(ctx context.Context, st captureState) error {
	joining := slices.ContainsFunc(c.tables, func(t captured) bool { return t.joining })
	if !joining {
		return nil
	}
	p, err := c.findPeer(ctx)
	if err != nil {
		return err
	}
	if p == nil || p.Config[captureKey] != st.CaptureID {
		return errors.New("the peer was removed or replaced")
	}
	if !c.sameTables(p) {
		err := c.alone(ctx, "", func(ctx context.Context) error { return c.cluster.UpdatePeer(ctx, c.peer(st.CaptureID)) })
		if err != nil {
			return fmt.Errorf("update the table list of peer %s: %w", p.ID, err)
		}
	}
	if err := c.awaitPeer(ctx); err != nil {
		return err
	}
	for i := range c.tables {
		if t := &c.tables[i]; t.joining {
			t.joining = false
			c.cfg.Log.Info("a table has joined, its changes flow", "table", t.name, "scan", !t.state.Captured)
		}
	}
	return c.markListed(ctx)
}
