package sink

import (
	"sync"

	"github.com/waltap/waltap/internal/kafka"
)

const (
	// keptFetches is how many are kept for later: as many as fullPartitions have, of which each reads one, has one that waits and some in
	// its batch.
	keptFetches = 6 * fullPartitions
	// keptFetchBytes is the size up to which one is kept: there was a very large record in a larger one.
	keptFetchBytes = 8 << 20
)

// fetches are memory for what is fetched, used again. Out of a sync.Pool it went with every second garbage collection, and to grow it anew
// took a twentieth of the sink's CPU time.
type fetches struct {
	mu   sync.Mutex
	free []*kafka.RawFetch
}

func (f *fetches) get() *kafka.RawFetch {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.free) - 1
	if n < 0 {
		return new(kafka.RawFetch)
	}
	r := f.free[n]
	f.free[n], f.free = nil, f.free[:n]
	return r
}

func (f *fetches) put(r *kafka.RawFetch) {
	if r.Size() > keptFetchBytes {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.free) < keptFetches {
		f.free = append(f.free, r)
	}
}
