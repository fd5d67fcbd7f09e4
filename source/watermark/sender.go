package watermark

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/put"
)

// sender sends heartbeats, to one server one after the other.
type sender struct {
	cfg     Config
	tracker *Tracker
	mark    string // see Beat.Run
	places  *placement
	put     func(ctx context.Context, s admin.ServerName, region []byte, k put.Cell) error
	idle    atomic.Bool // heartbeats would prove nothing now: none are sent

	mu      sync.Mutex
	busy    map[admin.ServerName]bool
	failing map[admin.ServerName]string // why a server's last heartbeat has failed; the zero name: why none is sent
}

func newSender(cfg Config, tracker *Tracker, mark string) *sender {
	return &sender{cfg: cfg, tracker: tracker, mark: mark, places: newPlacement(cfg),
		put: func(ctx context.Context, s admin.ServerName, region []byte, k put.Cell) error {
			return put.Put(ctx, cfg.Cluster, s, region, k)
		},
		busy: make(map[admin.ServerName]bool), failing: make(map[admin.ServerName]string)}
}

// run returns when ctx has ended and no heartbeat is under way any more.
func (s *sender) run(ctx context.Context) {
	var sending sync.WaitGroup
	defer sending.Wait()
	s.round(ctx, &sending) // to no server yet
	s.places.look(ctx)
	sending.Go(func() { s.places.run(ctx, s.idle.Load) })
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if !s.idle.Load() {
			s.round(ctx, &sending)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// round sends a heartbeat to each server that is live and has answered the one before.
func (s *sender) round(ctx context.Context, sending *sync.WaitGroup) {
	rctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	live, err := s.cfg.Cluster.RegionServers(rctx)
	if ctx.Err() != nil {
		return
	}
	s.note(admin.ServerName{}, err)
	if err != nil {
		return
	}
	s.forget(live)
	s.places.serve(live)
	for _, server := range live {
		region, ok := s.places.region(server)
		if !ok || !s.take(server) {
			continue
		}
		sending.Go(func() {
			defer s.give(server)
			s.send(ctx, server, region)
		})
	}
}

func (s *sender) take(server admin.ServerName) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[server] {
		return false
	}
	s.busy[server] = true
	return true
}

func (s *sender) give(server admin.ServerName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.busy, server)
}

func (s *sender) send(ctx context.Context, server admin.ServerName, region admin.Region) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	b := Beat{Run: s.mark, Server: server, Region: region.Encoded, Sent: time.Now().UnixMilli()}
	b.N = s.tracker.Sent(server, b.Region, b.Sent)
	text := []byte(b.String())
	err := s.put(ctx, server, region.Name, put.Cell{Row: rowOf(region, text), Family: []byte(Family), Qualifier: []byte("b"), Value: text})
	if errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	s.note(server, err)
	switch {
	case err == nil:
		s.tracker.Answered(server, b.N)
	case errors.Is(err, put.ErrNotServing):
		s.places.missed()
	}
}

// note keeps why a heartbeat has failed, nil that it has not. The first of many in a row is logged, but for what is
// usual while regions move.
func (s *sender) note(server admin.ServerName, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.failing[server]
	if err == nil {
		delete(s.failing, server)
		return
	}
	s.failing[server] = err.Error()
	switch {
	case before != "" || errors.Is(err, put.ErrNotServing):
	case server.IsZero():
		s.cfg.Log.Warn("no heartbeats: the source does not say which servers it has", "error", err)
	default:
		s.cfg.Log.Warn("a heartbeat was refused", "server", server.String(), "error", err)
	}
}

// forget drops what was noted of servers that are gone.
func (s *sender) forget(live []admin.ServerName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.failing, func(v admin.ServerName, _ string) bool { return !v.IsZero() && !slices.Contains(live, v) })
}

// trouble says why heartbeats are missing, as far as that is known, in the form " (why; why)"; "" when it is not.
func (s *sender) trouble() string {
	var texts []string
	if t := s.places.trouble(); t != "" {
		texts = append(texts, t)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, text := range slices.Sorted(maps.Values(s.failing)) {
		if len(texts) < 3 && !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	if len(texts) == 0 {
		return ""
	}
	return fmt.Sprintf(" (%s)", strings.Join(texts, "; "))
}
