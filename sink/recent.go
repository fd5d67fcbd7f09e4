package sink

import (
	"encoding/binary"
	"hash/maphash"
	"slices"

	"github.com/waltap/waltap/schema"
)

const (
	// recentCells of a partition are remembered: 16 bytes each.
	recentCells = 1 << 18
	// recentWays: a cell has that many places, by its hash. With one place each, a tenth of them would be forgotten when a tenth
	// of recentCells others have come; with 16, one in ten thousand when a third of them have.
	recentWays = 16
)

// recent remembers with which sequence the last cells of a partition were applied, so that a late replay does not
// undo what came after it.
//
// How that happens: HBase ships put A, then put B of the same row, column and timestamp. Its region server dies; the one that takes
// over its queue ships A once more, after B. HBase keeps the value that was written last, so the target would end with
// A. Everything else of a replay is harmless, as a cell is applied with its own timestamp and type.
//
// A cell is left out only when the very same cell (row, family, qualifier, timestamp, type) of the same epoch of the table was
// applied with a higher sequence; never because it merely looks old, as first deliveries come out of order, too. The
// memory is bounded, and filled from the topic when a process begins (see worker.warm). Of the places of its hash a cell takes
// the one whose cell was not applied for longest.
type recent struct {
	seed  maphash.Seed
	slots []recentCell // recentWays for each hash, those applied last first
	key   []byte
	warm  bool      // it holds what was applied before this process began
	log   []replace // since begin
}

// replace is one place that was taken over: is came first in places, those before n moved behind it, was gave way.
type replace struct {
	places  []recentCell
	n       int
	was, is recentCell
}

type recentCell struct{ hash, sequence uint64 }

// newRecent has room for cells, a multiple of recentWays.
func newRecent(cells int) *recent {
	return &recent{seed: maphash.MakeSeed(), slots: make([]recentCell, cells)}
}

// filter takes the cells out of c that were applied with a higher sequence, and remembers the others. It returns
// how many it took out.
func (r *recent) filter(c *schema.Change) (superseded int) {
	kept := c.Cells[:0]
	for i := range c.Cells {
		if r.superseded(c, &c.Cells[i]) {
			superseded++
			continue
		}
		kept = append(kept, c.Cells[i])
	}
	c.Cells = kept
	return superseded
}

// begin opens a batch: what filter remembers from now on can be taken back.
func (r *recent) begin() { r.log = r.log[:0] }

// mark is how much was remembered since begin.
func (r *recent) mark() int { return len(r.log) }

// undo takes back what was remembered since mark, for changes that are not applied after all.
func (r *recent) undo(mark int) {
	for i := len(r.log) - 1; i >= mark; i-- {
		l := r.log[i]
		copy(l.places[:l.n], l.places[1:])
		l.places[l.n] = l.was
	}
	r.log = r.log[:mark]
}

// forget takes back what was remembered from mark to end, where nothing has taken its place since.
func (r *recent) forget(mark, end int) {
	for i := end - 1; i >= mark; i-- {
		l := r.log[i]
		n := slices.Index(l.places, l.is)
		switch {
		case n < 0:
		case l.was.hash == l.is.hash:
			l.places[n] = l.was
		default:
			l.places[n] = recentCell{}
		}
	}
}

func (r *recent) superseded(c *schema.Change, k *schema.Cell) bool {
	is := recentCell{hash: r.hash(c, k), sequence: c.Sequence}
	at := is.hash >> 1 % uint64(len(r.slots)/recentWays) * recentWays // bit 0 is always set
	places := r.slots[at : at+recentWays]
	n := slices.IndexFunc(places, func(x recentCell) bool { return x.hash == is.hash })
	if n < 0 {
		n = len(places) - 1
	} else if places[n].sequence > is.sequence {
		return true
	}
	if is.sequence == 0 {
		return false // of a scan: it supersedes nothing
	}
	r.log = append(r.log, replace{places, n, places[n], is})
	copy(places[1:n+1], places)
	places[0] = is
	return false
}

func (r *recent) hash(c *schema.Change, k *schema.Cell) uint64 {
	b := r.key[:0]
	for _, part := range [][]byte{c.Row, k.Family, k.Qualifier} {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	b = append(b, c.Table...)
	b = binary.LittleEndian.AppendUint64(b, uint64(c.Source.Epoch))
	b = binary.LittleEndian.AppendUint64(b, uint64(k.Timestamp))
	b = append(b, byte(k.Type))
	r.key = b
	return maphash.Bytes(r.seed, b) | 1 // 0 is the empty place
}
