package replication

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/waltap/waltap/schema"
)

// TestRowIndex compares with a map, over edits of few and many rows in any order.
func TestRowIndex(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var x rowIndex
	for edit := range 200 {
		x.reset()
		var changes []schema.Change
		places := map[string]int{}
		distinct := 1 + rnd.IntN([]int{3, 12, 60, 3000}[edit%4])
		for range rnd.IntN(4 * distinct) {
			row := fmt.Sprintf("row-%d", rnd.IntN(distinct))
			want, ok := places[row]
			if !ok {
				want = -1
			}
			if got := x.find([]byte(row), changes); got != want {
				t.Fatalf("edit %d, %d rows: %s found at %d, want %d", edit, len(changes), row, got, want)
			}
			if !ok {
				places[row] = len(changes)
				changes = append(changes, schema.Change{Row: []byte(row)})
			}
		}
	}
}
