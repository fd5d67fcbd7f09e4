package verify

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// maxWaiting bounds the rows that wait to be read again: the reading ahead waits then, too.
	maxWaiting = 100_000
	// maxRemembered bounds the differences of one row that are remembered between readings, maxAllRemembered about those of all
	// rows: beyond it no more rows are read for the first time. It is looked at when readAtOnce rows were read, or more that are small.
	maxRemembered    = 1 << 14
	maxAllRemembered = 1 << 21
	readAtOnce       = 128
	smallAtOnce      = 4096
	smallBytes       = 16 << 20 // of all of them
	unknownBytes     = 64 << 10 // what a row is taken for whose size is not known
	// A row with more differences than are remembered counts when so many readings have found as many.
	maxOverflows = 3
	// readers, times Options.Parallel, read suspects at once: most of the time they wait for an answer.
	readers = 4
	// So many rows, of so many bytes, are read by one scan, where no more than groupGap bytes lie between two of them.
	groupRows  = 256
	groupBytes = 1 << 20
	groupGap   = 16 << 10
	// Pauses between readings when nothing proves that the target has caught up.
	pauseMin = 250 * time.Millisecond
	pauseMax = 5 * time.Second
)

// suspect is a row that differed.
type suspect struct {
	table *table
	key   []byte
	part  *part // of the range that it was found in
	place place

	readings int
	first    time.Time       // when it was first read cell by cell
	differs  map[uint64]bool // what differed in all readings so far; nil: nothing is remembered
	// overflows counts readings that found more than is remembered.
	overflows int
}

// place is where a row was met while a unit was read in step: bytes of the unit that were read before it, and up to its end. One of which
// that is not known has no unit.
type place struct {
	unit       *unit
	begin, end int64
}

// settler reads suspects again until it is clear what they are.
type settler struct {
	*comparison
	slots      chan struct{} // one for each suspect
	remembered atomic.Int64  // differences, of all suspects

	mu    sync.Mutex
	queue []*suspect
	wake  chan struct{}
	ended bool // no more come
}

func newSettler(c *comparison) *settler {
	return &settler{comparison: c, slots: make(chan struct{}, maxWaiting), wake: make(chan struct{}, 1)}
}

// add takes a row that differs; it waits while too many do.
func (s *settler) add(ctx context.Context, t *table, key []byte, p *part, at place) error {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	s.mu.Lock()
	s.queue = append(s.queue, &suspect{table: t, key: key, part: p, place: at})
	s.mu.Unlock()
	s.signal()
	return nil
}

func (s *settler) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// end says that no more suspects come.
func (s *settler) end() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.signal()
}

// take returns the suspects that have come, nil when there will be no more.
func (s *settler) take(ctx context.Context) ([]*suspect, error) {
	for {
		s.mu.Lock()
		batch, ended := s.queue, s.ended
		s.queue = nil
		s.mu.Unlock()
		if len(batch) > 0 || ended {
			return batch, nil
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// run settles suspects until end was called and none is left.
func (s *settler) run(ctx context.Context) error {
	var fresh, waiting []*suspect
	pause := pauseMin
	for {
		if len(waiting)+len(fresh) == 0 {
			var err error
			if fresh, err = s.take(ctx); err != nil {
				return err
			}
			if len(fresh) == 0 {
				return nil
			}
		} else {
			s.mu.Lock()
			fresh, s.queue = append(fresh, s.queue...), nil
			s.mu.Unlock()
		}
		if len(fresh) > 0 {
			pause = pauseMin
		}
		for len(fresh) > 0 && (len(waiting) == 0 || s.remembered.Load() < maxAllRemembered) {
			n := atOnce(fresh)
			left, err := s.read(ctx, fresh[:n])
			if err != nil {
				return err
			}
			fresh, waiting = fresh[n:], append(waiting, left...)
		}
		if len(waiting) == 0 {
			continue
		}
		if err := s.wait(ctx, pause); err != nil {
			return err
		}
		pause = min(2*pause, pauseMax)
		var err error
		if waiting, err = s.read(ctx, waiting); err != nil {
			return err
		}
	}
}

// atOnce is how many of the first suspects are read before it is looked at what is remembered of them.
func atOnce(fresh []*suspect) int {
	n, size := 0, int64(0)
	for ; n < min(len(fresh), smallAtOnce); n++ {
		p := fresh[n].place
		if size += p.end - p.begin; p.unit == nil {
			size += unknownBytes
		}
		if n >= readAtOnce && size > smallBytes {
			break
		}
	}
	return n
}

// wait returns when the target must have what the source had when the suspects were last read: proved, or after a pause.
func (s *settler) wait(ctx context.Context, pause time.Duration) error {
	if s.pipe != nil && !s.pipe.NoWatermark {
		return s.pipe.caughtUp(ctx)
	}
	s.waitingFor.Store("the rows that differ to be read again")
	defer s.waitingFor.Store("")
	return sleep(ctx, pause)
}

// read reads each suspect once; it returns those that are not settled.
func (s *settler) read(ctx context.Context, batch []*suspect) ([]*suspect, error) {
	slices.SortFunc(batch, func(a, b *suspect) int {
		if c := strings.Compare(a.table.name, b.table.name); c != 0 {
			return c
		}
		return bytes.Compare(a.key, b.key)
	})
	left := make([]bool, len(batch))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(readers * s.Parallel)
	for i := 0; i < len(batch); {
		n := s.neighbours(batch[i:])
		group, again := batch[i:i+n], left[i:i+n]
		i += n
		g.Go(func() error { return s.readGroup(gctx, group, again) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var out []*suspect
	for i, x := range batch {
		if left[i] {
			out = append(out, x)
		}
	}
	return out, nil
}

// neighbours is how many of the first suspects are read by one scan of each end, and not by a call for each row and end: they lie side by side,
// with little between them, as far as that is known.
func (s *settler) neighbours(sorted []*suspect) int {
	first := sorted[0]
	if first.place.unit == nil || !first.table.countsAll || len(first.table.renames) > 0 {
		return 1
	}
	n := 1
	for ; n < len(sorted) && n < groupRows; n++ {
		at, before := sorted[n].place, sorted[n-1].place
		if at.unit != first.place.unit || at.begin-before.end > groupGap || at.end-first.place.begin > groupBytes {
			break
		}
	}
	return n
}

// readGroup reads suspects side by side; again says which must be read again.
func (s *settler) readGroup(ctx context.Context, group []*suspect, again []bool) (err error) {
	var in *rowsInStep
	if t := group[0].table; len(group) > 1 {
		sp := span{group[0].key, append(bytes.Clone(group[len(group)-1].key), 0)}
		in = openRows(t, sp, [2][]string{t.sides[0].families, t.sides[1].families}, s.retry)
		defer in.close(ctx)
	}
	for i, x := range group {
		if in != nil && in.lost {
			in.close(ctx)
			in = nil
		}
		if again[i], err = s.readOne(ctx, x, in); err != nil {
			return err
		}
	}
	return nil
}

// final tells whether what this reading finds, and all before it have found, counts.
func (s *settler) final(x *suspect) bool {
	switch {
	case s.NoRecheck:
		return true
	case x.readings == 0, x.overflows > 0 && x.overflows < maxOverflows && x.differs == nil:
		return false
	case s.pipe != nil && s.pipe.proved():
		return true
	}
	return time.Since(x.first) >= s.RecheckFor
}

// readOne reads a suspect; it returns whether it must be read again. With in it is the next row of those.
func (s *settler) readOne(ctx context.Context, x *suspect, in *rowsInStep) (again bool, err error) {
	if x.readings == 0 {
		x.first = time.Now()
	}
	final := s.final(x)
	var h hasher
	now := make(map[uint64]bool)
	overflow := false
	counted := Counts{Differences: make(map[Kind]int64), Exceptions: make(map[Exception]int64)}
	var excused []Difference
	found := func(f *finding) error {
		if f.excused {
			if s.Exceptions && len(excused) < maxHeld {
				excused = append(excused, s.difference(x.table, x.key, f))
			}
			return nil
		}
		id := f.id(&h)
		if x.readings > 0 && x.differs != nil && !x.differs[id] {
			return nil
		}
		if now[id] {
			return nil // the row was begun anew
		}
		if len(now) < maxRemembered {
			now[id] = true
		} else {
			overflow = true
		}
		if !final {
			return nil
		}
		counted.Differences[f.kind]++
		if s.act != nil {
			if err := s.act(ctx, x.table, x.key, f); err != nil {
				return err
			}
		}
		return s.report(s.difference(x.table, x.key, f))
	}
	r, err := s.compareRow(ctx, x.table, x.key, in, found)
	if in != nil && errors.Is(err, errRestart) {
		in.lost = true
		r, err = s.compareRow(ctx, x.table, x.key, nil, found)
	}
	if err != nil {
		return false, err
	}
	if final && s.rowRead != nil {
		if err := s.rowRead(ctx, x.table, x.key); err != nil {
			return false, err
		}
	}
	x.readings++
	s.remembered.Add(int64(-len(x.differs)))
	if len(now) > 0 && !final {
		x.differs = now
		if overflow {
			x.differs = nil
			x.overflows++
		}
		s.remembered.Add(int64(len(x.differs)))
		return true, nil
	}
	if !s.byRow() || x.readings > 1 {
		counted.RecheckedRows = 1
	}
	for why, n := range r.exceptions {
		counted.Exceptions[why] += n
	}
	for i := range excused {
		if err := s.write(excused[i]); err != nil {
			return false, err
		}
	}
	switch {
	case len(now) > 0:
		counted.BadRows = 1
		switch {
		case !r.has[1]:
			counted.OnlyInSourceRows = 1
		case !r.has[0]:
			counted.OnlyInTargetRows = 1
		default:
			counted.ContentDifferentRows = 1
		}
	default:
		if r.has[0] || r.has[1] {
			counted.GoodRows = 1
		}
		counted.SettledRows = counted.RecheckedRows
		if len(r.exceptions) > 0 {
			counted.ExceptedRows = 1
		}
	}
	<-s.slots
	if bad := x.part.settled(&counted); s.MaxBadRows > 0 && bad >= s.MaxBadRows {
		return false, errEnough
	}
	return false, nil
}

// waitingRows is how many rows are to be read again.
func (s *settler) waitingRows() int { return len(s.slots) }
