package replication

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/waltap/waltap/internal/hbase/walentry"
)

// regionLocks makes calls that touch one region wait for each other, over all connections of the process.
//
// Why: a region server that restarts, or gives up waiting, resends what we may still hold from its old
// connection. Were both handled at once, the records of one row could reach Kafka as new, old, new.
type regionLocks struct {
	mu    sync.Mutex
	locks map[string]*regionLock
}

type regionLock struct {
	turn chan struct{} // holds one token while the region is free
	refs int
}

func newRegionLocks() *regionLocks { return &regionLocks{locks: make(map[string]*regionLock)} }

// lock takes all regions, in one order for every caller, so that two calls cannot wait for each other.
// The returned function gives them back. On error nothing is held.
func (l *regionLocks) lock(ctx context.Context, regions []string) (unlock func(), err error) {
	slices.Sort(regions)
	held := make([]*regionLock, 0, len(regions))
	unlock = func() {
		for _, k := range held {
			k.turn <- struct{}{}
		}
		l.drop(regions)
	}
	for _, k := range l.ref(regions) {
		select {
		case <-k.turn:
			held = append(held, k)
		case <-ctx.Done():
			unlock()
			return nil, ctx.Err()
		}
	}
	return unlock, nil
}

func (l *regionLocks) ref(regions []string) []*regionLock {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]*regionLock, len(regions))
	for i, r := range regions {
		k := l.locks[r]
		if k == nil {
			k = &regionLock{turn: make(chan struct{}, 1)}
			k.turn <- struct{}{}
			l.locks[r] = k
		}
		k.refs++
		out[i] = k
	}
	return out
}

func (l *regionLocks) drop(regions []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range regions {
		if k := l.locks[r]; k != nil {
			if k.refs--; k.refs == 0 {
				delete(l.locks, r)
			}
		}
	}
}

// callRegions are the regions that a call touches, each once.
type callRegions struct {
	byName map[string]*callRegion
	last   *callRegion // that was found
}

type callRegion struct {
	name    string
	highest uint64 // sequence in the call
	acked   uint64 // highest sequence that was acknowledged before the call
	known   bool   // acked is
}

// regionsOf reads the entries of a call for its regions.
func regionsOf(param []byte) (*callRegions, error) {
	c := &callRegions{byName: make(map[string]*callRegion)}
	entries := walentry.NewReader(param)
	var e walentry.Entry
	for {
		ok, err := entries.Next(&e)
		if !ok || err != nil {
			return c, err
		}
		r := c.of(e.Region)
		r.highest = max(r.highest, e.Sequence)
	}
}

// of finds the region of an entry, or notes it.
func (c *callRegions) of(name []byte) *callRegion {
	if c.last != nil && string(name) == c.last.name {
		return c.last
	}
	r := c.byName[string(name)]
	if r == nil {
		r = &callRegion{name: string(name)}
		c.byName[r.name] = r
	}
	c.last = r
	return r
}

func (c *callRegions) names() []string { return slices.Sorted(maps.Keys(c.byName)) }

// sequences remembers the highest acknowledged sequence of each region, to count what HBase sends again.
type sequences struct {
	mu      sync.Mutex
	highest map[string]uint64
}

// load tells what was acknowledged of the regions of a call, which must be locked: nothing of them is acknowledged meanwhile.
func (s *sequences) load(c *callRegions) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, r := range c.byName {
		r.acked, r.known = s.highest[name]
	}
}

// replayed tells whether seq was acknowledged before the call.
func (r *callRegion) replayed(seq uint64) bool { return r.known && seq <= r.acked }

func (s *sequences) acknowledge(c *callRegions) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, r := range c.byName {
		if r.highest > s.highest[name] {
			s.highest[name] = r.highest
		}
	}
}
