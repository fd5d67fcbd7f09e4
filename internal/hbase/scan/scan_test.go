package scan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/hbase/rpc"
	"github.com/waltap/waltap/internal/hbase/scan/regionscan"
	"github.com/waltap/waltap/internal/hbase/scan/replaytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// oneServer is a Servers whose only server is at addr.
type oneServer struct {
	t    *testing.T
	addr string
}

func (s oneServer) Client(ctx context.Context, _ admin.ServerName) (*rpc.Conn, error) {
	conn, err := rpc.Dial(ctx, s.addr, rpc.DialOptions{Service: "ClientService", Codec: regionscan.Codec})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", admin.ErrUnreachable, err)
	}
	s.t.Cleanup(func() { conn.Close() })
	return conn, nil
}

func region() admin.Region {
	return admin.Region{
		Table: "shop:cap", Name: []byte("shop:cap,m,1.a539f033d199a93ea870abfb8a0fdd12."),
		Encoded: "a539f033d199a93ea870abfb8a0fdd12", Start: []byte("m"), End: []byte("t"),
		Server: admin.ServerName{Host: "h", Port: 1, StartCode: 2},
	}
}

// The cells of the recorded region, see testdata/README.md.
const recorded = `r1 cf:q 2000 Put 1B
r1 cf:q 1000 Put 1B tags=11
r2 d:q0 3000 Put 600B
r2 d:q1 3000 Put 600B
r2 d:q2 3000 Put 600B
r2 d:q3 3000 Put 600B
r2 d:q4 3000 Put 600B
r3 cf: 5 DeleteFamilyVersion 0B
r3 cf: 4 DeleteFamily 0B
r3 cf:q 10 Put 1B
r3 cf:q 7 Delete 0B
r3 cf:q 6 DeleteColumn 0B
r3 d: 4 DeleteFamily 0B
`

func TestRecordedScan(t *testing.T) {
	for _, tt := range []struct {
		recording string
		readPoint uint64
		complete  []bool // of each batch
	}{
		{"scan-all", 11, []bool{true}},
		{"scan-partial", 11, []bool{false, false, true}},
		{"hbase-1.4.14", 16, []bool{false, false, false, true}},
	} {
		t.Run(tt.recording, func(t *testing.T) {
			addr := replaytest.Serve(t, "testdata/"+tt.recording+".frames")
			s, err := Open(t.Context(), oneServer{t, addr}, Request{Region: region()})
			if err != nil {
				t.Fatal(err)
			}
			if s.ReadPoint() != tt.readPoint {
				t.Errorf("read point %d", s.ReadPoint())
			}
			var got strings.Builder
			var complete []bool
			for {
				b, err := s.Next(t.Context())
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				complete = append(complete, b.RowsComplete)
				for _, k := range b.Cells {
					fmt.Fprintf(&got, "%s %s:%s %d %s %dB", k.Row, k.Family, k.Qualifier, k.Timestamp, k.Type, len(k.Value))
					if len(k.Tags) > 0 {
						fmt.Fprintf(&got, " tags=%d", len(k.Tags))
					}
					got.WriteByte('\n')
				}
			}
			if got.String() != recorded {
				t.Errorf("got\n%swant\n%s", got.String(), recorded)
			}
			if fmt.Sprint(complete) != fmt.Sprint(tt.complete) {
				t.Errorf("rows complete %v, want %v", complete, tt.complete)
			}
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestContinuation(t *testing.T) {
	addr := replaytest.Serve(t, "testdata/scan-partial.frames")
	s, err := Open(t.Context(), oneServer{t, addr}, Request{Region: region(), Start: []byte("n"), MaxResultBytes: 7})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`"n"`, `"r2"`, `"r2"`, `"r3\x00"`} // before the first batch, inside r2 twice, behind r3
	for i := range want {
		next := s.Continuation()
		if got := fmt.Sprintf("%q", next.Start); got != want[i] || next.ReadPoint != 11 || next.MaxResultBytes != 7 {
			t.Errorf("after %d batches: start %s, read point %d, want %s, 11", i, got, next.ReadPoint, want[i])
		}
		if _, err := s.Next(t.Context()); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRegionGone(t *testing.T) {
	var gone *RegionGoneError
	addr := replaytest.Serve(t, "testdata/not-serving.frames")
	_, err := Open(t.Context(), oneServer{t, addr}, Request{Region: region()})
	if !errors.As(err, &gone) || gone.Region != region().Encoded || !rpc.IsRemote(err, "NotServingRegionException") {
		t.Errorf("wrong region: %v", err)
	}

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	_, err = Open(t.Context(), oneServer{t, ln.Addr().String()}, Request{Region: region()})
	if !errors.As(err, &gone) || !errors.Is(err, admin.ErrUnreachable) {
		t.Errorf("dead server: %v", err)
	}

	// The recording ends behind the last batch: a server that hangs up in the middle.
	addr = replaytest.Serve(t, "testdata/not-serving.frames")
	servers := oneServer{t, addr}
	conn, err := servers.Client(t.Context(), admin.ServerName{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = open(t.Context(), conn, Request{Region: region()}); !errors.As(err, &gone) {
		t.Errorf("wrong region: %v", err)
	}
	if _, err = open(t.Context(), conn, Request{Region: region()}); !errors.As(err, &gone) {
		t.Errorf("broken connection: %v", err)
	}
}

// scripted serves Scan calls with a function on a real rpc server.
func scripted(t *testing.T, scan func(req *pb.ScanRequest, c *rpc.Call)) oneServer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := rpc.NewServer(rpc.ServerConfig{Services: map[string]rpc.Handler{
		"ClientService": func(_ context.Context, c *rpc.Call) {
			var req pb.ScanRequest
			if err := proto.Unmarshal(c.Param, &req); err != nil {
				t.Errorf("decode %s: %v", c.Method, err)
			}
			scan(&req, c)
		},
	}})
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	t.Cleanup(func() {
		srv.Shutdown(context.Background())
		<-done
	})
	return oneServer{t, ln.Addr().String()}
}

func TestErrorsInTheMiddle(t *testing.T) {
	for class, want := range map[string]any{
		"org.apache.hadoop.hbase.exceptions.RegionMovedException": new(*RegionGoneError),
		"org.apache.hadoop.hbase.UnknownScannerException":         new(*ScannerResetError),
	} {
		servers := scripted(t, func(req *pb.ScanRequest, c *rpc.Call) {
			if req.ScannerId != nil {
				c.Fail(class, "gone", false)
				return
			}
			c.Reply(&pb.ScanResponse{ScannerId: proto.Uint64(5), MoreResults: proto.Bool(true), MvccReadPoint: proto.Uint64(9)})
		})
		s, err := Open(t.Context(), servers, Request{Region: region()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err = s.Next(t.Context()); !errors.As(err, want) || !rpc.IsRemote(err, class) {
			t.Errorf("%s: error %v", class, err)
		}
		if next := s.Continuation(); len(next.Start) != 0 || next.ReadPoint != 9 {
			t.Errorf("continuation %+v", next)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestCancelledNext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	unanswered := make(chan *rpc.Call, 1)
	servers := scripted(t, func(req *pb.ScanRequest, c *rpc.Call) {
		switch {
		case req.ScannerId == nil:
			c.Reply(&pb.ScanResponse{ScannerId: proto.Uint64(5), MoreResults: proto.Bool(true)})
		case req.GetCloseScanner():
			(<-unanswered).Reply(&pb.ScanResponse{})
			c.Reply(&pb.ScanResponse{})
		default:
			unanswered <- c
			cancel()
		}
	})
	s, err := Open(ctx, servers, Request{Region: region()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = s.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	// The server may have moved on behind our back: the scanner is of no more use.
	if _, err = s.Next(t.Context()); !errors.Is(err, context.Canceled) {
		t.Errorf("second error %v", err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Errorf("close: %v", err)
	}
}

func TestRequestToProto(t *testing.T) {
	m, err := (&Request{Region: region()}).toProto()
	if err != nil {
		t.Fatal(err)
	}
	want := &pb.Scan{
		Attribute:           []*pb.NameBytesPair{{Name: proto.String("_raw_"), Value: []byte{0xFF}}},
		StartRow:            []byte("m"),
		StopRow:             []byte("t"),
		IncludeStartRow:     proto.Bool(true),
		IncludeStopRow:      proto.Bool(false),
		MaxVersions:         proto.Uint32(math.MaxInt32),
		CacheBlocks:         proto.Bool(false),
		MaxResultSize:       proto.Uint64(DefaultMaxResultBytes),
		AllowPartialResults: proto.Bool(true),
	}
	if !proto.Equal(m, want) {
		t.Errorf("got  %v\nwant %v", m, want)
	}
	m, err = (&Request{
		Region: region(), Start: []byte("n"), Stop: []byte("o"), Families: []string{"a", "b"}, CacheBlocks: true,
		MaxResultBytes: 1, RowsPerCall: 2, MinTimestamp: 3, ReadPoint: 5,
	}).toProto()
	if err != nil {
		t.Fatal(err)
	}
	want.StartRow, want.StopRow = []byte("n"), []byte("o")
	want.Column = []*pb.Column{{Family: []byte("a")}, {Family: []byte("b")}}
	want.CacheBlocks = proto.Bool(true)
	want.MaxResultSize = proto.Uint64(1)
	want.Caching = proto.Uint32(2)
	want.TimeRange = &pb.TimeRange{From: proto.Uint64(3), To: proto.Uint64(math.MaxInt64)}
	want.MvccReadPoint = proto.Uint64(5)
	if !proto.Equal(m, want) {
		t.Errorf("got  %v\nwant %v", m, want)
	}
	for _, r := range []Request{{MinTimestamp: -1}, {MaxTimestamp: -1}, {MinTimestamp: 5, MaxTimestamp: 5}} {
		if _, err := r.toProto(); err == nil {
			t.Errorf("%+v: no error", r)
		}
	}
}
