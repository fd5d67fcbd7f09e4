package replication

import (
	"strings"
	"testing"

	"github.com/waltap/waltap/internal/hbase/cell"
)

func of(family, row, qualifier string) cell.Cell {
	c := put(row, qualifier)
	c.Family = []byte(family)
	return c
}

// A call with a family that is not captured fails whole: HBase sends it again when the family is.
func TestCallWithANewFamilyFails(t *testing.T) {
	f := serve(t)
	err := f.call(t.Context(), edit{table: "t", seq: 20, cells: []cell.Cell{of("f", "x", "1"), of("new", "x", "1")}})
	if err == nil || !strings.Contains(err.Error(), "family new was added at the source") {
		t.Fatalf("got %v", err)
	}
	if n := f.newFamilies.Load(); n != 1 {
		t.Errorf("told %d times", n)
	}
	if got := f.producer.changes(t); len(got) != 0 {
		t.Errorf("published: %+v", got)
	}
	// What is out of scope is of no family at all.
	if err := f.call(t.Context(), edit{table: "t", seq: 21, cells: []cell.Cell{of("new", "x", "out of scope")}}); err != nil {
		t.Error(err)
	}
}

// A family that came when the scan had begun is not left out by the scan's read point; the others of the same edit are.
func TestScanHasNotDeliveredALaterFamily(t *testing.T) {
	f := serve(t)
	answered := make(chan error, 1)
	go func() {
		answered <- f.call(t.Context(), edit{table: "t", seq: 10, cells: []cell.Cell{of("f", "a", "1"), of("later", "a", "2"), of("f", "b", "3"), of("f", "x", "4")}})
	}()
	<-f.producer.given
	f.producer.answer(nil)
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	var shape []string
	for _, c := range f.producer.changes(t) {
		s := string(c.Row)
		for _, k := range c.Cells {
			s += " " + string(k.Family) + ":" + string(k.Qualifier)
		}
		shape = append(shape, s)
	}
	if got, want := strings.Join(shape, ", "), "a later:2, x f:4"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if n := f.stats.counted().below; n != 1 {
		t.Errorf("%d changes left out, want that of row b", n)
	}
}

// A family that only an earlier life of the table had is left out with the rest of that life: it will never be captured, and HBase
// would send the call for ever.
func TestFamilyOfAnEarlierLifeIsLeftOut(t *testing.T) {
	f := serve(t)
	if err := f.call(t.Context(), edit{table: "t", seq: 20, written: 999, cells: []cell.Cell{of("gone", "x", "1"), of("f", "x", "1")}}); err != nil {
		t.Fatal(err)
	}
	if n := f.newFamilies.Load(); n != 0 {
		t.Errorf("told %d times of a new family", n)
	}
	if got := f.producer.changes(t); len(got) != 0 {
		t.Errorf("published: %+v", got)
	}
}
