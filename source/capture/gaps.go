package capture

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/waltap/waltap/internal/hbase/admin"
)

// looked tells whether gaps of the table are looked for.
func (t *captured) looked() bool { return !t.joining && !t.gone && t.state.Gap == "" }

// checkStart finds and settles what happened to the tables while this connector was not running.
func (c *Capture) checkStart(ctx context.Context) error {
	if err := c.checkGiven(); err != nil {
		return err
	}
	if c.cfg.detached() {
		return nil
	}
	var p *admin.Peer
	if c.cfg.SnapshotMode != SnapshotInitialOnly {
		st, known, err := c.state.capture()
		if err != nil {
			return err
		}
		if p, err = c.findPeer(ctx); err != nil {
			return err
		}
		if p != nil && c.cfg.PeerCreate && (!known || p.Config[captureKey] != st.CaptureID) {
			p = nil // ensurePeer sees to it
		}
	}
	for i := range c.tables {
		if t := &c.tables[i]; t.state.Dropped {
			if err := c.createdAgain(ctx, t); err != nil {
				return err
			}
		}
	}
	if err := c.look(ctx, p, len(c.tables)); err != nil {
		return err
	}
	if err := c.markUncaptured(ctx); err != nil {
		return err
	}
	if err := c.settle(ctx); err != nil {
		return err
	}
	for i := range c.tables {
		if err := c.tables[i].checkFamilies(); err != nil {
			return err
		}
	}
	return nil
}

// markUncaptured finds families that came under replication while this connector was not running.
func (c *Capture) markUncaptured(ctx context.Context) error {
	if c.cfg.SnapshotMode == SnapshotInitialOnly {
		return nil
	}
	for i := range c.tables {
		t := &c.tables[i]
		if f := t.uncaptured(); len(f) > 0 && t.looked() && !t.state.Dropped {
			if err := c.markGap(ctx, t, notScannedText(f), 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// createdAgain sees to a table that is there again after its drop was seen: one that an expression matches is captured as a
// new one, one that was asked for by its name is not what was asked for.
func (c *Capture) createdAgain(ctx context.Context, t *captured) error {
	if c.joins(t.name) {
		return nil
	}
	t.gone, t.state.Dropped = false, false
	return c.markGap(ctx, t, "was dropped and created again", 0)
}

// joins tells whether a table that comes to match is captured by itself.
func (c *Capture) joins(name string) bool {
	return c.cfg.PeerCreate && !slices.Contains(c.cfg.Tables.Named(), name)
}

// look finds gaps in the capture of the tables, and marks those tables. p is our peer, nil when that is not looked at. The
// regions of at most limit tables are read; the next look begins with those that are left.
func (c *Capture) look(ctx context.Context, p *admin.Peer, limit int) error {
	if err := c.nextTurn(ctx); err != nil {
		return err
	}
	states, err := c.cluster.TableStates(ctx)
	if err != nil {
		return err
	}
	names := make([]string, len(c.tables))
	for i, t := range c.tables {
		names[i] = t.name
	}
	all, err := c.cluster.TablesNamed(ctx, names)
	if err != nil {
		return err
	}
	there := make(map[string]*admin.Table, len(all))
	for i := range all {
		there[all[i].FullName()] = &all[i]
	}
	read, first := 0, c.lookFrom
	for n := range c.tables {
		i := (first + n) % len(c.tables)
		t := &c.tables[i]
		if s, known := states[t.name]; t.state.Identity == nil || !known || s.Since != t.state.Identity.Enabled {
			if read++; read > limit {
				c.lookFrom = i
				return nil
			}
		}
		if err := c.lookAt(ctx, t, there[t.name], states, p); err != nil {
			return err
		}
	}
	return nil
}

// lookAt looks for gaps of one table; now is its descriptor, nil when there is none.
func (c *Capture) lookAt(ctx context.Context, t *captured, now *admin.Table, states map[string]admin.TableState, p *admin.Peer) error {
	initialOnly := c.cfg.SnapshotMode == SnapshotInitialOnly
	switch {
	case t.joining || t.state.Dropped && !t.gone: // a new epoch is about to begin
		return nil
	case now == nil:
		return c.noteDropped(ctx, t)
	case t.gone && t.state.Dropped:
		return c.createdAgain(ctx, t)
	case t.state.Gap != "" || initialOnly && t.state.Captured:
		return nil
	}
	t.gone = false
	what, since, err := c.otherLife(ctx, t, states)
	if err != nil {
		return err
	}
	if t.lost = lostFamilies(*now, t.families); what == "" && len(t.lost) > 0 && !initialOnly {
		what = lostText(t.lost)
	}
	captured := slices.DeleteFunc(slices.Clone(t.families), func(f string) bool { return !slices.Contains(t.state.Families, f) })
	if what == "" && p != nil && t.state.Listed && !lists(p, t.name, captured) {
		what = "was taken off the table list of peer " + p.ID
	}
	if what == "" && p != nil && c.following {
		if what, err = c.evolve(ctx, t, now, p); err != nil {
			return err
		}
	}
	if what == "" {
		return nil
	}
	return c.markGap(ctx, t, what, since)
}

// otherLife says what has become of a table that is not the one it was, or not with all it held; "": it is. Of one that is
// seen first it takes the identity.
func (c *Capture) otherLife(ctx context.Context, t *captured, states map[string]admin.TableState) (what string, since int64, err error) {
	if t.state.Identity == nil {
		id, err := c.identify(ctx, t.name, states)
		if err != nil || id == nil {
			return "", 0, err
		}
		t.state.Identity = id
		return "", 0, c.state.saveTable(ctx, t.name, t.state)
	}
	what, since, decided, err := c.compare(ctx, t, states)
	if err == nil && decided && what == "" {
		err = c.applyTurn(ctx, t)
	}
	return what, since, err
}

// noteDropped keeps that a table is gone, so that it counts as a new one when it is there again. One that is being truncated
// is out of sight for a moment, too.
func (c *Capture) noteDropped(ctx context.Context, t *captured) error {
	if t.dropped(); t.state.Dropped || time.Since(t.goneSince) < watchInterval {
		return nil
	}
	c.cfg.Log.Warn("the source has dropped a table: nothing more is captured of it", "table", t.name, "scanned", t.state.Captured)
	t.state.Dropped = true
	return c.state.saveTable(ctx, t.name, t.state)
}

// markGap keeps that changes of the table are lost, or that what it held was changed without any. From then on it is captured
// again only in a new epoch.
func (c *Capture) markGap(ctx context.Context, t *captured, what string, since int64) error {
	t.state.Gap, t.state.Since = what, max(t.state.Since, since)
	c.cfg.Log.Warn("gap in the capture of a table", "table", t.name, "what", what, "epoch", t.state.Epoch)
	return c.state.saveTable(ctx, t.name, t.state)
}

// lostFamilies lists the families that were captured and are not shipped any more. One that was deleted is not among them:
// nothing of it can be lost.
func lostFamilies(now admin.Table, captured []string) (lost []string) {
	for _, name := range captured {
		if f := now.Family(name); f != nil && f.Scope() != 1 {
			lost = append(lost, name)
		}
	}
	return lost
}

func lostText(families []string) string {
	return fmt.Sprintf("is not shipped any more: %s of family %s was changed to 0", scopeAttribute, strings.Join(families, ", "))
}

// lists tells whether the peer ships all of the families.
func lists(p *admin.Peer, table string, families []string) bool {
	return !slices.ContainsFunc(families, func(f string) bool { return !p.Ships(table, f) })
}

// checkScope finds captured tables of which HBase no longer ships a family, before anything is changed there.
func (c *Capture) checkScope(ctx context.Context, tables []admin.Table) error {
	if c.cfg.SnapshotMode == SnapshotInitialOnly {
		return nil
	}
	var errs []error
	for _, now := range tables {
		t := captured{Table: now, name: now.FullName()}
		st, known, err := c.state.table(t.name)
		if err != nil {
			return err
		}
		if t.lost = lostFamilies(now, st.Families); !known || len(t.lost) == 0 || !st.Captured && !st.Listed {
			continue
		}
		if t.state = st; st.Gap == "" {
			if err := c.markGap(ctx, &t, lostText(t.lost), 0); err != nil {
				return err
			}
		}
		if !c.cfg.SetScope && !c.accepted(&t) {
			errs = append(errs, c.gapError(&t))
		}
	}
	return errors.Join(errs...)
}

// markListed keeps which tables the peer is known to list.
func (c *Capture) markListed(ctx context.Context) error {
	for i := range c.tables {
		t := &c.tables[i]
		if t.state.Listed || t.joining || t.gone {
			continue
		}
		t.state.Listed = true
		if err := c.state.saveTable(ctx, t.name, t.state); err != nil {
			return err
		}
	}
	return nil
}
