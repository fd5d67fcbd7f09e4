package sink

import (
	"fmt"
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

func BenchmarkRecent(b *testing.B) {
	r := newRecent(recentCells)
	c := cellChange("row-0000001", 20, 1, put("qualifier", 5))
	b.ReportAllocs()
	for b.Loop() {
		r.filter(c)
	}
}
