package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/schema"
)

// table is a table at work.
type table struct {
	name, target string // at the source and at the target
	sides        [2]*side
	renames      schema.TableFamilies
	countsAll    bool // all cells that are read are in scope, and counted
}

// reading is what one comparison of a row's cells has found.
type reading struct {
	has        [2]bool // which ends have cells of the row
	found      int     // findings that count
	exceptions map[Exception]int64
	kinds      map[Kind]int64
}

// expires is when a cell's time to live is over, by its tags or its family's, ms.
func expires(c *schema.Cell, ttl int64) int64 {
	if own, ok, err := cell.TTL(c.Tags); err == nil && ok && (ttl == 0 || own < ttl) {
		ttl = own
	}
	if ttl <= 0 || c.Timestamp > math.MaxInt64-ttl {
		return math.MaxInt64
	}
	return c.Timestamp + ttl
}

// errRestart: a row's scanner was lost in its middle.
var errRestart = errors.New("the row is to be read anew")

// compareRow reads a row at both ends and hands what differs to found. The target is read first: its scanner is open, and so
// sees nothing newer, before that of the source is. All that the source has sent, and the target shows, is at the source then.
//
// With in the row is the next one of those; errRestart says then that it must be read by itself.
func (c *comparison) compareRow(ctx context.Context, t *table, key []byte, in *rowsInStep, found func(*finding) error) (reading, error) {
	for {
		r := reading{exceptions: make(map[Exception]int64), kinds: make(map[Kind]int64)}
		d := &differ{raw: !c.Visible, now: time.Now().UnixMilli(), about: [2]map[string]familyAbout{t.sides[0].about, t.sides[1].about}}
		var compacted [2]*int64 // asked once for all markers of the row
		d.compacted = func(end int, ts int64) (bool, error) {
			if compacted[end] == nil {
				at, err := c.compacted[end].of(ctx, t.sides[end], key)
				if err != nil {
					return false, err
				}
				compacted[end] = &at
			}
			return *compacted[end] > ts, nil
		}
		var pending []*finding // of a reading that may have to begin anew
		size := 0
		d.found = func(f *finding) error {
			ts := f.any().Timestamp
			if ts < c.MinTimestamp || c.MaxTimestamp > 0 && ts >= c.MaxTimestamp {
				return nil
			}
			if f.excused {
				r.exceptions[f.exception]++
			} else {
				r.found++
				r.kinds[f.kind]++
			}
			pending = append(pending, f.clone())
			for _, k := range f.cells {
				if k != nil {
					size += len(k.Value)
				}
			}
			if len(pending) < maxHeld && size < maxHeldBytes {
				return nil
			}
			// Too many to hold: what is told twice does no harm.
			size = 0
			return tellAll(&pending, found)
		}
		var err error
		if in != nil {
			if err = in.row(ctx, key, d, &r); err == nil && in.reopened() {
				err = errRestart
			}
		} else if err = c.readInStep(ctx, t, key, d, &r); errors.Is(err, errRestart) {
			continue
		}
		if err != nil {
			return r, err
		}
		return r, tellAll(&pending, found)
	}
}

func tellAll(pending *[]*finding, found func(*finding) error) error {
	for _, f := range *pending {
		if err := found(f); err != nil {
			return err
		}
	}
	*pending = (*pending)[:0]
	return nil
}

func (f *finding) clone() *finding {
	out := *f
	for e, c := range f.cells {
		if c != nil {
			k := cloneCell(c)
			out.cells[e] = &k
		}
	}
	return &out
}

// readInStep hands the cells of a row, those of one place together, to d.
func (c *comparison) readInStep(ctx context.Context, t *table, key []byte, d *differ, r *reading) error {
	for _, families := range groups(t.sides, t.renames) {
		in := openRows(t, oneRow(key), families, c.retry)
		err := in.cells(ctx, key, d, r)
		in.close(ctx)
		if err != nil {
			return err
		}
	}
	return d.finish()
}

// rowsInStep reads rows of both ends, one after the other.
type rowsInStep struct {
	iters [2]*cellIter
	lost  bool // the rows that are left are to be read by themselves
}

// openRows is for the rows of a span; of families that are empty, and not nil, an end has nothing.
func openRows(t *table, sp span, families [2][]string, retry func(error)) *rowsInStep {
	in := new(rowsInStep)
	for e, s := range t.sides {
		in.iters[e] = &cellIter{side: s, cur: s.open(sp, families[e], 0, 0, retry)}
		if families[e] != nil && len(families[e]) == 0 {
			in.iters[e].cur.done = true
		}
	}
	return in
}

func (in *rowsInStep) close(ctx context.Context) {
	for _, i := range in.iters {
		i.cur.close(ctx)
	}
}

// reopened tells whether an end's scanner is not the first one: the source's may be older than the target's then.
func (in *rowsInStep) reopened() bool { return in.iters[0].cur.opens > 1 || in.iters[1].cur.opens > 1 }

// row hands all cells of a row, which is behind those before it, to d.
func (in *rowsInStep) row(ctx context.Context, key []byte, d *differ, r *reading) error {
	if err := in.cells(ctx, key, d, r); err != nil {
		return err
	}
	return d.finish()
}

func (in *rowsInStep) cells(ctx context.Context, key []byte, d *differ, r *reading) error {
	for _, e := range []int{1, 0} {
		i := in.iters[e]
		i.row, i.last.set = key, false
		if err := i.cur.begin(ctx); err != nil {
			return err
		}
	}
	return mergeCells(ctx, in.iters, d, r)
}

func mergeCells(ctx context.Context, iters [2]*cellIter, d *differ, r *reading) error {
	var at [2]*schema.Cell
	for e, i := range iters {
		var err error
		if at[e], err = i.next(ctx); err != nil {
			return err
		}
	}
	for at[0] != nil || at[1] != nil {
		order := 0
		switch {
		case at[0] == nil:
			order = 1
		case at[1] == nil:
			order = -1
		default:
			order = compareCells(at[0], at[1])
		}
		cells := at
		if order < 0 {
			cells[1] = nil
		} else if order > 0 {
			cells[0] = nil
		}
		if err := d.add(cells); err != nil {
			return err
		}
		for e := range cells {
			if cells[e] == nil {
				continue
			}
			r.has[e] = true
			var err error
			if at[e], err = iters[e].next(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// cellIter hands out the cells of a row, and then of a later one.
type cellIter struct {
	side  *side
	row   []byte
	cur   *cursor
	cells []cell.Cell
	last  lastCell
	view  view
}

// next returns the row's next cell in scope, nil at its end. It is valid until the next call.
func (i *cellIter) next(ctx context.Context) (*schema.Cell, error) {
	for {
		for len(i.cells) > 0 {
			k := &i.cells[0]
			order := bytes.Compare(k.Row, i.row)
			if order > 0 {
				return nil, nil
			}
			i.cells = i.cells[1:]
			if order < 0 {
				continue
			}
			if !i.last.twice(k) && i.side.keep(k, &i.view) {
				return &i.view.Cell, nil
			}
		}
		cells, again, _, err := i.cur.next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return nil, nil
		case err != nil:
			return nil, err
		case again:
			return nil, errRestart
		}
		i.cells = cells
	}
}

// difference describes a finding.
func (c *comparison) difference(t *table, key []byte, f *finding) Difference {
	k := f.any()
	d := Difference{Table: t.name, Target: t.target, Row: bytes.Clone(key), Kind: f.kind, Exception: f.exception, Family: string(k.Family),
		Qualifier: bytes.Clone(k.Qualifier), Timestamp: k.Timestamp, Type: k.Type.String()}
	d.Text = fmt.Sprintf("%q %s:%q @%d %s", key, k.Family, k.Qualifier, k.Timestamp, k.Type)
	cut := func(b []byte) []byte { return bytes.Clone(b[:min(len(b), c.ValueBytes)]) }
	if s := f.cells[0]; s != nil {
		d.SourceValue, d.SourceLength, d.SourceTags = cut(s.Value), len(s.Value), bytes.Clone(s.Tags)
	}
	if s := f.cells[1]; s != nil {
		d.TargetValue, d.TargetLength, d.TargetTags = cut(s.Value), len(s.Value), bytes.Clone(s.Tags)
	}
	switch {
	case f.cells[1] == nil:
		d.At = AtSource
	case f.cells[0] == nil:
		d.At = AtTarget
	}
	return d
}
