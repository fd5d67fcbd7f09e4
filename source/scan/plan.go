package scan

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
)

// Shard is a range of rows of a table that is scanned by one process. It is kept beside the progress until the table's scan is complete.
type Shard struct {
	Table string `json:"table"`
	Epoch int64  `json:"epoch"`
	Start []byte `json:"start"` // inclusive; empty: the first row
	End   []byte `json:"end"`   // exclusive; empty: behind the last row
	// Bytes that it is likely to hold, by what its region server reported.
	Bytes int64 `json:"bytes"`
	// Order in which shards are best scanned: those of different servers next to each other.
	Order int `json:"order"`
	// Task is whose right it is to scan it.
	Task int `json:"task"`
}

func (s *Shard) span() span { return span{s.Start, s.End} }

// left is how many bytes are likely to be left when ranges were read.
func (s *Shard) left(ranges []Range) int64 {
	n := s.Bytes
	for _, r := range ranges {
		if bytes.Compare(r.Start, s.Start) >= 0 && (len(s.End) == 0 || bytes.Compare(r.Start, s.End) < 0) {
			n -= r.Bytes
		}
	}
	return max(0, n)
}

// Left returns those of shards, all of one table and epoch, that ranges do not cover wholly.
func Left(shards []Shard, ranges []Range) []Shard {
	done := newCoverage(ranges)
	var out []Shard
	for _, sh := range shards {
		if !done.covers(sh.span()) {
			out = append(out, sh)
		}
	}
	return out
}

// Sort puts shards into the order to scan them.
func Sort(shards []Shard) {
	slices.SortFunc(shards, func(a, b Shard) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), strings.Compare(a.Table, b.Table), bytes.Compare(a.Start, b.Start))
	})
}

// Plan cuts what of tables is neither scanned nor in one of the shards there are into shards, and deals them out to so many tasks.
func (s *Scanner) Plan(ctx context.Context, tables []Table, there []Shard, tasks int) ([]Shard, error) {
	var parts []shard
	var all []Range
	for _, t := range tables {
		ranges, err := s.cfg.Progress.Ranges(t.Name, t.Epoch)
		if err != nil {
			return nil, err
		}
		regions, err := s.regions(ctx, t.Name)
		if err != nil {
			return nil, &TableError{t.Name, fmt.Errorf("locate its regions: %w", err)}
		}
		known := slices.Clone(ranges)
		for _, sh := range there {
			if sh.Table == t.Name {
				known = append(known, Range{Start: sh.Start, End: sh.End, Done: true})
			}
		}
		parts, all = append(parts, byRegion(t, regions, t.rows(), newCoverage(known))...), append(all, ranges...)
	}
	parts, err := s.split(ctx, parts, all)
	if err != nil {
		return nil, err
	}
	order := len(there)
	out := make([]Shard, len(parts))
	for i, p := range parts {
		out[i] = Shard{Table: p.table.Name, Epoch: p.table.Epoch, Start: bytes.Clone(p.span.start), End: bytes.Clone(p.span.end), Bytes: p.left,
			Order: order + i, Task: (order + i) % tasks}
	}
	return out, nil
}
