package scan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/waltap/waltap/internal/hbase/admin"
	hscan "github.com/waltap/waltap/internal/hbase/scan"
)

const (
	// maxParts bounds into how many shards a region is split.
	maxParts = 64
	// searchSteps bounds the search for a region's last row: eight for each byte, more than any sensible prefix needs.
	searchSteps = 256
	// alphabetSamples rows show which bytes the keys of a region are made of.
	alphabetSamples = 16
	// digits of a key that interpolation looks at, behind the prefix that all have.
	digits = 6
)

// split cuts the shards of regions larger than ShardBytes at sampled rows, and puts the shards of different servers
// next to each other, so that threads do not queue for one server's scanners.
func (s *Scanner) split(ctx context.Context, shards []shard, ranges []Range) ([]shard, error) {
	sizes, err := s.sizes(ctx)
	switch {
	case err != nil && !retriable(err):
		return nil, fmt.Errorf("read the sizes of the regions: %w", err)
	case err != nil:
		s.cfg.Stats.Retry(err) // no master at the moment: regions are scanned in one piece
	}
	read := make(map[string]int64)
	for _, r := range ranges {
		read[r.Table+" "+r.Region] += r.Bytes
	}
	var regions [][]shard
	for _, sh := range shards {
		if n := len(regions); n > 0 && regions[n-1][0].region.Encoded == sh.region.Encoded {
			regions[n-1] = append(regions[n-1], sh)
			continue
		}
		regions = append(regions, []shard{sh})
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(s.cfg.Threads)
	for i, of := range regions {
		g.Go(func() error {
			left := max(0, sizes[string(of[0].region.Name)]-read[of[0].table.Name+" "+of[0].region.Encoded])
			parts, err := s.splitRegion(gctx, of, left)
			regions[i] = parts
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return interleave(regions), nil
}

// interleave lists the shards so that those of one server lie apart, each server's in their order.
func interleave(regions [][]shard) []shard {
	var servers []admin.ServerName
	queues := make(map[admin.ServerName][]shard)
	for _, of := range regions {
		at := of[0].region.Server
		if _, ok := queues[at]; !ok {
			servers = append(servers, at)
		}
		queues[at] = append(queues[at], of...)
	}
	var out []shard
	for more := true; more; {
		more = false
		for _, at := range servers {
			if q := queues[at]; len(q) > 0 {
				out, queues[at], more = append(out, q[0]), q[1:], true
			}
		}
	}
	return out
}

// splitRegion cuts what is left of one region, about size bytes, and says how much each part may hold.
func (s *Scanner) splitRegion(ctx context.Context, of []shard, size int64) ([]shard, error) {
	parts := int(min((size+s.cfg.ShardBytes-1)/s.cfg.ShardBytes, maxParts))
	if parts > len(of) {
		sp := span{of[0].span.start, of[len(of)-1].span.end}
		cuts, err := s.cuts(ctx, of[0], sp, parts)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil && !gone(err):
			return nil, fmt.Errorf("sample rows of %s region %s: %w", of[0].table.Name, of[0].region.Encoded, err)
		case err != nil:
			s.cfg.Stats.Retry(err) // it moved: it is scanned in one piece
		}
		of = cut(of, cuts)
	}
	for i := range of {
		of[i].left = size / int64(len(of))
	}
	return of, nil
}

// gone: the region is elsewhere by now, or its server is away.
func gone(err error) bool {
	var gone *hscan.RegionGoneError
	var reset *hscan.ScannerResetError
	return errors.As(err, &gone) || errors.As(err, &reset) || retriable(err)
}

// cut cuts shards, in key order, at rows.
func cut(of []shard, rows [][]byte) []shard {
	var out []shard
	for _, sh := range of {
		for _, row := range rows {
			if bytes.Compare(row, sh.span.start) <= 0 || len(sh.span.end) > 0 && bytes.Compare(row, sh.span.end) >= 0 {
				continue
			}
			head := sh
			head.span.end, sh.span.start = row, row
			out = append(out, head)
		}
		out = append(out, sh)
	}
	return out
}

// sample finds rows that cut sp into about parts parts of as many rows each, in key order.
//
// It looks up where the rows of sp begin and end, then a few rows between them to learn which bytes keys are made of
// (decimal digits, say, or all 256), and then the rows at even distances when a key is read as a number of such digits.
// That assumes keys to be spread evenly; where they are not, parts differ in size, and what is lost is parallelism.
func (s *Scanner) sample(ctx context.Context, sh shard, sp span, parts int) ([][]byte, error) {
	release, err := s.slot(ctx, sh.region.Server)
	if err != nil {
		return nil, err
	}
	defer release()
	first, err := s.probe(ctx, sh, sp.start, sp.end)
	if err != nil || first == nil {
		return nil, err
	}
	last, err := s.lastRow(ctx, sh, first, sp.end)
	if err != nil {
		return nil, err
	}
	seen, err := s.probeAll(ctx, sh, evenly(first, last, alphabetSamples, binaryAlphabet()), sp.end)
	if err != nil {
		return nil, err
	}
	cuts, err := s.probeAll(ctx, sh, evenly(first, last, parts, alphabetOf(append(seen, first, last))), sp.end)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(cuts, func(row []byte) bool { return bytes.Equal(row, first) }), nil
}

// probe returns the first row at or behind from and before to, nil if there is none.
func (s *Scanner) probe(ctx context.Context, sh shard, from, to []byte) ([]byte, error) {
	sc, err := s.open(ctx, hscan.Request{
		Table: sh.table.Name, Region: sh.region, Start: from, Stop: to, Families: sh.table.Families, RowsPerCall: 1, MaxResultBytes: 1,
	})
	if err != nil {
		return nil, err
	}
	defer sc.Close(context.WithoutCancel(ctx))
	b, err := sc.Next(ctx)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return bytes.Clone(b.Cells[0].Row), nil
}

// probeAll returns the rows at or behind keys, each once, in key order.
func (s *Scanner) probeAll(ctx context.Context, sh shard, keys [][]byte, to []byte) ([][]byte, error) {
	var out [][]byte
	for _, k := range keys {
		row, err := s.probe(ctx, sh, k, to)
		if err != nil {
			return nil, err
		}
		if row != nil && (len(out) == 0 || bytes.Compare(out[len(out)-1], row) < 0) {
			out = append(out, row)
		}
	}
	return out, nil
}

// lastRow returns a row near the last one before end, by halving, until two bytes are known beyond those that it
// shares with the first row.
func (s *Scanner) lastRow(ctx context.Context, sh shard, first, end []byte) ([]byte, error) {
	low, high := first, end
	if len(high) == 0 {
		high = bytes.Repeat([]byte{0xff}, len(first)+digits)
	}
	for range searchSteps {
		if common(low, high) >= common(first, low)+2 {
			break
		}
		mid := evenly(low, high, 2, binaryAlphabet())
		if len(mid) == 0 || bytes.Compare(mid[0], low) <= 0 || bytes.Compare(mid[0], high) >= 0 {
			break
		}
		row, err := s.probe(ctx, sh, mid[0], end)
		if err != nil {
			return nil, err
		}
		if row == nil {
			high = mid[0]
			continue
		}
		low = row
	}
	return low, nil
}

// alphabet lists the bytes that keys are made of, ascending.
type alphabet []byte

func binaryAlphabet() alphabet {
	out := make(alphabet, 256)
	for i := range out {
		out[i] = byte(i)
	}
	return out
}

// alphabetOf is made of the bytes of rows behind the prefix that they have in common; all bytes where they are many.
func alphabetOf(rows [][]byte) alphabet {
	prefix := len(rows[0])
	for _, r := range rows {
		prefix = min(prefix, common(rows[0], r))
	}
	var there [256]bool
	n := 0
	for _, r := range rows {
		for _, b := range r[prefix:] {
			if !there[b] {
				there[b] = true
				n++
			}
		}
	}
	if n < 2 || n > 100 {
		return binaryAlphabet()
	}
	var out alphabet
	for b, ok := range there {
		if ok {
			out = append(out, byte(b))
		}
	}
	return out
}

func common(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// number reads the first digits of key, each as its place in the alphabet.
func (a alphabet) number(key []byte) uint64 {
	var n uint64
	for i := range digits {
		n *= uint64(len(a))
		if i < len(key) {
			at, _ := slices.BinarySearch(a, key[i])
			n += uint64(min(at, len(a)-1))
		}
	}
	return n
}

func (a alphabet) key(n uint64) []byte {
	out := make([]byte, digits)
	for i := digits - 1; i >= 0; i-- {
		out[i] = a[n%uint64(len(a))]
		n /= uint64(len(a))
	}
	return out
}

// evenly returns keys that cut [low, high) into parts parts, ascending; fewer when there is no room.
func evenly(low, high []byte, parts int, a alphabet) [][]byte {
	prefix := common(low, high)
	from, to := a.number(low[prefix:]), a.number(high[prefix:])
	var out [][]byte
	for i := 1; i < parts; i++ {
		if to <= from {
			break
		}
		n := from + uint64(float64(to-from)*float64(i)/float64(parts))
		k := append(bytes.Clone(low[:prefix]), a.key(n)...)
		if len(out) == 0 || bytes.Compare(out[len(out)-1], k) < 0 {
			out = append(out, k)
		}
	}
	return out
}
