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
	seed   maphash.Seed
	sets   []recentSet
	oldest []uint8 // of each set: the place that is taken next
	key    []byte
	ahead  []uint64  // hashes of the cells that are looked at next
	read   uint64    // keeps touch from being left out
	warm   bool      // it holds what was applied before this process began
	log    []replace // since begin
}

// recentSet is the places of one hash, a ring: from the oldest on, each is of a cell that was applied later than that of the one before.
// So a new cell is one write, where a list in order was moved whole; and hashes by themselves are half of what is to be read: 0.11 µs a cell
// instead of 0.15 (BenchmarkRecent).
type recentSet struct {
	hashes    [recentWays]uint64 // 0: empty
	sequences [recentWays]uint64
}

// replace is one cell that was remembered: in the place of was, the oldest, or of was, the same cell, which then became the newest.
type replace struct {
	was, is recentCell
	set     uint32
	place   uint8 // of was
}

type recentCell struct{ hash, sequence uint64 }

// newRecent has room for cells, a multiple of recentWays.
func newRecent(cells int) *recent {
	return &recent{seed: maphash.MakeSeed(), sets: make([]recentSet, cells/recentWays), oldest: make([]uint8, cells/recentWays)}
}

// aheadCells is how many cells are looked for side by side. Their places are somewhere in megabytes of memory, and a processor waits for ten
// such reads as long as for one: 0.13 instead of 0.27 µs of CPU time a cell (BenchmarkRecent).
const aheadCells = 64

// filterAll takes the cells out of changes that were applied with a higher sequence, and remembers the others. done is told of each change
// how many were taken out of it, and the mark from before it.
func (r *recent) filterAll(changes []schema.Change, done func(i, mark, superseded int)) {
	for i := 0; i < len(changes); {
		r.ahead = r.ahead[:0]
		end := i
		for ; end < len(changes) && len(r.ahead) < aheadCells; end++ {
			r.hash(&changes[end])
		}
		r.touch()
		r.room(len(r.ahead))
		for hashes := r.ahead; i < end; i++ {
			c, mark := &changes[i], r.mark()
			n := len(c.Cells)
			done(i, mark, r.take(c, hashes[:n]))
			hashes = hashes[n:]
		}
	}
}

// filter is filterAll of one change. It returns how many cells it took out.
func (r *recent) filter(c *schema.Change) (superseded int) {
	r.ahead = r.ahead[:0]
	r.hash(c)
	return r.take(c, r.ahead)
}

// room makes room for n more of what can be taken back: by doubling, as it begins small for each partition.
func (r *recent) room(n int) {
	if cap(r.log)-len(r.log) < n {
		r.log = append(make([]replace, 0, max(2*cap(r.log), len(r.log)+n)), r.log...)
	}
}

// touch reads what take will of each cell of ahead: two cache lines of hashes, and the sequence that may give way.
func (r *recent) touch() {
	for _, h := range r.ahead {
		n := r.setOf(h)
		s := &r.sets[n]
		r.read += s.hashes[0] + s.hashes[recentWays/2] + s.sequences[r.oldest[n]%recentWays]
	}
}

// take is filter for a change whose cells have these hashes.
func (r *recent) take(c *schema.Change, hashes []uint64) (superseded int) {
	kept := c.Cells[:0]
	for i, h := range hashes {
		if r.superseded(h, c.Sequence) {
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
		l := &r.log[i]
		s := &r.sets[l.set]
		if l.was.hash == l.is.hash {
			for at := before(r.oldest[l.set]); at != l.place; at = before(at) {
				s.put(at, s.at(before(at)))
			}
		} else {
			r.oldest[l.set] = l.place
		}
		s.put(l.place, l.was)
	}
	r.log = r.log[:mark]
}

// forget takes back what was remembered from mark to end, where nothing has taken its place since.
func (r *recent) forget(mark, end int) {
	for i := end - 1; i >= mark; i-- {
		l := &r.log[i]
		s := &r.sets[l.set]
		n := slices.Index(s.hashes[:], l.is.hash)
		switch {
		case n < 0 || s.sequences[n] != l.is.sequence:
		case l.was.hash == l.is.hash:
			s.put(uint8(n), l.was)
		default:
			s.put(uint8(n), recentCell{})
		}
	}
}

func (s *recentSet) at(place uint8) recentCell {
	return recentCell{s.hashes[place%recentWays], s.sequences[place%recentWays]}
}

func (s *recentSet) put(place uint8, c recentCell) {
	s.hashes[place%recentWays], s.sequences[place%recentWays] = c.hash, c.sequence
}

func before(place uint8) uint8 { return (place - 1) % recentWays }

func behind(place uint8) uint8 { return (place + 1) % recentWays }

func (r *recent) setOf(hash uint64) uint32 {
	return uint32(hash >> 1 % uint64(len(r.sets))) // bit 0 is always set
}

// superseded tells whether the cell was applied with a higher sequence; else it is remembered.
func (r *recent) superseded(hash, sequence uint64) bool {
	set := r.setOf(hash)
	s, oldest := &r.sets[set], r.oldest[set]
	n := slices.Index(s.hashes[:], hash)
	switch {
	case n >= 0 && s.sequences[n] > sequence:
		return true
	case sequence == 0:
		return false // of a scan: it supersedes nothing
	}
	l := replace{is: recentCell{hash, sequence}, set: set, place: oldest}
	to := oldest
	if n >= 0 {
		l.place, to = uint8(n), before(oldest)
	}
	l.was = s.at(l.place)
	r.log = append(r.log, l)
	if n < 0 {
		r.oldest[set] = behind(oldest)
	}
	for at := l.place; at != to; at = behind(at) { // it was applied before: it is the newest now
		s.put(at, s.at(behind(at)))
	}
	s.put(to, l.is)
	return false
}

// hash adds the hashes of the cells of c to ahead.
func (r *recent) hash(c *schema.Change) {
	for i := range c.Cells {
		k := &c.Cells[i]
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
		r.ahead = append(r.ahead, maphash.Bytes(r.seed, b)|1) // 0 is the empty place
	}
}
