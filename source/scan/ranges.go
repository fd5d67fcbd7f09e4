package scan

import (
	"bytes"
	"sort"
)

// Range is a key range of one table that was, or is being, scanned at one read point. It is what a scan
// keeps in the checkpoint topic: written before the first record of the range is produced, then at intervals, and
// when every record of it is acknowledged. A range that was not scanned to its end keeps its bounds and its read
// point for ever, as rows behind Upto may have been delivered at it too.
type Range struct {
	Table  string `json:"table"`
	Epoch  int64  `json:"epoch"`
	Region string `json:"region"` // encoded name of the region that was asked
	Start  []byte `json:"start"`  // inclusive; empty: the first row
	End    []byte `json:"end"`    // exclusive; empty: behind the last row
	// Upto is the first row that is not known to be acknowledged; empty: none is, unless Done.
	Upto []byte `json:"upto,omitempty"`
	// ReadPoint is the region's multi-version read point of the scan: it delivers every edit with a
	// sequence at or below it. Of several scans of the range it is the lowest.
	ReadPoint uint64 `json:"read_point"`
	Done      bool   `json:"done"`
	Rows      int64  `json:"rows"`
	Bytes     int64  `json:"bytes"`
	// Generation in which it was begun, of the group of the connector's processes. Ranges of other generations are other
	// ranges: what a process still saves that has dropped out of the group touches none of those that came after it.
	Generation int32 `json:"generation,omitempty"`
}

// rangeKey is what a Range is kept under, within its epoch.
type rangeKey struct {
	table, region, start, end string
	generation                int32
}

func (r *Range) key() rangeKey {
	return rangeKey{r.Table, r.Region, string(r.Start), string(r.End), r.Generation}
}

// delivered cuts ranges down to the rows that Kafka has acknowledged.
func delivered(ranges []Range) []Range {
	var out []Range
	for _, r := range ranges {
		switch {
		case r.Done:
			out = append(out, r)
		case len(r.Upto) > 0:
			r.End = minEnd(r.End, r.Upto)
			out = append(out, r)
		}
	}
	return out
}

// span is a bare key range; an empty end is behind the last row.
type span struct{ start, end []byte }

func (s span) empty() bool { return len(s.end) > 0 && bytes.Compare(s.start, s.end) >= 0 }

// minEnd returns the lower of two ends, where empty is the highest.
func minEnd(a, b []byte) []byte {
	if len(a) == 0 || (len(b) > 0 && bytes.Compare(b, a) < 0) {
		return b
	}
	return a
}

func maxStart(a, b []byte) []byte {
	if bytes.Compare(a, b) < 0 {
		return b
	}
	return a
}

// coverage is what of a table Kafka has acknowledged: spans in key order that neither overlap nor touch.
type coverage []span

func newCoverage(ranges []Range) coverage {
	done := delivered(ranges)
	sort.Slice(done, func(i, j int) bool { return bytes.Compare(done[i].Start, done[j].Start) < 0 })
	var out coverage
	for _, r := range done {
		n := len(out)
		switch {
		case n == 0 || len(out[n-1].end) > 0 && bytes.Compare(out[n-1].end, r.Start) < 0:
			out = append(out, span{r.Start, r.End})
		case len(out[n-1].end) > 0 && (len(r.End) == 0 || bytes.Compare(r.End, out[n-1].end) > 0):
			out[n-1].end = r.End
		}
	}
	return out
}

// covers tells whether all of s is in c.
func (c coverage) covers(s span) bool {
	i := sort.Search(len(c), func(i int) bool { return bytes.Compare(c[i].start, s.start) > 0 }) - 1
	return i >= 0 && (len(c[i].end) == 0 || len(s.end) > 0 && bytes.Compare(s.end, c[i].end) <= 0)
}

// missing returns what of s is not in c, in key order.
func (c coverage) missing(s span) []span {
	var out []span
	first := sort.Search(len(c), func(i int) bool { return len(c[i].end) == 0 || bytes.Compare(c[i].end, s.start) > 0 })
	for _, d := range c[first:] {
		if s.empty() || len(s.end) > 0 && bytes.Compare(d.start, s.end) >= 0 {
			break
		}
		if bytes.Compare(d.start, s.start) > 0 {
			out = append(out, span{s.start, d.start})
		}
		if len(d.end) == 0 {
			return out
		}
		s.start = maxStart(s.start, d.end)
	}
	if !s.empty() {
		out = append(out, s)
	}
	return out
}

// ReadPoints answers, for a row of one table, up to which sequence the scan has delivered it.
//
// The lookup is by row, not by the region that an edit names: sequences rise along a row's life over
// splits and merges, so an edit of a daughter region at or below the parent's read point cannot exist, while
// an older edit of the parent that the scan of the daughter has delivered must not be applied once more
// behind it (two puts with one timestamp would end with the older value). Where scans of a row overlap, after a
// restart in the middle, the lowest read point counts: everything above it is replayed in order.
type ReadPoints struct {
	starts [][]byte // ascending
	points []uint64 // of [starts[i], starts[i+1])
}

// NewReadPoints builds the lookup from the ranges of one table.
func NewReadPoints(ranges []Range) *ReadPoints {
	bounds := make([][]byte, 0, 2*len(ranges))
	for _, r := range ranges {
		bounds = append(bounds, r.Start)
		if len(r.End) > 0 {
			bounds = append(bounds, r.End)
		}
	}
	sort.Slice(bounds, func(i, j int) bool { return bytes.Compare(bounds[i], bounds[j]) < 0 })
	sorted := append([]Range(nil), ranges...)
	sort.Slice(sorted, func(i, j int) bool { return bytes.Compare(sorted[i].Start, sorted[j].Start) < 0 })
	p := &ReadPoints{}
	var active []Range
	for i, b := range bounds {
		if i > 0 && bytes.Equal(b, bounds[i-1]) {
			continue
		}
		for len(sorted) > 0 && bytes.Compare(sorted[0].Start, b) <= 0 {
			active = append(active, sorted[0])
			sorted = sorted[1:]
		}
		kept := active[:0]
		for _, r := range active {
			if len(r.End) == 0 || bytes.Compare(r.End, b) > 0 {
				kept = append(kept, r)
			}
		}
		active = kept
		p.starts = append(p.starts, b)
		p.points = append(p.points, lowest(active))
	}
	return p
}

func lowest(ranges []Range) uint64 {
	if len(ranges) == 0 {
		return 0
	}
	low := ranges[0].ReadPoint
	for _, r := range ranges[1:] {
		low = min(low, r.ReadPoint)
	}
	return low
}

// Of returns the read point of row, 0 where nothing was scanned.
func (p *ReadPoints) Of(row []byte) uint64 {
	i := sort.Search(len(p.starts), func(i int) bool { return bytes.Compare(p.starts[i], row) > 0 })
	if i == 0 {
		return 0
	}
	return p.points[i-1]
}
