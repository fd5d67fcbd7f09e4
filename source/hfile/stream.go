package hfile

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/waltap/waltap/internal/hbase/cell"
	hscan "github.com/waltap/waltap/internal/hbase/scan"
	"github.com/waltap/waltap/internal/hbase/snapshot"
	"github.com/waltap/waltap/internal/hfile"
	"github.com/waltap/waltap/source/scan"
)

// Open reads what a raw scan of the region would have shown when the snapshot was made, all that is in files: all versions, delete
// markers and what they hide, tags; nothing that has outlived its TTL.
func (s *Source) Open(ctx context.Context, req hscan.Request) (scan.Stream, error) {
	m, r, err := s.region(req.Table, req.Region.Encoded)
	if err != nil {
		return nil, err
	}
	files, err := s.openAll(r, req.Families)
	if err != nil {
		return nil, err
	}
	st := &stream{req: req, files: files, point: readPoint(r, files, req.Families), expiry: newExpiry(m, time.Now()), mobs: &mobs{source: s, of: m}}
	if st.req.MaxResultBytes <= 0 {
		st.req.MaxResultBytes = hscan.DefaultMaxResultBytes
	}
	inputs, err := inputs(files, req.Start, req.Stop)
	if err == nil {
		st.merge, err = newMerge(inputs)
	}
	if err != nil {
		closeAll(files)
		return nil, err
	}
	return st, nil
}

// stream is a region that is being read.
type stream struct {
	req    hscan.Request
	files  []*opened
	point  uint64
	merge  *merge
	expiry expiry
	mobs   *mobs

	batch hscan.Batch
	arena []byte
}

// ReadPoint is the sequence up to which the files have all edits of the families that are read.
//
// A flush writes all that a family has in memory, and the sequence it was begun at into the file. So a family's files have
// everything up to the highest of these; of several families the lowest counts, as a flush between the snapshot's own and the
// listing of its files may have been of some families only. A family that never had a file may have had edits in memory then.
func readPoint(r *snapshot.Region, files []*opened, families []string) uint64 {
	highest := make(map[string]int64)
	for _, f := range files {
		// A bulk load flushes first, but its files say nothing of what was flushed.
		if n := f.Meta().MaxSequence; !bulkLoaded(f) && n > highest[f.of.Family] {
			highest[f.of.Family] = n
		}
	}
	if len(families) == 0 {
		for _, f := range r.Files {
			families = append(families, f.Family)
		}
	}
	if len(families) == 0 {
		return 0
	}
	low := highest[families[0]]
	for _, f := range families[1:] {
		low = min(low, highest[f])
	}
	return uint64(max(low, 0))
}

func bulkLoaded(f *opened) bool {
	_, named := hfile.BulkLoadSequence(f.of.File)
	return named || f.Meta().BulkLoad
}

// inputs orders the files of a region as HBase does (StoreFileComparators.SEQ_ID), the oldest first, and begins to read them.
func inputs(files []*opened, start, stop []byte) (out []*input, err error) {
	defer func() {
		if err != nil {
			for _, in := range out {
				in.Close()
			}
			out = nil
		}
	}()
	sorted := slices.Clone(files)
	slices.SortStableFunc(sorted, func(a, b *opened) int {
		return cmp.Or(cmp.Compare(sequence(a), sequence(b)), cmp.Compare(b.from.Size(), a.from.Size()),
			a.Meta().BulkLoadTime.Compare(b.Meta().BulkLoadTime), strings.Compare(a.of.Name, b.of.Name))
	})
	for order, f := range sorted {
		from, to, ok := f.rows(start, stop)
		if !ok {
			continue
		}
		sc, err := f.Scan(from, to)
		if err != nil {
			return out, err
		}
		out = append(out, &input{cells: sc, order: order, sequence: sequence(f), own: !bulkLoaded(f) || f.Meta().KeepSequence})
	}
	return out, nil
}

// sequence orders a file among those of its store (HStoreFile.open): what was flushed or compacted has it in its file info, what was
// bulk-loaded in its name. Of the halves of a file the upper one is newer by one.
func sequence(f *opened) int64 {
	n, named := hfile.BulkLoadSequence(f.of.File)
	if !named {
		if n = f.Meta().MaxSequence; f.Meta().BulkLoad {
			n = -1
		}
	}
	if n >= 0 && f.of.Half == snapshot.Top {
		n++
	}
	return n
}

// Shadowed counts the cells that were left out because a newer one has the same key.
func (st *stream) Shadowed() int64 { return st.merge.shadowed }

func (st *stream) ReadPoint() uint64 { return st.point + readPointLate }

// Next returns the next cells.
func (st *stream) Next(ctx context.Context) (*hscan.Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b := &st.batch
	b.Cells, b.RowsComplete, st.arena = b.Cells[:0], false, st.arena[:0]
	for size := int64(0); size < st.req.MaxResultBytes; {
		c := st.merge.peek()
		if c == nil {
			break
		}
		keep, err := st.selects(c)
		if err != nil {
			return nil, err
		}
		if keep {
			k, err := st.own(c)
			if err != nil {
				return nil, err
			}
			b.Cells = append(b.Cells, k)
			size += int64(len(k.Row)+len(k.Family)+len(k.Qualifier)+len(k.Value)+len(k.Tags)) + cellOverhead
		}
		if err := st.merge.pop(); err != nil {
			return nil, err
		}
	}
	if len(b.Cells) == 0 {
		return nil, io.EOF
	}
	next := st.merge.peek()
	b.RowsComplete = next == nil || !bytes.Equal(next.Row, b.Cells[len(b.Cells)-1].Row)
	return b, nil
}

// cellOverhead is what a cell takes beside its bytes.
const cellOverhead = 22

// selects tells whether a cell is asked for.
func (st *stream) selects(c *hfile.Cell) (bool, error) {
	if c.Timestamp < st.req.MinTimestamp || st.req.MaxTimestamp > 0 && c.Timestamp >= st.req.MaxTimestamp {
		return false, nil
	}
	expired, err := st.expiry.expired(&c.Cell)
	return !expired, err
}

// own copies a cell: its bytes are the file's until the next one is read. The value of a MOB cell is looked up.
func (st *stream) own(c *hfile.Cell) (cell.Cell, error) {
	k := c.Cell
	if value, tags, err := st.mobs.resolve(&k); err != nil {
		return k, err
	} else if value != nil {
		k.Value, k.Tags = value, tags
	}
	k.Row, k.Family, k.Qualifier, k.Value, k.Tags = st.keep(k.Row), st.keep(k.Family), st.keep(k.Qualifier), st.keep(k.Value), st.keep(k.Tags)
	return k, nil
}

// keep copies into the arena. One that is outgrown stays with the cells that lie in it.
func (st *stream) keep(b []byte) []byte {
	if cap(st.arena)-len(st.arena) < len(b) {
		st.arena = make([]byte, 0, max(2*cap(st.arena), len(b), 64<<10))
	}
	n := len(st.arena)
	st.arena = append(st.arena, b...)
	return st.arena[n:len(st.arena):len(st.arena)]
}

// Close ends the reading.
func (st *stream) Close(context.Context) error {
	st.merge.close()
	st.mobs.close()
	closeAll(st.files)
	return nil
}

// expiry tells which cells have outlived their time. Region servers do not show them either.
type expiry struct {
	now    int64            // ms
	oldest map[string]int64 // by family: the lowest timestamp that is alive
}

func newExpiry(m *snapshot.Snapshot, now time.Time) expiry {
	e := expiry{now: now.UnixMilli(), oldest: make(map[string]int64)}
	for _, f := range m.Schema.Families {
		// With MIN_VERSIONS some of those that have expired stay.
		if min := f.Attributes["MIN_VERSIONS"]; min != "" && min != "0" {
			continue
		}
		if seconds, err := strconv.ParseInt(f.Attributes["TTL"], 10, 64); err == nil && seconds > 0 && seconds < forever {
			e.oldest[f.Name] = e.now - seconds*1000
		}
	}
	return e
}

// forever is how HBase writes that there is no TTL.
const forever = 1<<31 - 1

func (e *expiry) expired(c *cell.Cell) (bool, error) {
	if oldest, ok := e.oldest[string(c.Family)]; ok && c.Timestamp < oldest {
		return true, nil
	}
	if len(c.Tags) == 0 || c.Type != cell.Put {
		return false, nil
	}
	ttl, ok, err := cell.TTL(c.Tags)
	if err != nil {
		return false, fmt.Errorf("row %q: %w", c.Row, err)
	}
	return ok && c.Timestamp+ttl < e.now, nil
}
