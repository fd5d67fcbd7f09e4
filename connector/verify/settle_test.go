package verify

import (
	"fmt"
	"testing"
)

// TestNeighboursAreReadTogether: suspects are read by one scan where little lies between them and its size is known.
func TestNeighboursAreReadTogether(t *testing.T) {
	plain := &table{name: "t", countsAll: true}
	u, other := &unit{table: plain}, &unit{table: plain}
	row := func(u *unit, begin, end int64) *suspect { return &suspect{table: plain, place: place{u, begin, end}} }
	var many []*suspect
	for i := range int64(3 * groupRows) {
		many = append(many, row(u, 10*i, 10*i+10))
	}
	filtered := row(u, 0, 10)
	filtered.table = &table{name: "t"}
	for _, tc := range []struct {
		name string
		all  []*suspect
		want int
	}{
		{"one", []*suspect{row(u, 0, 10)}, 1},
		{"side by side", []*suspect{row(u, 0, 10), row(u, 10, 20), row(u, 20, 30)}, 3},
		{"little between", []*suspect{row(u, 0, 10), row(u, 10+groupGap, 20+groupGap)}, 2},
		{"much between", []*suspect{row(u, 0, 10), row(u, 11+groupGap, 20+groupGap)}, 1},
		{"large", []*suspect{row(u, 0, groupBytes/2), row(u, groupBytes/2, groupBytes), row(u, groupBytes, groupBytes+1)}, 2},
		{"another range", []*suspect{row(u, 0, 10), row(other, 10, 20)}, 1},
		{"not known where", []*suspect{row(nil, 0, 0), row(nil, 0, 0)}, 1},
		{"filtered", []*suspect{filtered, row(u, 10, 20)}, 1},
		{"many", many, groupRows},
	} {
		if got := (&settler{}).neighbours(tc.all); got != tc.want {
			t.Errorf("%s: %d are read together, want %d", tc.name, got, tc.want)
		}
	}
}

func TestLargeSuspectsAreReadAFewAtOnce(t *testing.T) {
	u := new(unit)
	for _, tc := range []struct{ n, size, want int }{
		{10, 1, 10}, {3 * smallAtOnce, 1, smallAtOnce}, {2 * readAtOnce, smallBytes, readAtOnce}, {2 * readAtOnce, smallBytes / (readAtOnce + 50), readAtOnce + 50},
	} {
		t.Run(fmt.Sprint(tc.n, " of ", tc.size), func(t *testing.T) {
			var all []*suspect
			for range tc.n {
				all = append(all, &suspect{place: place{u, 0, int64(tc.size)}})
			}
			if got := atOnce(all); got != tc.want {
				t.Errorf("%d at once, want %d", got, tc.want)
			}
		})
	}
}
