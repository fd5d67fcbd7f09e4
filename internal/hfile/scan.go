package hfile

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
)

// Scanner reads the cells of a range of rows, in the file's order. It is for one goroutine; several of a File may be in use.
type Scanner struct {
	f           *File
	start, stop []byte // nil: the first row, the last
	whole       bool   // the range is all of the file
	blocks      source
	cells       cells
	cur         *block
	skipping    bool // start may be ahead yet
	count       int64
	read        int64 // bytes of the file up to the end of cur
	err         error
	done        bool
}

// source hands out unpacked data blocks in the file's order.
type source interface {
	// next returns the next block; nil: there are no more. It is the caller's until given back.
	next() (*block, error)
	// release gives a block back, for its memory.
	release(*block)
	close()
}

// Scan returns a Scanner of the rows from start until before stop; empty: from the first, to the last. It must be closed.
func (f *File) Scan(start, stop []byte) (*Scanner, error) {
	s := &Scanner{f: f, start: bytes.Clone(start), stop: bytes.Clone(stop), whole: len(start) == 0 && len(stop) == 0}
	s.skipping = len(start) > 0
	s.cells.layout = f.layout
	if !s.whole && !f.meta.UserOrder {
		return nil, f.errNoOrder()
	}
	if f.trailer.entries == 0 || !s.whole && f.beside(start, stop) {
		s.done = true
		return s, nil
	}
	w, err := f.walk(start, stop)
	if err != nil {
		return nil, err
	}
	s.read = w.at - f.trailer.first
	if f.o.Workers > 0 {
		s.blocks = startAhead(f, w)
	} else {
		s.blocks = &inline{f: f, w: w, d: decompressor{limit: f.o.MaxBlock}}
	}
	return s, nil
}

// Next reads the next cell into c; false: there are no more. c's slices are valid until the next call; they must not be written to. An
// error is final.
func (s *Scanner) Next(c *Cell) (bool, error) {
	for s.err == nil && !s.done {
		if s.cur != nil {
			ok, err := s.cells.next(c)
			if err != nil {
				s.err = s.blockError(err)
				break
			}
			if ok {
				if s.skipping {
					if bytes.Compare(c.Row, s.start) < 0 {
						continue
					}
					s.skipping = false
				}
				if len(s.stop) > 0 && bytes.Compare(c.Row, s.stop) >= 0 {
					s.done = true
					break
				}
				s.count++
				return true, nil
			}
		}
		s.err = s.nextBlock()
	}
	if s.done || s.err != nil {
		s.Close()
	}
	return false, s.err
}

// nextBlock goes to the next block.
func (s *Scanner) nextBlock() error {
	if s.cur != nil {
		s.blocks.release(s.cur)
		s.cur = nil
	}
	b, err := s.blocks.next()
	if err != nil {
		return err
	}
	if b == nil {
		s.done = true
		if s.whole && s.count != s.f.meta.Entries {
			return s.f.corrupt(s.f.trailer.offset, fmt.Errorf("%d cells, the trailer says %d", s.count, s.f.meta.Entries))
		}
		return nil
	}
	s.cur = b
	s.read = b.offset + int64(b.onDisk) - s.f.trailer.first
	s.f.dataBlocks.Add(1)
	if err := s.cells.start(b.data, b.magic); err != nil {
		return s.blockError(err)
	}
	return nil
}

// blockError is err in the current block.
func (s *Scanner) blockError(err error) error {
	if errors.Is(err, errEncoding) {
		return s.f.unsupportedEncoding(s.cells.encoding.String())
	}
	return s.f.corrupt(s.cur.offset, fmt.Errorf("block %s, %s, byte %d of %d: %w", s.cur.magic, s.cells.encoding, s.cells.p, len(s.cells.b), err))
}

// Cells is how many cells Next has returned.
func (s *Scanner) Cells() int64 { return s.count }

// Position is how many bytes lie between the file's first cell and the end of the block that the Scanner is in: with Meta's DataBytes,
// how far it is.
func (s *Scanner) Position() int64 { return s.read }

// Close ends the Scanner and its goroutines; it may be called again. The last cell is not valid any more.
func (s *Scanner) Close() {
	if s.blocks != nil {
		s.blocks.close()
		s.blocks, s.cur = nil, nil
	}
	if s.err == nil {
		s.done = true
	}
}

// inline unpacks in the Scanner's own goroutine.
type inline struct {
	f *File
	w *walker
	d decompressor
	b block
}

func (i *inline) next() (*block, error) {
	if ok, err := i.w.next(&i.b); !ok || err != nil {
		return nil, err
	}
	return &i.b, i.f.unpack(&i.b, &i.d)
}

func (i *inline) release(*block) {}
func (i *inline) close()         {}

// ahead reads in one goroutine and unpacks in several, ahead of the Scanner.
type ahead struct {
	f     *File
	ready chan *block // in the file's order
	work  chan *block
	end   chan struct{} // closed: the goroutines are to end
	wg    sync.WaitGroup

	mu    sync.Mutex
	room  *sync.Cond
	bytes int // of the blocks that are not released
	free  []*block
	ended bool
}

func startAhead(f *File, w *walker) *ahead {
	a := &ahead{f: f, end: make(chan struct{})}
	// In the file's order, and in the workers' hands: what is counted bounds them, these lengths only the number of small blocks.
	a.ready = make(chan *block, 4*f.o.Workers)
	a.work = make(chan *block, 4*f.o.Workers)
	a.room = sync.NewCond(&a.mu)
	a.wg.Add(1 + f.o.Workers)
	go a.read(w)
	for range f.o.Workers {
		go a.unpack()
	}
	return a
}

// read hands out blocks until the last, an error or the end.
func (a *ahead) read(w *walker) {
	defer a.wg.Done()
	defer close(a.ready)
	defer close(a.work)
	for {
		b := a.get()
		if b == nil {
			return
		}
		ok, err := w.next(b)
		if err != nil {
			b.done <- err
		} else if !ok {
			return
		}
		a.count(b)
		select {
		case a.ready <- b:
		case <-a.end:
			return
		}
		if err != nil {
			return
		}
		select {
		case a.work <- b:
		case <-a.end:
			return
		}
	}
}

// get waits until there is room for a block; nil: the end has come.
func (a *ahead) get() *block {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.bytes >= a.f.o.ReadAhead && !a.ended {
		a.room.Wait()
	}
	if a.ended {
		return nil
	}
	if n := len(a.free); n > 0 {
		b := a.free[n-1]
		a.free = a.free[:n-1]
		return b
	}
	return &block{done: make(chan error, 1)}
}

// count counts the memory that b takes.
func (a *ahead) count(b *block) {
	b.counted = b.onDisk
	if a.f.layout.compression != None {
		b.counted += b.raw
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.bytes += b.counted
}

func (a *ahead) unpack() {
	defer a.wg.Done()
	d := decompressor{limit: a.f.o.MaxBlock}
	for b := range a.work {
		b.done <- a.f.unpack(b, &d)
	}
}

func (a *ahead) next() (*block, error) {
	b, ok := <-a.ready
	if !ok {
		return nil, nil
	}
	return b, <-b.done
}

func (a *ahead) release(b *block) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.bytes -= b.counted
	if cap(b.bytes)+cap(b.room) <= keepBlock {
		a.free = append(a.free, b)
	}
	a.room.Signal()
}

// keepBlock is the most memory that is kept for the next block: one cell of many megabytes must not stay for good.
const keepBlock = 1 << 20

func (a *ahead) close() {
	a.mu.Lock()
	a.ended = true
	a.room.Broadcast()
	a.mu.Unlock()
	close(a.end)
	a.wg.Wait()
}
