// Package watermark proves, and publishes, up to which time every change that the source has acknowledged to its writers
// is in Kafka (checkpoint.Watermark). See docs/watermark.md.
//
// A heartbeat cell a second goes straight to each region server and comes back by replication. Tracker decides by
// what came back when; this file asks for the servers, reads the end offsets and publishes.
package watermark

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/internal/hbase/admin"
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
	Watermark(ms int64, estimated bool) // published
	WatermarkWaits(text string)         // why it does not move; "" when it does
}

// Config of a Watermark. All fields are required, but for End.
type Config struct {
	Connector string
	Cluster   *admin.Cluster
	PeerID    string
	Mode      string // Heartbeat or Metrics
	Table     string // of the heartbeats
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
	cfg     Config
	tracker *Tracker
	run     string // marks the heartbeats of this process
	late    atomic.Int64
	mode    atomic.Pointer[string]
	checked map[admin.ServerName]bool // servers whose queue was looked at for several WALs
	waits   string
}

// New returns a Watermark. Nothing is sent or published before Run.
func New(cfg Config) *Watermark {
	var b [6]byte
	rand.Read(b[:]) // never fails, see crypto/rand
	w := &Watermark{cfg: cfg, tracker: NewTracker(), run: hex.EncodeToString(b[:]), checked: make(map[admin.ServerName]bool)}
	w.mode.Store(&cfg.Mode)
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
	ctx, cancel := context.WithCancel(ctx)
	var beating sync.WaitGroup
	defer beating.Wait()
	defer cancel()
	if w.cfg.Mode == Heartbeat {
		beating.Go(func() { newSender(w).run(ctx) })
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
			w.wait(err.Error())
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
	estimated := *w.mode.Load() == Metrics
	at, waits, err := w.prove(ctx, estimated)
	if err != nil {
		return nil, err
	}
	return w.publish(ctx, at, waits, estimated)
}

func (w *Watermark) publish(ctx context.Context, at int64, waits string, estimated bool) (_ *checkpoint.Watermark, err error) {
	w.wait(waits)
	if waits != "" || at <= w.cfg.Last || estimated != (*w.mode.Load() == Metrics) { // degraded meanwhile
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

// prove returns the watermark, or what it waits for.
func (w *Watermark) prove(ctx context.Context, estimated bool) (at int64, waits string, err error) {
	if estimated {
		return w.estimate(ctx)
	}
	snap := w.tracker.Snapshot() // before the list is read
	list, err := w.servers(ctx)
	if err != nil {
		return 0, "", err
	}
	at, _, waits = w.tracker.Advance(snap, list)
	return at, waits, nil
}

// wait shows why the watermark does not move.
func (w *Watermark) wait(text string) {
	if text != w.waits {
		w.waits = text
		if text != "" {
			w.cfg.Log.Info("the watermark waits", "for", text)
		}
	}
	w.cfg.Stats.WatermarkWaits(text)
}

// servers lists the live servers first, then the queues: a server that dies in between has a queue.
func (w *Watermark) servers(ctx context.Context) (Servers, error) {
	live, err := w.cfg.Cluster.RegionServers(ctx)
	if err != nil {
		return Servers{}, err
	}
	queues, err := w.cfg.Cluster.Queues(ctx, w.cfg.PeerID)
	if errors.Is(err, admin.ErrNoQueues) {
		w.degrade("this version of HBase does not keep its replication queues in ZooKeeper")
	}
	if err != nil {
		return Servers{}, err
	}
	list := Servers{Live: live}
	for _, q := range queues {
		list.Waiting = append(list.Waiting, q.Owner)
		list.Waiting = append(list.Waiting, q.Dead...)
		if err := w.check(ctx, q); err != nil {
			return Servers{}, err
		}
	}
	return list, nil
}

// check looks once at each server for several WALs at a time (multiwal): one heartbeat says nothing about the others.
func (w *Watermark) check(ctx context.Context, q admin.Queue) error {
	if w.checked[q.Owner] || len(q.Dead) > 0 {
		return nil
	}
	wals, err := w.cfg.Cluster.QueueWALs(ctx, q)
	if err != nil {
		return err
	}
	if several(wals) {
		w.degrade(fmt.Sprintf("%s writes several WALs at a time (hbase.wal.provider=multiwal)", q.Owner))
	}
	w.checked[q.Owner] = len(wals) > 0
	return nil
}

// several tells whether the WALs are of more than one group: "<server>.<group>.<time>", without a group when there is one.
func several(wals []string) bool {
	first := ""
	for i, name := range wals {
		group := name[:max(0, strings.LastIndexByte(name, '.'))]
		if i > 0 && group != first || strings.Contains(name, ".regiongroup-") {
			return true
		}
		first = group
	}
	return false
}

// degrade goes on with estimates.
func (w *Watermark) degrade(why string) {
	if *w.mode.Load() != Metrics {
		mode := Metrics
		w.mode.Store(&mode)
		w.cfg.Log.Warn("the watermark cannot be proved here: it is an estimate from now on (watermark.mode: metrics)", "reason", why)
	}
}

// estimate takes the watermark from what the region servers report to their master about our peer's queues.
func (w *Watermark) estimate(ctx context.Context) (at int64, waits string, err error) {
	st, err := w.cfg.Cluster.Status(ctx)
	if err != nil {
		return 0, "", err
	}
	at, waits = estimateOf(st, w.cfg.PeerID)
	return at, waits, nil
}

// estimateOf: a source with nothing to ship stands at its server's last report, another one at the age it reports. A queue
// of a dead server that nobody has taken over shows nowhere: that is one reason why this is an estimate.
func estimateOf(st *admin.Status, peer string) (at int64, waits string) {
	if len(st.Servers) == 0 {
		return 0, "a region server"
	}
	for _, s := range st.Servers {
		known := false
		mark := s.Reported
		for _, r := range s.Replication {
			if r.PeerID != peer {
				continue
			}
			known = true
			if r.Lag > 0 {
				mark = min(mark, s.Reported-int64(min(r.Lag, 1<<62)))
			}
			if r.NextToShip > 0 && r.NextToShip < 1<<62 {
				mark = min(mark, int64(r.NextToShip))
			}
		}
		if !known || s.Reported == 0 {
			return 0, fmt.Sprintf("a report of %s about peer %s", s.Name, peer)
		}
		if at == 0 || mark < at {
			at = mark
		}
	}
	return at, ""
}
