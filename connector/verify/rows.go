package verify

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/maphash"
	"io"

	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/schema"
)

const (
	// rowsPerBatch and batchesAhead bound how far the reader of one end may be ahead of the other's.
	rowsPerBatch = 512
	batchesAhead = 4
	// cellOverhead is what HBase stores for a cell beside its row, family, qualifier, value and tags.
	cellOverhead = 22
)

// seed of the row hashes: both ends are hashed in one process.
var seed = maphash.MakeSeed()

// row is what is kept of a row: its key and the sum of the hashes of its cells. A sum, as renamed families come in another order.
type row struct {
	key   []byte
	sum   uint64
	cells int64
	bytes int64
}

// view is a cell with its family's name at the source, and without what the scope leaves out of it.
type view struct {
	schema.Cell
	row []byte
}

// keep makes a view of k; false: it is out of scope. v points to the bytes of k.
func (s *side) keep(k *cell.Cell, v *view) bool {
	v.row = k.Row
	v.Cell = schema.Cell{Family: s.family(k.Family), Qualifier: k.Qualifier, Timestamp: k.Timestamp, Type: schema.CellType(k.Type), Value: k.Value, Tags: k.Tags}
	return s.keeper == nil || s.keeper.Keep(k.Row, &v.Cell)
}

// hasher sums up cells.
type hasher struct{ buf []byte }

// of is the hash of one cell. Its row is not part of it.
func (h *hasher) of(c *schema.Cell) uint64 {
	b := h.buf[:0]
	b = binary.LittleEndian.AppendUint32(b, uint32(len(c.Family)))
	b = append(b, c.Family...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(c.Qualifier)))
	b = append(b, c.Qualifier...)
	b = binary.LittleEndian.AppendUint64(b, uint64(c.Timestamp))
	b = append(b, byte(c.Type))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(c.Tags)))
	b = append(b, c.Tags...)
	b = append(b, c.Value...)
	h.buf = b
	return maphash.Bytes(seed, b)
}

// rowReader makes rows of the cells of a cursor.
type rowReader struct {
	side *side
	cur  *cursor
	wait func(ctx context.Context, rows, bytes int64) error // holds the reading back

	hash  hasher
	at    row
	open  bool // at is a row that may go on
	last  lastCell
	out   []row
	arena []byte
}

// lastCell tells a cell that a server shows twice: of two at one place the first is the newer, and counts.
type lastCell struct {
	family, qualifier []byte
	timestamp         int64
	typ               cell.Type
	set               bool
}

// twice tells whether k is at the place of the cell before it.
func (l *lastCell) twice(k *cell.Cell) bool {
	if l.set && l.timestamp == k.Timestamp && l.typ == k.Type && bytes.Equal(l.qualifier, k.Qualifier) && bytes.Equal(l.family, k.Family) {
		return true
	}
	l.set, l.timestamp, l.typ = true, k.Timestamp, k.Type
	l.family, l.qualifier = append(l.family[:0], k.Family...), append(l.qualifier[:0], k.Qualifier...)
	return false
}

// run sends the rows of the cursor's span, in batches, until its end or an error. Only at the end it closes out: rows that could
// not be read are not taken for rows that are not there.
func (r *rowReader) run(ctx context.Context, out chan<- []row) error {
	defer r.cur.close(ctx)
	for {
		cells, again, complete, err := r.cur.next(ctx)
		if errors.Is(err, io.EOF) {
			r.finish()
			if err := r.send(ctx, out); err != nil {
				return err
			}
			close(out)
			return nil
		}
		if err != nil {
			return err
		}
		if again {
			r.at.sum, r.at.cells, r.at.bytes, r.last.set = 0, 0, 0, false
		}
		var size, rows int64
		for i := range cells {
			k := &cells[i]
			if !r.open || !bytes.Equal(r.at.key, k.Row) {
				r.finish()
				r.begin(k.Row)
				rows++
			}
			size += r.add(k)
		}
		if complete {
			r.finish()
		}
		if len(r.out) >= rowsPerBatch || complete {
			if err := r.send(ctx, out); err != nil {
				return err
			}
		}
		if err := r.wait(ctx, rows, size); err != nil {
			return err
		}
	}
}

func (r *rowReader) begin(key []byte) {
	n := len(r.arena)
	r.arena = append(r.arena, key...)
	r.at, r.open, r.last.set = row{key: r.arena[n:len(r.arena):len(r.arena)]}, true, false
}

// add takes a cell into the row at hand, and returns its size.
func (r *rowReader) add(k *cell.Cell) int64 {
	size := int64(cellOverhead + len(k.Row) + len(k.Family) + len(k.Qualifier) + len(k.Value) + len(k.Tags))
	if r.last.twice(k) {
		return size
	}
	var v view
	if !r.side.keep(k, &v) {
		return size
	}
	r.at.sum += r.hash.of(&v.Cell)
	r.at.cells++
	r.at.bytes += size
	return size
}

// finish hands on the row at hand; one of which nothing is in scope is none.
func (r *rowReader) finish() {
	if r.open && r.at.cells > 0 {
		r.out = append(r.out, r.at)
	}
	r.open = false
}

// send hands on the rows that are complete. What is in the arena is theirs from now on.
func (r *rowReader) send(ctx context.Context, out chan<- []row) error {
	if len(r.out) == 0 {
		return nil
	}
	select {
	case out <- r.out:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	r.out = make([]row, 0, rowsPerBatch)
	r.arena = make([]byte, 0, len(r.arena))
	if r.open {
		key := r.at.key
		r.arena = append(r.arena, key...)
		r.at.key = r.arena[:len(key):len(key)]
	}
	return nil
}
