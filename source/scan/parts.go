package scan

import (
	"bytes"
	"slices"
)

// Part is how far the scan of neighbouring shards of a table is.
type Part struct {
	Start       []byte // first row; empty: that of the table
	Shards      int
	Done        int // of Shards
	Rows, Bytes int64
	// Total is how many bytes the shards are likely to hold, by what their region servers reported; 0: not known.
	Total int64
}

// Parts tells how far the shards, all of one table and epoch, are by ranges: in key order, in at most most parts of as many shards each.
func Parts(shards []Shard, ranges []Range, most int) []Part {
	if len(shards) == 0 || most < 1 {
		return nil
	}
	shards = slices.Clone(shards)
	slices.SortFunc(shards, func(a, b Shard) int { return bytes.Compare(a.Start, b.Start) })
	per := (len(shards) + most - 1) / most
	done := newCoverage(ranges)
	parts := make([]Part, 0, (len(shards)+per-1)/per)
	for i, sh := range shards {
		if i%per == 0 {
			parts = append(parts, Part{Start: sh.Start})
		}
		p := &parts[len(parts)-1]
		p.Shards, p.Total = p.Shards+1, p.Total+sh.Bytes
		if done.covers(sh.span()) {
			p.Done++
		}
	}
	for i := range ranges {
		r := &ranges[i]
		n, found := slices.BinarySearchFunc(parts, r.Start, func(p Part, start []byte) int { return bytes.Compare(p.Start, start) })
		if !found {
			n--
		}
		if n >= 0 {
			parts[n].Rows, parts[n].Bytes = parts[n].Rows+r.Rows, parts[n].Bytes+r.Bytes
		}
	}
	return parts
}
