package mutate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"

	"github.com/waltap/waltap/internal/hbase/admin"
)

// errNotOpen: hbase:meta has no server for a region.
var errNotOpen = errors.New("the region is not open on any server")

// regionCache remembers where the regions of tables are.
type regionCache struct {
	mu     sync.Mutex
	tables map[string]*located
}

// located is the regions of a table, by start key, without holes. It is read once, by the first who needs it.
type located struct {
	read    chan struct{} // closed when what follows is known
	regions []admin.Region
	err     error
}

// get returns what is known of a table, or asks; a failure is told to all that wait, and forgotten.
func (c *regionCache) get(ctx context.Context, cluster Cluster, table string) (*located, error) {
	c.mu.Lock()
	l := c.tables[table]
	if l == nil {
		if c.tables == nil {
			c.tables = make(map[string]*located)
		}
		l = &located{read: make(chan struct{})}
		c.tables[table] = l
		go c.look(context.WithoutCancel(ctx), cluster, table, l)
	}
	c.mu.Unlock()
	select {
	case <-l.read:
		return l, l.err
	case <-ctx.Done():
		return nil, fmt.Errorf("locate the regions of table %s: %w", table, ctx.Err())
	}
}

func (c *regionCache) look(ctx context.Context, cluster Cluster, table string, l *located) {
	ctx, cancel := context.WithTimeout(ctx, locateTimeout)
	defer cancel()
	if l.regions, l.err = cluster.Regions(ctx, table); l.err != nil {
		c.forget(table, l)
	}
	close(l.read)
}

// forget makes the next one ask again, unless somebody has already.
func (c *regionCache) forget(table string, l *located) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tables[table] == l {
		delete(c.tables, table)
	}
}

// regionOf finds the region of row among regions: its index.
func regionOf(regions []admin.Region, row []byte) int {
	behind := sort.Search(len(regions), func(i int) bool { return bytes.Compare(regions[i].Start, row) > 0 })
	return max(0, behind-1)
}

// shares parts items, as many as done has and in the order of their rows, by server and region.
func (w *Writer) shares(ctx context.Context, table string, done []bool, row func(int) []byte) ([]*share, *located, error) {
	l, err := w.tables.get(ctx, w.cluster, table)
	if err != nil {
		return nil, nil, err
	}
	var shares []*share
	byServer := make(map[admin.ServerName]*share)
	for from, end := 0, 0; from < len(done); from = end {
		at := regionOf(l.regions, row(from))
		r := &l.regions[at]
		if r.Offline || r.Server.IsZero() {
			w.tables.forget(table, l)
			return nil, nil, fmt.Errorf("write to region %s of table %s: %w", r.Encoded, table, errNotOpen)
		}
		end = len(done)
		if at+1 < len(l.regions) {
			next := l.regions[at+1].Start
			end = from + sort.Search(len(done)-from, func(i int) bool { return bytes.Compare(row(from+i), next) >= 0 })
		}
		s := byServer[r.Server]
		if s == nil {
			s = &share{server: r.Server, done: done}
			byServer[r.Server], shares = s, append(shares, s)
		}
		s.regions = append(s.regions, regionShare{r, from, end})
	}
	return shares, l, nil
}
