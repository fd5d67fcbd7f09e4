package scan

import (
	"sync"
	"time"
)

// estimateInterval is how often the time left is told.
const estimateInterval = 500 * time.Millisecond

// estimate reckons how long a scan still takes: by the sizes of the regions, which their servers report, and the speed
// so far.
type estimate struct {
	mu    sync.Mutex
	since time.Time
	told  time.Time
	read  int64
	left  int64
}

func (e *estimate) begin(shards []shard) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.since, e.told, e.read, e.left = time.Now(), time.Now(), 0, 0
	for _, sh := range shards {
		e.left += sh.left
	}
}

// share is one shard's part of an estimate. It is used by one goroutine.
type share struct {
	*estimate
	left int64
}

// read counts n bytes of the shard, and returns the time left when it is to be told.
func (s *share) read(n int64) (d time.Duration, tell bool) {
	known := min(n, s.left) // a shard may hold more than was reported
	s.left -= known
	e := s.estimate
	e.mu.Lock()
	defer e.mu.Unlock()
	e.read += n
	e.left -= known
	now := time.Now()
	if now.Sub(e.told) < estimateInterval || e.read == 0 {
		return 0, false
	}
	e.told = now
	return time.Duration(float64(e.left) / float64(e.read) * float64(now.Sub(e.since))), true
}

// end takes off what the shard was expected to hold and did not.
func (s *share) end() {
	s.estimate.mu.Lock()
	s.estimate.left -= s.left
	s.estimate.mu.Unlock()
	s.left = 0
}
