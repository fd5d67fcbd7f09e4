// Package scan reads a region as it is: every version and every delete marker, with tags and original timestamps, in
// the order HBase keeps them. That is what a copy needs to end up equal: without raw, a version that resurfaces after
// a one-version delete would be missing; without tags, a cell with a TTL would never expire. A comparison may ask for
// what a client sees instead.
package scan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/hbase/rpc"
	"github.com/waltap/waltap/internal/hbase/scan/regionscan"
)

// DefaultMaxResultBytes bounds a batch when Request does not.
const DefaultMaxResultBytes = 4 << 20

// rawAttribute makes a scan return delete markers and what they hide (Scan.RAW_ATTR; the value is Java's true).
const rawAttribute = "_raw_"

// Request is a scan of one region.
type Request struct {
	Table  string
	Region admin.Region
	// Start and Stop narrow the rows within the region: from Start, inclusive, to Stop, exclusive. Empty: the
	// region's own bounds.
	Start, Stop []byte
	// Families to read; none: all.
	Families []string
	// CacheBlocks lets the server keep what is read in its block cache, at the cost of what others need there.
	CacheBlocks bool
	// MaxResultBytes bounds a batch, which exceeds it by one cell at most; default 4 MiB. A server has its own limit
	// (hbase.server.scanner.max.result.size, 100 MiB) beside it.
	MaxResultBytes int64
	// RowsPerCall bounds the rows of a batch; default: no bound.
	RowsPerCall int32
	// Ahead fetches a batch while the caller is busy with the one before: two are held then.
	Ahead bool
	// MinTimestamp and MaxTimestamp select cells by timestamp: from Min, inclusive, to Max, exclusive. MaxTimestamp 0
	// sets no upper bound. Both 0: no selection at all. Family deletes are selected like other cells.
	MinTimestamp, MaxTimestamp int64
	// Visible reads what a client sees, no delete markers and nothing that they hide: the newest Versions of a column, or
	// with 0 all that its family keeps.
	Visible  bool
	Versions uint32
	// ReadPoint shows the region as a former scan with this read point saw it, as far as the server still can; 0 as
	// it is now.
	ReadPoint uint64
}

// Batch is part of a scan.
type Batch struct {
	// Cells in the order of the scan, at least one. They, and the bytes they point to, stay valid until the next
	// call of Next.
	Cells []cell.Cell
	// RowsComplete says that the row of the last cell ends with it. Otherwise it may go on in the next batch; it is
	// complete, too, when that begins with another row or there is none.
	RowsComplete bool
}

// RegionGoneError says that the server does not serve the region (moved, split, merged, disabled) or cannot be
// reached: locate the regions again and go on with Scanner.Continuation.
type RegionGoneError struct {
	Region string // encoded name
	Server admin.ServerName
	Err    error
}

func (e *RegionGoneError) Error() string {
	return fmt.Sprintf("scan region %s on %s: region is not served there: %v", e.Region, e.Server, e.Err)
}

func (e *RegionGoneError) Unwrap() error { return e.Err }

// ScannerResetError says that the server lost the scanner (its lease ran out, or the server reset it) but serves the
// region: open Scanner.Continuation.
type ScannerResetError struct {
	Region string
	Server admin.ServerName
	Err    error
}

func (e *ScannerResetError) Error() string {
	return fmt.Sprintf("scan region %s on %s: scanner lost: %v", e.Region, e.Server, e.Err)
}

func (e *ScannerResetError) Unwrap() error { return e.Err }

// Servers hands out connections to region servers; an *admin.Cluster.
type Servers interface {
	Client(ctx context.Context, s admin.ServerName) (*rpc.Conn, error)
}

// Scanner is an open scan. Its methods belong to one goroutine. Between calls its lease is renewed, until Close.
type Scanner struct {
	req     Request
	scanner *regionscan.Scanner
	last    []byte // row of the last cell handed out
	partial bool   // it may go on
	seen    bool
	batch   Batch
}

// Open opens a scan. It fails with a *RegionGoneError when the region is not where req.Region says.
func Open(ctx context.Context, servers Servers, req Request) (*Scanner, error) {
	conn, err := servers.Client(ctx, req.Region.Server)
	if err != nil {
		if errors.Is(err, admin.ErrUnreachable) && ctx.Err() == nil {
			return nil, &RegionGoneError{req.Region.Encoded, req.Region.Server, err}
		}
		return nil, fmt.Errorf("scan region %s: %w", req.Region.Encoded, err)
	}
	return open(ctx, conn, req)
}

func open(ctx context.Context, conn regionscan.Caller, req Request) (*Scanner, error) {
	scan, err := req.toProto()
	if err != nil {
		return nil, fmt.Errorf("scan region %s: %w", req.Region.Encoded, err)
	}
	scanner, err := regionscan.Open(ctx, conn, regionscan.Spec{
		Region:      req.Region.Name,
		Scan:        scan,
		RowsPerCall: uint32(max(0, req.RowsPerCall)),
		Ahead:       req.Ahead,
	})
	if err != nil {
		return nil, req.classify(err)
	}
	return &Scanner{req: req, scanner: scanner}, nil
}

// ReadPoint is the sequence number up to which the scan sees the region's edits, none above it. 0 when the server
// did not tell (1.4.14 and later do).
func (s *Scanner) ReadPoint() uint64 { return s.scanner.ReadPoint() }

// Next returns the next cells, io.EOF at the end of the range. A *RegionGoneError or *ScannerResetError ends this
// scanner, not the scan: Continuation says where to go on. So does an error that wraps ctx.Err().
func (s *Scanner) Next(ctx context.Context) (*Batch, error) {
	cells, err := s.scanner.Next(ctx)
	if errors.Is(err, io.EOF) {
		s.partial = false
		return nil, io.EOF
	}
	if err != nil {
		return nil, s.req.classify(err)
	}
	s.seen = true
	s.partial = s.scanner.Partial()
	s.last = append(s.last[:0], cells[len(cells)-1].Row...)
	s.batch = Batch{Cells: cells, RowsComplete: !s.partial}
	return &s.batch, nil
}

// Continuation is the request that goes on after what Next has returned: behind the last row if that was complete,
// at its begin if it may have more cells, which then come again. It keeps the read point, so that a cell written
// since is not seen in one row and missed in another.
func (s *Scanner) Continuation() Request {
	req := s.req
	req.ReadPoint = s.ReadPoint()
	if s.seen {
		req.Start = bytes.Clone(s.last)
		if !s.partial {
			req.Start = append(req.Start, 0) // the smallest row behind it
		}
	}
	return req
}

// Close gives the scanner back to the server.
func (s *Scanner) Close(ctx context.Context) error {
	if err := s.scanner.Close(ctx); err != nil {
		return fmt.Errorf("scan region %s: %w", s.req.Region.Encoded, err)
	}
	return nil
}

func (r *Request) classify(err error) error {
	switch {
	case regionscan.Gone(err):
		return &RegionGoneError{r.Region.Encoded, r.Region.Server, err}
	case regionscan.Reset(err):
		return &ScannerResetError{r.Region.Encoded, r.Region.Server, err}
	}
	return fmt.Errorf("scan region %s on %s: %w", r.Region.Encoded, r.Region.Server, err)
}

func (r *Request) toProto() (*pb.Scan, error) {
	if r.MinTimestamp < 0 || r.MaxTimestamp < 0 || (r.MaxTimestamp > 0 && r.MinTimestamp >= r.MaxTimestamp) {
		return nil, fmt.Errorf("timestamps from %d to %d select nothing", r.MinTimestamp, r.MaxTimestamp)
	}
	m := &pb.Scan{
		StartRow:            r.Start,
		StopRow:             r.Stop,
		IncludeStartRow:     proto.Bool(true),
		IncludeStopRow:      proto.Bool(false),
		MaxVersions:         proto.Uint32(math.MaxInt32),
		CacheBlocks:         &r.CacheBlocks,
		MaxResultSize:       proto.Uint64(DefaultMaxResultBytes),
		AllowPartialResults: proto.Bool(true),
	}
	switch {
	case !r.Visible:
		m.Attribute = []*pb.NameBytesPair{{Name: proto.String(rawAttribute), Value: []byte{0xFF}}}
	case r.Versions > 0:
		m.MaxVersions = proto.Uint32(r.Versions)
	}
	if len(r.Start) == 0 {
		m.StartRow = r.Region.Start
	}
	if len(r.Stop) == 0 {
		m.StopRow = r.Region.End
	}
	if r.MaxResultBytes > 0 {
		m.MaxResultSize = proto.Uint64(uint64(r.MaxResultBytes))
	}
	if r.RowsPerCall > 0 {
		m.Caching = proto.Uint32(uint32(r.RowsPerCall))
	}
	if r.MinTimestamp > 0 || r.MaxTimestamp > 0 {
		m.TimeRange = &pb.TimeRange{From: proto.Uint64(uint64(r.MinTimestamp)), To: proto.Uint64(math.MaxInt64)}
		if r.MaxTimestamp > 0 {
			m.TimeRange.To = proto.Uint64(uint64(r.MaxTimestamp))
		}
	}
	if r.ReadPoint > 0 {
		m.MvccReadPoint = &r.ReadPoint
	}
	for _, f := range r.Families {
		m.Column = append(m.Column, &pb.Column{Family: []byte(f)})
	}
	return m, nil
}
