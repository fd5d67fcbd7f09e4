package cell

import (
	"fmt"
	"io"
	"slices"
)

// Reader reads the cells of a cell block from a stream, one at a time. It
// keeps no bytes of its own: what it has not been asked for stays in the
// stream, and what it has read is in the caller's arena.
type Reader struct {
	r      io.Reader
	codec  Codec
	left   int64
	err    error
	prefix [prefixLen]byte
}

// NewReader returns a Reader of a cell block of at most limit bytes. It reads
// each cell with two calls to r, which should therefore be buffered. An r that
// ends before the block does must return [io.ErrUnexpectedEOF] rather than
// io.EOF, or a block cut off between two cells will look complete.
func NewReader(r io.Reader, c Codec, limit int64) *Reader {
	return &Reader{r: r, codec: c, left: limit}
}

// Left returns how many bytes of the limit have not been read.
func (r *Reader) Left() int64 { return r.left }

// Next reads one cell, appends its bytes, length prefix included, to arena and
// returns the extended arena; k's slices alias it. Hence an arena that starts
// empty is itself a cell block, and cells stay valid when later calls extend
// the arena, until its memory is used for something else.
//
// The arena never grows by more than the bytes that have arrived: a length
// that the stream does not live up to costs no memory. A length beyond what is
// left of the limit is refused.
//
// The end of the block, by limit or by r at a cell's boundary, is io.EOF. Any
// error is final; arena is returned as it was.
func (r *Reader) Next(k *Cell, arena []byte) ([]byte, error) {
	if r.err != nil {
		return arena, r.err
	}
	out, err := r.next(k, arena)
	if err != nil {
		r.err = err
		return arena, err
	}
	return out, nil
}

func (r *Reader) next(k *Cell, arena []byte) ([]byte, error) {
	if r.left <= 0 {
		return nil, io.EOF
	}
	if r.left < prefixLen {
		return nil, fmt.Errorf("read cell: %d bytes left for a length: %w", r.left, io.ErrUnexpectedEOF)
	}
	if _, err := io.ReadFull(r.r, r.prefix[:]); err != nil {
		if err == io.EOF {
			return nil, err
		}
		return nil, fmt.Errorf("read cell: length: %w", err)
	}
	r.left -= prefixLen
	size, err := cellLen(r.prefix[:])
	if err != nil {
		return nil, err
	}
	if int64(size) > r.left {
		return nil, fmt.Errorf("read cell: length %d: %d bytes are left of the cell block", size, r.left)
	}
	arena = append(arena, r.prefix[:]...)
	start := len(arena)
	arena, err = AppendFrom(arena, r.r, int64(size))
	if err != nil {
		return nil, fmt.Errorf("read cell: %w", err)
	}
	r.left -= int64(size)
	end := len(arena)
	if err := r.codec.decode(arena[start:end:end], k); err != nil {
		return nil, err
	}
	return arena, nil
}

// growStep is what AppendFrom allocates before it has seen a byte.
const growStep = 64 << 10

// AppendFrom appends exactly n bytes read from r to dst. It allocates as the
// bytes arrive, at most about twice as much as it has seen, so an n that a
// peer merely claims costs nothing. When r ends early the error is
// [io.ErrUnexpectedEOF] and the result holds what came.
func AppendFrom(dst []byte, r io.Reader, n int64) ([]byte, error) {
	step := int64(growStep)
	for n > 0 {
		room := int64(cap(dst) - len(dst))
		if room == 0 {
			dst = slices.Grow(dst, int(min(n, step)))
			room = int64(cap(dst) - len(dst))
		}
		want := min(n, room)
		got, err := io.ReadFull(r, dst[len(dst):len(dst)+int(want)])
		dst = dst[:len(dst)+got]
		n -= int64(got)
		if err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return dst, err
		}
		step *= 2
	}
	return dst, nil
}
