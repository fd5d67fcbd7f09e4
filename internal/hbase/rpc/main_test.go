package rpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/pb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds waits that end at once unless something is broken.
const patience = time.Minute

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// startServer serves on a free port until the test ends.
func startServer(t testing.TB, cfg ServerConfig) (*Server, string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := NewServer(cfg)
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s, ln.Addr().String()
}

func echoServices() map[string]Handler { return map[string]Handler{"AdminService": echo} }

// echo answers with the parameter, a VersionInfo, and the cell block.
func echo(_ context.Context, c *Call) {
	if c.Method != "Echo" {
		c.Unsupported()
		return
	}
	cells, err := io.ReadAll(c.Cells)
	if err != nil {
		c.Fail(ClassIOException, err.Error(), false)
		return
	}
	var param pb.VersionInfo
	if err := proto.Unmarshal(c.Param, &param); err != nil {
		c.Fail(ClassDoNotRetryIO, err.Error(), true)
		return
	}
	c.ReplyCells(&param, cells)
}

func dial(t testing.TB, addr string, o DialOptions) *Conn {
	t.Helper()
	if o.Service == "" {
		o.Service = "AdminService"
	}
	c, err := Dial(testContext(t), addr, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func version(s string) *pb.VersionInfo { return &pb.VersionInfo{Version: &s} }

// rawConn speaks bytes to a server.
type rawConn struct {
	t testing.TB
	net.Conn
}

func dialRaw(t testing.TB, addr string) rawConn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return rawConn{t, conn}
}

// send writes what the server may refuse to read to the end.
func (c rawConn) send(parts ...[]byte) {
	for _, p := range parts {
		if _, err := c.Write(p); err != nil {
			c.t.Logf("write: %v", err)
			return
		}
	}
}

func (c rawConn) read(n int) []byte {
	c.t.Helper()
	b := make([]byte, n)
	if got, err := io.ReadFull(c, b); err != nil {
		c.t.Fatalf("read %d bytes: %v after %x", n, err, b[:got])
	}
	return b
}

// response reads one frame: its header and what follows.
func (c rawConn) response() (*pb.ResponseHeader, []byte) {
	c.t.Helper()
	frame := c.read(int(binary.BigEndian.Uint32(c.read(4))))
	raw, n := protowire.ConsumeBytes(frame)
	var header pb.ResponseHeader
	if n < 0 {
		c.t.Fatalf("response %x", frame)
	}
	if err := proto.Unmarshal(raw, &header); err != nil {
		c.t.Fatal(err)
	}
	return &header, frame[n:]
}

// expectException reads a frame that must be an exception for the call.
func (c rawConn) expectException(id uint32, class, text string) {
	c.t.Helper()
	h, rest := c.response()
	x := h.GetException()
	if h.CallId == nil || *h.CallId != id || x.GetExceptionClassName() != class || !strings.Contains(x.GetStackTrace(), text) || len(rest) > 0 {
		c.t.Errorf("answer %v, %d bytes behind it; want %s for call %d with %q", h, len(rest), class, id, text)
	}
}

// expectEnd expects the connection to be closed by the server.
func (c rawConn) expectEnd() {
	c.t.Helper()
	if n, err := c.Read(make([]byte, 1)); err != io.EOF {
		c.t.Errorf("read %d bytes, %v; want the end of the connection", n, err)
	}
}

func hello(t testing.TB, h *pb.ConnectionHeader) []byte {
	t.Helper()
	msg, err := proto.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	b := binary.BigEndian.AppendUint32([]byte("HBas\x00P"), uint32(len(msg)))
	return append(b, msg...)
}

func goodHello(t testing.TB) []byte {
	return hello(t, &pb.ConnectionHeader{
		ServiceName:         proto.String("AdminService"),
		CellBlockCodecClass: proto.String(cell.KeyValueCodecWithTags.Class()),
	})
}

// request returns a frame for Echo; cells nil sends no cell block.
func request(t testing.TB, id uint32, method string, timeoutMS uint32, param proto.Message, cells []byte) []byte {
	t.Helper()
	h := &pb.RequestHeader{CallId: &id, MethodName: &method, RequestParam: proto.Bool(param != nil)}
	if timeoutMS > 0 {
		h.Timeout = &timeoutMS
	}
	if cells != nil {
		h.CellBlockMeta = &pb.CellBlockMeta{Length: proto.Uint32(uint32(len(cells)))}
	}
	b, err := appendFrame(nil, h, param, len(cells))
	if err != nil {
		t.Fatal(err)
	}
	return append(b, cells...)
}

// eventually waits for a condition that something else brings about.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not so after %s", what, patience)
		}
	}
}

// syncBuffer is a bytes.Buffer for a logger and a test.
type syncBuffer struct {
	lock chan struct{}
	buf  bytes.Buffer
}

func newSyncBuffer() *syncBuffer { return &syncBuffer{lock: make(chan struct{}, 1)} }

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.lock <- struct{}{}
	defer func() { <-b.lock }()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.lock <- struct{}{}
	defer func() { <-b.lock }()
	return b.buf.String()
}
