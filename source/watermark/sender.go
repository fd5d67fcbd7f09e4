package watermark

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/put"
)

const (
	// refresh is how old the knowledge of where the heartbeat table's regions are may get.
	refresh = 30 * time.Second
	// moveInterval is how long a server may be without a region of that table before it is given one.
	moveInterval = 10 * time.Second
)

// sender sends heartbeats, to one server one after the other.
type sender struct {
	*Watermark
	regions map[admin.ServerName][]admin.Region // as hbase:meta had them at read
	read    time.Time
	moved   time.Time

	mu    sync.Mutex
	busy  map[admin.ServerName]bool
	stale bool // a server did not serve its region
}

func newSender(w *Watermark) *sender {
	return &sender{Watermark: w, busy: make(map[admin.ServerName]bool), moved: time.Now()}
}

// run returns when ctx has ended and no heartbeat is under way any more.
func (s *sender) run(ctx context.Context) {
	var sending sync.WaitGroup
	defer sending.Wait()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for *s.mode.Load() == Heartbeat {
		if err := s.round(ctx, &sending); err != nil && ctx.Err() == nil {
			s.cfg.Log.Warn("no heartbeats: the source does not say where its servers are", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// round sends a heartbeat to each server that is live and has answered the one before.
func (s *sender) round(ctx context.Context, sending *sync.WaitGroup) error {
	rctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	live, err := s.cfg.Cluster.RegionServers(rctx)
	if err != nil {
		return err
	}
	if err := s.locate(rctx, live); err != nil {
		return err
	}
	for _, server := range live {
		region, ok := s.region(server)
		if !ok || !s.take(server) {
			continue
		}
		sending.Go(func() {
			defer s.give(server)
			s.send(ctx, server, region)
		})
	}
	return nil
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

// locate reads hbase:meta when what is known is old or wrong, and sees to it that each server has a region.
func (s *sender) locate(ctx context.Context, live []admin.ServerName) error {
	without := slices.DeleteFunc(slices.Clone(live), func(v admin.ServerName) bool { return len(s.regions[v]) > 0 })
	s.mu.Lock()
	stale := s.stale
	s.mu.Unlock()
	if !stale && len(without) == 0 && time.Since(s.read) < refresh {
		return nil
	}
	regions, err := s.cfg.Cluster.Regions(ctx, s.cfg.Table)
	if err != nil {
		return err
	}
	s.regions, s.read = make(map[admin.ServerName][]admin.Region), time.Now()
	for _, r := range regions {
		if !r.Offline {
			s.regions[r.Server] = append(s.regions[r.Server], r)
		}
	}
	s.mu.Lock()
	s.stale = false
	s.mu.Unlock()
	if len(without) == 0 {
		s.moved = time.Now()
		return nil
	}
	return s.spread(ctx, live)
}

// spread moves one region to a server that has none, from the one that has most. HBase's balancer looks at all tables
// together and may leave a server without a region of this one; its watermark would stand still.
func (s *sender) spread(ctx context.Context, live []admin.ServerName) error {
	if time.Since(s.moved) < moveInterval {
		return nil
	}
	s.moved = time.Now()
	region, to, ok := nextMove(s.regions, live)
	if !ok {
		return nil
	}
	s.cfg.Log.Info("a region of the heartbeat table moves to a server that has none", "region", region.Encoded, "server", to.String())
	return s.cfg.Cluster.MoveRegion(ctx, region.Encoded, to)
}

// nextMove chooses a server without a region, and one of the server that has most, two at least.
func nextMove(regions map[admin.ServerName][]admin.Region, live []admin.ServerName) (r admin.Region, to admin.ServerName, ok bool) {
	var most []admin.Region
	for _, v := range live {
		if len(regions[v]) > len(most) {
			most = regions[v]
		}
		if len(regions[v]) == 0 {
			to = v
		}
	}
	if to.IsZero() || len(most) < 2 {
		return admin.Region{}, admin.ServerName{}, false
	}
	return most[len(most)-1], to, true
}

// region is where a server's heartbeats go: the same region as long as it is there, for heartbeats prove something about
// others of their region only.
func (s *sender) region(server admin.ServerName) (admin.Region, bool) {
	for _, r := range s.regions[server] {
		if row := rowOf(r, nil); len(r.End) == 0 || bytes.Compare(row, r.End) < 0 {
			return r, true
		}
	}
	return admin.Region{}, false
}

// rowOf makes a row of the region.
func rowOf(r admin.Region, name []byte) []byte {
	return append(append(bytes.Clone(r.Start), 0), name...)
}

func (s *sender) send(ctx context.Context, server admin.ServerName, region admin.Region) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	b := Beat{Run: s.Watermark.run, Server: server, Region: region.Encoded, Sent: time.Now().UnixMilli()}
	b.N = s.tracker.Sent(server, b.Region, b.Sent)
	text := []byte(b.String())
	err := put.Put(ctx, s.cfg.Cluster, server, region.Name, put.Cell{
		Row: rowOf(region, text), Family: []byte(Family), Qualifier: []byte("b"), Value: text,
	})
	if err == nil {
		s.tracker.Answered(server, b.N)
		return
	}
	s.mu.Lock()
	s.stale = true
	s.mu.Unlock()
	if !errors.Is(err, put.ErrNotServing) && ctx.Err() == nil {
		s.cfg.Log.Warn("a heartbeat was refused", "server", server.String(), "error", err)
	}
}
