package capture

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/waltap/waltap/internal/hbase/admin"
)

// clockSkew is how far the clocks of region servers may be apart from their master's: HBase warns above it
// (hbase.master.warningclockskew).
const clockSkew = 10 * time.Second

// accepted tells whether the operator goes on without what the gap has lost.
func (c *Capture) accepted(t *captured) bool {
	return c.cfg.AcceptGaps[t.name] == t.state.Epoch+1
}

// settled tells whether the gap of a table can be settled: by a new scan, or because it is accepted.
func (c *Capture) settled(t *captured) bool {
	return c.accepted(t) || c.cfg.SnapshotMode == SnapshotWhenNeeded && (len(t.lost) == 0 || c.cfg.SetScope)
}

// gapError says what happened to the table and what can be done.
func (c *Capture) gapError(t *captured) error {
	remedy := "set "
	if len(t.lost) > 0 {
		var alter []string
		for _, f := range t.lost {
			alter = append(alter, fmt.Sprintf("{NAME => '%s', %s => '1'}", f, scopeAttribute))
		}
		remedy = fmt.Sprintf("run in the hbase shell: alter '%s', %s (or set hbase.replication.scope: set), and set ", t.name, strings.Join(alter, ", "))
	}
	switch {
	case c.cfg.SnapshotMode == SnapshotInitialOnly:
		remedy = "start the connector again, it begins with a new scan of the table"
	case c.cfg.PeerCreate:
		remedy += "snapshot.mode: when_needed to scan it again, it alone, in a new epoch; or set " + c.acceptText(t)
	default:
		remedy += c.acceptText(t) + "; or scan it under a new connector and topic.prefix"
	}
	return fmt.Errorf("%w: table %s %s; %s. Rows that the source no longer has stay at the destinations: empty the copies first where both ends are to be equal (docs/gaps.md)",
		ErrRescanRequired, t.name, t.state.Gap, remedy)
}

func (c *Capture) acceptText(t *captured) string {
	return fmt.Sprintf("snapshot.gap.accept: %s/%d to go on without what was lost", t.name, t.state.Epoch+1)
}

// gapErrors is the error of the gaps that cannot be settled.
func (c *Capture) gapErrors() error {
	var errs []error
	for i := range c.tables {
		if t := &c.tables[i]; t.state.Gap != "" && !t.gone && !c.settled(t) {
			errs = append(errs, c.gapError(t))
		}
	}
	return errors.Join(errs...)
}

// settle begins a new epoch for the tables with a gap, before changes flow.
func (c *Capture) settle(ctx context.Context) error {
	if c.cfg.SnapshotMode != SnapshotInitialOnly {
		if err := c.gapErrors(); err != nil {
			return err
		}
	}
	for i := range c.tables {
		t := &c.tables[i]
		if t.state.Gap == "" && !t.state.Dropped {
			continue
		}
		if err := c.renew(ctx, t, c.cfg.SnapshotMode != SnapshotNoData && !c.accepted(t)); err != nil {
			return err
		}
	}
	return nil
}

// renew begins a new epoch of a table.
func (c *Capture) renew(ctx context.Context, t *captured, scanned bool) error {
	c.cfg.Log.Warn("a new epoch of a table begins", "table", t.name, "epoch", t.state.Epoch+1, "reason", t.state.Gap, "scan", scanned)
	st, err := c.newEpoch(ctx, t.name, t.state)
	if err != nil {
		return err
	}
	st.Captured, st.Families, st.Unshipped = !scanned, t.families, t.unshipped()
	t.state = st
	if err := c.state.saveTable(ctx, t.name, t.state); err != nil {
		return err
	}
	return c.state.clearRanges(ctx, t.name)
}

// newEpoch is the state of a table that was captured before, at the begin of its next epoch.
func (c *Capture) newEpoch(ctx context.Context, name string, old tableState) (tableState, error) {
	st := tableState{Epoch: old.Epoch + 1, Scope: c.cfg.Scope.String(), Partitions: old.Partitions, Since: old.Since}
	states, err := c.cluster.TableStates(ctx)
	if err != nil {
		return st, err
	}
	// What was written before the table was last enabled may be of another one of its name, or have been undone by a restore. The
	// scan has all that is left of it.
	if s, known := states[name]; known && old.Identity != nil && s.Since != old.Identity.Enabled {
		st.Since = max(st.Since, s.Enabling)
	}
	st.Identity, err = c.identify(ctx, name, states)
	return st, err
}

// settleRunning begins a new epoch for the tables with a gap while the others stream: their scans are of concurrent order.
func (c *Capture) settleRunning(ctx context.Context, st captureState) error {
	if err := c.gapErrors(); err != nil {
		return err
	}
	gap := func(t captured) bool { return t.state.Gap != "" && !t.gone }
	if !slices.ContainsFunc(c.tables, gap) {
		return nil
	}
	scan := ctx
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	before := c.tables
	again, err := c.joinAgain(ctx, slices.Collect(filter(before, gap)))
	if err != nil {
		c.tables = before
		if admin.IsRetriable(err) {
			c.cfg.Stats.Retry(err) // the next look begins it again
			return nil
		}
		return fmt.Errorf("%w: %w", ErrRescanRequired, err)
	}
	c.tables = append(c.tables, again...)
	c.showFlow() // no watermark from here to the end of their scan
	if !c.cfg.PeerCreate {
		for i := range c.tables {
			c.tables[i].joining = false
		}
	} else if err := c.extendPeer(ctx, st); err != nil {
		c.cfg.Stats.Retry(err) // the next look for tables that join does it again
	}
	c.scanNext(scan)
	return nil
}

// joinAgain begins a new epoch of tables with a gap, which leave c.tables.
func (c *Capture) joinAgain(ctx context.Context, gaps []captured) ([]captured, error) {
	names := make([]string, len(gaps))
	for i, t := range gaps {
		names[i] = t.name
		c.background.stop(t.name)
	}
	all, err := c.cluster.TablesNamed(ctx, names)
	if err != nil {
		return nil, err
	}
	there := make(map[string]bool, len(all))
	for _, now := range all {
		there[now.FullName()] = true
	}
	// One that was dropped meanwhile stays: the next look notes it.
	c.tables = slices.Collect(filter(c.tables, func(t captured) bool { return !slices.Contains(names, t.name) || !there[t.name] }))
	var again []captured
	for _, now := range all {
		n, err := c.candidate(ctx, now, again)
		if err != nil {
			return nil, fmt.Errorf("begin a new epoch of table %s: %w", now.FullName(), err)
		}
		again = append(again, *n)
	}
	return again, c.announce(ctx, again)
}

func filter(tables []captured, keep func(captured) bool) iter.Seq[captured] {
	return func(yield func(captured) bool) {
		for _, t := range tables {
			if keep(t) && !yield(t) {
				return
			}
		}
	}
}

// checkScanned looks, when a scan that changes queue behind is complete, whether each table is still the one it was and none
// was taken off the peer. again: some are to be scanned again.
func (c *Capture) checkScanned(ctx context.Context) (again bool, err error) {
	if c.cfg.detached() {
		return false, nil
	}
	var p *admin.Peer
	if c.cfg.SnapshotMode != SnapshotInitialOnly {
		if p, err = c.findPeer(ctx); err != nil {
			return false, err
		}
	}
	if err := c.look(ctx, p, len(c.tables)); err != nil {
		return false, err
	}
	var errs []error
	for i := range c.tables {
		if t := &c.tables[i]; t.state.Gap != "" && !t.gone {
			again = true
			if c.cfg.SnapshotMode == SnapshotInitialOnly {
				errs = append(errs, c.gapError(t))
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return false, err
	}
	return again, c.settle(ctx)
}

// confirmScan looks, when the scan of a table that others stream beside is complete, whether it is of one table.
func (c *Capture) confirmScan(ctx context.Context, t *captured) (whole bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, watchInterval)
	defer cancel()
	p, err := c.findPeer(ctx)
	if err != nil {
		return false, err
	}
	err = c.look(ctx, p, len(c.tables))
	return t.state.Gap == "" && !t.gone, err
}

// awaitLife waits until no change that is written from now on can bear a time from before since: such are left out.
func awaitLife(ctx context.Context, since int64) error {
	if since == 0 {
		return nil
	}
	select {
	case <-time.After(time.Until(time.UnixMilli(since).Add(clockSkew))):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
