package capture

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/waltap/waltap/internal/crash"
	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/source/scan"
)

// Values of Config.SnapshotOrder.
const (
	OrderExact      = "exact"      // changes queue in HBase's WAL until the scan is complete
	OrderConcurrent = "concurrent" // changes flow while the tables are scanned
)

// In concurrent order nothing of the stream is ever left out because a scan has delivered it, also not when the scan is
// complete. With the read points of the scan that would lose changes:
//
//	puts A, then B, of one row, column and timestamp; A is shipped and applied, B waits in HBase's queue
//	the scan reads B; the sink leaves it out, as a scan's record behind a change of the very same cell
//	the scan is complete, B is shipped, and would be left out here: the target ends with A
//
// Which is why tableState.Concurrent is kept, and kept before the first change can be shipped.

// needsHold tells whether a table is to be scanned while its changes queue.
func (c *Capture) needsHold() bool {
	return slices.ContainsFunc(c.tables, func(t captured) bool { return !t.state.Captured && !t.state.Concurrent })
}

// flows tells whether there are tables to scan, and all of them while their changes flow.
func (c *Capture) flows() bool { return c.anyNew() && !c.needsHold() }

// letFlow makes all tables that are still to be scanned ones of concurrent order.
func (c *Capture) letFlow() {
	if c.cfg.SnapshotMode == SnapshotNoData {
		return
	}
	for i := range c.tables {
		if t := &c.tables[i]; !t.state.Captured && !t.held() {
			t.state.Concurrent = true
		}
	}
}

// openPeer lets the changes of all tables flow, with some of them not scanned yet. Before the first is shipped the tables
// are kept as concurrent ones and the receiver knows them.
func (c *Capture) openPeer(ctx context.Context, st *captureState, p *admin.Peer) error {
	doing := "opening peer " + c.cfg.PeerID
	c.cfg.Stats.Starting(doing)
	c.background.open = true
	st.HeldSince = 0
	crash.Point(crash.HoldUnsaved)
	if err := c.state.saveCapture(ctx, *st); err != nil {
		return err
	}
	if err := c.announce(ctx, c.tables); err != nil {
		return err
	}
	if p == nil || !c.sameTables(p) {
		if err := c.alone(ctx, doing, func(ctx context.Context) error { return c.openListed(ctx, c.peer(st.CaptureID), p) }); err != nil {
			return err
		}
	}
	// In phase streaming a disabled peer is the operator's doing, and stays so.
	if p != nil && !p.Enabled && st.Phase == phaseHeld {
		if err := c.cluster.EnablePeer(ctx, p.ID); err != nil {
			return fmt.Errorf("enable peer %s: %w", p.ID, err)
		}
	}
	if err := c.awaitPeer(ctx); err != nil {
		return err
	}
	crash.Point(crash.EnabledUnsaved)
	st.Phase = phaseStreaming
	return c.state.saveCapture(ctx, *st)
}

// openListed adds the peer, enabled, or gives the one there is the tables that are wanted. It runs alone.
func (c *Capture) openListed(ctx context.Context, want admin.Peer, p *admin.Peer) error {
	if err := c.rollWALs(ctx); err != nil {
		return err
	}
	if p != nil {
		if err := c.cluster.UpdatePeer(ctx, want); err != nil {
			return fmt.Errorf("update the table list of peer %s: %w", want.ID, err)
		}
		c.cfg.Log.Info("peer reused, table list updated", "peer", want.ID)
		return nil
	}
	want.Enabled = true
	crash.Point(crash.PeerNotAdded)
	if err := c.cluster.AddPeer(ctx, want); err != nil {
		return fmt.Errorf("add peer %s: %w", want.ID, err)
	}
	crash.Point(crash.PeerAdded)
	c.cfg.Log.Info("peer added, changes flow during the scan", "peer", want.ID, "cluster_key", want.ClusterKey)
	return nil
}

// announce keeps the state of tables, publishes their descriptors and opens the receiver for their changes.
func (c *Capture) announce(ctx context.Context, tables []captured) error {
	for _, t := range tables {
		if err := c.state.saveTable(ctx, t.name, t.state); err != nil {
			return err
		}
	}
	if err := c.publishDescriptors(ctx, tables); err != nil {
		return err
	}
	for i := range tables {
		if err := c.mark(&tables[i]); err != nil {
			return err
		}
	}
	return nil
}

// background is the scan of one table after the other while changes flow. It belongs to the watch loop.
type background struct {
	open   bool       // the peer was opened with tables to scan
	table  string     // being scanned
	done   chan error // its end; nil: none is being scanned
	cancel context.CancelFunc
}

// wait waits for the scan at work, whose context has ended.
func (b *background) wait() {
	if b.done != nil {
		<-b.done
		b.done = nil
	}
}

// stop ends the scan of a table, if that is at work.
func (b *background) stop(table string) {
	if b.done != nil && b.table == table {
		b.cancel()
		b.wait()
	}
}

// scanNext begins the scan of a table, if one is left and none is at work.
func (c *Capture) scanNext(ctx context.Context) {
	b := &c.background
	i := slices.IndexFunc(c.tables, func(t captured) bool { return t.unscanned() && !t.joining && t.state.Gap == "" })
	if b.done != nil || i < 0 {
		return
	}
	t, since := c.narrowed(&c.tables[i]), c.tables[i].state.Since
	done := make(chan error, 1)
	ctx, b.cancel = context.WithCancel(ctx)
	b.table, b.done = t.Name, done
	go func() {
		err := awaitLife(ctx, since)
		if err == nil {
			err = c.scanTables(ctx, []scan.Table{t})
		}
		done <- err
	}()
}

// scanEnded handles the end of a background scan: a complete one makes its table captured.
func (c *Capture) scanEnded(ctx context.Context, err error) error {
	b := &c.background
	b.done = nil
	b.cancel()
	i := slices.IndexFunc(c.tables, func(t captured) bool { return t.name == b.table })
	t := &c.tables[i]
	whole := false
	if err == nil {
		whole, err = c.confirmScan(ctx, t)
	}
	switch {
	case err == nil && !whole: // the next look settles it
	case err == nil:
		if err := c.setCaptured(ctx, t); err != nil {
			return err
		}
		c.cfg.Log.Info("scan complete, its changes flowed meanwhile", "table", t.name)
	case ctx.Err() != nil:
		return ctx.Err()
	case c.wasDropped(ctx, t.name):
		t.dropped()
	case retriable(err):
		c.cfg.Stats.Retry(err) // the next look at the peer begins it again
		return nil
	default:
		return err
	}
	c.scanNext(ctx)
	c.showFlow()
	return nil
}

// dropped marks a table that the source does not have. What was captured of it stays.
func (t *captured) dropped() {
	if !t.gone {
		t.gone, t.goneSince = true, time.Now()
	}
}

// flow is what others than the watch loop, which the tables belong to, may know of them.
type flow struct {
	mu       sync.Mutex
	topics   []string
	scanning []string // tables
}

// showFlow tells what the capture does: changes flow, some tables may be scanned beside.
func (c *Capture) showFlow() {
	var topics, scanning, texts []string
	for i := range c.tables {
		t := &c.tables[i]
		topics = append(topics, t.topic)
		if t.unscanned() {
			scanning, texts = append(scanning, t.name), append(texts, t.name+t.askedText())
		}
	}
	c.flow.mu.Lock()
	c.flow.topics, c.flow.scanning = topics, scanning
	c.flow.mu.Unlock()
	if c.stalled != "" {
		c.cfg.Stats.Waiting(c.stalled)
		return
	}
	text := c.notJoined()
	if len(scanning) == 0 {
		c.cfg.Stats.Streaming(text)
		return
	}
	if text != "" {
		text = "; " + text
	}
	c.cfg.Stats.Scanning(tableList(texts) + ", while changes flow" + text)
}

// notScanned is an error while tables are being scanned: no watermark may be published then, as it would say that
// all they held is in Kafka.
func (f *flow) notScanned() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.scanning) == 0 {
		return nil
	}
	return fmt.Errorf("the scan of %s is not complete", tableList(f.scanning))
}

func (f *flow) dataTopics() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.topics
}

func tableList(names []string) string {
	if len(names) > 3 {
		return fmt.Sprintf("%d tables", len(names))
	}
	return strings.Join(names, ", ")
}

// scanHeld scans while the source keeps its WALs for us, for no longer than MaxWALHold: they fill its disks.
func (c *Capture) scanHeld(ctx context.Context, st *captureState) error {
	if st.HeldSince == 0 {
		return c.scanAsked(ctx)
	}
	since := time.UnixMilli(st.HeldSince)
	hctx, cancel := context.WithDeadline(ctx, since.Add(c.cfg.MaxWALHold))
	defer cancel()
	err := c.scanAsked(hctx)
	if err == nil || hctx.Err() == nil || ctx.Err() != nil {
		return err
	}
	if c.cfg.ConcurrentOverHold && c.cfg.SnapshotMode != SnapshotNoData {
		return c.switchOrder(ctx, st)
	}
	return fmt.Errorf("snapshot.max.wal.hold: the source has kept its WALs since %s and the scan is not complete within %s: it still keeps them for peer %s. "+
		"Raise the key and start again, which goes on where the scan was, or set snapshot.on.wal.hold: concurrent, or free the WALs with: waltap peer remove (a new full scan follows)",
		since.UTC().Format(time.RFC3339), c.cfg.MaxWALHold, c.cfg.PeerID)
}

// switchOrder gives up the exact order of a scan that takes too long: the source ships what it has kept, and the scan
// goes on beside.
func (c *Capture) switchOrder(ctx context.Context, st *captureState) error {
	c.cfg.Log.Warn("the scan is not complete within snapshot.max.wal.hold: changes flow from now on, the scan goes on in concurrent order (snapshot.on.wal.hold)",
		"peer", c.cfg.PeerID, "max_wal_hold", c.cfg.MaxWALHold)
	p, err := c.findPeer(ctx)
	if err != nil {
		return err
	}
	if p == nil || p.Config[captureKey] != st.CaptureID {
		return c.replaced()
	}
	for i := range c.tables {
		if t := &c.tables[i]; t.held() {
			t.state.Asked.Held = false
		}
	}
	c.letFlow()
	return c.openPeer(ctx, st, p)
}
