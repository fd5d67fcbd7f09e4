package sink

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/waltap/waltap/schema"
)

func cellChange(row string, seq uint64, epoch int64, cells ...schema.Cell) *schema.Change {
	return &schema.Change{Table: "default:t", Row: []byte(row), Sequence: seq, Cells: cells, Source: schema.Source{Epoch: epoch}}
}

func put(q string, ts int64) schema.Cell {
	return schema.Cell{Family: []byte("f"), Qualifier: []byte(q), Timestamp: ts, Type: schema.Put}
}

func TestOnlyTheVerySameCellWithALowerSequenceIsLeftOut(t *testing.T) {
	del := put("q", 5)
	del.Type = schema.Delete
	for _, tc := range []struct {
		name string
		late *schema.Change
		want int
	}{
		{"replay of an older value", cellChange("r", 10, 1, put("q", 5)), 1},
		{"replay of the same edit", cellChange("r", 20, 1, put("q", 5)), 0},
		{"newer edit", cellChange("r", 21, 1, put("q", 5)), 0},
		{"scan record", cellChange("r", 0, 1, put("q", 5)), 1},
		{"another timestamp", cellChange("r", 10, 1, put("q", 4)), 0},
		{"another type", cellChange("r", 10, 1, del), 0},
		{"another column", cellChange("r", 10, 1, put("p", 5)), 0},
		{"another row", cellChange("s", 10, 1, put("q", 5)), 0},
		{"another epoch: sequences do not compare", cellChange("r", 10, 2, put("q", 5)), 0},
		{"one cell of two", cellChange("r", 10, 1, put("q", 5), put("p", 5)), 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRecent(1 << 10)
			if n := r.filter(cellChange("r", 20, 1, put("q", 5))); n != 0 {
				t.Fatalf("%d cells of a first delivery were left out", n)
			}
			before := len(tc.late.Cells)
			if n := r.filter(tc.late); n != tc.want || len(tc.late.Cells) != before-n {
				t.Errorf("%d cells left out, %d kept; want %d left out", n, len(tc.late.Cells), tc.want)
			}
		})
	}
}

func TestRecentCellsAreBounded(t *testing.T) {
	r := newRecent(16)
	for i := range 10_000 {
		r.filter(cellChange(fmt.Sprint(i), 20, 1, put("q", 5)))
	}
	left := 0
	for i := range 10_000 {
		left += r.filter(cellChange(fmt.Sprint(i), 10, 1, put("q", 5)))
	}
	if left > 16 {
		t.Errorf("%d cells were remembered, there is room for 16", left)
	}
}

// TestRecentCellsAreTheRecentOnes: what came within a quarter of the memory's size is there, but for a cell in a million.
func TestRecentCellsAreTheRecentOnes(t *testing.T) {
	const room = 1 << 14
	r := newRecent(room)
	for i := range 10 * room {
		r.filter(cellChange(fmt.Sprint(i), 20, 1, put("q", 5)))
	}
	forgotten := 0
	for i := range room / 4 {
		forgotten += 1 - r.filter(cellChange(fmt.Sprint(10*room-1-i), 10, 1, put("q", 5)))
	}
	if forgotten > 1 {
		t.Errorf("%d of the last %d cells were forgotten, of %d that there is room for", forgotten, room/4, room)
	}
}

// memory is what a recent remembers.
type memory struct {
	sets   []recentSet
	oldest []uint8
}

func memoryOf(r *recent) memory { return memory{slices.Clone(r.sets), slices.Clone(r.oldest)} }

// TestWhatIsTakenBackWasNever: undo leaves the memory as it was, forget leaves nothing of the changes it is told.
func TestWhatIsTakenBackWasNever(t *testing.T) {
	change := func(i int, seq uint64) *schema.Change { return cellChange(fmt.Sprint(i%40), seq, 1, put("q", 5)) }
	r := newRecent(2 * recentWays)
	for i := range 100 {
		r.begin()
		r.filter(change(i, uint64(i+1)))
	}
	before := memoryOf(r)
	r.begin()
	for i := range 1000 {
		r.filter(change(7*i, uint64(i+50)))
	}
	kept := memoryOf(r)
	mark := r.mark()
	for i := range 1000 {
		r.filter(change(3*i, uint64(2000+i)))
	}
	r.undo(mark)
	if !reflect.DeepEqual(memoryOf(r), kept) {
		t.Error("undone to a mark, the memory is another one")
	}
	mark = r.mark()
	r.filter(change(3, 5000))
	r.filter(change(4, 6000))
	r.forget(mark, mark+1)
	if n, m := r.filter(change(3, 4000)), r.filter(change(4, 4000)); n != 0 || m != 1 {
		t.Errorf("%d cells of the change that was forgotten and %d of the other are left out, want 0 and 1", n, m)
	}
	r.undo(0)
	if !reflect.DeepEqual(memoryOf(r), before) {
		t.Error("undone to the begin, the memory is another one")
	}
}

// Beside each other, the memory and a list: what it remembers of a set is what was applied last, whatever is applied again, and
// nothing is found that was not.
func TestRecentCellsOfASet(t *testing.T) {
	r := newRecent(recentWays) // all in one
	type applied struct {
		row      string
		sequence uint64
	}
	var last []applied // the newest first
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 20_000 {
		row, sequence := fmt.Sprint(random.IntN(24)), random.Uint64N(50)
		n := slices.IndexFunc(last, func(a applied) bool { return a.row == row })
		want := 0
		if n >= 0 && last[n].sequence > sequence {
			want = 1
		}
		r.begin()
		if got := r.filter(cellChange(row, sequence, 1, put("q", 5))); got != want {
			t.Fatalf("step %d: %d of row %s, sequence %d, are left out, want %d: %v", i, got, row, sequence, want, last)
		}
		switch {
		case want == 1 || sequence == 0:
			continue
		case random.IntN(10) == 0:
			r.undo(0)
			continue
		case n >= 0:
			last = slices.Delete(last, n, n+1)
		case len(last) == recentWays:
			last = last[:recentWays-1]
		}
		last = slices.Insert(last, 0, applied{row, sequence})
	}
}

// Changes that are looked at side by side are filtered as one after the other, those of one cell too.
func TestCellsAreLookedForSideBySide(t *testing.T) {
	changes := func() (all []schema.Change) {
		random := rand.New(rand.NewPCG(3, 4))
		for range 1000 {
			c := cellChange(fmt.Sprint(random.IntN(30)), random.Uint64N(50), 1)
			for range random.IntN(4) {
				c.Cells = append(c.Cells, put(fmt.Sprint(random.IntN(3)), int64(random.IntN(3))))
			}
			all = append(all, *c)
		}
		return all
	}
	one, many := newRecent(1<<10), newRecent(1<<10)
	many.seed = one.seed
	singly, together := changes(), changes()
	var marks, counts []int
	left := 0
	for i := range singly {
		marks = append(marks, one.mark())
		counts = append(counts, one.filter(&singly[i]))
		left += counts[i]
	}
	n := 0
	many.filterAll(together, func(i, mark, superseded int) {
		if i != n || mark != marks[i] || superseded != counts[i] {
			t.Fatalf("change %d is told as %d with mark %d, %d left out; want mark %d, %d", n, i, mark, superseded, marks[i], counts[i])
		}
		n++
	})
	if n != len(singly) || !reflect.DeepEqual(together, singly) || !reflect.DeepEqual(memoryOf(one), memoryOf(many)) {
		t.Errorf("%d of %d changes are told, and they are not what one after the other are", n, len(singly))
	}
	if left == 0 {
		t.Error("nothing is left out: this shows nothing")
	}
}

// BenchmarkRecent has the partitions of a loaded sink, and cells that come once.
func BenchmarkRecent(b *testing.B) {
	for _, cells := range []int{1, 20} {
		b.Run(fmt.Sprintf("cells=%d", cells), func(b *testing.B) {
			var all [fullPartitions]*recent
			for i := range all {
				all[i] = newRecent(recentCells)
			}
			changes := make([]schema.Change, 4000/cells)
			for i := range changes {
				c := cellChange("row-0000001", 20, 1)
				for q := range cells {
					c.Cells = append(c.Cells, put(fmt.Sprintf("qualifier-%d", q), 5))
				}
				changes[i] = *c
			}
			b.ReportAllocs()
			n := uint64(0)
			for b.Loop() {
				for _, r := range all {
					r.begin()
					for i := range changes {
						n++
						binary.BigEndian.PutUint64(changes[i].Row, n)
					}
					r.filterAll(changes, func(int, int, int) {})
				}
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N*fullPartitions*4000), "ns/cell")
		})
	}
}
