// Package scan is the source room that reads what a table held before its changes were followed: a
// raw scan of all versions, delete markers and tags, region by region, into the table's topic.
package scan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/cell"
	hscan "github.com/waltap/waltap/internal/hbase/scan"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/source"
)

// Progress keeps ranges; Save returns when they are durable.
type Progress interface {
	Save(ctx context.Context, r Range) error
	Ranges(table string, epoch int64) ([]Range, error)
}

// Stats is told how the scan goes; every method may be called from many goroutines.
type Stats interface {
	Shards(done, total int)
	Row(table string, cells int, bytes int64)
	Retry(err error)
}

// Table to scan.
type Table struct {
	Name     string
	Families []string // only these
	Epoch    int64
}

// Config of a Scanner. Zero numbers mean the default.
type Config struct {
	Cluster   *admin.Cluster
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

	EndTime time.Time // cells with a later timestamp are not read; zero: all are
}

// Scanner scans tables.
type Scanner struct {
	cfg Config

	mu      sync.Mutex
	servers map[admin.ServerName]chan struct{}
	total   int
	done    int
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
	return &Scanner{cfg: cfg, servers: make(map[admin.ServerName]chan struct{})}
}

type shard struct {
	table  Table
	region admin.Region
	span   span
}

// Run scans what is left of tables and returns when Kafka has acknowledged all of it. Ranges that
// Progress holds as done are not read again.
func (s *Scanner) Run(ctx context.Context, tables []Table) error {
	var shards []shard
	for _, t := range tables {
		ranges, err := s.cfg.Progress.Ranges(t.Name, t.Epoch)
		if err != nil {
			return err
		}
		more, err := s.plan(ctx, t, span{}, ranges)
		if err != nil {
			return err
		}
		shards = append(shards, more...)
	}
	s.grow(len(shards))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(s.cfg.Threads)
	for _, sh := range shards {
		g.Go(func() error { return s.shard(ctx, sh) })
	}
	return g.Wait()
}

// plan cuts what of within is not done into one shard per region.
func (s *Scanner) plan(ctx context.Context, t Table, within span, ranges []Range) ([]shard, error) {
	regions, err := s.cfg.Cluster.Regions(ctx, t.Name)
	if err != nil {
		return nil, fmt.Errorf("locate the regions of %s: %w", t.Name, err)
	}
	var done []Range
	for _, r := range ranges {
		if r.Done {
			done = append(done, r)
		}
	}
	var out []shard
	for _, r := range regions {
		sp := span{maxStart(r.Start, within.start), minEnd(r.End, within.end)}
		if sp.empty() {
			continue
		}
		for _, left := range subtract(sp, done) {
			out = append(out, shard{table: t, region: r, span: left})
		}
	}
	return out, nil
}

func (s *Scanner) grow(n int) {
	s.mu.Lock()
	s.total += n
	s.cfg.Stats.Shards(s.done, s.total)
	s.mu.Unlock()
}

func (s *Scanner) finished() {
	s.mu.Lock()
	s.done++
	s.cfg.Stats.Shards(s.done, s.total)
	s.mu.Unlock()
}

// shard scans one range to its end, over moves and splits of its region.
func (s *Scanner) shard(ctx context.Context, sh shard) error {
	todo := []shard{sh}
	for pause := time.Duration(0); len(todo) > 0; {
		cur := todo[0]
		rest, err := s.region(ctx, cur)
		var gone *hscan.RegionGoneError
		switch {
		case err == nil:
			todo, pause = todo[1:], 0
			continue
		case ctx.Err() != nil:
			return ctx.Err()
		case !errors.As(err, &gone) && !retriable(err):
			return fmt.Errorf("scan %s region %s: %w", cur.table.Name, cur.region.Encoded, err)
		}
		// The region moved, was split or merged, or its server is away: ask hbase:meta again and go on behind the last row.
		s.cfg.Stats.Retry(err)
		pause = min(max(2*pause, 200*time.Millisecond), 5*time.Second)
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		cur.span = rest
		more, err := s.plan(ctx, cur.table, rest, nil)
		if err != nil && !retriable(err) {
			return err
		}
		if err != nil {
			more = []shard{cur}
		}
		todo = append(more, todo[1:]...)
	}
	s.finished()
	return nil
}

// retriable: a lost connection or a server that is away; the cluster heals, so the scan waits for it.
func retriable(err error) bool {
	return admin.IsRetriable(err)
}

// slot waits for a free scanner on the server.
func (s *Scanner) slot(ctx context.Context, server admin.ServerName) (release func(), err error) {
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

// region scans sh within its region. On error rest is what is left to scan; what lies before it is
// acknowledged and saved.
func (s *Scanner) region(ctx context.Context, sh shard) (rest span, err error) {
	release, err := s.slot(ctx, sh.region.Server)
	if err != nil {
		return sh.span, err
	}
	defer release()
	r := &reader{Scanner: s, sh: sh, rng: Range{
		Table: sh.table.Name, Epoch: sh.table.Epoch, Region: sh.region.Encoded, Start: sh.span.start, End: sh.span.end,
	}}
	err = r.run(ctx)
	if err == nil || len(r.resume) == 0 {
		return sh.span, err
	}
	return span{r.resume, sh.span.end}, err
}

// reader scans one range of one region.
type reader struct {
	*Scanner
	sh     shard
	rng    Range
	resume []byte // first row that is not known to be complete; empty: none was read

	batch *source.Batch
	row   schema.Change
	arena []byte
	bytes int64
}

func (r *reader) run(ctx context.Context) error {
	var reset *hscan.ScannerResetError
	for {
		err := r.pass(ctx)
		switch {
		case err == nil:
			r.rng.Done = true
			return r.Scanner.cfg.Progress.Save(ctx, r.rng)
		case errors.As(err, &reset):
			// The scanner's lease ran out, say while Kafka was away: open again at the same read point.
			r.cfg.Stats.Retry(err)
			continue
		}
		if len(r.resume) == 0 || ctx.Err() != nil {
			return err
		}
		// Keep what is done: the rest of the range goes on elsewhere, maybe in other regions.
		part := r.rng
		part.End, part.Done = r.resume, true
		if bytes.Equal(part.Start, part.End) {
			return err
		}
		if serr := r.Scanner.cfg.Progress.Save(ctx, part); serr != nil {
			return serr
		}
		return err
	}
}

// maxTimestamp is the first timestamp that is not read; 0: there is none.
func maxTimestamp(end time.Time) int64 {
	if end.IsZero() {
		return 0
	}
	return end.UnixMilli() + 1
}

// pass scans from resume to the end of the range, or to an error. All that it read is acknowledged when it returns.
func (r *reader) pass(ctx context.Context) error {
	start := r.sh.span.start
	if len(r.resume) > 0 {
		start = r.resume
	}
	sc, err := hscan.Open(ctx, r.cfg.Cluster, hscan.Request{
		Table: r.sh.table.Name, Region: r.sh.region, Start: start, Stop: r.sh.span.end,
		Families: r.sh.table.Families, MaxResultBytes: r.cfg.FetchBytes, ReadPoint: r.rng.ReadPoint,
		MaxTimestamp: maxTimestamp(r.cfg.EndTime),
	})
	if err != nil {
		return err
	}
	defer sc.Close(context.WithoutCancel(ctx))
	if r.rng.ReadPoint == 0 || sc.ReadPoint() < r.rng.ReadPoint {
		r.rng.ReadPoint = sc.ReadPoint()
		// Before the first record: should this process die, the lowest read point must be known.
		if err := r.Scanner.cfg.Progress.Save(ctx, r.rng); err != nil {
			return err
		}
	}
	r.batch = r.cfg.Publisher.Begin(ctx)
	confirmed := bytes.Clone(r.resume)
	err = r.copy(ctx, sc)
	if cerr := r.batch.CommitWait(nil); cerr != nil {
		r.resume = confirmed // not acknowledged: read it again
		return cerr
	}
	return err
}

func (r *reader) copy(ctx context.Context, sc *hscan.Scanner) error {
	r.clear()
	for {
		b, err := sc.Next(ctx)
		if errors.Is(err, io.EOF) {
			return r.flush(true)
		}
		if err != nil {
			return err
		}
		for i := range b.Cells {
			if err := r.cell(&b.Cells[i]); err != nil {
				return err
			}
		}
		if b.RowsComplete {
			if err := r.flush(true); err != nil {
				return err
			}
		}
	}
}

func (r *reader) clear() {
	r.row.Row, r.row.Cells, r.arena, r.bytes = nil, r.row.Cells[:0], nil, 0
}

// cell adds k to the row at hand. The bytes are copied: a row may go on in the next answer.
func (r *reader) cell(k *cell.Cell) error {
	if r.row.Row == nil || !bytes.Equal(r.row.Row, k.Row) {
		if err := r.flush(true); err != nil {
			return err
		}
		r.row.Row = r.keep(k.Row)
		r.resume = append(r.resume[:0], k.Row...)
	} else if r.bytes >= r.cfg.RecordBytes {
		row := r.row.Row
		if err := r.flush(false); err != nil {
			return err
		}
		r.row.Row = r.keep(row)
	}
	r.row.Cells = append(r.row.Cells, schema.Cell{
		Family: r.keep(k.Family), Qualifier: r.keep(k.Qualifier), Timestamp: k.Timestamp,
		Type: schema.CellType(k.Type), Value: r.keep(k.Value), Tags: r.keep(k.Tags),
	})
	r.bytes += int64(len(k.Family)+len(k.Qualifier)+len(k.Value)+len(k.Tags)) + 9
	return nil
}

func (r *reader) keep(b []byte) []byte {
	n := len(r.arena)
	r.arena = append(r.arena, b...)
	return r.arena[n:len(r.arena):len(r.arena)]
}

// flush emits the row at hand. complete: no more cells of it follow.
func (r *reader) flush(complete bool) error {
	if r.row.Row == nil {
		return nil
	}
	c := &r.row
	c.Table, c.Sequence, c.Timestamp = r.sh.table.Name, 0, time.Now().UnixMilli()
	c.Source = schema.Source{
		Version: r.cfg.Version, Connector: r.cfg.Connector, ClusterID: r.cfg.ClusterID, Region: r.sh.region.Encoded,
		Kind: schema.KindScan, Epoch: r.sh.table.Epoch,
	}
	if err := r.batch.Add(c); err != nil {
		return err
	}
	r.cfg.Stats.Row(c.Table, len(c.Cells), r.bytes+int64(len(c.Row)))
	if complete {
		r.rng.Rows++
		r.resume = append(append(r.resume[:0], c.Row...), 0) // the next row that can exist
	}
	r.rng.Bytes += r.bytes
	arena := r.arena[:0]
	r.clear()
	r.arena = arena
	return nil
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
