package hfile

import (
	"fmt"
	"slices"
)

// walker reads the data blocks of a file one after the other, from one of them up to the load-on-open section. Each header says
// where the next block begins; what is no data block is passed over.
type walker struct {
	f        *File
	at       int64 // of the next block
	previous int64 // data block; -1: none, unknown: the walk begins in the middle
	last     int64 // data block to read; unknown: all up to the load-on-open section

	window      []byte // of the file
	windowStart int64
	ask         int // how much to read at once; grows while one reads on
}

const (
	unknown  = -2
	firstAsk = 128 << 10 // a block of HBase's default size and a bit
)

// walk begins at the first block that can have cells of the rows from start until before stop; empty: from the first, to the last.
func (f *File) walk(start, stop []byte) (*walker, error) {
	w := &walker{f: f, previous: unknown, last: unknown, ask: min(firstAsk, f.o.ReadSize)}
	var err error
	if w.at, err = f.seek(start); err != nil {
		return nil, err
	}
	if w.at == f.trailer.first {
		w.previous = -1
	}
	if len(stop) > 0 {
		w.last, err = f.seek(stop)
	}
	return w, err
}

// next reads the next data block into b, but for unpacking it; false: there are no more.
func (w *walker) next(b *block) (bool, error) {
	if w.last >= 0 && w.previous >= w.last {
		return false, w.ended(w.last)
	}
	for end := w.f.trailer.loadOnOpen; w.at < end; {
		head, err := w.bytes(w.at, headerSize)
		if err != nil {
			return false, err
		}
		h, err := w.f.parseHeader(head, end-w.at)
		if err == nil {
			err = w.check(&h)
		}
		if err != nil {
			return false, w.f.corrupt(w.at, err)
		}
		at := w.at
		w.at += int64(h.onDisk)
		if !h.isData() {
			continue
		}
		b.header, b.offset, b.data = h, at, nil
		w.previous = at
		return true, w.fill(b)
	}
	return false, w.ended(w.f.trailer.last)
}

// ended sees that the block that was the last is the one that was to be.
func (w *walker) ended(last int64) error {
	if w.previous != last {
		return w.f.corrupt(w.at, fmt.Errorf("the data block before this is at %d, it is to be at %d", w.previous, last))
	}
	return nil
}

// check sees that a block can follow those before it.
func (w *walker) check(h *header) error {
	if err := w.f.sameChecksum(h); err != nil {
		return err
	}
	if !h.isData() {
		if !slices.Contains(betweenData, h.magic) {
			return fmt.Errorf("a block %q is among the data blocks", h.magic)
		}
		if w.previous == -1 || w.previous == unknown {
			return fmt.Errorf("a block %q is where a data block is to be", h.magic)
		}
		return nil
	}
	if w.previous != unknown && h.previous != w.previous {
		return fmt.Errorf("the data block before this one is said to be at %d, it is at %d", h.previous, w.previous)
	}
	return nil
}

// fill reads the bytes of b: out of the window, or, when it is larger than what is read at once, for itself.
func (w *walker) fill(b *block) error {
	b.bytes = resize(b.bytes, b.onDisk)
	if b.onDisk <= w.f.o.ReadSize {
		stored, err := w.bytes(b.offset, b.onDisk)
		copy(b.bytes, stored)
		return err
	}
	n := 0
	if skip := b.offset - w.windowStart; skip < int64(len(w.window)) {
		n = copy(b.bytes, w.window[skip:])
	}
	return w.f.readAt(b.bytes[n:], b.offset+int64(n))
}

// bytes returns n bytes of the file at offset, which is not before the window, valid until the next call.
func (w *walker) bytes(offset int64, n int) ([]byte, error) {
	skip := offset - w.windowStart
	if skip >= 0 && skip+int64(n) <= int64(len(w.window)) {
		return w.window[skip:][:n], nil
	}
	size := int(min(int64(max(w.ask, n)), w.f.trailer.offset-offset))
	w.ask = min(2*w.ask, w.f.o.ReadSize)
	kept := 0
	if skip >= 0 && skip < int64(len(w.window)) {
		kept = len(w.window) - int(skip)
		if cap(w.window) < size {
			w.window = append(make([]byte, 0, size), w.window[skip:]...)
		} else {
			copy(w.window, w.window[skip:])
		}
	}
	if cap(w.window) < size {
		w.window = make([]byte, size)
	}
	w.window, w.windowStart = w.window[:size], offset
	if err := w.f.readAt(w.window[kept:], offset+int64(kept)); err != nil {
		w.window = w.window[:0]
		return nil, err
	}
	return w.window[:n], nil
}
