package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/cell"
	hscan "github.com/waltap/waltap/internal/hbase/scan"
	"github.com/waltap/waltap/schema"
)

// span is a range of rows; an empty end is behind the last row.
type span struct{ start, end []byte }

func (s span) holds(row []byte) bool {
	return bytes.Compare(row, s.start) >= 0 && (len(s.end) == 0 || bytes.Compare(row, s.end) < 0)
}

// oneRow is the span of a single row.
func oneRow(row []byte) span { return span{row, append(bytes.Clone(row), 0)} }

// side is a table at one end, with its names mapped to those at the source.
type side struct {
	end     End
	cluster *admin.Cluster
	table   string // at this end
	visible bool
	// versions that a visible comparison reads; 0: all.
	versions int
	fetch    int64
	// families to read, in this end's names; nil: all. empty: the table has none of those to compare.
	families []string
	empty    bool
	// back is what this end's families are called at the source; those that are not in it have one name at both.
	back   map[string][]byte
	about  map[string]familyAbout // by the family's name at the source
	keeper *schema.Keeper         // nil: all cells count

	mu      sync.Mutex
	regions []admin.Region // as last seen
}

// family is the name at the source of a family at this end.
func (s *side) family(name []byte) []byte {
	if to, ok := s.back[string(name)]; ok {
		return to
	}
	return name
}

// locate returns the region of row. fresh asks hbase:meta.
func (s *side) locate(ctx context.Context, row []byte, fresh bool) (admin.Region, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.regions == nil || fresh {
		regions, err := s.cluster.Regions(ctx, s.table)
		if err != nil {
			return admin.Region{}, fmt.Errorf("locate the regions of %s at the %s: %w", s.table, s.end, err)
		}
		s.regions = regions
	}
	i, found := slices.BinarySearchFunc(s.regions, row, func(r admin.Region, row []byte) int { return bytes.Compare(r.Start, row) })
	if !found {
		i--
	}
	return s.regions[max(0, i)], nil
}

// cursor reads a span of a table over the borders, moves and splits of its regions.
type cursor struct {
	side     *side
	families []string
	min, max int64 // timestamps, see hscan.Request
	end      []byte

	pos     []byte // the first row that is not complete
	partial bool   // its first cells were handed out
	done    bool
	scanner *hscan.Scanner
	region  admin.Region
	opens   int // scanners that were opened
	retry   func(error)
	pause   time.Duration
}

func (s *side) open(sp span, families []string, minTS, maxTS int64, retry func(error)) *cursor {
	return &cursor{side: s, families: families, min: minTS, max: maxTS, pos: bytes.Clone(sp.start), end: sp.end, done: s.empty, retry: retry}
}

// begin opens the first scanner, so that what is read is what the region holds from now on, and not what it held before.
func (c *cursor) begin(ctx context.Context) error {
	for !c.done && c.scanner == nil {
		if err := c.reopen(ctx); err != nil {
			return err
		}
	}
	return nil
}

// reopen opens a scanner at pos, or waits a little where that is not possible at the moment.
func (c *cursor) reopen(ctx context.Context) error {
	region, err := c.side.locate(ctx, c.pos, c.pause > 0)
	if err == nil {
		c.region = region
		c.opens++
		c.scanner, err = hscan.Open(ctx, c.side.cluster, hscan.Request{
			Table: c.side.table, Region: region, Start: c.pos, Stop: c.stop(), Families: c.families,
			MaxResultBytes: c.side.fetch, MinTimestamp: c.min, MaxTimestamp: c.max, Visible: c.side.visible, Versions: uint32(c.side.versions),
		})
	}
	if err != nil {
		c.scanner = nil
		return c.heal(ctx, err)
	}
	return nil
}

// stop is where the scan of the region at hand ends.
func (c *cursor) stop() []byte {
	if len(c.region.End) > 0 && (len(c.end) == 0 || bytes.Compare(c.region.End, c.end) < 0) {
		return c.region.End
	}
	return c.end
}

// heal waits out an error that heals, and returns any other.
func (c *cursor) heal(ctx context.Context, err error) error {
	var gone *hscan.RegionGoneError
	var reset *hscan.ScannerResetError
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case !errors.As(err, &gone) && !errors.As(err, &reset) && !admin.IsRetriable(err):
		return fmt.Errorf("read table %s at the %s: %w", c.side.table, c.side.end, err)
	}
	c.retry(fmt.Errorf("read table %s at the %s: %w", c.side.table, c.side.end, err))
	c.pause = min(max(2*c.pause, 100*time.Millisecond), 5*time.Second)
	return sleep(ctx, c.pause)
}

// next returns the next cells. again says that they begin with a row of which cells were handed out before: all of its cells
// come again. complete says that the last row ends with them. io.EOF is the end of the span.
func (c *cursor) next(ctx context.Context) (cells []cell.Cell, again, complete bool, err error) {
	for {
		if c.done {
			return nil, false, false, io.EOF
		}
		if c.scanner == nil {
			again = again || c.partial
			c.partial = false
			if err := c.reopen(ctx); err != nil {
				return nil, false, false, err
			}
			continue
		}
		b, err := c.scanner.Next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			if err := c.leave(ctx); err != nil {
				return nil, false, false, err
			}
			again = false // the row that was begun ended with the region
		case err != nil:
			c.close(ctx)
			if err := c.heal(ctx, err); err != nil {
				return nil, false, false, err
			}
		default:
			c.pause = 0
			last := b.Cells[len(b.Cells)-1].Row
			c.pos, c.partial = append(c.pos[:0], last...), !b.RowsComplete
			if b.RowsComplete {
				c.pos = append(c.pos, 0)
			}
			return b.Cells, again, b.RowsComplete, nil
		}
	}
}

// leave goes on to the next region.
func (c *cursor) leave(ctx context.Context) error {
	c.close(ctx)
	c.partial = false
	end := c.region.End
	if len(end) == 0 || len(c.end) > 0 && bytes.Compare(end, c.end) >= 0 {
		c.done = true
		return nil
	}
	c.pos = append(c.pos[:0], end...)
	return nil
}

func (c *cursor) close(ctx context.Context) {
	if c.scanner == nil {
		return
	}
	cctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := c.scanner.Close(cctx); err != nil {
		c.retry(err) // the server lets go of it when its lease ends
	}
	c.scanner = nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
