package hfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sort"
)

// The data index says with which key each data block begins. Its root is in the load-on-open section; with one level its entries are
// data blocks, with more they are blocks of the level below (intermediate, the lowest leaf):
//
//	root:  (int64 offset | int32 size of the block | vint length | key)*, as many as the trailer says; then nothing, or where
//	       the key in the middle of the file is: int64 offset | int32 size | int32 entry
//	other: int32 n | n+1 times int32 offset of an entry from the first one on | (int64 offset | int32 size | key)*
//
// A key may be one that is no cell's: any that is above all cells before the block and not above its first (HFileWriterImpl.getMidpoint).
const (
	midKeySize   = 8 + 4 + 4
	minRootEntry = 8 + 4 + 1
)

// indexEntry is a block that an index block names.
type indexEntry struct {
	row    []byte // of its key
	offset int64
	size   int64
}

// parseRoot reads the root of the data index.
func (f *File) parseRoot(b []byte) ([]indexEntry, error) {
	t := &f.trailer
	if t.indexCount > uint64(len(b)/minRootEntry) {
		return nil, fmt.Errorf("data index: %d entries in %d bytes", t.indexCount, len(b))
	}
	entries := make([]indexEntry, 0, t.indexCount)
	for range t.indexCount {
		if len(b) < minRootEntry {
			return nil, errors.New("data index: cut off")
		}
		e := indexEntry{offset: int64(binary.BigEndian.Uint64(b)), size: int64(int32(binary.BigEndian.Uint32(b[8:])))}
		n, used := vlong(b[12:])
		if used == 0 || n < 0 || n > int64(len(b)-12-used) {
			return nil, fmt.Errorf("data index: key of %d bytes in %d", n, len(b)-12)
		}
		key := b[12+used:][:n]
		b = b[12+used+int(n):]
		if err := f.checkEntry(&e, key, entries); err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	if len(b) != 0 && len(b) != midKeySize {
		return nil, fmt.Errorf("data index: %d bytes behind its %d entries", len(b), len(entries))
	}
	return entries, nil
}

// parseIndex reads an index block that is not the root.
func (f *File) parseIndex(b []byte) ([]indexEntry, error) {
	if len(b) < 8 {
		return nil, errors.New("index block: cut off")
	}
	n := int64(int32(binary.BigEndian.Uint32(b)))
	if n < 1 || 4+4*(n+1) > int64(len(b)) {
		return nil, fmt.Errorf("index block: %d entries in %d bytes", n, len(b))
	}
	offsets, body := b[4:], b[4+4*(n+1):]
	at := func(i int64) int64 { return int64(int32(binary.BigEndian.Uint32(offsets[4*i:]))) }
	entries := make([]indexEntry, 0, n)
	for i := range n {
		from, to := at(i), at(i+1)
		if from < 0 || to-from < 12 || to > int64(len(body)) || i == 0 && from != 0 {
			return nil, fmt.Errorf("index block: entry %d from %d to %d of %d bytes", i, from, to, len(body))
		}
		p := body[from:to]
		e := indexEntry{offset: int64(binary.BigEndian.Uint64(p)), size: int64(int32(binary.BigEndian.Uint32(p[8:])))}
		if err := f.checkEntry(&e, p[12:], entries); err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	if at(n) != int64(len(body)) {
		return nil, fmt.Errorf("index block: %d bytes behind its entries", int64(len(body))-at(n))
	}
	return entries, nil
}

// checkEntry takes e's row from its key, and sees that e can follow those before it.
func (f *File) checkEntry(e *indexEntry, key []byte, before []indexEntry) error {
	row, ok := keyRow(key)
	if !ok {
		return fmt.Errorf("data index: key %q", key)
	}
	e.row = bytes.Clone(row)
	if e.size <= headerSize || e.offset < f.trailer.first || e.offset > f.trailer.loadOnOpen-e.size {
		return fmt.Errorf("data index: block of %d bytes at %d", e.size, e.offset)
	}
	if len(before) == 0 {
		return nil
	}
	last := &before[len(before)-1]
	if e.offset <= last.offset || f.meta.UserOrder && bytes.Compare(e.row, last.row) < 0 {
		return fmt.Errorf("data index: block at %d, row %q behind block at %d, row %q", e.offset, e.row, last.offset, last.row)
	}
	return nil
}

// keyRow returns the row of a key in an index.
func keyRow(key []byte) ([]byte, bool) {
	if len(key) < 2 {
		return nil, false
	}
	n := int(binary.BigEndian.Uint16(key))
	if n > math.MaxInt16 || n > len(key)-2 {
		return nil, false
	}
	return key[2 : 2+n], true
}

// maxIndexBlocks is how many index blocks a File keeps: those on the way to both ends of a range.
const maxIndexBlocks = 8

// children returns the entries of the index block that e, of the level, counted from the data blocks up, names. They are not to be changed.
func (f *File) children(e *indexEntry, level int, d *decompressor) ([]indexEntry, error) {
	f.mu.Lock()
	entries, ok := f.index[e.offset]
	f.mu.Unlock()
	if ok {
		return entries, nil
	}
	entries, err := f.readIndex(e, level, d)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.index == nil || len(f.index) >= maxIndexBlocks {
		f.index = make(map[int64][]indexEntry)
	}
	f.index[e.offset] = entries
	return entries, nil
}

func (f *File) readIndex(e *indexEntry, level int, d *decompressor) ([]indexEntry, error) {
	b, err := f.readBlock(e.offset, e.offset+e.size, &block{}, d)
	if err != nil {
		return nil, err
	}
	want := magicIntermediate
	if level == 1 {
		want = magicLeafIndex
	}
	if b.magic != want {
		return nil, f.corrupt(e.offset, fmt.Errorf("a block %q is where the index says a %q is", b.magic, want))
	}
	entries, err := f.parseIndex(b.data)
	if err != nil {
		return nil, f.corrupt(e.offset, err)
	}
	return entries, nil
}

// seek returns the offset of the last data block that begins with a row before row: all cells of row and behind it are in it or
// behind it.
func (f *File) seek(row []byte) (int64, error) {
	if len(row) == 0 || len(f.root) == 0 {
		return f.trailer.first, nil
	}
	d := &decompressor{limit: f.o.MaxBlock}
	entries := f.root
	for level := int(f.trailer.indexLevels) - 1; ; level-- {
		i := sort.Search(len(entries), func(i int) bool { return bytes.Compare(entries[i].row, row) >= 0 })
		e := &entries[max(i-1, 0)]
		if level <= 0 {
			return e.offset, nil
		}
		var err error
		if entries, err = f.children(e, level, d); err != nil {
			return 0, err
		}
	}
}

// errNoOrder is of files whose rows do not follow each other by their bytes.
func (f *File) errNoOrder() error {
	return f.unsupported(fmt.Sprintf("its cells are in the order of %s", f.trailer.comparator),
		"a range of rows is read of files in the order of user tables; read the whole file")
}

// SplitRows returns up to n-1 rows, ascending, at which the file falls into n parts of about as many bytes each; as the index
// knows no more than where blocks begin, there are fewer in a small file. A row need not be one of the file's. Together with the files' sizes
// they serve to split a region.
func (f *File) SplitRows(n int) ([][]byte, error) {
	if !f.meta.UserOrder {
		return nil, f.errNoOrder()
	}
	if n < 2 || len(f.root) == 0 {
		return nil, nil
	}
	places, err := f.places(8 * n)
	if err != nil {
		return nil, err
	}
	var rows [][]byte
	last := f.meta.FirstRow
	for part, i := 1, 0; part < n; part++ {
		at := f.trailer.first + int64(float64(f.trailer.last-f.trailer.first)*float64(part)/float64(n))
		for i < len(places) && places[i].offset < at {
			i++
		}
		if i == len(places) {
			break
		}
		if row := places[i].row; bytes.Compare(row, last) > 0 {
			rows, last = append(rows, row), row
		}
	}
	return rows, nil
}

// places returns rows of the file and where about they begin, in order: at least want, unless there are fewer blocks. It reads no more
// levels of the index than that takes.
func (f *File) places(want int) ([]indexEntry, error) {
	entries := f.root
	d := &decompressor{limit: f.o.MaxBlock}
	level := int(f.trailer.indexLevels) - 1
	for ; level > 1 || level == 1 && len(entries) < want; level-- {
		var below []indexEntry
		for i := range entries {
			more, err := f.children(&entries[i], level, d)
			if err != nil {
				return nil, err
			}
			below = append(below, more...)
		}
		entries = below
	}
	if level < 1 {
		return entries, nil
	}
	// A leaf block lies behind the data blocks that it names, which begin where the leaf before it ends.
	places := make([]indexEntry, len(entries))
	at := f.trailer.first
	for i, e := range entries {
		places[i] = indexEntry{row: e.row, offset: at}
		at = e.offset + e.size
	}
	return places, nil
}

// Bytes estimates how many bytes of the file hold the rows from start until before stop; nil: from the first, to the last.
func (f *File) Bytes(start, stop []byte) (int64, error) {
	if (len(start) > 0 || len(stop) > 0) && !f.meta.UserOrder {
		return 0, f.errNoOrder()
	}
	if f.trailer.entries == 0 || f.beside(start, stop) {
		return 0, nil
	}
	from, err := f.seek(start)
	if err != nil {
		return 0, err
	}
	to := f.trailer.loadOnOpen
	if len(stop) > 0 && bytes.Compare(stop, f.meta.LastKey.Row) <= 0 {
		if to, err = f.seek(stop); err != nil {
			return 0, err
		}
	}
	return max(to-from, 0), nil
}

// beside reports whether no row of the file is in the range.
func (f *File) beside(start, stop []byte) bool {
	return len(stop) > 0 && bytes.Compare(start, stop) >= 0 || len(start) > 0 && bytes.Compare(f.meta.LastKey.Row, start) < 0 ||
		len(stop) > 0 && bytes.Compare(f.meta.FirstRow, stop) >= 0
}
