package replication

import (
	"context"
	"sort"
	"sync"
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
	sort.Strings(regions)
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

// sequences remembers the highest acknowledged sequence of each region, to count what HBase sends again.
type sequences struct {
	mu      sync.Mutex
	highest map[string]uint64
}

// seen tells whether seq of region was acknowledged before.
func (s *sequences) seen(region string, seq uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, ok := s.highest[region]
	return ok && seq <= h
}

func (s *sequences) acknowledge(highest map[string]uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for r, seq := range highest {
		if seq > s.highest[r] {
			s.highest[r] = seq
		}
	}
}
