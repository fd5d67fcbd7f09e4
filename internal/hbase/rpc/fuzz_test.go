package rpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/pb"
)

// memConn is a connection whose peer has sent in and then closed, and reads
// everything into out.
type memConn struct {
	in *bytes.Reader

	mu  sync.Mutex
	out bytes.Buffer

	// ready, if not nil, holds reads back until it is closed, which the
	// second write does: that of a client's first request.
	ready  chan struct{}
	writes int
}

func (c *memConn) Read(p []byte) (int, error) {
	if c.ready != nil {
		<-c.ready
	}
	return c.in.Read(p)
}

func (c *memConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writes++; c.writes == 2 && c.ready != nil {
		close(c.ready)
	}
	return c.out.Write(p)
}

func (c *memConn) Close() error                     { return nil }
func (c *memConn) LocalAddr() net.Addr              { return &net.UnixAddr{Name: "here"} }
func (c *memConn) RemoteAddr() net.Addr             { return &net.UnixAddr{Name: "there"} }
func (c *memConn) SetDeadline(time.Time) error      { return nil }
func (c *memConn) SetReadDeadline(time.Time) error  { return nil }
func (c *memConn) SetWriteDeadline(time.Time) error { return nil }

// fuzzServer serves in as a whole connection and checks what must hold
// whatever it is.
func fuzzServer(t *testing.T, in []byte) {
	handled := 0
	s := NewServer(ServerConfig{
		MaxFrameBytes: 1 << 20,
		Logger:        slog.New(slog.DiscardHandler),
		Services: map[string]Handler{"AdminService": func(_ context.Context, c *Call) {
			handled++
			var k cell.Cell
			r := cell.NewReader(c.Cells, c.Codec, c.CellBytes)
			for {
				if _, err := r.Next(&k, nil); err == io.EOF {
					c.Reply(nil)
					return
				} else if err != nil {
					c.Fail(ClassIOException, err.Error(), false)
					return
				}
			}
		}},
	})
	conn := &memConn{in: bytes.NewReader(in)}
	newServerConn(s, conn).serve()
	if err := s.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := s.BytesInFlight(); n != 0 {
		t.Fatalf("%d bytes in flight at the end", n)
	}
	answers := conn.out.Bytes()
	answers = bytes.TrimPrefix(answers, switchToSimpleAuth)
	for len(answers) > 0 {
		answers = checkAnswer(t, answers)
	}
}

// checkAnswer checks the first response frame in b and returns the rest.
func checkAnswer(t *testing.T, b []byte) []byte {
	if len(b) < 4 || int64(binary.BigEndian.Uint32(b)) > int64(len(b)-4) {
		t.Fatalf("answer %x is no frame", b)
	}
	size := 4 + int(binary.BigEndian.Uint32(b))
	raw, n := protowire.ConsumeBytes(b[4:size])
	var h pb.ResponseHeader
	if n < 0 || proto.Unmarshal(raw, &h) != nil || h.CallId == nil {
		t.Fatalf("answer %x has no header with call id", b[:size])
	}
	if h.Exception != nil && (h.Exception.GetExceptionClassName() == "" || h.Exception.GetStackTrace() == "") {
		t.Fatalf("exception without class or text: %v", &h)
	}
	return b[size:]
}

func FuzzServerConnection(f *testing.F) {
	for _, name := range []string{"replicate-2.6.4-tags.bin", "replicate-2.6.4-notags.bin", "replicate-2.6.4-gzip.bin"} {
		f.Add(readFile(f, name))
	}
	f.Add([]byte("Regist"))
	f.Add(append([]byte{'H', 'B', 'a', 's', 0, authKerberos, 0, 0, 0, 0}, goodHello(f)[preambleLen:]...))
	f.Add(append(goodHello(f), 0x7f, 0xff, 0xff, 0xff, 2, 8, 1))
	f.Fuzz(fuzzServer)
}

func FuzzRequestFrames(f *testing.F) {
	f.Add(request(f, 0, "ReplicateWALEntry", 60000, version("x"), []byte("cells")))
	f.Add(append(request(f, 1, "A", 0, nil, nil), request(f, 2, "B", 1, version("x"), nil)...))
	for _, s := range []string{"ffffffff", "00000001 00", "00000006 04 0807 2001 7f", "0000000a 06 0807 2a020805 010203", "00100001 06 0807 1a024563"} {
		f.Add(unhex(f, s))
	}
	start := goodHello(f)
	f.Fuzz(func(t *testing.T, frames []byte) {
		fuzzServer(t, append(bytes.Clone(start), frames...))
	})
}

func FuzzClientResponses(f *testing.F) {
	f.Add(readFile(f, "scan-response-2.6.4-tags.bin"))
	for _, s := range []string{
		"00000004 02 0800 00", "ffffffff", "00000004 05 0800 00", "0000000d 06 0800 1a020802 03 0a0177 0405",
		"00000007 06 08ffffffff0f", "00000004 02 0809 00 00000004 02 0800 00", "00000011 10 080012 0b 0a0145 1204453a206d 2801",
	} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, responses []byte) {
		conn := &memConn{in: bytes.NewReader(responses), ready: make(chan struct{})}
		c, err := Dial(context.Background(), "mem", DialOptions{
			Service: "S", MaxResponseBytes: 1 << 20,
			NetDial: func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		var resp pb.VersionInfo
		cells, err := c.Call(context.Background(), "M", nil, nil, &resp)
		var remote *RemoteError
		var broken *ConnError
		switch {
		case err == nil:
			if len(cells) > len(responses) {
				t.Fatalf("%d bytes of cells from %d bytes", len(cells), len(responses))
			}
		case cells != nil:
			t.Fatalf("cells with the error %v", err)
		case errors.As(err, &broken):
			if c.Err() == nil {
				t.Fatalf("got %v, but the connection counts as good", err)
			}
		case errors.As(err, &remote), errors.Is(err, proto.Error):
		default:
			t.Fatalf("untyped error %v", err)
		}
	})
}
