package sink

import (
	"fmt"
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

// TestWhatIsTakenBackWasNever: undo leaves the memory as it was, forget leaves nothing of the changes it is told.
func TestWhatIsTakenBackWasNever(t *testing.T) {
	change := func(i int, seq uint64) *schema.Change { return cellChange(fmt.Sprint(i%40), seq, 1, put("q", 5)) }
	r := newRecent(2 * recentWays)
	for i := range 100 {
		r.begin()
		r.filter(change(i, uint64(i+1)))
	}
	before := slices.Clone(r.slots)
	r.begin()
	for i := range 1000 {
		r.filter(change(7*i, uint64(i+50)))
	}
	kept := slices.Clone(r.slots)
	mark := r.mark()
	for i := range 1000 {
		r.filter(change(3*i, uint64(2000+i)))
	}
	r.undo(mark)
	if !slices.Equal(r.slots, kept) {
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
	if !slices.Equal(r.slots, before) {
		t.Error("undone to the begin, the memory is another one")
	}
}

func BenchmarkRecent(b *testing.B) {
	r := newRecent(recentCells)
	c := cellChange("row-0000001", 20, 1, put("qualifier", 5))
	b.ReportAllocs()
	for b.Loop() {
		r.begin()
		r.filter(c)
	}
}
