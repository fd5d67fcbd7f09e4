// Package samples keeps the recent past of connectors, for plots: a bounded number of samples of each, in memory.
package samples

import (
	"context"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/waltap/waltap/connector/herder"
	"github.com/waltap/waltap/connector/status"
)

// Step is how long after each other samples are taken. Of each connector there are the latest Recent; the means of Merged of them, for
// the rates, and their maxima, for the lags, are kept as long again as Past of these.
const (
	Step   = 2 * time.Second
	Recent = 450 // a quarter of an hour
	Merged = 60  // two minutes
	Past   = 720 // a day
)

// fresh is how old what a worker has said may be, to tell a rate by.
const fresh = 20 * time.Second

// Sample is a connector at one moment, all its workers together. A negative lag is one that is not known.
type Sample struct {
	At               int64   `json:"at"` // ms since 1970
	RecordsPerSecond float64 `json:"recordsPerSecond"`
	BytesPerSecond   float64 `json:"bytesPerSecond"`
	RowsPerSecond    float64 `json:"rowsPerSecond"` // read by the scan
	LagMS            int64   `json:"lagMs"`         // of the latest record; the longest of the workers'
	LagRecords       int64   `json:"lagRecords"`    // sink: not applied
	WatermarkLagMS   int64   `json:"watermarkLagMs"`
}

// Of are the samples of one connector, the oldest first.
type Of struct {
	Connector string   `json:"connector"`
	Samples   []Sample `json:"samples"`
}

// Keeper takes samples and keeps them.
type Keeper struct {
	herder herder.Herder

	mu   sync.Mutex
	kept map[string]*kept
}

// kept is what is known of one connector.
type kept struct {
	recent, past []Sample
	merging      []Sample         // fewer than Merged
	workers      map[string]*last // by id
}

// last is what a worker has said last.
type last struct {
	at                   int64 // ms
	records, bytes, rows int64
	// rates by it
	recordsRate, bytesRate, rowsRate float64
}

// New makes a Keeper without samples; Run takes them.
func New(h herder.Herder) *Keeper { return &Keeper{herder: h, kept: make(map[string]*kept)} }

// Run takes samples until ctx ends. While nobody answers there are none: a plot shows the gap.
func (k *Keeper) Run(ctx context.Context) {
	tick := time.NewTicker(Step)
	defer tick.Stop()
	for {
		sctx, cancel := context.WithTimeout(ctx, Step)
		k.take(sctx, time.Now())
		cancel()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// take takes a sample of each connector.
func (k *Keeper) take(ctx context.Context, now time.Time) {
	names, err := k.herder.Connectors(ctx)
	if err != nil {
		return
	}
	said := make(map[string][]herder.Progress, len(names))
	for _, name := range names {
		if p, err := k.herder.Progress(ctx, name); err == nil {
			said[name] = p
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	maps.DeleteFunc(k.kept, func(name string, _ *kept) bool { return !slices.Contains(names, name) })
	for name, progress := range said {
		if len(progress) == 0 && k.kept[name] == nil {
			continue
		}
		c := k.kept[name]
		if c == nil {
			c = &kept{workers: make(map[string]*last)}
			k.kept[name] = c
		}
		c.add(c.sample(progress, now))
	}
}

// sample sums up what the workers of a connector say.
func (c *kept) sample(progress []herder.Progress, now time.Time) Sample {
	s := Sample{At: now.UnixMilli(), LagMS: -1, WatermarkLagMS: -1}
	there := make(map[string]bool)
	for i := range progress {
		p := &progress[i]
		there[p.WorkerID] = true
		w := c.workers[p.WorkerID]
		if w == nil {
			w = new(last)
			c.workers[p.WorkerID] = w
		}
		w.tell(p)
		if now.Sub(time.UnixMilli(p.At)) < fresh {
			s.RecordsPerSecond += w.recordsRate
			s.BytesPerSecond += w.bytesRate
			s.RowsPerSecond += w.rowsRate
		}
		v := &p.Status
		s.LagRecords += v.LagRecords
		if v.LagMS != nil {
			s.LagMS = max(s.LagMS, *v.LagMS)
		}
		if m := v.Watermark; m != nil && m.Time != nil {
			lag := max(0, now.UnixMilli()-m.Time.UnixMilli())
			if s.WatermarkLagMS < 0 || lag < s.WatermarkLagMS { // the newest is the connector's
				s.WatermarkLagMS = lag
			}
		}
	}
	maps.DeleteFunc(c.workers, func(id string, _ *last) bool { return !there[id] })
	for _, r := range []*float64{&s.RecordsPerSecond, &s.BytesPerSecond, &s.RowsPerSecond} {
		*r = math.Round(*r*10) / 10
	}
	return s
}

// tell keeps what a worker says, and the rates since it has said something else. One that counts from the beginning has none.
func (w *last) tell(p *herder.Progress) {
	if p.At <= w.at {
		return
	}
	rows := scanned(&p.Status)
	seconds := float64(p.At-w.at) / 1000
	known := w.at > 0 && p.Status.Records >= w.records && p.Status.Bytes >= w.bytes && rows >= w.rows
	w.recordsRate, w.bytesRate, w.rowsRate = 0, 0, 0
	if known {
		w.recordsRate = float64(p.Status.Records-w.records) / seconds
		w.bytesRate = float64(p.Status.Bytes-w.bytes) / seconds
		w.rowsRate = float64(rows-w.rows) / seconds
	}
	w.at, w.records, w.bytes, w.rows = p.At, p.Status.Records, p.Status.Bytes, rows
}

func scanned(v *status.ConnectorView) int64 {
	if v.Snapshot == nil {
		return 0
	}
	return v.Snapshot.Rows
}

// add keeps a sample, and forgets what is too old.
func (c *kept) add(s Sample) {
	c.recent = push(c.recent, s, Recent)
	if c.merging = append(c.merging, s); len(c.merging) == Merged {
		c.past = push(c.past, merge(c.merging), Past)
		c.merging = c.merging[:0]
	}
}

// push appends to a list that keeps at most most.
func push(list []Sample, s Sample, most int) []Sample {
	if len(list) == most {
		copy(list, list[1:])
		list = list[:most-1]
	}
	return append(list, s)
}

// merge makes one sample of several: the mean of rates, the maximum of lags.
func merge(list []Sample) Sample {
	out := list[len(list)-1]
	out.RecordsPerSecond, out.BytesPerSecond, out.RowsPerSecond = 0, 0, 0
	n := float64(len(list))
	for _, s := range list {
		out.RecordsPerSecond += s.RecordsPerSecond / n
		out.BytesPerSecond += s.BytesPerSecond / n
		out.RowsPerSecond += s.RowsPerSecond / n
		out.LagMS = max(out.LagMS, s.LagMS)
		out.LagRecords = max(out.LagRecords, s.LagRecords)
		out.WatermarkLagMS = max(out.WatermarkLagMS, s.WatermarkLagMS)
	}
	for _, r := range []*float64{&out.RecordsPerSecond, &out.BytesPerSecond, &out.RowsPerSecond} {
		*r = math.Round(*r*10) / 10
	}
	return out
}

// Since are the samples of all connectors that were taken after a time, ms since 1970, by connector: those of the last quarter of an
// hour, or, with past, the merged ones of the last day.
func (k *Keeper) Since(ms int64, past bool) []Of {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := []Of{}
	for _, name := range slices.Sorted(maps.Keys(k.kept)) {
		list := k.kept[name].recent
		if past {
			list = k.kept[name].past
		}
		from, _ := slices.BinarySearchFunc(list, ms+1, func(s Sample, at int64) int { return int(s.At - at) })
		out = append(out, Of{name, append([]Sample{}, list[from:]...)})
	}
	return out
}
