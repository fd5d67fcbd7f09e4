package mutate

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestSort: mutations are in the order of their rows, and those of a row in the order in which they came.
func TestSort(t *testing.T) {
	var s sorter
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOf(rapid.StringMatching(`[a-c]{0,3}|samestart[a-c]{0,2}|\x00{0,9}`)).Draw(t, "rows")
		prefix := rapid.SampledFrom([]string{"", "x", "all of them begin so "}).Draw(t, "prefix")
		var mutations []Mutation
		for i, row := range rows {
			mutations = append(mutations, Cells{{Row: []byte(prefix + row), Timestamp: int64(i)}})
		}
		want := slices.Clone(mutations)
		slices.SortStableFunc(want, func(a, b Mutation) int { return bytes.Compare(a.Row(), b.Row()) })
		s.sort(mutations)
		if d := cmp.Diff(want, mutations); d != "" {
			t.Errorf("rows %q (-want +got):\n%s", rows, d)
		}
	})
}

// TestShares: each row is in the share of its region, and of no other.
func TestShares(t *testing.T) {
	f := newCluster(t)
	f.regions = nil
	starts := []string{"", "b", "bb", "m", "x"}
	for i, start := range starts {
		end := ""
		if i+1 < len(starts) {
			end = starts[i+1]
		}
		f.regions = append(f.regions, f.region(start, end, []string{"a", "b"}[i%2]))
	}
	f.mu.Unlock()
	defer f.mu.Lock()
	w := writer(f)
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOf(rapid.StringMatching(`[abcmxz]{1,3}`)).Draw(t, "rows")
		slices.Sort(rows)
		shares, _, err := w.shares(t.Context(), "default:t", make([]bool, len(rows)), func(i int) []byte { return []byte(rows[i]) })
		if err != nil {
			t.Fatal(err)
		}
		in := make([]int, len(rows)) // how many regions have it
		for _, s := range shares {
			for _, r := range s.regions {
				for i := r.from; i < r.end; i++ {
					in[i]++
					if rows[i] < string(r.region.Start) || len(r.region.End) > 0 && rows[i] >= string(r.region.End) || r.region.Server != s.server {
						t.Errorf("row %q is in the share of %s at server %s", rows[i], r.region.Encoded, s.server)
					}
				}
			}
		}
		for i, n := range in {
			if n != 1 {
				t.Errorf("row %q is in %d shares", rows[i], n)
			}
		}
	})
}

// BenchmarkSort has the rows of a batch in the order of a WAL.
func BenchmarkSort(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	var all []Mutation
	for range 4000 {
		all = append(all, Cells{{Row: fmt.Appendf(nil, "%04x-%09d", random.IntN(1<<16), random.IntN(1e9))}})
	}
	mutations := make([]Mutation, len(all))
	var s sorter
	b.ReportAllocs()
	for b.Loop() {
		copy(mutations, all)
		s.sort(mutations)
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N*len(all)), "ns/row")
}
