package migrate

import (
	"context"
	"time"

	"github.com/waltap/waltap/source/capture"
)

// Where a rate is from.
const (
	rateAssumed  = "assumed: nothing was scanned yet"
	rateLimit    = "the limit snapshot.max.bytes.per.second"
	rateMeasured = "measured"
)

// rate is how fast a wave is likely to be copied: as fast as it is, or was; as another wave of the migration; else what is assumed.
func (p *planner) rate(ctx context.Context, w *Wave) (rate int64, from string, err error) {
	limit := w.Source.Source.Snapshot.MaxBytesPerSecond
	for _, of := range append([]*Wave{w}, p.Waves...) {
		st, err := p.store.load(ctx, of.Name)
		if err != nil {
			return 0, "", err
		}
		if st == nil {
			continue
		}
		kept, err := p.kept(ctx, of.prefix(), of.Source.Name)
		if err != nil {
			return 0, "", err
		}
		if rate := scanRate(st, kept, time.Now()); rate > 0 && (limit <= 0 || of == w || rate < limit) {
			return rate, rateMeasured + " on wave " + of.Name, nil
		}
	}
	if limit > 0 {
		return limit, rateLimit, nil
	}
	return capture.AssumedScanRate, rateAssumed, nil
}

// shortScan is one that tells nothing about how long others take.
const shortScan = 10 * time.Second

// scanRate is how fast a wave is, or was, scanned, from when it was started, in bytes a second; 0: it tells nothing.
func scanRate(st *State, kept *capture.Kept, now time.Time) int64 {
	if kept == nil {
		return 0
	}
	end, bytes := int64(0), int64(0)
	for _, t := range st.Tables {
		k := kept.Tables[t.Source]
		bytes += k.Bytes
		switch {
		case k.Scanned > 0:
			end = max(end, k.Scanned)
		case !k.Captured:
			end = now.UnixMilli()
		}
	}
	took := time.Duration(end-st.Started) * time.Millisecond
	if took < shortScan {
		return 0
	}
	return int64(float64(bytes) / took.Seconds())
}
