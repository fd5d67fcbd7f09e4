package scan

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"github.com/waltap/waltap/internal/crash"
	"github.com/waltap/waltap/internal/hbase/cell"
	hscan "github.com/waltap/waltap/internal/hbase/scan"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/source"
)

// remember takes over the read points at which ranges were begun.
func (s *Scanner) remember(ranges []Range) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range ranges {
		s.lower(&ranges[i])
	}
}

// lower sets r's read point to the lowest at which the range was ever begun, and remembers it. With mu held.
//
// Why: a range that is begun again is saved over the former entry. Say a row was delivered at
// read point 10 and waltap was killed before that was saved; then its delete (11) and a major compaction at the source
// took the row away, and the range was begun again at 20. That scan shows nothing of the row, so edit 11 must not be
// left out.
func (s *Scanner) lower(r *Range) {
	if p, ok := s.points[r.key()]; ok && p < r.ReadPoint {
		r.ReadPoint = p
	}
	s.points[r.key()] = r.ReadPoint
}

// region scans sh within its region. On error rest is what is left to scan; what lies before it is
// acknowledged and saved.
func (s *Scanner) region(ctx context.Context, sh shard, est *share) (rest span, err error) {
	r := &reader{Scanner: s, sh: sh, est: est, rng: Range{
		Table: sh.table.Name, Epoch: sh.table.Epoch, Region: sh.region.Encoded, Start: sh.span.start, End: sh.span.end,
		Generation: s.cfg.Generation,
	}}
	if sh.table.Scope != nil {
		r.keeper = sh.table.Scope.Keeper(sh.table.Name)
	}
	err = r.run(ctx)
	if err == nil || len(r.rng.Upto) == 0 {
		return sh.span, err
	}
	return span{r.rng.Upto, sh.span.end}, err
}

// reader scans one range of one region.
type reader struct {
	*Scanner
	sh    shard
	est   *share
	rng   Range  // as it is saved; everything before Upto is acknowledged
	point uint64 // at which this reader scans; 0 before it has opened its first scanner

	cur  interval  // what was read since the last checkpoint
	last *interval // the one before, which Kafka may not have all of yet; nil: there is none

	keeper *schema.Keeper // nil: all is kept as it is

	row   schema.Change
	owned int    // how many of its cells are in arena; the others are in the answer that was read last
	arena []byte // of a row that goes on in the next answer
	bytes int64
	now   int64 // when the answer came, ms

	untold struct { // of Stats
		rows, bytes int64
		cells       int
	}
}

// interval is what is read between two checkpoints.
type interval struct {
	batch  *source.Batch // nil: it has failed
	end    func()        // frees the batch's context
	result chan error    // of its commit
	resume []byte        // first row that is not complete; empty: none was read
	rows   int64
	size   int64
	since  time.Time
}

func (r *reader) run(ctx context.Context) error {
	for {
		err := r.pass(ctx)
		var reset *hscan.ScannerResetError
		switch {
		case err == nil:
			crash.Point(crash.ShardUnsaved)
			r.rng.Done = true
			return r.save(ctx)
		case errors.As(err, &reset) && ctx.Err() == nil:
			// The scanner's lease ran out, say while Kafka was away: open again at the same read point.
			r.cfg.Stats.Retry(err)
		default:
			return err
		}
	}
}

// maxTimestamp is the first timestamp that is not read; 0: there is none.
func maxTimestamp(end time.Time) int64 {
	if end.IsZero() {
		return 0
	}
	return end.UnixMilli() + 1
}

// pass scans from Upto to the end of the range, or to an error. All that it read is acknowledged, and saved, when it
// returns, but for what an error of Kafka's keeps it from: that is read again.
func (r *reader) pass(ctx context.Context) error {
	start := r.sh.span.start
	if len(r.rng.Upto) > 0 {
		start = r.rng.Upto
	}
	req := hscan.Request{
		Table: r.sh.table.Name, Region: r.sh.region, Start: start, Stop: r.sh.span.end,
		Families: r.sh.table.Families, MaxResultBytes: r.cfg.FetchBytes, ReadPoint: r.point,
		Ahead: !r.cfg.Limiter.Active(), // a scan that is held back would have the answer lie, and grow old
	}
	if scope := r.sh.table.Scope; scope != nil {
		req.MinTimestamp, req.MaxTimestamp = scope.MinTimestamp, scope.MaxTimestamp
	}
	if end := maxTimestamp(r.cfg.EndTime); end > 0 && (req.MaxTimestamp == 0 || end < req.MaxTimestamp) {
		req.MaxTimestamp = end
	}
	release, err := r.slot(ctx, r.sh.region.Server)
	if err != nil {
		return err
	}
	err = r.read(ctx, req)
	release() // the next scan of that server need not wait until Kafka has the end of this one
	if cerr := r.settle(ctx, err != nil); cerr != nil {
		return cerr
	}
	return err
}

// read scans to the end of the range, or to an error.
func (r *reader) read(ctx context.Context, req hscan.Request) error {
	sc, err := r.open(ctx, req)
	if err != nil {
		return err
	}
	defer sc.Close(context.WithoutCancel(ctx))
	if r.point == 0 || sc.ReadPoint() < r.point {
		r.point = sc.ReadPoint()
		r.rng.ReadPoint = r.point
		r.mu.Lock()
		r.lower(&r.rng)
		r.mu.Unlock()
		// Before the first record: should this process die, the lowest read point must be known.
		if err := r.cfg.Progress.Save(ctx, r.rng); err != nil {
			return err
		}
	}
	r.begin(ctx, r.rng.Upto)
	return r.copy(ctx, sc)
}

// begin opens the batch of the next interval, which is read from row resume on.
func (r *reader) begin(ctx context.Context, resume []byte) {
	// Not with ctx: on a clean stop what was read is still delivered and saved, for as long as stopTimeout.
	bctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(stopTimeout, cancel) })
	r.cur = interval{batch: r.cfg.Publisher.Begin(bctx), end: func() { stop(); cancel() }, resume: bytes.Clone(resume), since: time.Now()}
}

// checkpoint ends an interval and begins the next. It waits until the one before is acknowledged, and keeps that it is: so no
// more than two intervals lie between what is saved and what Kafka has, and the scan goes on while Kafka writes.
func (r *reader) checkpoint(ctx context.Context) error {
	r.commit()
	if r.last != nil {
		if err := r.acknowledged(ctx, r.last, true); err != nil {
			r.abandon(&r.cur)
			r.last, r.cur = nil, interval{}
			return err
		}
	}
	last := r.cur
	r.last = &last
	r.begin(ctx, last.resume)
	return nil
}

// commit sends what is left of the interval at hand.
func (r *reader) commit() {
	r.cur.result = make(chan error, 1)
	result := r.cur.result
	r.cur.batch.Commit(nil, func(err error) { result <- err })
	r.cur.batch = nil
}

// settle waits for all that was read, and with save keeps that Kafka has it.
func (r *reader) settle(ctx context.Context, save bool) (err error) {
	if r.cur.batch != nil {
		r.commit()
	}
	for _, i := range []*interval{r.last, &r.cur} {
		switch {
		case i == nil || i.result == nil:
		case err != nil:
			r.abandon(i)
		default:
			err = r.acknowledged(ctx, i, save)
		}
	}
	r.last, r.cur = nil, interval{}
	return err
}

// acknowledged waits until Kafka has the interval i, whose commit was begun, and with save keeps that it has.
func (r *reader) acknowledged(ctx context.Context, i *interval, save bool) error {
	err := <-i.result
	i.end()
	if err != nil {
		r.cfg.Stats.Reread(i.rows)
		return err
	}
	r.rng.Rows += i.rows
	r.rng.Bytes += i.size
	if bytes.Equal(i.resume, r.rng.Upto) {
		return nil
	}
	r.rng.Upto = i.resume
	if !save {
		return nil
	}
	return r.save(ctx)
}

// save keeps the progress also when ctx has ended: what a clean stop leaves unsaved would be read twice.
func (r *reader) save(ctx context.Context) error {
	sctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	return r.cfg.Progress.Save(sctx, r.rng)
}

// abandon waits for an interval that lies behind one that has failed: it is read again, whatever Kafka has of it.
func (r *reader) abandon(i *interval) {
	<-i.result
	i.end()
	r.cfg.Stats.Reread(i.rows)
}

const (
	// saveTimeout bounds the saving of progress.
	saveTimeout = 30 * time.Second
	// stopTimeout is how long a clean stop waits for Kafka to acknowledge what was read.
	stopTimeout = 5 * time.Second
	// tellRows is after how many rows Stats are told, by a scan that nothing holds back.
	tellRows = 1000
)

func (r *reader) copy(ctx context.Context, sc Stream) error {
	r.clear()
	defer r.tell()
	for {
		b, err := sc.Next(ctx)
		if errors.Is(err, io.EOF) {
			return r.flush(ctx, true)
		}
		if err != nil {
			return err
		}
		r.now = time.Now().UnixMilli()
		for i := range b.Cells {
			if err := r.cell(ctx, &b.Cells[i]); err != nil {
				return err
			}
		}
		if b.RowsComplete {
			if err := r.flush(ctx, true); err != nil {
				return err
			}
		}
		r.own()
	}
}

func (r *reader) clear() {
	r.row.Row, r.row.Cells, r.owned, r.arena, r.bytes = nil, r.row.Cells[:0], 0, r.arena[:0], 0
}

// due tells whether progress is to be saved.
func (r *reader) due() bool {
	return r.cur.size >= r.cfg.ProgressBytes || time.Since(r.cur.since) >= r.cfg.ProgressInterval
}

// cell adds k to the row at hand. Its bytes are those of the answer, see own.
func (r *reader) cell(ctx context.Context, k *cell.Cell) error {
	if r.row.Row == nil || !bytes.Equal(r.row.Row, k.Row) {
		if err := r.flush(ctx, true); err != nil {
			return err
		}
		if r.cur.rows > 0 && r.due() {
			if err := r.checkpoint(ctx); err != nil {
				return err
			}
		}
		r.row.Row = k.Row
		r.cur.resume = append(r.cur.resume[:0], k.Row...)
	} else if r.bytes >= r.cfg.RecordBytes {
		markers := markersFor(k, r.row.Cells)
		if err := r.flush(ctx, false); err != nil {
			return err
		}
		r.row.Row = k.Row
		r.row.Cells = append(r.row.Cells, markers...)
	}
	r.bytes += cellOverhead + int64(len(k.Row)+len(k.Family)+len(k.Qualifier)+len(k.Value)+len(k.Tags))
	c := schema.Cell{Family: k.Family, Qualifier: k.Qualifier, Timestamp: k.Timestamp, Type: schema.CellType(k.Type), Value: k.Value, Tags: k.Tags}
	if r.keeper != nil && !r.keeper.Keep(k.Row, &c) {
		return nil
	}
	r.row.Cells = append(r.row.Cells, c)
	return nil
}

// own copies what is not its own yet of the row at hand: it may go on in the next answer, whose cells take this one's place.
func (r *reader) own() {
	if r.row.Row == nil {
		return
	}
	r.row.Row = r.keep(r.row.Row)
	for i := r.owned; i < len(r.row.Cells); i++ {
		c := &r.row.Cells[i]
		c.Family, c.Qualifier, c.Value, c.Tags = r.keep(c.Family), r.keep(c.Qualifier), r.keep(c.Value), r.keep(c.Tags)
	}
	r.owned = len(r.row.Cells)
}

// markersFor copies the delete markers among cells that may hide k, or what follows it: the next record of a row that is split
// begins with them, so that each can be understood by itself.
func markersFor(k *cell.Cell, cells []schema.Cell) (markers []schema.Cell) {
	family, column := -1, -1 // the newest marker of each, in markers: it covers the older ones
	newest := func(at *int, m schema.Cell) {
		if *at < 0 {
			*at, markers = len(markers), append(markers, m)
		} else if m.Timestamp > markers[*at].Timestamp {
			markers[*at] = m
		}
	}
	for _, m := range cells {
		if m.Type == schema.Put || !bytes.Equal(m.Family, k.Family) {
			continue
		}
		m.Family, m.Qualifier, m.Value, m.Tags = bytes.Clone(m.Family), bytes.Clone(m.Qualifier), bytes.Clone(m.Value), bytes.Clone(m.Tags)
		same := bytes.Equal(m.Qualifier, k.Qualifier)
		switch {
		case m.Type == schema.DeleteFamily:
			newest(&family, m)
		case m.Type == schema.DeleteColumn && same:
			newest(&column, m)
		case m.Type == schema.DeleteFamilyVersion, m.Type == schema.Delete && same && m.Timestamp <= k.Timestamp:
			markers = append(markers, m)
		}
	}
	return markers
}

// cellOverhead is what HBase stores for a cell beside its row, family, qualifier, value and tags: lengths, timestamp, type.
const cellOverhead = 22

func (r *reader) keep(b []byte) []byte {
	n := len(r.arena)
	r.arena = append(r.arena, b...)
	return r.arena[n:len(r.arena):len(r.arena)]
}

// flush emits the row at hand. complete: no more cells of it follow.
func (r *reader) flush(ctx context.Context, complete bool) error {
	if r.row.Row == nil {
		return nil
	}
	c := &r.row
	c.Table, c.Sequence, c.Timestamp = r.sh.table.Name, 0, r.now
	c.Source = schema.Source{
		Version: r.cfg.Version, Connector: r.cfg.Connector, ClusterID: r.cfg.ClusterID, Region: r.sh.region.Encoded,
		Kind: schema.KindScan, Epoch: r.sh.table.Epoch,
	}
	if len(c.Cells) > 0 { // else none of its cells is in scope
		if err := r.cur.batch.Add(c); err != nil {
			return err
		}
		crash.Point(crash.MidShard)
	}
	size, rows := r.bytes, int64(0)
	if complete {
		rows = 1
		r.cur.resume = append(append(r.cur.resume[:0], c.Row...), 0) // the next row that can exist
	}
	r.cur.rows += rows
	r.cur.size += size
	r.untold.rows += rows
	r.untold.cells += len(c.Cells)
	r.untold.bytes += size
	if r.untold.rows >= tellRows || r.cfg.Limiter.Active() {
		r.tell()
	}
	r.clear()
	return r.cfg.Limiter.Wait(ctx, rows, size)
}

// tell has Stats know what was read since the last time.
func (r *reader) tell() {
	u := &r.untold
	if u.bytes == 0 {
		return
	}
	r.cfg.Stats.Row(r.sh.table.Name, u.rows, u.cells, u.bytes)
	if d, ok := r.est.read(u.bytes); ok {
		r.cfg.Stats.Left(d)
	}
	u.rows, u.cells, u.bytes = 0, 0, 0
}
