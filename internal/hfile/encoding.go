package hfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/waltap/waltap/internal/hbase/cell"
)

// Encoding is how the cells of a block follow each other: HBase's DataBlockEncoding, by its number in a block.
type Encoding uint16

// The encodings that are read.
const (
	Plain      Encoding = 0 // NONE
	Prefix     Encoding = 2
	Diff       Encoding = 3
	FastDiff   Encoding = 4
	RowIndexV1 Encoding = 7

	prefixTree Encoding = 6 // of HBase 1.x
)

var encodings = map[Encoding]string{Plain: "NONE", Prefix: "PREFIX", Diff: "DIFF", FastDiff: "FAST_DIFF", RowIndexV1: "ROW_INDEX_V1"}

// String returns HBase's name of e.
func (e Encoding) String() string {
	if name, ok := encodings[e]; ok {
		return name
	}
	if e == prefixTree {
		return "PREFIX_TREE"
	}
	return fmt.Sprintf("Encoding(%d)", uint16(e))
}

func parseEncoding(name string) (Encoding, bool) {
	for e, s := range encodings {
		if s == name {
			return e, true
		}
	}
	return 0, false
}

func (f *File) unsupportedEncoding(name string) error {
	return f.unsupported("data block encoding "+name+" is not read",
		"alter the family to NONE, PREFIX, DIFF, FAST_DIFF or ROW_INDEX_V1 and run a major compaction, or read this table by a scan (snapshot.reader: scan)")
}

// cells reads the cells of one block after the other. Its memory is the last key and the tag dictionary.
type cells struct {
	layout
	encoding Encoding
	b        []byte // the block
	p        int    // how much of b is read
	first    bool   // no cell of the block was read

	// Of the last cell, in the encodings that leave out what two cells have in common:
	key       []byte // its key; Diff and FastDiff: without timestamp and type
	rowEnd    int    // in key: of length and row
	familyEnd int    // in key: of length and family
	valueLen  int
	value     []byte
	timestamp uint64
	typ       cell.Type
	family    []byte // Diff: of the whole block, with its length

	dict dictionary
	list []byte // the tags of the last cell, where they are put together
}

// The errors of a block; what is around them says which block.
var (
	errCutOff = errors.New("a cell goes beyond the block")
	errKey    = errors.New("a key's lengths do not fit each other")
	errTags   = errors.New("a cell's tags are not in the dictionary")
)

// start begins with the block b, of a magic.
func (d *cells) start(b []byte, magic string) error {
	d.encoding, d.p, d.first, d.value, d.valueLen = Plain, 0, true, nil, 0
	d.key, d.rowEnd, d.familyEnd, d.timestamp = d.key[:0], 0, 0, 0
	d.dict.reset()
	if magic == magicEncodedData {
		if len(b) < 2 {
			return errCutOff
		}
		d.encoding = Encoding(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	switch d.encoding {
	case Plain:
	case Prefix, Diff, FastDiff:
		if len(b) < 4 { // size of the cells without the encoding
			return errCutOff
		}
		b = b[4:]
	case RowIndexV1:
		var err error
		if b, err = rowIndexCells(b); err != nil {
			return err
		}
	default:
		return errEncoding
	}
	d.b = b
	if d.encoding == Diff {
		return d.startDiff()
	}
	return nil
}

// errEncoding is of a block whose encoding is not read.
var errEncoding = errors.New("its encoding is not read")

// next reads the next cell into c; false: the block has no more. c's slices are valid until the next call of next or start, or
// until the block's memory is used for something else.
func (d *cells) next(c *Cell) (bool, error) {
	if d.p >= len(d.b) {
		return false, nil
	}
	c.Tags = nil
	var err error
	switch d.encoding {
	case Prefix:
		err = d.nextPrefix(c)
	case Diff:
		err = d.nextDiff(c)
	case FastDiff:
		err = d.nextFastDiff(c)
	default:
		err = d.nextPlain(c)
	}
	if err != nil {
		return false, err
	}
	d.first = false
	c.Sequence = 0
	if d.sequences {
		v, n := vlong(d.b[d.p:])
		if n == 0 || v < 0 {
			return false, errCutOff
		}
		d.p += n
		c.Sequence = v
	}
	return true, nil
}

// setKey makes k, a whole key, c's: see package cell for its parts.
func (c *Cell) setKey(k []byte) bool {
	const overlay = 2 + 1 + 9
	if len(k) < overlay {
		return false
	}
	rowLen := int(binary.BigEndian.Uint16(k))
	if rowLen > cell.MaxRowLen || rowLen > len(k)-overlay {
		return false
	}
	rowEnd := 2 + rowLen
	familyEnd := rowEnd + 1 + int(k[rowEnd])
	end := len(k) - 9
	if familyEnd-rowEnd-1 > cell.MaxFamilyLen || familyEnd > end {
		return false
	}
	c.Row = k[2:rowEnd:rowEnd]
	c.Family = k[rowEnd+1 : familyEnd : familyEnd]
	c.Qualifier = k[familyEnd:end:end]
	c.Timestamp = int64(binary.BigEndian.Uint64(k[end:]))
	c.Type = cell.Type(k[end+8])
	return true
}

// setParts makes key, timestamp and typ c's; key has no timestamp and type.
func (d *cells) setParts(c *Cell) bool {
	k := d.key
	if len(k) < 3 {
		return false
	}
	rowLen := int(binary.BigEndian.Uint16(k))
	if rowLen > cell.MaxRowLen || rowLen > len(k)-3 {
		return false
	}
	rowEnd := 2 + rowLen
	familyEnd := rowEnd + 1 + int(k[rowEnd])
	if familyEnd-rowEnd-1 > cell.MaxFamilyLen || familyEnd > len(k) {
		return false
	}
	d.rowEnd, d.familyEnd = rowEnd, familyEnd
	c.Row = k[2:rowEnd:rowEnd]
	c.Family = k[rowEnd+1 : familyEnd : familyEnd]
	c.Qualifier = k[familyEnd:len(k):len(k)]
	c.Timestamp = int64(d.timestamp)
	c.Type = d.typ
	return true
}

// take returns the next n bytes of the block.
func (d *cells) take(n int) ([]byte, bool) {
	if n < 0 || n > len(d.b)-d.p {
		return nil, false
	}
	b := d.b[d.p : d.p+n : d.p+n]
	d.p += n
	return b, true
}

// length reads an int of 7 bits a byte, the lowest first, the highest bit says that more follow (ByteBufferUtils.putCompressedInt).
// -1: there is none.
func (d *cells) length() int {
	if d.p < len(d.b) && d.b[d.p] < 0x80 {
		d.p++
		return int(d.b[d.p-1])
	}
	v := 0
	for shift := 0; shift < 35 && d.p < len(d.b); shift += 7 {
		x := d.b[d.p]
		d.p++
		v |= int(x&0x7f) << shift
		if x < 0x80 {
			if v > math.MaxInt32 {
				return -1
			}
			return v
		}
	}
	return -1
}

// vlong reads Hadoop's variable-length long at the start of b (WritableUtils.readVLong) and says how many bytes it has; 0: b
// does not hold it.
func vlong(b []byte) (v int64, n int) {
	if len(b) == 0 {
		return 0, 0
	}
	first := int8(b[0])
	if first >= -112 {
		return int64(first), 1
	}
	n = -112 - int(first)
	negative := first < -120
	if negative {
		n = -120 - int(first)
	}
	if n > len(b)-1 {
		return 0, 0
	}
	for _, x := range b[1 : 1+n] {
		v = v<<8 | int64(x)
	}
	if negative {
		v = ^v
	}
	return v, 1 + n
}

// resizeKey makes d.key n bytes long and keeps what is in it. n is no more than the block's bytes account for.
func (d *cells) resizeKey(n int) {
	if cap(d.key) < n {
		k := make([]byte, n, 2*n)
		copy(k, d.key)
		d.key = k
		return
	}
	d.key = d.key[:n]
}
