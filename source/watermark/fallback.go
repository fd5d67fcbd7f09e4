package watermark

import (
	"fmt"
	"time"
)

// fallback decides when an estimate takes the place of a proof that does not come, and gives its place back to the proof.
//
// A proof that stands still says little by itself: it has to, while the peer is disabled or has a backlog. It is the
// heartbeats that fail when the source's metrics show, look after look, that all is shipped which was written until long
// after the proof has moved last.
type fallback struct {
	patience time.Duration // 0: for ever
	proved   int64         // the newest proof
	moved    time.Time     // when it came; at first, the begin
	looked   time.Time
	failed   string    // why the last look has seen nothing
	since    time.Time // of the looks that all showed no backlog; zero: the last one did
	reason   string    // why there is an estimate; "": there is none
}

// proof tells what is proved at now, 0 for nothing. One that has moved ends an estimate.
func (f *fallback) proof(now time.Time, at int64) {
	if at > f.proved {
		f.proved, f.moved, f.since, f.reason = at, now, time.Time{}, ""
	}
}

const (
	stallAfter      = 10 * time.Second
	maxLookInterval = 10 * time.Second
)

// stalled tells whether the proof has not moved for longer than it usually needs.
func (f *fallback) stalled(now time.Time) bool {
	after := stallAfter
	if f.patience > 0 {
		after = min(after, f.patience)
	}
	return now.Sub(f.moved) >= after
}

// due tells whether it is time to look at the metrics. They are the whole cluster's, so that is not done too often.
func (f *fallback) due(now time.Time) bool {
	if f.patience == 0 || f.reason != "" || now.Sub(f.looked) < min(f.patience/10, maxLookInterval) {
		return false
	}
	f.looked = now
	return true
}

// sample tells an estimate made at now, 0 for none, and what the proof waits for.
func (f *fallback) sample(now time.Time, estimate int64, waits string) {
	switch {
	case estimate < f.moved.UnixMilli():
		f.since = time.Time{}
	case f.since.IsZero():
		f.since = now
	case now.Sub(f.since) >= f.patience:
		f.reason = fmt.Sprintf("no heartbeat has proved anything since %s, while the source's metrics show no backlog; missing: %s",
			f.moved.UTC().Format(time.RFC3339), waits)
	}
}
