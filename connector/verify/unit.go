package verify

import (
	"bytes"
	"sync"
	"time"
)

const (
	// A part of a range is closed at so many rows, or that old: what a comparison that is killed reads again is a part of each range.
	partRows = 20_000
	partTime = time.Second
)

// unit is a range of rows of a table that is compared by itself.
type unit struct {
	table *table
	span  span
	size  int64 // bytes that it is likely to hold

	mu     *sync.Mutex // of the comparison
	upto   []byte      // the rows before it are judged, and counted in counts; empty: none is
	done   bool
	counts Counts
	parts  []*part // in the order of their rows
}

// part is a stretch of a unit whose rows are counted together, once all of them are judged.
type part struct {
	unit    *unit
	live    *Counts // of the comparison, for its progress
	begun   time.Time
	rows    int
	pending int    // suspects that are not settled
	closed  bool   // all its rows were read
	last    bool   // of the unit
	upto    []byte // the first row behind it
	counts  Counts
}

// left is what is still to be compared.
func (u *unit) left() span {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.upto) > 0 {
		return span{bytes.Clone(u.upto), u.span.end}
	}
	return u.span
}

func (u *unit) begin(live *Counts) *part {
	p := &part{unit: u, live: live, begun: time.Now()}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.parts = append(u.parts, p)
	return p
}

// suspect says that a row of p is to be settled.
func (p *part) suspect() {
	p.unit.mu.Lock()
	p.pending++
	p.unit.mu.Unlock()
}

// count adds what was counted without settling.
func (p *part) count(c *Counts) {
	p.unit.mu.Lock()
	defer p.unit.mu.Unlock()
	p.counts.add(c)
	p.live.add(c)
}

// settled counts a suspect; it returns how many rows are bad so far, in all units.
func (p *part) settled(c *Counts) (bad int64) {
	p.unit.mu.Lock()
	defer p.unit.mu.Unlock()
	p.pending--
	p.counts.add(c)
	p.live.add(c)
	p.unit.advance()
	return p.live.BadRows
}

// close ends p: upto is the first row behind it, last says that it is the unit's last.
func (p *part) close(upto []byte, last bool) {
	p.unit.mu.Lock()
	defer p.unit.mu.Unlock()
	p.closed, p.last, p.upto = true, last, bytes.Clone(upto)
	p.unit.advance()
}

// due tells whether p is to be closed.
func (p *part) due() bool { return p.rows >= partRows || time.Since(p.begun) >= partTime }

// advance takes over the parts that are complete; with mu held.
func (u *unit) advance() {
	for len(u.parts) > 0 {
		p := u.parts[0]
		if !p.closed || p.pending > 0 {
			return
		}
		u.counts.add(&p.counts)
		u.upto, u.done = p.upto, p.last
		u.parts = u.parts[1:]
	}
}
