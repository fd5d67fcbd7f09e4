package hfile

import (
	"bytes"
	"fmt"

	"github.com/waltap/waltap/internal/hbase/cell"
)

// Tally is what Check has found in a file.
type Tally struct {
	Cells   int64
	Rows    int64
	Types   map[cell.Type]int64
	Bytes   int64 // of the parts of all cells, timestamp and type as 9
	Longest int64 // cell, of these bytes
}

// Check reads the whole file and sees that it is as a store needs it: what every Scanner sees to (checksums, lengths, the chain of the
// blocks, the number of cells), and that the cells are in order, of one family, of known types, with tags that can be read and sequence ids
// up to the one that the file says is the highest.
func (f *File) Check() (Tally, error) {
	t := Tally{Types: make(map[cell.Type]int64)}
	s, err := f.Scan(nil, nil)
	if err != nil {
		return t, err
	}
	defer s.Close()
	var c Cell
	var last kept
	for {
		ok, err := s.Next(&c)
		if err != nil {
			return t, err
		}
		if !ok {
			break
		}
		if err := f.checkCell(&c, &last); err != nil {
			return t, f.corrupt(s.cur.offset, fmt.Errorf("cell %d, row %q: %w", s.count, c.Row, err))
		}
		if t.Cells == 0 || !bytes.Equal(c.Row, last.Row) {
			t.Rows++
		}
		n := int64(len(c.Row) + len(c.Family) + len(c.Qualifier) + len(c.Value) + len(c.Tags) + timestampType)
		t.Cells, t.Bytes, t.Longest = t.Cells+1, t.Bytes+n, max(t.Longest, n)
		t.Types[c.Type]++
		last.keep(&c)
	}
	if t.Cells == 0 {
		return t, nil
	}
	want := Cell{Cell: *f.meta.LastKey, Sequence: last.Sequence}
	if Compare(&last.Cell, &want) != 0 {
		return t, f.corrupt(f.trailer.fileInfo, fmt.Errorf("the last cell is of row %q, the file info says %q", last.Row, want.Row))
	}
	return t, nil
}

func (f *File) checkCell(c *Cell, last *kept) error {
	switch {
	case !c.Type.Known():
		return fmt.Errorf("its type is %s", c.Type)
	case c.Sequence > f.meta.MaxMVCC:
		return fmt.Errorf("its sequence id is %d, the file's highest %d", c.Sequence, f.meta.MaxMVCC)
	case last.there && !bytes.Equal(last.Family, c.Family):
		return fmt.Errorf("its family is %q, that of the cell before %q", c.Family, last.Family)
	case last.there && f.meta.UserOrder && Compare(&last.Cell, c) > 0:
		return fmt.Errorf("it is to be before the cell before it, of row %q", last.Row)
	}
	for _, err := range cell.Tags(c.Tags) {
		if err != nil {
			return err
		}
	}
	return nil
}

// kept is a cell, but for its value and tags, with memory of its own.
type kept struct {
	Cell
	there bool
	buf   []byte
}

func (k *kept) keep(c *Cell) {
	k.there = true
	k.buf = append(append(append(k.buf[:0], c.Row...), c.Family...), c.Qualifier...)
	row, family := len(c.Row), len(c.Row)+len(c.Family)
	k.Row, k.Family, k.Qualifier = k.buf[:row], k.buf[row:family], k.buf[family:]
	k.Timestamp, k.Type, k.Sequence = c.Timestamp, c.Type, c.Sequence
}
