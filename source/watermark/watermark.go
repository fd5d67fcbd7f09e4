// Package watermark proves, and publishes, up to which time every change that the source has acknowledged to its writers
// is in Kafka (checkpoint.Watermark). See docs/watermark.md.
//
// A heartbeat cell a second goes straight to each region server (sender, placement) and comes back by replication. Tracker
// decides by what came back when. Where that cannot prove anything (several WALs per server), or does not for long (fallback),
// the source's own metrics give an estimate. This file asks for the servers, reads the end offsets and publishes.
package watermark

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/put"
)

// Modes.
const (
	Heartbeat = "heartbeat" // proved
	Metrics   = "metrics"   // estimated, from the source's own metrics
	Off       = "off"
)

const (
	interval    = time.Second
	callTimeout = 10 * time.Second
)

// Stats is told how the watermark moves.
type Stats interface {
	Watermark(ms int64, estimated bool) // published; 0: none of this process's any more
	WatermarkWaits(text string)         // why it does not move; "" when it does
	WatermarkEstimated(reason string)   // why it is an estimate from now on; "" when it is proved
}

// Cluster is what a Watermark asks of the source; an *admin.Cluster.
type Cluster interface {
	put.Servers
	RegionServers(ctx context.Context) ([]admin.ServerName, error)
	Peer(ctx context.Context, id string) (*admin.Peer, error)
	Queues(ctx context.Context, peer string) ([]admin.Queue, error)
	QueueWALs(ctx context.Context, q admin.Queue) ([]string, error)
	Status(ctx context.Context) (*admin.Status, error)
	Regions(ctx context.Context, table string) ([]admin.Region, error)
	MoveRegion(ctx context.Context, encoded string, to admin.ServerName) error
	SplitRegion(ctx context.Context, r admin.Region, at []byte) error
}

// Config of a Watermark. All fields are required, but for End, Reason and Patience.
type Config struct {
	Connector string
	Cluster   Cluster
	PeerID    string
	Mode      string // Heartbeat or Metrics
	Reason    string // why Mode is Metrics, where the user has asked for Heartbeat
	Table     string // of the heartbeats
	// Patience: how long the heartbeats may prove nothing new, with no backlog to be seen, before an estimate takes
	// their place; 0: for ever.
	Patience time.Duration
	// Slack is taken off an estimate: how long an edit may lie in a WAL with no metric that shows it.
	Slack time.Duration
	// Last is the connector's watermark as published before; the next one is above it.
	Last   int64
	Margin time.Duration // taken off the watermark where it is compared with timestamps
	End    time.Time     // Run ends when the watermark has passed it by Margin; zero: never
	// Offsets reads the ends of all data partitions. Publish returns when Kafka has acknowledged w.
	Offsets func(ctx context.Context) (map[string]map[int32]int64, error)
	Publish func(ctx context.Context, w checkpoint.Watermark) error
	Stats   Stats
	Log     *slog.Logger
}

// Watermark is the watermark of one connector.
type Watermark struct {
	cfg      Config
	tracker  *Tracker
	run      string // marks the heartbeats of this process
	sender   *sender
	late     atomic.Int64
	several  map[admin.ServerName]bool // whether a server writes several WALs at a time; missing: not known yet
	fallback fallback
	waits    string // as shown
	// estimated is when an estimate has moved last; at first, when the first was made.
	estimated time.Time
	reason    string // why it is an estimate; "": it is none
}

// New returns a Watermark. Nothing is sent or published before Run.
func New(cfg Config) *Watermark {
	var b [6]byte
	rand.Read(b[:]) // never fails, see crypto/rand
	w := &Watermark{cfg: cfg, tracker: NewTracker(), run: hex.EncodeToString(b[:]), several: make(map[admin.ServerName]bool),
		fallback: fallback{patience: cfg.Patience}}
	w.sender = newSender(cfg, w.tracker, w.run)
	w.setLast(cfg.Last)
	return w
}

func (w *Watermark) setLast(ms int64) {
	w.cfg.Last = ms
	w.late.Store(ms - w.cfg.Margin.Milliseconds())
}

// Late is the timestamp up to which, by what was published, no record should come any more, ms.
func (w *Watermark) Late() int64 { return w.late.Load() }

// Begin tells that a replication call has begun; what it returns goes to Acknowledged.
func (w *Watermark) Begin() uint64 { return w.tracker.Begin() }

// Acknowledged tells that Kafka has all of the call, before HBase is told, and the values of the heartbeats in it.
func (w *Watermark) Acknowledged(call uint64, values [][]byte) {
	var beats []Beat
	for _, v := range values {
		if b, ok := ParseBeat(string(v)); ok && b.Run == w.run { // those of a run before prove nothing: it knew what was answered
			beats = append(beats, b)
		}
	}
	if len(beats) > 0 {
		w.tracker.Returned(call, beats)
	}
}

// Run sends heartbeats and publishes watermarks until ctx ends, or until a published one has passed Config.End: then it
// returns that one. What fails is shown, and tried again.
func (w *Watermark) Run(ctx context.Context) (*checkpoint.Watermark, error) {
	w.fallback.moved = time.Now()
	ctx, cancel := context.WithCancel(ctx)
	var beating sync.WaitGroup
	defer beating.Wait()
	defer cancel()
	if w.cfg.Mode == Heartbeat {
		beating.Go(func() { w.sender.run(ctx) })
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
		p, err := w.step(ctx)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			w.wait("an error to be gone", ": "+err.Error())
		}
		if p != nil && w.passed(p.Time) {
			return p, nil
		}
	}
}

func (w *Watermark) passed(ms int64) bool {
	return !w.cfg.End.IsZero() && ms-w.cfg.Margin.Milliseconds() >= w.cfg.End.UnixMilli()
}

// step publishes the watermark if it has moved.
func (w *Watermark) step(ctx context.Context) (*checkpoint.Watermark, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	snap := w.tracker.Snapshot() // before the list is read
	list, err := w.servers(ctx)
	if err != nil {
		return nil, err
	}
	at, ok, waits := w.tracker.Advance(snap, list.Servers)
	w.sender.idle.Store(list.unprovable != "")
	if list.unprovable != "" {
		return w.publishEstimate(ctx, list, list.unprovable)
	}
	if ok && list.unknown != "" {
		at, ok, waits = 0, false, list.unknown
	}
	now := time.Now()
	w.fallback.proof(now, at)
	stalled, detail := w.fallback.stalled(now), w.sender.trouble()
	if stalled {
		detail += w.look(ctx, now, list, waits+detail)
	}
	if w.fallback.reason != "" {
		return w.publishEstimate(ctx, list, w.fallback.reason)
	}
	w.explain("")
	if ok && !stalled {
		waits = ""
	}
	w.wait(waits, detail)
	return w.publish(ctx, at, false)
}

// look asks the metrics whether the heartbeats should have come back by now. It returns what keeps it from that.
func (w *Watermark) look(ctx context.Context, now time.Time, list servers, waits string) (failed string) {
	if !w.fallback.due(now) {
		return w.fallback.failed
	}
	estimate, _, err := w.estimate(ctx, list)
	w.fallback.failed = ""
	if err != nil {
		estimate, w.fallback.failed = 0, fmt.Sprintf(" (and no metrics: %v)", err)
	}
	w.fallback.sample(now, estimate, waits)
	return w.fallback.failed
}

func (w *Watermark) publishEstimate(ctx context.Context, list servers, reason string) (*checkpoint.Watermark, error) {
	w.explain(reason)
	at, waits, err := w.estimate(ctx, list)
	if err != nil {
		return nil, err
	}
	at -= w.cfg.Slack.Milliseconds()
	if still := w.still(time.Now(), at); waits == "" {
		waits = still
	}
	w.wait(waits, "")
	return w.publish(ctx, at, true)
}

// still is what an estimate at waits for that has not moved for long while the servers report something.
func (w *Watermark) still(now time.Time, at int64) string {
	if at > w.cfg.Last || w.estimated.IsZero() {
		w.estimated = now
	}
	if now.Sub(w.estimated) < stallAfter {
		return ""
	}
	return "the source to ship something, or to report that nothing is left: HBase before 2.3 can report a lag that grows while nothing is written"
}

// publish publishes a watermark at ms, if it has moved.
func (w *Watermark) publish(ctx context.Context, at int64, estimated bool) (_ *checkpoint.Watermark, err error) {
	if at <= w.cfg.Last {
		return nil, nil
	}
	p := checkpoint.Watermark{FormatVersion: checkpoint.WatermarkFormatVersion, Connector: w.cfg.Connector, Time: at, Estimated: estimated}
	// Only now: whatever lies before the watermark is in Kafka already, so below these ends.
	if p.Offsets, err = w.cfg.Offsets(ctx); err != nil {
		return nil, fmt.Errorf("read the end offsets: %w", err)
	}
	p.Published = time.Now().UnixMilli()
	if err := w.cfg.Publish(ctx, p); err != nil {
		return nil, fmt.Errorf("publish the watermark: %w", err)
	}
	w.setLast(at)
	w.cfg.Stats.Watermark(at, estimated)
	return &p, nil
}

// wait shows why the watermark does not move, "" for nothing; detail may change while the rest stays, and is not logged anew.
func (w *Watermark) wait(text, detail string) {
	shown := text
	if text != "" {
		shown += detail
	}
	if text != w.waits && text != "" {
		w.cfg.Log.Info("the watermark waits", "for", shown)
	}
	w.waits = text
	w.cfg.Stats.WatermarkWaits(shown)
}

// explain shows why the watermark is an estimate, "" that it is proved, and logs it when that has changed.
func (w *Watermark) explain(reason string) {
	switch {
	case reason == w.reason:
		return
	case reason == "":
		w.cfg.Log.Info("the watermark is proved again")
	case w.cfg.Mode == Heartbeat || w.cfg.Reason != "":
		w.cfg.Log.Warn("the watermark is not proved any more: it is an estimate from the source's metrics", "reason", reason)
	}
	w.reason = reason
	w.cfg.Stats.WatermarkEstimated(reason)
}
