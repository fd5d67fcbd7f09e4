package regionscan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/hbase/rpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a region server with one scanner, which it answers for with the given responses, in order. It checks
// what a real one checks: the scanner's id and next_call_seq.
type server struct {
	t       *testing.T
	answers []answer
	seq     uint64
	opened  bool
	calls   []*pb.ScanRequest
	renewed chan struct{}
}

type answer struct {
	resp  *pb.ScanResponse
	cells []cell.Cell
	err   error
}

const scannerID = 77

func (s *server) Call(_ context.Context, method string, m proto.Message, _ []byte, out proto.Message) ([]byte, error) {
	req := m.(*pb.ScanRequest)
	if method != "Scan" || !req.GetCloseScanner() && (!req.GetClientHandlesPartials() || !req.GetClientHandlesHeartbeats()) {
		s.t.Errorf("%s %v: partials and heartbeats must be asked for", method, req)
	}
	s.calls = append(s.calls, req)
	switch {
	case !s.opened:
		s.opened = true
		if req.ScannerId != nil || req.Region == nil || req.Scan == nil || req.NextCallSeq != nil {
			s.t.Errorf("open: %v", req)
		}
	case req.GetScannerId() != scannerID:
		return nil, remote("UnknownScannerException")
	case req.GetCloseScanner():
		return nil, nil
	default:
		if req.GetNextCallSeq() != s.seq {
			return nil, remote("OutOfOrderScannerNextException")
		}
		s.seq++
	}
	if req.GetRenew() {
		select {
		case s.renewed <- struct{}{}:
		default: // enough of them
		}
		return nil, nil
	}
	if len(s.answers) == 0 {
		return nil, remote("ScannerResetException")
	}
	a := s.answers[0]
	s.answers = s.answers[1:]
	if a.err != nil {
		return nil, a.err
	}
	proto.Merge(out, a.resp)
	var block []byte
	for i := range a.cells {
		block = Codec.Append(block, &a.cells[i])
	}
	return block, nil
}

func remote(class string) error {
	return &rpc.RemoteError{Method: "Scan", Class: "org.apache.hadoop.hbase." + class}
}

// rows builds a response with one result for every row, a row "x+" being one that may go on.
func rows(more bool, names ...string) answer {
	a := answer{resp: &pb.ScanResponse{
		ScannerId:           proto.Uint64(scannerID),
		MoreResults:         proto.Bool(true),
		MoreResultsInRegion: &more,
		MvccReadPoint:       proto.Uint64(42),
	}}
	for _, name := range names {
		row, partial := strings.CutSuffix(name, "+")
		a.resp.CellsPerResult = append(a.resp.CellsPerResult, 1)
		a.resp.PartialFlagPerResult = append(a.resp.PartialFlagPerResult, partial)
		a.cells = append(a.cells, cell.Cell{
			Row: []byte(row), Family: []byte("f"), Timestamp: 1, Type: cell.Put, Tags: []byte{0, 1, 8},
		})
	}
	return a
}

func heartbeat() answer {
	a := rows(true)
	a.resp.HeartbeatMessage = proto.Bool(true)
	return a
}

// readAll returns what Next returned, one string for each call: "row row|" with "+" when the last may go on.
func readAll(t *testing.T, s *Scanner) ([]string, error) {
	t.Helper()
	var got []string
	for {
		cells, err := s.Next(t.Context())
		if errors.Is(err, io.EOF) {
			if s.Partial() {
				t.Error("the last row is not complete at the end")
			}
			return got, nil
		}
		if err != nil {
			return got, err
		}
		var names []string
		for _, k := range cells {
			names = append(names, string(k.Row))
		}
		line := strings.Join(names, " ")
		if s.Partial() {
			line += "+"
		}
		got = append(got, line)
	}
}

func TestScan(t *testing.T) {
	lastResult := rows(true, "e")
	lastResult.resp.MoreResults = proto.Bool(false)
	for _, tt := range []struct {
		name    string
		answers []answer
		want    string
	}{
		{"all in the answer to open", []answer{rows(false, "a", "b")}, "a b"},
		{"empty region", []answer{rows(false)}, ""},
		{"open without rows", []answer{rows(true), rows(true, "a"), rows(false, "b")}, "a/b"},
		{"end without rows", []answer{rows(true, "a"), rows(false)}, "a"},
		{"row over three calls", []answer{rows(true, "a", "b+"), rows(true, "b+"), rows(false, "b", "c")}, "a b+/b+/b c"},
		{"partial row is the region's last", []answer{rows(true, "a+"), rows(false)}, "a+"},
		{"heartbeats", []answer{heartbeat(), rows(true, "a+"), heartbeat(), heartbeat(), rows(false, "a")}, "a+/a"},
		{"no more results at all", []answer{rows(true, "d"), lastResult}, "d/e"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fake := &server{t: t, answers: tt.answers}
			s, err := Open(t.Context(), fake, Spec{Region: []byte("r"), Scan: &pb.Scan{}})
			if err != nil {
				t.Fatal(err)
			}
			if s.ReadPoint() != 42 {
				t.Errorf("read point %d", s.ReadPoint())
			}
			got, err := readAll(t, s)
			if err != nil || strings.Join(got, "/") != tt.want {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
			if len(fake.answers) != 0 {
				t.Errorf("%d answers were not asked for", len(fake.answers))
			}
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if last := fake.calls[len(fake.calls)-1]; last.GetCloseScanner() {
				t.Errorf("a scanner that the server has closed was closed: %v", last)
			}
			if err := s.Close(t.Context()); err != nil {
				t.Errorf("second Close: %v", err)
			}
			if _, err := s.Next(t.Context()); err == nil || errors.Is(err, io.EOF) {
				t.Errorf("Next after Close: %v", err)
			}
		})
	}
}

// TestCloseBeforeTheEnd: the server does not know that no more is wanted.
func TestCloseBeforeTheEnd(t *testing.T) {
	fake := &server{t: t, answers: []answer{rows(true, "a"), rows(false, "b")}}
	s, err := Open(t.Context(), fake, Spec{Scan: &pb.Scan{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if last := fake.calls[len(fake.calls)-1]; !last.GetCloseScanner() || len(fake.calls) != 2 {
		t.Errorf("the calls were %v, want one to open and one to close", fake.calls)
	}
}

func TestErrorsStick(t *testing.T) {
	for class, want := range map[string]struct{ gone, reset bool }{
		"NotServingRegionException":                 {gone: true},
		"exceptions.RegionMovedException":           {gone: true},
		"exceptions.RegionOpeningException":         {gone: true},
		"regionserver.RegionServerStoppedException": {gone: true},
		"regionserver.RegionServerAbortedException": {gone: true},
		"ipc.ServerNotRunningYetException":          {gone: true},
		"UnknownScannerException":                   {reset: true},
		"regionserver.LeaseException":               {reset: true},
		"exceptions.OutOfOrderScannerNextException": {reset: true},
		"exceptions.ScannerResetException":          {reset: true},
		"security.AccessDeniedException":            {},
		"regionserver.NoSuchColumnFamilyException":  {},
	} {
		t.Run(class, func(t *testing.T) {
			fake := &server{t: t, answers: []answer{rows(true, "a"), {err: remote(class)}, rows(false, "b")}}
			s, err := Open(t.Context(), fake, Spec{Scan: &pb.Scan{}})
			if err != nil {
				t.Fatal(err)
			}
			_, err = readAll(t, s)
			if Gone(err) != want.gone || Reset(err) != want.reset || err == nil {
				t.Errorf("gone %v, reset %v: %v", Gone(err), Reset(err), err)
			}
			if _, again := s.Next(t.Context()); again != err {
				t.Errorf("second error %v, want the first", again)
			}
			calls := len(fake.calls)
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if lost := want.gone || want.reset; (len(fake.calls) == calls) != lost {
				t.Errorf("close calls: %d", len(fake.calls)-calls)
			}
		})
	}
	if !Gone(fmt.Errorf("call: %w", &rpc.ConnError{Addr: "a", Err: io.EOF})) || Gone(nil) || Reset(io.EOF) {
		t.Error("a broken connection must count as gone, nil and others must not")
	}
}

func TestLeaseIsRenewedBetweenCalls(t *testing.T) {
	t.Run("behind", func(t *testing.T) { leaseIsRenewed(t, false) })
	t.Run("ahead", func(t *testing.T) { leaseIsRenewed(t, true) })
}

func leaseIsRenewed(t *testing.T, ahead bool) {
	first := rows(true, "a")
	first.resp.Ttl = proto.Uint32(3)
	fake := &server{t: t, answers: []answer{first, rows(true, "b"), rows(false, "c")}, renewed: make(chan struct{}, 1)}
	s, err := Open(t.Context(), fake, Spec{Scan: &pb.Scan{}, Ahead: ahead})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for range 3 {
		cells, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(cells[0].Row))
		if len(got) < 3 && !(ahead && len(got) == 2) { // while the batch is in hand: renewed more than once; not when the last is there, too
			<-fake.renewed
			<-fake.renewed
		}
	}
	if strings.Join(got, "") != "abc" {
		t.Errorf("got %q", got)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestOpenWithoutScanner(t *testing.T) {
	a := rows(true)
	a.resp.ScannerId = nil
	_, err := Open(t.Context(), &server{t: t, answers: []answer{a}}, Spec{Region: []byte("r1"), Scan: &pb.Scan{}})
	if err == nil || !strings.Contains(err.Error(), `open scanner on region "r1": the server named no scanner`) {
		t.Errorf("error %v", err)
	}
}

// TestCallsAhead: the next call is under way while the caller has the cells of the one before, which stay as they are.
func TestCallsAhead(t *testing.T) {
	fake := &aheadServer{server: server{t: t, answers: []answer{rows(true, "a"), rows(true, "b"), rows(false, "c")}}, called: make(chan struct{}, 9)}
	s, err := Open(t.Context(), fake, Spec{Scan: &pb.Scan{}, Ahead: true})
	if err != nil {
		t.Fatal(err)
	}
	<-fake.called
	for i, want := range []string{"a", "b", "c"} {
		cells, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if i < 2 {
			<-fake.called // ahead
		}
		if string(cells[0].Row) != want {
			t.Errorf("answer %d is of row %s, want %s", i, cells[0].Row, want)
		}
	}
	if _, err := s.Next(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// aheadServer tells of each call.
type aheadServer struct {
	server
	called chan struct{}
}

func (s *aheadServer) Call(ctx context.Context, method string, m proto.Message, cells []byte, out proto.Message) ([]byte, error) {
	block, err := s.server.Call(ctx, method, m, cells, out)
	s.called <- struct{}{}
	return block, err
}
