package scan

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Limits bound how fast a scan reads; 0 is no limit.
type Limits struct {
	RowsPerSecond  int64 `json:"rowsPerSecond"`
	BytesPerSecond int64 `json:"bytesPerSecond"`
}

// limitBurst is how long a bucket that nobody draws on fills: what may be read at once after a pause.
const limitBurst = 100 * time.Millisecond

// Limiter holds a scan to its Limits, which may change at any time. It is safe for concurrent use; its zero value
// sets no limit.
type Limiter struct {
	active atomic.Bool

	mu          sync.Mutex
	rows, bytes bucket
	paused      bool
	changed     chan struct{} // closed by Set; nil while nobody waits
}

// bucket holds tokens; below zero it is in debt, which is how one row larger than a second's worth gets through.
type bucket struct {
	rate  int64 // per second; 0: no limit
	level float64
	last  time.Time
}

func (b *bucket) fill(now time.Time) {
	b.level = min(b.level+now.Sub(b.last).Seconds()*float64(b.rate), limitBurst.Seconds()*float64(b.rate))
	b.last = now
}

func (b *bucket) set(rate int64, now time.Time) {
	b.fill(now)
	if b.rate == 0 || rate == 0 {
		b.level = 0 // nothing was counted without a limit
	}
	b.rate = rate
}

// wait is how long the debt takes to be paid.
func (b *bucket) wait() time.Duration {
	if b.rate == 0 || b.level >= 0 {
		return 0
	}
	return time.Duration(-b.level / float64(b.rate) * float64(time.Second))
}

// NewLimiter returns a Limiter with these limits.
func NewLimiter(l Limits) *Limiter {
	m := new(Limiter)
	m.Set(l)
	return m
}

// Set changes the limits. It takes effect at once, also for who waits.
func (m *Limiter) Set(l Limits) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	m.rows.set(l.RowsPerSecond, now)
	m.bytes.set(l.BytesPerSecond, now)
	m.told()
}

// told says that something has changed; mu is held.
func (m *Limiter) told() {
	m.active.Store(m.paused || m.rows.rate != 0 || m.bytes.rate != 0)
	if m.changed != nil {
		close(m.changed)
		m.changed = nil
	}
}

// Pause keeps the scan from reading on, until it is called with false. It takes effect at once.
func (m *Limiter) Pause(paused bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.paused = paused
	m.told()
}

// Paused tells whether Pause keeps the scan from reading.
func (m *Limiter) Paused() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.paused
}

// longPause is how long a paused scan waits before it looks again; it is told before.
const longPause = time.Hour

// Limits are the present ones.
func (m *Limiter) Limits() Limits {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Limits{RowsPerSecond: m.rows.rate, BytesPerSecond: m.bytes.rate}
}

// Active tells whether there are limits.
func (m *Limiter) Active() bool { return m.active.Load() }

// Wait takes the tokens of rows and bytes that were read, and returns when they are paid for.
func (m *Limiter) Wait(ctx context.Context, rows, bytes int64) error {
	if !m.active.Load() {
		return nil
	}
	m.mu.Lock()
	m.rows.fill(time.Now())
	m.rows.level -= float64(rows)
	m.bytes.fill(time.Now())
	m.bytes.level -= float64(bytes)
	m.mu.Unlock()
	for {
		d, changed := m.debt()
		if d <= 0 {
			return nil
		}
		t := time.NewTimer(d)
		select {
		case <-t.C:
		case <-changed:
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
		t.Stop()
	}
}

// debt returns how long the debts take to be paid at the present limits, and what is closed when those change.
func (m *Limiter) debt() (time.Duration, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	m.rows.fill(now)
	m.bytes.fill(now)
	d := max(m.rows.wait(), m.bytes.wait())
	if m.paused {
		d = longPause
	}
	if d > 0 {
		d = max(d, time.Microsecond) // rounding
	}
	if m.changed == nil {
		m.changed = make(chan struct{})
	}
	return d, m.changed
}
