package watermark

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/waltap/waltap/internal/hbase/admin"
)

const (
	// refresh is how old the knowledge of where the heartbeat table's regions are may get.
	refresh = 30 * time.Second
	// lookAgain is how old it may get while it is wrong, or a server has none.
	lookAgain = interval / 2
	// bareFor is how long a server may be without a region before it is given one: HBase itself may be about to.
	bareFor = 5 * time.Second
	// splitTimeout bounds a split, which waits until the halves are open.
	splitTimeout = time.Minute
)

// placement knows which regions of the heartbeat table each server holds, and sees to it that each holds one.
// HBase's balancer looks at all tables together and may leave a server without; its watermark would stand still.
type placement struct {
	cluster Cluster
	table   string
	log     *slog.Logger

	mu      sync.Mutex
	live    []admin.ServerName
	regions map[admin.ServerName][]admin.Region // as hbase:meta had them at read
	stale   bool                                // a server did not serve its region
	fault   string                              // why it is not known, or a server cannot be given one

	read    time.Time
	unknown error                          // of that reading
	bare    map[admin.ServerName]time.Time // servers without a region, since when that is known
	acted   time.Time                      // the last move or split
	outcome error                          // what came of it, while there are such servers
	whole   map[string]bool                // regions that could not be split
}

func newPlacement(cfg Config) *placement {
	return &placement{cluster: cfg.Cluster, table: cfg.Table, log: cfg.Log, bare: make(map[admin.ServerName]time.Time), whole: make(map[string]bool)}
}

// run keeps it up to date until ctx ends, or for as long as idle does not hold.
func (p *placement) run(ctx context.Context, idle func() bool) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !idle() {
			p.look(ctx)
		}
	}
}

// serve tells which servers are live.
func (p *placement) serve(live []admin.ServerName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.live = live
}

// missed tells that a server does not hold its region.
func (p *placement) missed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stale = true
}

// trouble is why a server may have no region, "" for nothing.
func (p *placement) trouble() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fault
}

// region is where a server's heartbeats go: the same region as long as it is there, for heartbeats prove something about
// others of their region only.
func (p *placement) region(server admin.ServerName) (admin.Region, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.regions[server] {
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

// look brings it up to date once.
func (p *placement) look(ctx context.Context) {
	err := p.update(ctx)
	if ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = ""
	if err != nil {
		p.fault = err.Error()
	}
}

// update reads hbase:meta when what is known is old or wrong, and gives regions to servers that have had none for a while.
func (p *placement) update(ctx context.Context) error {
	p.mu.Lock()
	live, regions, stale := p.live, p.regions, p.stale
	p.mu.Unlock()
	if len(live) == 0 {
		return nil
	}
	age := time.Since(p.read)
	if age >= refresh || age >= lookAgain && (stale || len(without(regions, live)) > 0) {
		rctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		regions, p.unknown = p.locate(rctx)
	}
	if p.unknown != nil {
		return p.unknown
	}
	bare := p.bareSince(without(regions, live))
	switch {
	case len(bare) == 0:
		p.outcome = nil
	case time.Since(p.acted) >= bareFor:
		p.acted = time.Now()
		p.outcome = p.spread(ctx, regions, live, bare)
	}
	return p.outcome
}

func (p *placement) locate(ctx context.Context) (map[admin.ServerName][]admin.Region, error) {
	p.read = time.Now()
	all, err := p.cluster.Regions(ctx, p.table)
	if errors.Is(err, admin.ErrTableNotFound) {
		return nil, fmt.Errorf("%w: a start of the connector creates it", err)
	}
	if err != nil {
		return nil, err
	}
	regions := make(map[admin.ServerName][]admin.Region)
	for _, r := range all {
		if !r.Offline {
			regions[r.Server] = append(regions[r.Server], r)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.regions, p.stale = regions, false
	return regions, nil
}

func without(regions map[admin.ServerName][]admin.Region, live []admin.ServerName) []admin.ServerName {
	return slices.DeleteFunc(slices.Clone(live), func(s admin.ServerName) bool { return len(regions[s]) > 0 })
}

// bareSince returns those of the servers without a region that have been so for long.
func (p *placement) bareSince(without []admin.ServerName) (long []admin.ServerName) {
	maps.DeleteFunc(p.bare, func(s admin.ServerName, _ time.Time) bool { return !slices.Contains(without, s) })
	for _, s := range without {
		if since, known := p.bare[s]; !known {
			p.bare[s] = time.Now()
		} else if time.Since(since) >= bareFor {
			long = append(long, s)
		}
	}
	return long
}

// spread moves a region to each of the servers in bare, from those that have most. When there are too few, it splits one.
func (p *placement) spread(ctx context.Context, regions map[admin.ServerName][]admin.Region, live, bare []admin.ServerName) error {
	regions = maps.Clone(regions)
	for _, to := range bare {
		r, ok := take(regions, live)
		if !ok {
			return p.split(ctx, regions, live)
		}
		p.log.Info("a region of the heartbeat table moves to a server that has none", "region", r.Encoded, "server", to.String())
		mctx, cancel := context.WithTimeout(ctx, callTimeout)
		err := p.cluster.MoveRegion(mctx, r.Encoded, to)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

// take takes a region of the live server that has most, two at least. It is not the one that its heartbeats go through.
func take(regions map[admin.ServerName][]admin.Region, live []admin.ServerName) (r admin.Region, ok bool) {
	var from admin.ServerName
	for _, s := range live {
		if len(regions[s]) > len(regions[from]) {
			from = s
		}
	}
	n := len(regions[from])
	if n < 2 {
		return admin.Region{}, false
	}
	r, regions[from] = regions[from][n-1], regions[from][:n-1]
	return r, true
}

// split splits the widest region of the live servers.
func (p *placement) split(ctx context.Context, regions map[admin.ServerName][]admin.Region, live []admin.ServerName) error {
	if len(regions) == 0 {
		return fmt.Errorf("no region of table %s is open: enable it", p.table)
	}
	var widest admin.Region
	var at []byte
	width := uint64(0)
	for _, s := range live {
		for _, r := range regions[s] {
			if mid, n := middle(r); n > width && !p.whole[r.Encoded] {
				widest, at, width = r, mid, n
			}
		}
	}
	if width == 0 {
		clear(p.whole) // they may have become splittable
		return fmt.Errorf("table %s has fewer regions than there are servers, and none that can be split", p.table)
	}
	p.log.Info("a region of the heartbeat table is split: there are fewer than servers", "region", widest.Encoded)
	sctx, cancel := context.WithTimeout(ctx, splitTimeout)
	defer cancel()
	err := p.cluster.SplitRegion(sctx, widest, at)
	if err != nil {
		p.whole[widest.Encoded] = true
	}
	p.missed()
	return err
}

// middle is the key in the middle of a region, by its first four bytes, and how wide it is; 0 when it is too narrow.
func middle(r admin.Region) (key []byte, width uint64) {
	number := func(key []byte) uint64 {
		var b [4]byte
		copy(b[:], key)
		return uint64(binary.BigEndian.Uint32(b[:]))
	}
	start, end := number(r.Start), uint64(1)<<32
	if len(r.End) > 0 {
		end = number(r.End)
	}
	if end < start+2 {
		return nil, 0
	}
	key = binary.BigEndian.AppendUint32(nil, uint32(start+(end-start)/2))
	return bytes.TrimRight(key, "\x00"), end - start
}
