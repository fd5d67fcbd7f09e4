package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/e2e/judge"
)

// regions of a table: as few as keep one server's threads busy.
const regions = 4

// pollInterval is how finely the end of a drain is seen.
const pollInterval = 10 * time.Millisecond

// longPoll is for what takes many seconds. A sink that was asked every 10 ms used a tenth of its CPU time for the answers.
const longPoll = 50 * time.Millisecond

// Shape is what the cells of a table look like.
type Shape struct {
	Name    string
	Columns int
	Value   int   // bytes
	Cells   int64 // at scale 1
	Singly  bool  // each row is a WAL edit of its own; else an edit holds what a client's batch has for a region
}

// attributes of the table that make the shape. What online writers put one by one, HBase logs row by row; it does so with the
// rows of a batch too when a mini-batch is one row, and then writing them takes a third of the time.
func (s Shape) attributes() map[string]string {
	if !s.Singly {
		return nil
	}
	return map[string]string{"hbase.regionserver.minibatch.size": "1", "DURABILITY": "ASYNC_WAL"}
}

var (
	oneMillion    = Shape{Name: "100 B", Columns: 1, Value: 100, Cells: 1_000_000}
	threeMillion  = Shape{Name: "100 B", Columns: 1, Value: 100, Cells: 3_000_000}
	fourMillion   = Shape{Name: "100 B", Columns: 1, Value: 100, Cells: 4_000_000}
	sixMillion    = Shape{Name: "100 B", Columns: 1, Value: 100, Cells: 6_000_000}
	twentyMillion = Shape{Name: "20 M cells, 20 columns of 100 B", Columns: 20, Value: 100, Cells: 20_000_000}
	singlePuts    = Shape{Name: "100 B, single puts", Columns: 1, Value: 100, Cells: 1_000_000, Singly: true}
	twentyColumns = Shape{Name: "20 columns of 100 B", Columns: 20, Value: 100, Cells: 1_000_000}
	halfMillion   = Shape{Name: "20 columns of 100 B", Columns: 20, Value: 100, Cells: 500_000}
	tenBytes      = Shape{Name: "10 B", Columns: 1, Value: 10, Cells: 1_000_000}
	tenKiB        = Shape{Name: "10 KiB", Columns: 1, Value: 10 << 10, Cells: 50_000}
)

func (s Shape) rows(scale float64) int64 {
	return max(int64(float64(s.Cells)*scale)/int64(s.Columns), 1000)
}

// backlog is a WAL that held peers have yet to get, each from its first to its last cell.
type backlog struct {
	table string
	shape Shape
	rows  int64
	cells int64
}

// receiver is a peer that takes a backlog in: a side.
type receiver interface {
	// prepare makes HBase's peer addable, before the backlog is written.
	prepare(ctx context.Context, bl *backlog) (judge.Peer, error)
	// ready brings the receiver up, shortly before its turn.
	ready(ctx context.Context) error
	// drained waits until it has acknowledged everything, and tells from when to when that is measured.
	drained(ctx context.Context, cells int64) (span, error)
	// pids are its processes, by name, for CPU time and memory.
	pids() map[string]int
	close(ctx context.Context) error
}

// span is what of a drain gives its rate: from the beginning of the second call on, if there are enough. Before the first one HBase
// reads a whole batch, and has not yet anyone to wait for.
type span struct {
	first, last time.Time
	before      int64     // cells acknowledged before it
	half        time.Time // when half of its cells were; zero: not looked at
}

// enoughCalls is how many calls a drain must have for its first one to be left out.
const enoughCalls = 4

// newTable creates a table at a cluster, with the regions of all tables of the bench.
func newTable(ctx context.Context, c *judge.Cluster, name string, attributes map[string]string) error {
	return c.CreateTable(ctx, judge.Table{Name: name, Families: []judge.Family{{Name: "f", Scope: 1}}, Splits: judge.HexSplits(regions), Attributes: attributes})
}

// write fills a table with rows from first on, side by side.
func (b *bench) write(ctx context.Context, table string, s Shape, first, rows int64) error {
	const writers = 3
	errs := make([]error, writers)
	var all sync.WaitGroup
	for i := range int64(writers) {
		all.Go(func() {
			from, to := first+rows*i/writers, first+rows*(i+1)/writers
			_, errs[i] = b.env.Src.Load(ctx, table, judge.LoadSpec{
				FirstRow: from, Rows: to - from, Seed: 1, Families: []string{"f"}, Columns: s.Columns, ValueSize: s.Value,
			})
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// newBacklog adds the peers, held, and then writes: each of them has the same WAL to get.
func (b *bench) newBacklog(ctx context.Context, s Shape, sides ...receiver) (*backlog, error) {
	bl := &backlog{table: b.name("t"), shape: s, rows: s.rows(b.scale)}
	bl.cells = bl.rows * int64(s.Columns)
	if err := newTable(ctx, b.env.Src, bl.table, s.attributes()); err != nil {
		return nil, err
	}
	if err := b.env.Src.RollWALs(ctx); err != nil {
		return nil, err
	}
	for _, r := range sides {
		p, err := r.prepare(ctx, bl)
		if err != nil {
			return nil, err
		}
		p.Disabled = true
		p.Tables = map[string][]string{bl.table: {}}
		if err := b.env.Src.AddPeer(ctx, p); err != nil {
			return nil, err
		}
	}
	start := time.Now()
	if err := b.write(ctx, bl.table, s, 0, bl.rows); err != nil {
		return nil, err
	}
	b.step("  %s: wrote a backlog of %d cells in %.1f s for %d peers", s.Name, bl.cells, time.Since(start).Seconds(), len(sides))
	return bl, b.env.Src.RollWALs(ctx) // so that all of it is in whole files: no round reads one that is being written
}

// Drain is one round of one side.
type Drain struct {
	Cells   int64   `json:"cells"`
	Seconds float64 `json:"seconds"` // see span
	Before  int64   `json:"cellsBefore,omitempty"`
	// Half is the time that the first half of the cells took, of those that Seconds is of.
	Half float64 `json:"firstHalfSeconds,omitempty"`
	// Enabled is from the enabling of the peer, what the source takes to wake up included.
	Enabled float64            `json:"secondsFromEnable"`
	CPU     map[string]float64 `json:"cpuSeconds"`     // by process
	CPUOver float64            `json:"cpuOverSeconds"` // the time in which it was used
	Peak    map[string]float64 `json:"peakMiB,omitempty"`
	// Network is what went over the loopback meanwhile, bytes; where that is looked at.
	Network int64 `json:"loopbackBytes,omitempty"`
	// Others is the part of the machine that was taken by what is not of the bench, the hypervisor included, from the start of
	// the round's processes to their end: 0 to 1.
	Others float64 `json:"othersShare"`
}

func (d *Drain) rate() float64        { return float64(d.Cells-d.Before) / d.Seconds }
func (d *Drain) enabledRate() float64 { return float64(d.Cells) / d.Enabled }

// perMillion is the CPU time of a process for a million cells.
func (d *Drain) perMillion(process string) float64 { return d.CPU[process] / float64(d.Cells) * 1e6 }

// drain lets a peer have the backlog, and removes it.
func (b *bench) drain(ctx context.Context, bl *backlog, r receiver, peer string) (*Drain, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	if err := r.ready(ctx); err != nil {
		return nil, err
	}
	pids := b.servers()
	maps.Copy(pids, r.pids())
	before, err := cpuOf(pids)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := b.env.Src.EnablePeer(ctx, peer); err != nil {
		return nil, err
	}
	s, err := r.drained(ctx, bl.cells)
	if err != nil {
		return nil, err
	}
	d := &Drain{Cells: bl.cells, Seconds: s.last.Sub(s.first).Seconds(), Before: s.before, Enabled: s.last.Sub(start).Seconds(), CPUOver: time.Since(start).Seconds(), Peak: map[string]float64{}}
	if !s.half.IsZero() {
		d.Half = s.half.Sub(s.first).Seconds()
	}
	if d.CPU, err = cpuSince(before, pids); err != nil {
		return nil, err
	}
	for name, pid := range r.pids() {
		if d.Peak[name], err = peakMemory(pid); err != nil {
			return nil, err
		}
	}
	return d, errors.Join(r.close(ctx), b.env.Src.RemovePeer(ctx, peer))
}

// servers are the processes of the servers, by name.
func (b *bench) servers() map[string]int {
	return map[string]int{sourceServer: b.env.Source.PID(), destinationServer: b.env.Destination.PID(), kafkaServer: b.env.Kafka.PID()}
}

// cpuSince is the CPU time that processes have used since before; one that is not in it counts from its start.
func cpuSince(before map[string]float64, pids map[string]int) (map[string]float64, error) {
	used, err := cpuOf(pids)
	for name := range used {
		used[name] -= before[name]
	}
	return used, err
}

func cpuOf(pids map[string]int) (map[string]float64, error) {
	out := make(map[string]float64, len(pids))
	for name, pid := range pids {
		s, err := cpuSeconds(pid)
		if err != nil {
			return nil, err
		}
		out[name] = s
	}
	return out, nil
}

// counting is the side that only counts.
type counting struct {
	b    *bench
	id   string
	pace func() float64 // nil: none
	c    *counter
}

func (s *counting) prepare(ctx context.Context, _ *backlog) (judge.Peer, error) {
	return s.b.registered(ctx, s.id)
}

func (s *counting) ready(ctx context.Context) (err error) {
	pace := 0.0
	if s.pace != nil {
		pace = s.pace()
	}
	s.c, err = startCounter(ctx, s.b.env.Source.ZKQuorum(), "/"+s.id, pace)
	return err
}

func (s *counting) drained(ctx context.Context, cells int64) (span, error) {
	for s.c.cells.Load() < cells {
		if err := sleep(ctx, pollInterval); err != nil {
			return span{}, fmt.Errorf("counting peer %s has %d of %d cells: %w", s.id, s.c.cells.Load(), cells, err)
		}
	}
	return s.c.span(), nil
}

func (s *counting) pids() map[string]int { return nil }

func (s *counting) close(context.Context) error { return s.c.close() }

// registered makes the znodes of a virtual cluster that comes up later: HBase asks for its id as soon as the peer is added.
func (b *bench) registered(ctx context.Context, id string) (judge.Peer, error) {
	r, err := register(ctx, b.env.Source.ZKQuorum(), "/"+id, 1)
	if err != nil {
		return judge.Peer{}, err
	}
	return judge.Peer{
		ID: id, ClusterKey: b.env.Source.ZKQuorum() + ":/" + id,
		Config: map[string]string{"hbase.replication.rpc.codec": "org.apache.hadoop.hbase.codec.KeyValueCodecWithTags"},
	}, r.Close()
}

// toKafka is the side that has waltap's source take the backlog into Kafka.
type toKafka struct {
	b       *bench
	id      string
	profile string // name of the profiles to take; "": none
	bl      *backlog
	w       *waltap
	finish  func() error
}

func (s *toKafka) prepare(ctx context.Context, bl *backlog) (judge.Peer, error) {
	s.bl = bl
	return s.b.registered(ctx, s.id)
}

func (s *toKafka) ready(ctx context.Context) (err error) {
	s.w, err = s.b.startWaltap(s.id, s.b.sourceKeys(s.id, s.bl.table, keys{
		"snapshot.mode": "no_data", "hbase.peer.create": "false", "watermark.mode": "off",
	}))
	if err != nil {
		return err
	}
	if err := s.w.awaitRunning(ctx); err != nil {
		return err
	}
	if s.profile != "" {
		s.finish = s.b.profile(ctx, s.w, s.profile, profileSeconds(s.bl.cells))
	}
	return nil
}

// profileSeconds covers a drain with room: what is idle at its ends is not in a CPU profile.
func profileSeconds(cells int64) int { return max(5, int(cells/150_000)) }

func (s *toKafka) drained(ctx context.Context, cells int64) (span, error) {
	all := span{first: time.Now()}
	var fromSecond span
	calls := int64(0)
	err := s.w.await(ctx, pollInterval, func(v *status.ProcessView) (bool, error) {
		c := &v.Connectors[0]
		calls, all.last = c.Calls, time.Now()
		switch calls { // each comes in at this time or later
		case 0:
			all.first = all.last
		case 1:
			fromSecond.first, fromSecond.before = all.last, c.Cells
		}
		if fromSecond.half.IsZero() && c.Cells >= fromSecond.before+(cells-fromSecond.before)/2 {
			fromSecond.half = all.last
		}
		return c.Cells >= cells, undisturbed(c)
	})
	if s.finish != nil {
		err = errors.Join(err, s.finish())
	}
	if calls >= enoughCalls && !fromSecond.first.IsZero() {
		fromSecond.last = all.last
		return fromSecond, err
	}
	return all, err
}

func (s *toKafka) pids() map[string]int { return map[string]int{source: s.w.PID()} }

func (s *toKafka) close(context.Context) error { return s.w.stop() }

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
