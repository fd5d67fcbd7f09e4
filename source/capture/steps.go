package capture

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/waltap/waltap/internal/crash"
	"github.com/waltap/waltap/internal/hbase/admin"
)

// watchInterval is how often the peer is looked at while changes flow.
const watchInterval = 10 * time.Second

// ensurePeer brings our peer to where the scan may begin (held) or changes flow (streaming).
func (c *Capture) ensurePeer(ctx context.Context) (captureState, error) {
	st, known, err := c.state.capture()
	if err != nil {
		return st, err
	}
	p, err := c.findPeer(ctx)
	if err != nil {
		return st, err
	}
	if !c.cfg.PeerCreate {
		return c.foreignPeer(ctx, p)
	}
	if known && (p == nil || p.Config[captureKey] != st.CaptureID) {
		if err := c.gap(ctx, st, p); err != nil {
			return st, err
		}
		known = false
	}
	if !known {
		st = captureState{Phase: phaseHeld, CaptureID: newCaptureID(), Mode: c.cfg.SnapshotMode}
		if p != nil {
			st.CaptureID = p.Config[captureKey] // ours, but its progress is not on this Kafka: hold it and scan
		}
	}
	if c.cfg.SnapshotOrder == OrderConcurrent {
		c.letFlow()
	}
	switch {
	case st.Phase == phaseStreaming && !c.anyNew() && c.sameTables(p):
	case c.flows():
		err = c.openPeer(ctx, &st, p)
	default:
		err = c.hold(ctx, &st, p)
	}
	if err != nil {
		return st, err
	}
	return st, c.markListed(ctx)
}

func (c *Capture) anyNew() bool {
	return slices.ContainsFunc(c.tables, func(t captured) bool { return !t.state.Captured })
}

// hold stops the shipping, so that HBase queues its WAL, with the peer carrying exactly the captured tables.
func (c *Capture) hold(ctx context.Context, st *captureState, p *admin.Peer) error {
	doing := "holding peer " + c.cfg.PeerID
	c.cfg.Stats.Starting(doing)
	if p != nil && c.sameTables(p) && !(p.Enabled && c.needsHold()) {
		if err := c.keepHeld(ctx, st); err != nil {
			return err
		}
		c.cfg.Log.Info("peer reused", "peer", p.ID)
		return c.awaitPeer(ctx)
	}
	return c.alone(ctx, doing, func(ctx context.Context) error {
		if p == nil || !c.sameTables(p) {
			if err := c.rollWALs(ctx); err != nil {
				return err
			}
		}
		if err := c.keepHeld(ctx, st); err != nil { // from here on the source keeps WALs: waiting for others does not count
			return err
		}
		return c.holdPeer(ctx, c.peer(st.CaptureID), p)
	})
}

// keepHeld keeps that the peer is held, and since when, before it is.
func (c *Capture) keepHeld(ctx context.Context, st *captureState) error {
	st.Phase = phaseHeld
	if st.HeldSince == 0 {
		st.HeldSince = time.Now().UnixMilli()
	}
	crash.Point(crash.HoldUnsaved)
	if err := c.state.saveCapture(ctx, *st); err != nil {
		return err
	}
	for i := range c.tables {
		t := &c.tables[i]
		if err := c.state.saveTable(ctx, t.name, t.state); err != nil {
			return err
		}
	}
	return nil
}

// holdPeer brings the peer, as it is found, to how it is wanted, held if tables are to be scanned.
func (c *Capture) holdPeer(ctx context.Context, want admin.Peer, p *admin.Peer) error {
	if p != nil && p.Enabled && c.needsHold() {
		if err := c.cluster.DisablePeer(ctx, p.ID); err != nil {
			return fmt.Errorf("disable peer %s: %w", p.ID, err)
		}
		crash.Point(crash.PeerDisabled)
	}
	switch {
	case p == nil:
		crash.Point(crash.PeerNotAdded)
		if err := c.cluster.AddPeer(ctx, want); err != nil {
			return fmt.Errorf("add peer %s: %w", want.ID, err)
		}
		crash.Point(crash.PeerAdded)
		c.cfg.Log.Info("peer added, held until the scan is complete", "peer", want.ID, "cluster_key", want.ClusterKey)
	case !c.sameTables(p):
		want.Enabled = p.Enabled
		if err := c.cluster.UpdatePeer(ctx, want); err != nil {
			return fmt.Errorf("update the table list of peer %s: %w", want.ID, err)
		}
		c.cfg.Log.Info("peer reused, table list updated", "peer", want.ID)
	default:
		c.cfg.Log.Info("peer reused", "peer", want.ID)
	}
	return c.awaitPeer(ctx)
}

// alone runs change, which rolls WALs or adds or changes our peer, while no other connector does so at this source. doing is
// what the status says meanwhile, "": what it says now.
func (c *Capture) alone(ctx context.Context, doing string, change func(context.Context) error) error {
	show := func(text string) {
		if doing != "" {
			c.cfg.Stats.Starting(text)
		}
	}
	return c.cluster.Alone(ctx, admin.PeerLock{
		Owner:    fmt.Sprintf("connector %s, peer %s", c.cfg.Connector, c.cfg.PeerID),
		Fallback: c.cfg.PeerQuorum,
		Waiting: func(holder string) {
			show("waiting for another connector's peer creation (" + holder + ")")
			c.cfg.Log.Info("waiting for another connector's peer creation", "holder", holder)
		},
	}, func(ctx context.Context) error {
		show(doing)
		return change(ctx)
	})
}

// rollWALs makes every region server begin a new WAL, so that the peer's queue begins with edits that bear the scope.
func (c *Capture) rollWALs(ctx context.Context) error {
	if err := c.cluster.RollWALs(ctx); err != nil {
		return fmt.Errorf("roll the source's WALs: %w", err)
	}
	return nil
}

// release lets HBase ship what it has queued.
func (c *Capture) release(ctx context.Context, st captureState) error {
	if !c.cfg.PeerCreate || st.Phase == phaseStreaming {
		return nil
	}
	crash.Point(crash.Scanned)
	p, err := c.findPeer(ctx)
	if err != nil {
		return err
	}
	if p == nil || p.Config[captureKey] != st.CaptureID {
		return c.replaced()
	}
	if !p.Enabled {
		if err := c.cluster.EnablePeer(ctx, p.ID); err != nil {
			return fmt.Errorf("enable peer %s: %w", p.ID, err)
		}
	}
	crash.Point(crash.EnabledUnsaved)
	st.Phase, st.HeldSince = phaseStreaming, 0
	return c.state.saveCapture(ctx, st)
}

// replaced is the error of a scan whose peer is another one, or none, at its end.
func (c *Capture) replaced() error {
	return fmt.Errorf("%w: peer %s was removed or replaced during the scan; start the connector again, it begins with a new scan", ErrRescanRequired, c.cfg.PeerID)
}

// gap decides what becomes of a capture whose peer is gone, or is another one under the same name.
func (c *Capture) gap(ctx context.Context, st captureState, p *admin.Peer) error {
	what := "was removed"
	if p != nil {
		what = "was removed and created again"
	}
	var refused []string
	for i := range c.tables {
		if t := &c.tables[i]; t.state.Captured && c.cfg.SnapshotMode != SnapshotWhenNeeded && !c.accepted(t) {
			refused = append(refused, fmt.Sprintf("%s/%d", t.name, t.state.Epoch+1))
		}
	}
	if len(refused) > 0 {
		return fmt.Errorf("%w: peer %s %s while this connector knew it (phase %s): the changes of the meantime are lost to it; set snapshot.mode: when_needed to scan the tables again, or set snapshot.gap.accept: %s to go on without what was lost",
			ErrRescanRequired, c.cfg.PeerID, what, st.Phase, strings.Join(refused, ", "))
	}
	c.cfg.Log.Warn("changes were lost to this connector", "peer", c.cfg.PeerID, "reason", what)
	for i := range c.tables {
		t := &c.tables[i]
		if err := c.renew(ctx, t, !(t.state.Captured && c.accepted(t))); err != nil {
			return err
		}
	}
	return nil
}

// foreignPeer follows a peer that the operator manages.
func (c *Capture) foreignPeer(ctx context.Context, p *admin.Peer) (captureState, error) {
	st := captureState{Phase: phaseStreaming, Mode: c.cfg.SnapshotMode}
	if c.cfg.SnapshotMode != SnapshotNoData {
		return st, fmt.Errorf("hbase.peer.create: false leaves the peer to you, so it cannot be held during a scan; set snapshot.mode: no_data")
	}
	if err := c.checkForeign(p); err != nil {
		return st, err
	}
	if c.flows() { // scans that were asked for
		c.background.open = true
		if err := c.announce(ctx, c.tables); err != nil {
			return st, err
		}
	}
	return st, c.markListed(ctx)
}

// checkForeign refuses a peer of the operator's that does not ship what is to be captured.
func (c *Capture) checkForeign(p *admin.Peer) error {
	if p == nil {
		return fmt.Errorf("hbase.peer.create: false, but the source has no peer %q; run in the hbase shell: %s", c.cfg.PeerID, c.addPeerCommand())
	}
	if p.Serial != c.cfg.PeerSerial {
		return fmt.Errorf("hbase.peer.create: false, and your peer %q has SERIAL => %t, but hbase.peer.serial is %t; set hbase.peer.serial: %t, or remove the peer and run in the hbase shell: %s",
			p.ID, p.Serial, c.cfg.PeerSerial, p.Serial, c.addPeerCommand())
	}
	for i := range c.tables {
		if t := &c.tables[i]; !lists(p, t.name, t.families) {
			return fmt.Errorf("hbase.peer.create: false, and your peer %q does not ship table %s (families %s); run in the hbase shell: append_peer_tableCFs '%s', { '%s' => ['%s'] }",
				p.ID, t.name, strings.Join(t.families, ", "), p.ID, t.name, strings.Join(t.families, "', '"))
		}
	}
	return nil
}

// watch looks after the peer and the scans beside it while changes flow.
func (c *Capture) watch(ctx context.Context, r *receiver, st captureState) error {
	ctx, cancel := context.WithCancel(ctx)
	defer c.background.wait()
	defer cancel()
	c.scanNext(ctx)
	c.following = true
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	refresh := time.NewTicker(c.cfg.TableRefresh)
	defer refresh.Stop()
	asked := time.NewTicker(lookInterval)
	defer asked.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-r.broken:
			return fmt.Errorf("hbase.peer.listen: the port is closed: %w", err)
		case end := <-c.background.done:
			err = c.scanEnded(ctx, end)
		case <-asked.C:
			err = c.obey(ctx)
		case <-c.altered:
			err = c.checkPeer(ctx, st)
		case <-tick.C:
			err = c.checkPeer(ctx, st)
			c.scanNext(ctx)
		case <-refresh.C:
			if err := c.sweepAgain(ctx); err != nil {
				return err
			}
			if c.cfg.PeerCreate { // else the table list is the operator's
				c.join(ctx, st)
			}
			err = c.checkPeer(ctx, st)
		}
		if err != nil {
			return err
		}
	}
}

// checkPeer looks whether changes still flow. What heals is shown only.
func (c *Capture) checkPeer(ctx context.Context, st captureState) error {
	wctx, cancel := context.WithTimeout(ctx, watchInterval)
	defer cancel()
	p, err := c.findPeer(wctx)
	c.stalled = ""
	if err == nil && p != nil && (!c.cfg.PeerCreate || p.Config[captureKey] == st.CaptureID) {
		err = c.look(wctx, p, tablesPerLook)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && admin.IsRetriable(err):
		c.stalled = "source does not answer: " + err.Error()
	case err != nil:
		return err
	case p == nil || (c.cfg.PeerCreate && p.Config[captureKey] != st.CaptureID):
		return fmt.Errorf("%w: peer %s was removed or replaced: the changes since then are lost to this connector; set snapshot.mode: when_needed to scan the tables again", ErrRescanRequired, c.cfg.PeerID)
	case !p.Enabled:
		c.stalled = "peer " + p.ID + " was disabled: HBase keeps its WALs; run: waltap peer enable"
	}
	c.showFlow()
	return c.settleRunning(ctx, st)
}
