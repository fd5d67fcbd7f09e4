// Package regionscan runs HBase's scanner protocol against one region on one server: open, next, renew, close. It
// knows nothing of where regions are; packages admin (for hbase:meta) and scan (for user tables) build on it.
//
// The protocol (Client.proto; RSRpcServices.scan of HBase 0.98 to 3.0): a Scan call without scanner_id opens a
// scanner and may answer with rows at once; every later call names the scanner and the number of calls made on it
// before (next_call_seq), by which the server detects a lost or repeated call. A response holds whole rows, but for
// the last, which may go on in the next response (client_handles_partials); it may hold none at all when the server
// only wants to say that it is alive (client_handles_heartbeats). Between two calls the server keeps the scanner for
// its lease, 60 s by default.
package regionscan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/hbase/rpc"
)

// Codec is the codec that the connections under a Scanner must have been dialled with.
const Codec = cell.KeyValueCodecWithTags

const (
	// callTimeout bounds a call; the server sends a heartbeat when half of it is over.
	callTimeout = 60 * time.Second
	// renewsPerLease is how often a lease is renewed while the caller is busy with a batch.
	renewsPerLease = 3
)

// Caller sends calls to a region server's ClientService: an *rpc.Conn.
type Caller interface {
	Call(ctx context.Context, method string, req proto.Message, cells []byte, resp proto.Message) ([]byte, error)
}

// Spec is a scan of one region. Scan's start and stop rows may reach over the region's bounds.
type Spec struct {
	// Region is the region's full name.
	Region []byte
	Scan   *pb.Scan
	// RowsPerCall bounds the rows of a response; 0 leaves the bound to Scan.max_result_size.
	RowsPerCall uint32
	// Ahead makes the next call while the caller is busy with an answer: one answer more is held.
	Ahead bool
}

// Scanner is an open scanner. Its methods belong to one goroutine; while that is busy elsewhere the lease is renewed
// in the background.
type Scanner struct {
	conn  Caller
	rows  uint32
	ahead bool

	// turn is held while a call is under way: by Next, by the call ahead of it, by a renewal or by Close.
	turn  chan struct{}
	timer *time.Timer

	id        uint64
	seq       uint64 // next_call_seq of the next call
	lease     time.Duration
	readPoint uint64
	err       error // sticky: the scanner cannot go on
	closed    bool

	resp    *pb.ScanResponse // fetched by Open, not yet handed out
	block   []byte
	cells   []cell.Cell
	partial bool
	done    bool
}

// Open opens a scanner. The errors are those of the call; Gone and Reset classify them.
func Open(ctx context.Context, conn Caller, spec Spec) (*Scanner, error) {
	rows := spec.RowsPerCall
	if rows == 0 {
		rows = math.MaxInt32
	}
	s := &Scanner{conn: conn, rows: rows, ahead: spec.Ahead, turn: make(chan struct{}, 1)}
	req := &pb.ScanRequest{
		Region: &pb.RegionSpecifier{
			Type:  pb.RegionSpecifier_REGION_NAME.Enum(),
			Value: spec.Region,
		},
		Scan:                    spec.Scan,
		NumberOfRows:            &rows,
		CloseScanner:            proto.Bool(false),
		ClientHandlesPartials:   proto.Bool(true),
		ClientHandlesHeartbeats: proto.Bool(true),
	}
	resp, block, err := s.call(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("open scanner on region %q: %w", spec.Region, err)
	}
	if resp.ScannerId == nil && !regionDone(resp) {
		return nil, fmt.Errorf("open scanner on region %q: the server named no scanner", spec.Region)
	}
	s.id = resp.GetScannerId()
	s.readPoint = resp.GetMvccReadPoint()
	s.lease = time.Duration(resp.GetTtl()) * time.Millisecond
	s.done = regionDone(resp)
	s.resp, s.block = resp, block
	s.turn <- struct{}{}
	s.release()
	return s, nil
}

// ReadPoint is the sequence number up to which the scan sees edits, 0 when the server did not say (1.4.14 and later do).
func (s *Scanner) ReadPoint() uint64 { return s.readPoint }

// Partial reports whether the row of the last cell may go on in what Next returns next. At io.EOF it is complete.
func (s *Scanner) Partial() bool { return s.partial }

// Next returns the next cells, at least one, in scan order. They, and the bytes they point to, are the caller's until
// the next call of Next. io.EOF is the end of the region or of the scan's range. After any other error the scanner
// is of no more use. ctx bounds also the call that is made ahead.
func (s *Scanner) Next(ctx context.Context) ([]cell.Cell, error) {
	if err := s.take(ctx); err != nil {
		return nil, err
	}
	cells, err := s.next(ctx)
	if err == nil && s.ahead && !s.done {
		go func() { // which has the turn
			defer s.release()
			s.fetch(ctx)
		}()
		return cells, nil
	}
	s.release()
	return cells, err
}

func (s *Scanner) next(ctx context.Context) ([]cell.Cell, error) {
	for {
		switch {
		case s.closed:
			return nil, errors.New("read from scanner: it is closed")
		case s.err != nil:
			return nil, s.err
		case s.resp == nil && s.done:
			s.partial = false
			return nil, io.EOF
		case s.resp == nil:
			if err := s.fetch(ctx); err != nil {
				return nil, err
			}
		}
		cells, err := decodeCells(s.cells[:0], Codec, s.resp, s.block)
		if err != nil {
			s.err = err
			return nil, err
		}
		if len(cells) > 0 {
			s.partial = lastPartial(s.resp)
		}
		s.cells, s.resp, s.block = cells, nil, nil
		if len(cells) > 0 {
			return cells, nil
		}
	}
}

// fetch makes one call for rows; its error sticks.
func (s *Scanner) fetch(ctx context.Context) error {
	resp, block, err := s.call(ctx, &pb.ScanRequest{
		ScannerId:               &s.id,
		NumberOfRows:            &s.rows,
		CloseScanner:            proto.Bool(false),
		NextCallSeq:             proto.Uint64(s.seq),
		ClientHandlesPartials:   proto.Bool(true),
		ClientHandlesHeartbeats: proto.Bool(true),
	})
	if err != nil {
		s.err = fmt.Errorf("read from scanner: %w", err)
		return s.err
	}
	s.seq++
	s.done = regionDone(resp)
	s.resp, s.block = resp, block
	return nil
}

// Close gives the scanner back to the server. Only a failure to reach a server that still holds it is an error; it
// holds it no longer than its lease. A scanner whose region was read to the end of its range is closed by the server itself (RSRpcServices.scan
// closes it where more_results or more_results_in_region is false, from HBase 1.4 on): of short ranges that call would be every second one.
func (s *Scanner) Close(ctx context.Context) error {
	if err := s.take(ctx); err != nil {
		return err
	}
	defer s.release()
	if s.closed {
		return nil
	}
	s.closed = true
	s.resp, s.block, s.cells = nil, nil, nil
	if s.id == 0 || s.done || Gone(s.err) || Reset(s.err) {
		return nil
	}
	_, _, err := s.call(ctx, &pb.ScanRequest{
		ScannerId:    &s.id,
		NumberOfRows: proto.Uint32(0),
		CloseScanner: proto.Bool(true),
	})
	var remote *rpc.RemoteError
	if err == nil || errors.As(err, &remote) { // any exception: it holds no such scanner
		return nil
	}
	return fmt.Errorf("close scanner: %w", err)
}

func (s *Scanner) call(ctx context.Context, req *pb.ScanRequest) (*pb.ScanResponse, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	resp := new(pb.ScanResponse)
	block, err := s.conn.Call(ctx, "Scan", req, nil, resp)
	return resp, block, err
}

// take gets the right to make a call, and stops the timer of the renewals.
func (s *Scanner) take(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("wait for the scanner's lease to be renewed: %w", ctx.Err())
	}
	if s.timer != nil {
		s.timer.Stop()
	}
	return nil
}

func (s *Scanner) release() {
	s.arm()
	<-s.turn
}

// arm starts the timer of the next renewal, if the server still holds the scanner.
func (s *Scanner) arm() {
	if s.closed || s.done || s.err != nil || s.lease <= 0 {
		return
	}
	s.timer = time.AfterFunc(s.lease/renewsPerLease, s.renew)
}

// renew keeps the scanner's lease while the caller is busy. It counts as a call (next_call_seq). A failure shows in
// the next Next.
func (s *Scanner) renew() {
	select {
	case s.turn <- struct{}{}:
	default: // a call is under way, which renews the lease itself
		return
	}
	defer s.release()
	if s.closed || s.done || s.err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.lease)
	defer cancel()
	_, _, err := s.call(ctx, &pb.ScanRequest{
		ScannerId:               &s.id,
		NumberOfRows:            proto.Uint32(0),
		CloseScanner:            proto.Bool(false),
		NextCallSeq:             proto.Uint64(s.seq),
		ClientHandlesPartials:   proto.Bool(true),
		ClientHandlesHeartbeats: proto.Bool(true),
		Renew:                   proto.Bool(true),
	})
	if err != nil {
		s.err = fmt.Errorf("renew scanner lease: %w", err)
		return
	}
	s.seq++
}
