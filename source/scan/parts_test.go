package scan

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParts(t *testing.T) {
	var shards []Shard
	for i := range 5 { // -0, 0-1, 1-2, 2-3, 3-
		sh := Shard{Table: "default:t", Bytes: 100, Order: -i}
		if i > 0 {
			sh.Start = []byte(fmt.Sprint(i - 1))
		}
		if i < 4 {
			sh.End = []byte(fmt.Sprint(i))
		}
		shards = append([]Shard{sh}, shards...) // the last first
	}
	ranges := []Range{
		{End: []byte("0"), Done: true, Rows: 10, Bytes: 90},
		{Start: []byte("0"), End: []byte("05"), Done: true, Rows: 3, Bytes: 30}, // its region was split meanwhile
		{Start: []byte("05"), End: []byte("1"), Done: true, Rows: 4, Bytes: 40},
		{Start: []byte("2"), End: []byte("3"), Upto: []byte("25"), Rows: 5, Bytes: 50},
	}
	for _, tc := range []struct {
		most int
		want []Part
	}{
		{0, nil},
		{1, []Part{{Shards: 5, Done: 2, Rows: 22, Bytes: 210, Total: 500}}},
		{2, []Part{{Shards: 3, Done: 2, Rows: 17, Bytes: 160, Total: 300}, {Start: []byte("2"), Shards: 2, Rows: 5, Bytes: 50, Total: 200}}},
		{9, []Part{
			{Shards: 1, Done: 1, Rows: 10, Bytes: 90, Total: 100},
			{Start: []byte("0"), Shards: 1, Done: 1, Rows: 7, Bytes: 70, Total: 100},
			{Start: []byte("1"), Shards: 1, Total: 100},
			{Start: []byte("2"), Shards: 1, Rows: 5, Bytes: 50, Total: 100},
			{Start: []byte("3"), Shards: 1, Total: 100},
		}},
	} {
		if d := cmp.Diff(tc.want, Parts(shards, ranges, tc.most)); d != "" {
			t.Errorf("at most %d (-want +got):\n%s", tc.most, d)
		}
	}
	if got := Parts(nil, ranges, 3); got != nil {
		t.Errorf("without shards: %+v", got)
	}
}
