package verify

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/fnv"
	"hash/maphash"

	"golang.org/x/sync/errgroup"
)

// compare compares what is left of a unit.
func (c *comparison) compare(ctx context.Context, u *unit) error {
	m := &merger{comparison: c, unit: u, part: u.begin(&c.live), hash: c.Mode == Hash}
	if err := m.span(ctx, u.left()); err != nil {
		return err
	}
	m.count()
	m.part.close(nil, true)
	return nil
}

// merger takes the rows of both ends in step.
type merger struct {
	*comparison
	unit   *unit
	part   *part
	counts Counts // not yet in part
	hash   bool   // ranges are compared by hash
	again  bool   // what is read was counted before
	read   int64  // bytes, of the end that has more of each row
	chunk  chunk
}

// chunk is a range of rows in mode Hash.
type chunk struct {
	rows  int
	read  int64  // merger.read before it
	start []byte // its first row
	end   []byte // its last row
	sums  [2]uint64
	n     [2]int64
}

// span compares a range of rows.
func (m *merger) span(ctx context.Context, sp span) error {
	g, ctx := errgroup.WithContext(ctx)
	t := m.unit.table
	var rows [2]chan []row
	for e, s := range t.sides {
		rows[e] = make(chan []row, batchesAhead)
		r := &rowReader{side: s, cur: s.open(sp, s.families, m.MinTimestamp, m.MaxTimestamp, m.retry), wait: m.limiters[e].Wait}
		g.Go(func() error { return r.run(ctx, rows[e]) })
	}
	g.Go(func() error {
		if err := m.merge(ctx, rows); err != nil {
			return err
		}
		return m.endChunk(ctx)
	})
	return g.Wait()
}

// feed hands out the rows of one end.
type feed struct {
	rows  <-chan []row
	batch []row
}

// peek returns the next row, nil at the end.
func (f *feed) peek(ctx context.Context) (*row, error) {
	for len(f.batch) == 0 {
		select {
		case batch, ok := <-f.rows:
			if !ok {
				return nil, nil
			}
			f.batch = batch
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return &f.batch[0], nil
}

func (m *merger) merge(ctx context.Context, rows [2]chan []row) error {
	feeds := [2]feed{{rows: rows[0]}, {rows: rows[1]}}
	for {
		var at [2]*row
		for e := range feeds {
			var err error
			if at[e], err = feeds[e].peek(ctx); err != nil {
				return err
			}
		}
		switch {
		case at[0] == nil && at[1] == nil:
			return nil
		case at[0] != nil && at[1] != nil:
			if order := bytes.Compare(at[0].key, at[1].key); order < 0 {
				at[1] = nil
			} else if order > 0 {
				at[0] = nil
			}
		}
		if err := m.row(ctx, at); err != nil {
			return err
		}
		for e := range feeds {
			if at[e] != nil {
				feeds[e].batch = feeds[e].batch[1:]
			}
		}
	}
}

// row takes the next row, of which one end may have nothing.
func (m *merger) row(ctx context.Context, at [2]*row) error {
	key := []byte(nil)
	if at[0] != nil {
		key = at[0].key
		if !m.again {
			m.counts.Cells += at[0].cells
			m.counts.Bytes += at[0].bytes
		}
	} else {
		key = at[1].key
	}
	m.part.rows++
	before := m.read
	for _, r := range at {
		if r != nil {
			m.read = max(m.read, before+r.bytes)
		}
	}
	switch {
	case m.Mode == SampleRows && !chosen(key, m.SampleRatio):
		m.counts.SkippedRows++
	case m.hash:
		return m.chunkRow(ctx, key, at, before)
	case at[0] != nil && at[1] != nil && at[0].sum == at[1].sum && at[0].cells == at[1].cells:
		m.counts.GoodRows++
	default:
		m.part.suspect()
		if err := m.settler.add(ctx, m.unit.table, bytes.Clone(key), m.part, place{m.unit, before, m.read}); err != nil {
			return err
		}
	}
	m.next(key)
	return nil
}

// next closes the part at hand behind key when it is due.
func (m *merger) next(key []byte) {
	if m.part.rows%64 != 0 || !m.part.due() {
		return
	}
	m.count()
	m.part.close(append(bytes.Clone(key), 0), false)
	m.part = m.unit.begin(&m.live)
}

func (m *merger) count() {
	m.part.count(&m.counts)
	m.counts = Counts{}
}

// chunkRow adds a row to the range at hand.
func (m *merger) chunkRow(ctx context.Context, key []byte, at [2]*row, read int64) error {
	k := &m.chunk
	if k.rows == 0 {
		k.start, k.read = bytes.Clone(key), read
	}
	k.rows++
	k.end = append(k.end[:0], key...)
	for e, r := range at {
		if r != nil {
			k.n[e]++
			k.sums[e] += maphash.Bytes(seed, binary.LittleEndian.AppendUint64(bytes.Clone(r.key), r.sum))
		}
	}
	if k.rows < m.HashRows {
		return nil
	}
	return m.endChunk(ctx)
}

// endChunk compares the hashes of the range at hand, and its rows when they differ.
func (m *merger) endChunk(ctx context.Context) error {
	k := m.chunk
	m.chunk = chunk{}
	if k.rows == 0 {
		return nil
	}
	if k.sums[0] == k.sums[1] && k.n[0] == k.n[1] {
		m.counts.GoodRows += k.n[0]
	} else {
		m.count() // before the part is closed
		rows := &merger{comparison: m.comparison, unit: m.unit, part: m.part, again: true, read: k.read}
		if err := rows.span(ctx, span{k.start, append(bytes.Clone(k.end), 0)}); err != nil {
			return err
		}
		rows.count()
		m.part = rows.part
	}
	if m.part.due() {
		m.count()
		m.part.close(append(bytes.Clone(k.end), 0), false)
		m.part = m.unit.begin(&m.live)
	}
	return nil
}

// chosen tells whether a row belongs to the sample. The same rows do in every run.
func chosen(key []byte, ratio float64) bool { return float64(spread(key))/(1<<64) < ratio }

// spread is a hash of key whose values are spread evenly.
func spread(key []byte) uint64 {
	h := fnv.New64a()
	h.Write(key)
	x := h.Sum64()
	x ^= x >> 33 // the finalizer of murmur3: FNV's upper bits depend little on the last bytes
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
