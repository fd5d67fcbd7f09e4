package status

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// scrapeHeader is sent with every scrape by Prometheus, and by the agents that scrape as it does; never by a person.
const scrapeHeader = "X-Prometheus-Scrape-Timeout-Seconds"

// scrapeWait is how long the next scrape is waited for, scrapeGone after what time without one nobody scrapes any more. Prometheus takes a
// value that is five minutes old for none: who scrapes more seldom sees gaps anyway.
const (
	scrapeWait = 2 * time.Minute
	scrapeGone = 5 * time.Minute
)

// scrapes notes when Prometheus has read the metrics.
type scrapes struct {
	mu   sync.Mutex
	last time.Time     // when the latest had been answered; the zero time: none was
	next chan struct{} // closed when one that began after it was made has been answered
}

// noting is h, its scrapes noted.
func (s *scrapes) noting(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		next := s.next
		s.mu.Unlock()
		h.ServeHTTP(w, r)
		if r.Header.Get(scrapeHeader) == "" || r.Context().Err() != nil {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.last = time.Now()
		if next != nil && next == s.next {
			close(next)
			s.next = nil
		}
	})
}

// await returns the channel that the next scrape closes, nil where nobody scrapes.
func (s *scrapes) await(now time.Time) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last.IsZero() || now.Sub(s.last) > scrapeGone {
		return nil
	}
	s.next = make(chan struct{}) // a new one: who has begun a scrape by now does not know it
	return s.next
}

// AwaitScrape waits until Prometheus has read what the metrics say now, for two minutes at most, if it has read them before and p shows the
// peer of a source. A process that has removed its peer and ends at once would else look like one that was lost with its peer left behind: HBase
// would keep its WALs for ever. waits, if it waits, is told so.
func (p *Process) AwaitScrape(ctx context.Context, waits func()) {
	p.mu.Lock()
	sources := len(p.peers)
	p.mu.Unlock()
	next := p.scrapes.await(time.Now())
	if sources == 0 || next == nil {
		return
	}
	waits()
	ctx, cancel := context.WithTimeout(ctx, scrapeWait)
	defer cancel()
	select {
	case <-next:
	case <-ctx.Done():
	}
}
