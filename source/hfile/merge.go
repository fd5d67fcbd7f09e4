package hfile

import (
	"github.com/waltap/waltap/internal/hfile"
)

// cells is one store file, or a part of it, in HBase's order.
type cells interface {
	// Next reads the next cell into c, valid until the next call; false behind the last one.
	Next(c *hfile.Cell) (bool, error)
	Close()
}

// input is a store file among those of a region.
type input struct {
	cells
	// order in which the files of a store are older and newer, where the sequence of two cells does not tell: a compaction
	// takes it off cells that every reader sees.
	order int
	// sequence of all cells, of a file that was bulk-loaded; own: the cells have theirs.
	sequence int64
	own      bool

	cur hfile.Cell // its Sequence is the one that counts
}

// advance moves to the next cell. more is false at the end.
func (in *input) advance() (more bool, err error) {
	more, err = in.Next(&in.cur)
	if more && !in.own {
		in.cur.Sequence = in.sequence
	}
	return more, err
}

// before tells whether a's cell comes before b's: of equal keys the one that was written last.
func before(a, b *input) bool {
	if c := hfile.CompareKeys(&a.cur, &b.cur); c != 0 {
		return c < 0
	}
	if a.cur.Sequence != b.cur.Sequence {
		return a.cur.Sequence > b.cur.Sequence
	}
	return a.order > b.order
}

// merge is the cells of all store files of a region as one sequence, a heap of them by their next cells. Of cells with the same
// key only the one that was written last is handed out: the others were never to be seen again, and at a destination, which knows
// no sequences, the one that is written last would win.
type merge struct {
	heap     []*input
	last     hfile.Cell // handed out last, without value; its bytes are in key
	key      []byte
	shadowed int64 // cells that were left out
}

// newMerge takes over inputs: close ends all of them.
func newMerge(inputs []*input) (*merge, error) {
	m := &merge{}
	var first error
	for _, in := range inputs {
		if first != nil {
			in.Close()
			continue
		}
		more, err := in.advance()
		switch {
		case err != nil:
			first = err
			in.Close()
		case !more:
			in.Close()
		default:
			m.heap = append(m.heap, in)
		}
	}
	if first != nil {
		m.close()
		return nil, first
	}
	for i := len(m.heap)/2 - 1; i >= 0; i-- {
		m.down(i)
	}
	return m, nil
}

// down restores the heap below i.
func (m *merge) down(i int) {
	for {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(m.heap); c++ {
			if before(m.heap[c], m.heap[least]) {
				least = c
			}
		}
		if least == i {
			return
		}
		m.heap[i], m.heap[least] = m.heap[least], m.heap[i]
		i = least
	}
}

// peek returns the next cell, nil behind the last one. It stays valid until pop.
func (m *merge) peek() *hfile.Cell {
	if len(m.heap) == 0 {
		return nil
	}
	return &m.heap[0].cur
}

// pop moves behind the cell at hand and all that it shadows.
func (m *merge) pop() error {
	m.remember(&m.heap[0].cur)
	for {
		if err := m.step(); err != nil {
			return err
		}
		if next := m.peek(); next == nil || hfile.CompareKeys(&m.last, next) != 0 {
			return nil
		}
		m.shadowed++
	}
}

// remember keeps the key of c.
func (m *merge) remember(c *hfile.Cell) {
	m.key = append(append(append(m.key[:0], c.Row...), c.Family...), c.Qualifier...)
	r, f := len(c.Row), len(c.Row)+len(c.Family)
	m.last.Row, m.last.Family, m.last.Qualifier = m.key[:r], m.key[r:f], m.key[f:]
	m.last.Timestamp, m.last.Type = c.Timestamp, c.Type
}

// step takes one cell.
func (m *merge) step() error {
	in := m.heap[0]
	more, err := in.advance()
	if err != nil {
		return err
	}
	if !more {
		in.Close()
		last := len(m.heap) - 1
		m.heap[0] = m.heap[last]
		m.heap = m.heap[:last]
	}
	m.down(0)
	return nil
}

func (m *merge) close() {
	for _, in := range m.heap {
		in.Close()
	}
	m.heap = nil
}
