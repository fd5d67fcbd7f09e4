package scan

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func done(start, end string) Range { return Range{Start: []byte(start), End: []byte(end), Done: true} }

func show(spans []span) []string {
	var out []string
	for _, s := range spans {
		out = append(out, fmt.Sprintf("[%s,%s)", s.start, s.end))
	}
	return out
}

func TestMissing(t *testing.T) {
	for _, tc := range []struct {
		name string
		s    span
		done []Range
		want []string
	}{
		{"nothing done", span{nil, nil}, nil, []string{"[,)"}},
		{"all done", span{nil, nil}, []Range{done("", "")}, nil},
		{"the front is done", span{nil, nil}, []Range{done("", "k")}, []string{"[k,)"}},
		{"the back is done", span{nil, nil}, []Range{done("k", "")}, []string{"[,k)"}},
		{"the middle is done", span{[]byte("b"), []byte("y")}, []Range{done("g", "k")}, []string{"[b,g)", "[k,y)"}},
		{"two overlap", span{nil, []byte("z")}, []Range{done("g", "q"), done("c", "k")}, []string{"[,c)", "[q,z)"}},
		{"done lies outside", span{[]byte("g"), []byte("k")}, []Range{done("a", "g"), done("k", "z")}, []string{"[g,k)"}},
		{"two halves", span{[]byte("g"), []byte("k")}, []Range{done("a", "i"), done("i", "")}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, show(newCoverage(tc.done).missing(tc.s))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func genRange(t *rapid.T, key *rapid.Generator[[]byte]) Range {
	r := Range{Start: key.Draw(t, "start"), End: key.Draw(t, "end"), Done: true, ReadPoint: rapid.Uint64Range(1, 50).Draw(t, "point")}
	if len(r.End) > 0 && bytes.Compare(r.Start, r.End) > 0 {
		r.Start, r.End = r.End, r.Start
	}
	return r
}

func contains(start, end, row []byte) bool {
	return bytes.Compare(start, row) <= 0 && (len(end) == 0 || bytes.Compare(row, end) < 0)
}

// Every row is either in a done range or in exactly one of the spans that are left.
func TestMissingIsExactlyTheRest(t *testing.T) {
	key := rapid.SliceOfN(rapid.ByteRange('a', 'e'), 0, 2)
	rapid.Check(t, func(t *rapid.T) {
		var ranges []Range
		for range rapid.IntRange(0, 6).Draw(t, "n") {
			ranges = append(ranges, genRange(t, key))
		}
		whole := genRange(t, key)
		left := newCoverage(ranges).missing(span{whole.Start, whole.End})
		row := rapid.SliceOfN(rapid.ByteRange('a', 'e'), 1, 3).Draw(t, "row")
		n := 0
		for _, s := range left {
			if contains(s.start, s.end, row) {
				n++
			}
		}
		want := 0
		if contains(whole.Start, whole.End, row) && !(len(whole.End) > 0 && bytes.Equal(whole.Start, whole.End)) {
			want = 1
		}
		for _, d := range ranges {
			if contains(d.Start, d.End, row) {
				want = 0
			}
		}
		if covers := newCoverage(ranges).covers(span{whole.Start, whole.End}); covers && len(left) > 0 || !covers && len(left) == 0 && want == 1 {
			t.Fatalf("covers = %t with %v left", covers, show(left))
		}
		if n != want {
			t.Fatalf("row %q is in %d of the spans %v left of [%q,%q), want %d", row, n, show(left), whole.Start, whole.End, want)
		}
	})
}

// The read point of a row is the lowest of all scans that covered it.
func TestReadPointsAreTheLowest(t *testing.T) {
	key := rapid.SliceOfN(rapid.ByteRange('a', 'e'), 0, 2)
	rapid.Check(t, func(t *rapid.T) {
		var ranges []Range
		for range rapid.IntRange(0, 8).Draw(t, "n") {
			ranges = append(ranges, genRange(t, key))
		}
		p := NewReadPoints(ranges)
		row := rapid.SliceOfN(rapid.ByteRange('a', 'f'), 1, 3).Draw(t, "row")
		var want uint64
		for _, r := range ranges {
			if contains(r.Start, r.End, row) && (want == 0 || r.ReadPoint < want) {
				want = r.ReadPoint
			}
		}
		if got := p.Of(row); got != want {
			t.Fatalf("read point of %q = %d, want %d of %+v", row, got, want, ranges)
		}
	})
}
