package schema

import (
	"encoding/binary"
	"math"
)

// reader walks over Avro binary data. The first fault sticks in err and leaves
// nothing to read; every method then returns zero values, so callers check once
// per item.
type reader struct {
	b   []byte
	off int
	err error
}

func (r *reader) fail(field string, err error) {
	if r.err == nil {
		r.err = &FieldError{Field: field, Offset: r.off, Err: err}
		r.b, r.off = nil, 0
	}
}

// long reads an Avro int or long.
func (r *reader) long(field string) int64 {
	if r.off < len(r.b) && r.b[r.off] < 0x80 {
		u := r.b[r.off]
		r.off++
		return int64(u>>1) ^ -int64(u&1)
	}
	return r.longMulti(field)
}

func (r *reader) longMulti(field string) int64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Varint(r.b[r.off:])
	switch {
	case n == 0:
		r.fail(field, ErrTruncated)
		return 0
	case n < 0:
		r.fail(field, ErrOutOfRange)
		return 0
	}
	r.off += n
	return v
}

// symbol reads an enum's index, below n.
func (r *reader) symbol(field string, n int64) int64 {
	v := r.long(field)
	if uint64(v) >= uint64(n) {
		r.fail(field, ErrOutOfRange)
		return 0
	}
	return v
}

// next returns the following n bytes, nil on a fault.
func (r *reader) next(field string, n int64) []byte {
	if n > int64(len(r.b)-r.off) {
		r.fail(field, ErrTruncated)
		return nil
	}
	start := r.off
	r.off += int(n)
	return r.b[start:r.off:r.off]
}

// bytes reads a length and that many bytes.
func (r *reader) bytes(field string) []byte {
	n := r.long(field)
	if n < 0 {
		r.fail(field, ErrOutOfRange)
		return nil
	}
	return r.next(field, n)
}

// block reads the head of an array's next block: the number of its items, 0 at
// the array's end and on a fault. The items have minItem bytes at least, so a
// count that cannot fit in what is left is refused before anything is read.
// When the block says its size, end is the offset it must end at, else -1.
func (r *reader) block(field string, minItem int64) (n, end int) {
	count := r.long(field)
	if count == 0 || r.err != nil {
		return 0, -1
	}
	left := int64(len(r.b) - r.off)
	end = -1
	if count < 0 {
		size := r.long(field)
		left = int64(len(r.b) - r.off)
		if count == math.MinInt64 || size < 0 {
			r.fail(field, ErrOutOfRange)
			return 0, -1
		}
		if size > left {
			r.fail(field, ErrTruncated)
		}
		count, left, end = -count, size, r.off+int(min(size, left))
	}
	if count > left/minItem {
		r.fail(field, ErrTruncated)
	}
	if r.err != nil {
		return 0, -1
	}
	return int(count), end
}

// endBlock checks that a block which said its size had that size.
func (r *reader) endBlock(field string, end int) {
	if end >= 0 && r.off != end {
		r.fail(field, ErrOutOfRange)
	}
}

// end checks that nothing follows.
func (r *reader) end() {
	if r.err == nil && r.off != len(r.b) {
		r.fail("end", ErrTrailingBytes)
	}
}
