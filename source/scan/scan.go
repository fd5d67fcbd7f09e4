// Package scan is the source room that reads what a table held before its changes were followed: a
// raw scan of all versions, delete markers and tags, region by region, into the table's topic.
//
// One process plans it: shards, ranges of rows that are kept beside the progress. Any process may then scan any of them,
// or go on with what another one has left of it.
package scan

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/waltap/waltap/internal/filesystem"
	"github.com/waltap/waltap/internal/hbase/admin"
	hscan "github.com/waltap/waltap/internal/hbase/scan"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/source"
)

// Progress keeps ranges; Save returns when they are durable.
type Progress interface {
	// Save keeps r under its table, region, start and end.
	Save(ctx context.Context, r Range) error
	Ranges(table string, epoch int64) ([]Range, error)
}

// Stats is told how the scan goes; every method may be called from many goroutines.
type Stats interface {
	Row(table string, rows int64, cells int, bytes int64) // rows 0: more of the same row follows
	// Left says how long the rest of the scan is likely to take.
	Left(d time.Duration)
	// Reread: rows that were read but not acknowledged are read again.
	Reread(rows int64)
	Retry(err error)
}

// Table to scan.
type Table struct {
	Name     string
	Families []string // only these
	Epoch    int64
	// Scope narrows the rows, columns and timestamps; nil: nothing does.
	Scope *schema.Scope
}

// rows is the range of rows that is scanned.
func (t *Table) rows() span {
	if t.Scope == nil {
		return span{}
	}
	return span{t.Scope.RowStart, t.Scope.RowStop}
}

// Source is another place than the region servers to read tables from.
type Source interface {
	// Regions lists the regions of a table by start key. They cover all rows.
	Regions(ctx context.Context, table string) ([]admin.Region, error)
	// Sizes are those of all regions by their Name, bytes.
	Sizes(ctx context.Context) (map[string]int64, error)
	// Open begins to read a region. An error that filesystem.ErrUnavailable is in may heal.
	Open(ctx context.Context, req hscan.Request) (Stream, error)
	// Cuts are rows that cut a region, between start and end, into about parts parts of like size, ascending.
	Cuts(ctx context.Context, req hscan.Request, parts int) ([][]byte, error)
}

// Stream is a region that is being read; see hscan.Scanner.
type Stream interface {
	// ReadPoint: every edit of the region with a sequence at or below it is, or was, to be seen in the stream.
	ReadPoint() uint64
	Next(ctx context.Context) (*hscan.Batch, error)
	Close(ctx context.Context) error
}

// Config of a Scanner. Zero numbers mean the default.
type Config struct {
	Cluster *admin.Cluster
	// Source is read instead of the cluster's region servers; nil: they are.
	Source    Source
	Connector string
	Version   string
	ClusterID schema.UUID
	Publisher *source.Publisher
	Progress  Progress
	Stats     Stats

	Threads           int   // ranges scanned at once; default 2
	ScannersPerServer int   // open scanners on one region server; default 1
	FetchBytes        int64 // asked of the region server per call; default 2 MiB
	RecordBytes       int64 // a row above it is split into several records; default 1 MiB
	// Progress inside a range is saved when ProgressBytes (default 64 MiB) are read or ProgressInterval (default
	// 5 s) has passed, one interval behind: what a scan that is killed reads again is at most two of them, per range it had open.
	ProgressBytes    int64
	ProgressInterval time.Duration

	// Generation of the group of the connector's processes, see Range.
	Generation int32

	EndTime time.Time // cells with a later timestamp are not read; zero: all are
	// ShardBytes: a region above it is scanned in several shards, cut at sampled rows; default 1 GiB.
	ShardBytes int64
	// Limiter holds the scan back; nil: nothing does.
	Limiter *Limiter
}

// Scanner scans tables.
type Scanner struct {
	cfg     Config
	regions func(ctx context.Context, table string) ([]admin.Region, error)
	open    func(ctx context.Context, req hscan.Request) (Stream, error)
	sizes   func(ctx context.Context) (map[string]int64, error) // of regions by their full names, bytes
	cuts    func(ctx context.Context, sh shard, sp span, parts int) ([][]byte, error)
	left    estimate

	mu      sync.Mutex
	servers map[admin.ServerName]chan struct{}
	points  map[rangeKey]uint64 // lowest read point of each range that was begun
}

// New returns a Scanner.
func New(cfg Config) *Scanner {
	if cfg.Threads <= 0 {
		cfg.Threads = 2
	}
	if cfg.ScannersPerServer <= 0 {
		cfg.ScannersPerServer = 1
	}
	if cfg.FetchBytes <= 0 {
		cfg.FetchBytes = 2 << 20
	}
	if cfg.RecordBytes <= 0 {
		cfg.RecordBytes = 1 << 20
	}
	if cfg.ProgressBytes <= 0 {
		cfg.ProgressBytes = 64 << 20
	}
	if cfg.ProgressInterval <= 0 {
		cfg.ProgressInterval = 5 * time.Second
	}
	if cfg.ShardBytes <= 0 {
		cfg.ShardBytes = 1 << 30
	}
	if cfg.Limiter == nil {
		cfg.Limiter = new(Limiter)
	}
	s := &Scanner{cfg: cfg, servers: make(map[admin.ServerName]chan struct{}), points: make(map[rangeKey]uint64)}
	s.regions = func(ctx context.Context, table string) ([]admin.Region, error) {
		return cfg.Cluster.Regions(ctx, table)
	}
	s.open = func(ctx context.Context, req hscan.Request) (Stream, error) {
		sc, err := hscan.Open(ctx, cfg.Cluster, req)
		if err != nil {
			return nil, err // not sc: a nil *Scanner would be a stream that is not nil
		}
		return sc, nil
	}
	s.sizes = func(ctx context.Context) (map[string]int64, error) { return regionSizes(ctx, cfg.Cluster) }
	s.cuts = s.sample
	if src := cfg.Source; src != nil {
		s.regions, s.open, s.sizes = src.Regions, src.Open, src.Sizes
		s.cuts = func(ctx context.Context, sh shard, sp span, parts int) ([][]byte, error) {
			return src.Cuts(ctx, hscan.Request{Table: sh.table.Name, Region: sh.region, Start: sp.start, Stop: sp.end, Families: sh.table.Families}, parts)
		}
	}
	return s
}

// regionSizes asks the master, which knows what the region servers last reported: megabytes, some seconds old.
func regionSizes(ctx context.Context, cluster *admin.Cluster) (map[string]int64, error) {
	st, err := cluster.Status(ctx)
	if err != nil {
		return nil, err
	}
	sizes := make(map[string]int64)
	for _, server := range st.Servers {
		for _, r := range server.Regions {
			sizes[string(r.Name)] = int64(max(r.StoreFileMB, r.UncompressedMB)+r.MemStoreMB) << 20
		}
	}
	return sizes, nil
}

// shard is what of a Shard lies in one region.
type shard struct {
	table  Table
	region admin.Region
	span   span
	left   int64 // bytes that it is likely to hold
}

// Scan scans what is left of shards, which are of the tables given, and returns when Kafka has acknowledged all of it. Rows that
// Progress holds as done are not read again.
func (s *Scanner) Scan(ctx context.Context, tables []Table, shards []Shard) error {
	var todo []shard
	for _, t := range tables {
		ranges, err := s.cfg.Progress.Ranges(t.Name, t.Epoch)
		if err != nil {
			return err
		}
		s.remember(ranges)
		regions, err := s.regions(ctx, t.Name)
		if err != nil {
			return &TableError{t.Name, fmt.Errorf("locate its regions: %w", err)}
		}
		done := newCoverage(ranges)
		for _, sh := range shards {
			if sh.Table != t.Name {
				continue
			}
			parts := byRegion(t, regions, sh.span(), done)
			for i := range parts {
				parts[i].left = sh.left(ranges) / int64(len(parts))
			}
			todo = append(todo, parts...)
		}
	}
	s.left.begin(todo)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(s.cfg.Threads)
	for _, sh := range todo {
		g.Go(func() error {
			if err := s.shard(ctx, sh); err != nil {
				return &TableError{sh.table.Name, err}
			}
			return nil
		})
	}
	return g.Wait()
}

// TableError is an error of Scan or Plan that concerns one table.
type TableError struct {
	Table string
	Err   error
}

func (e *TableError) Error() string { return "scan table " + e.Table + ": " + e.Err.Error() }
func (e *TableError) Unwrap() error { return e.Err }

// byRegion cuts what of sp is not done at the borders of regions.
func byRegion(t Table, regions []admin.Region, sp span, done coverage) []shard {
	var out []shard
	for _, r := range regions {
		sp := span{maxStart(r.Start, sp.start), minEnd(r.End, sp.end)}
		if sp.empty() {
			continue
		}
		for _, left := range done.missing(sp) {
			out = append(out, shard{table: t, region: r, span: left})
		}
	}
	return out
}

// shard scans one range to its end, over moves and splits of its region.
func (s *Scanner) shard(ctx context.Context, sh shard) error {
	todo, est := []shard{sh}, &share{estimate: &s.left, left: sh.left}
	defer est.end()
	for pause := time.Duration(0); len(todo) > 0; {
		cur := todo[0]
		rest, err := s.region(ctx, cur, est)
		var gone *hscan.RegionGoneError
		switch {
		case err == nil:
			todo, pause = todo[1:], 0
			continue
		case ctx.Err() != nil:
			return ctx.Err()
		case !errors.As(err, &gone) && !retriable(err):
			return fmt.Errorf("region %s: %w", cur.region.Encoded, err)
		}
		// The region moved, was split or merged, or its server is away: ask hbase:meta again and go on behind the last row.
		s.cfg.Stats.Retry(err)
		pause = min(max(2*pause, 200*time.Millisecond), 5*time.Second)
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		cur.span = rest
		regions, err := s.regions(ctx, cur.table.Name)
		if err != nil && !retriable(err) {
			return fmt.Errorf("locate its regions: %w", err)
		}
		more := []shard{cur}
		if err == nil {
			more = byRegion(cur.table, regions, rest, nil)
		}
		todo = append(more, todo[1:]...)
	}
	return nil
}

// retriable: a lost connection or a server that is away; the cluster heals, so the scan waits for it.
func retriable(err error) bool {
	return admin.IsRetriable(err) || errors.Is(err, filesystem.ErrUnavailable)
}

// slot waits for a free scanner on the server.
func (s *Scanner) slot(ctx context.Context, server admin.ServerName) (release func(), err error) {
	if s.cfg.Source != nil { // no server is asked
		return func() {}, nil
	}
	s.mu.Lock()
	ch := s.servers[server]
	if ch == nil {
		ch = make(chan struct{}, s.cfg.ScannersPerServer)
		s.servers[server] = ch
	}
	s.mu.Unlock()
	select {
	case ch <- struct{}{}:
		return func() { <-ch }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
