package rpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/pb"
)

func TestHandshakeRefusals(t *testing.T) {
	header := func(f func(h *pb.ConnectionHeader)) []byte {
		h := &pb.ConnectionHeader{
			ServiceName:         proto.String("AdminService"),
			CellBlockCodecClass: proto.String(cell.KeyValueCodec.Class()),
		}
		f(h)
		return hello(t, h)
	}
	for _, test := range []struct {
		name  string
		sent  []byte
		class string
		text  string
	}{
		{"registry preamble", []byte("Regist"), classFatalConnection, "Expected HEADER='HBas' but received"},
		{"security preamble", []byte("Securi"), classFatalConnection, "Expected HEADER='HBas' but received"},
		{"HTTP", []byte("GET / HTTP/1.1\r\n\r\n"), classFatalConnection, "Expected HEADER='HBas' but received"},
		{"TLS", unhex(t, "160301020001000001fc"), classFatalConnection, "hbase.client.netty.tls.enabled"},
		{"version", []byte("HBas\x01P"), classWrongVersion, "clientVersion=1"},
		{"authentication", []byte("HBas\x00\x42"), classBadAuth, "authentication 66"},
		{"negative header", []byte("HBas\x00P\xff\xff\xff\xff"), classFatalConnection, "connection header of -1 bytes"},
		{"huge header", []byte("HBas\x00P\x7f\xff\xff\xff"), classFatalConnection, "connection header of 2147483647 bytes"},
		{"no message", []byte("HBas\x00P\x00\x00\x00\x02\xff\xff"), classFatalConnection, "decode connection header"},
		{"required field missing", []byte("HBas\x00P\x00\x00\x00\x02\x0a\x00"), classFatalConnection, "effective_user"},
		{"codec", header(func(h *pb.ConnectionHeader) {
			h.CellBlockCodecClass = proto.String("org.apache.hadoop.hbase.codec.MessageCodec")
		}), classUnsupportedCodec, "MessageCodec"},
		{"compressor", header(func(h *pb.ConnectionHeader) { h.CellBlockCompressorClass = proto.String("Gzip") }),
			classUnsupportedCompression, `"Gzip"`},
		{"cipher", header(func(h *pb.ConnectionHeader) { h.RpcCryptoCipherTransformation = proto.String("AES/CTR/NoPadding") }),
			classUnsupportedCrypto, "AES/CTR"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var rejected atomic.Value
			_, addr := startServer(t, ServerConfig{Services: echoServices(), Observer: Observer{
				Rejected: func(_ net.Addr, class, message string) { rejected.Store(class) },
			}})
			c := dialRaw(t, addr)
			c.send(test.sent)
			c.expectException(connectionCallID, test.class, test.text)
			c.expectEnd()
			if rejected.Load() != test.class {
				t.Errorf("Observer.Rejected was told %v", rejected.Load())
			}
		})
	}
}

// A client that wants SASL is told to switch to SIMPLE, as HBase without
// security does; its first token is dropped.
func TestSwitchToSimple(t *testing.T) {
	for _, auth := range []byte{authKerberos, authDigest} {
		_, addr := startServer(t, ServerConfig{Services: echoServices()})
		c := dialRaw(t, addr)
		c.send([]byte{'H', 'B', 'a', 's', 0, auth}, unhex(t, "00000003 010203"))
		if got := c.read(8); !bytes.Equal(got, unhex(t, "00000000 ffffffa8")) {
			t.Fatalf("answer %x", got)
		}
		c.send(goodHello(t)[preambleLen:], request(t, 7, "Echo", 0, nil, nil))
		if h, _ := c.response(); h.GetCallId() != 7 || h.Exception != nil {
			t.Errorf("answer %v", h)
		}
	}
}

func TestMalformedRequests(t *testing.T) {
	for _, test := range []struct {
		name, hex string
		id        uint32
		class     string
		text      string
	}{
		{"negative length", "ffffffff", connectionCallID, classFatalConnection, "request of -1 bytes"},
		{"most negative length", "80000000", connectionCallID, classFatalConnection, "request of -2147483648 bytes"},
		{"too long", "00100001 06 0807 1a024563", 7, classRequestTooBig, "request of 1048577 bytes"},
		{"too long, no header", "7fffffff ffffffffffff", connectionCallID, classRequestTooBig, "request of 2147483647 bytes"},
		{"empty", "00000000", connectionCallID, classFatalConnection, "no varint"},
		{"header longer than frame", "00000003 7f 0807", connectionCallID, classFatalConnection, "length 127"},
		{"header length no varint", "00000010 ffffffffffff", connectionCallID, classFatalConnection, "no varint"},
		{"header no message", "00000003 02 ffff", connectionCallID, classFatalConnection, "cannot parse"},
		// {call_id: 7, request_param: true}
		{"parameter longer than frame", "00000006 04 0807 2001 7f", connectionCallID, classFatalConnection, "length 127"},
		{"parameter missing", "00000005 04 0807 2001", connectionCallID, classFatalConnection, "no varint"},
		// {call_id: 7, cell_block_meta: {length: 5}}
		{"cells shorter than said", "0000000a 06 0807 2a020805 010203", connectionCallID, classFatalConnection, "cell block of 5 bytes with 3"},
		{"bytes without cells", "00000006 02 0807 010203", connectionCallID, classFatalConnection, "cell block of 0 bytes with 3"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, addr := startServer(t, ServerConfig{Services: echoServices(), MaxFrameBytes: 1 << 20})
			c := dialRaw(t, addr)
			c.send(goodHello(t), unhex(t, test.hex))
			c.expectException(test.id, test.class, test.text)
			c.expectEnd()
			if n := s.BytesInFlight(); n != 0 {
				t.Errorf("%d bytes in flight", n)
			}
		})
	}
}

// Refused calls leave the connection usable.
func TestRefusedCalls(t *testing.T) {
	const class = "org.apache.hadoop.hbase.exceptions.RequestTooBigException"
	services := echoServices()
	services["Panics"] = func(_ context.Context, c *Call) { panic("on purpose") }
	log := newSyncBuffer()
	_, addr := startServer(t, ServerConfig{Services: services, MaxParamBytes: 1000, Logger: slog.New(slog.NewTextHandler(log, nil))})
	ctx := testContext(t)
	cells := make([]byte, 300_000)
	for _, test := range []struct {
		service, method string
		param           proto.Message
		class           string
		doNotRetry      bool
	}{
		{"NoService", "Echo", version("x"), ClassUnsupportedOperation, true},
		{"AdminService", "NoMethod", version("x"), ClassUnsupportedOperation, true},
		{"AdminService", "Echo", version(strings.Repeat("x", 1000)), class, true},
		{"Panics", "Any", version("x"), ClassIOException, false},
	} {
		c := dial(t, addr, DialOptions{Service: test.service})
		for range 3 {
			_, err := c.Call(ctx, test.method, test.param, cells, nil)
			var remote *RemoteError
			if !errors.As(err, &remote) || remote.Class != test.class || remote.DoNotRetry != test.doNotRetry {
				t.Errorf("%s.%s: %v", test.service, test.method, err)
			}
		}
		if test.service == "AdminService" {
			if _, err := c.Call(ctx, "Echo", version("x"), cells, nil); err != nil {
				t.Errorf("a good call afterwards: %v", err)
			}
		}
	}
	if s := log.String(); strings.Count(s, "handler panicked") != 3 || !strings.Contains(s, "on purpose") {
		t.Errorf("log: %s", s)
	}
}

func TestCellsWithoutCodec(t *testing.T) {
	_, addr := startServer(t, ServerConfig{Services: echoServices()})
	c := dialRaw(t, addr)
	c.send(hello(t, &pb.ConnectionHeader{ServiceName: proto.String("AdminService")}))
	c.send(request(t, 1, "Echo", 0, nil, []byte("cells")))
	c.expectException(1, ClassDoNotRetryIO, "without cell codec")
	c.send(request(t, 2, "Echo", 0, nil, nil))
	if h, _ := c.response(); h.GetCallId() != 2 || h.Exception != nil {
		t.Errorf("answer %v", h)
	}
}

// A handler need not read its cells, and cannot read those of the next call.
func TestUnreadCellsAreDiscarded(t *testing.T) {
	var first io.Reader
	_, addr := startServer(t, ServerConfig{Services: map[string]Handler{"AdminService": func(_ context.Context, c *Call) {
		if first == nil {
			first = c.Cells
			if _, err := io.ReadFull(c.Cells, make([]byte, 10)); err != nil {
				t.Errorf("read: %v", err)
			}
		} else if n, err := first.Read(make([]byte, 10)); n != 0 || err == nil {
			t.Errorf("cells of the first call in the second: %d, %v", n, err)
		}
		c.Reply(nil)
	}}})
	c := dial(t, addr, DialOptions{})
	for range 2 {
		if _, err := c.Call(testContext(t), "M", nil, make([]byte, 1<<20), nil); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAllow(t *testing.T) {
	var refused, opened atomic.Int32
	log := newSyncBuffer()
	_, addr := startServer(t, ServerConfig{
		Services: echoServices(),
		Allow:    func(net.Addr) error { return errors.New("not one of the region servers") },
		Logger:   slog.New(slog.NewTextHandler(log, nil)),
		Observer: Observer{
			Refused:    func(net.Addr, error) { refused.Add(1) },
			ConnOpened: func(net.Addr) { opened.Add(1) },
		},
	})
	for range 3 {
		c := dialRaw(t, addr)
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("read %d, %v", n, err)
		}
	}
	eventually(t, "three refused", func() bool { return refused.Load() == 3 })
	if opened.Load() != 0 {
		t.Errorf("%d connections were opened", opened.Load())
	}
	if !strings.Contains(log.String(), "not one of the region servers") {
		t.Errorf("log: %s", log)
	}
}

func TestNoticeLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		addr := func(i int) net.Addr { return &net.TCPAddr{IP: net.IPv4(10, 0, byte(i>>8), byte(i)), Port: i} }
		var l noticeLimiter
		if !l.allow(addr(1)) || l.allow(addr(1)) || !l.allow(addr(2)) {
			t.Error("not one a second for each address")
		}
		time.Sleep(time.Second)
		if !l.allow(addr(1)) {
			t.Error("nothing after a second")
		}
		for i := range 3 * maxNoticed {
			l.allow(addr(i))
		}
		if len(l.last) > maxNoticed {
			t.Errorf("%d addresses remembered", len(l.last))
		}
		time.Sleep(time.Second)
		if !l.allow(addr(2 * maxNoticed)) {
			t.Error("a new address is not noticed when the others are old")
		}
	})
}

func TestCallDeadline(t *testing.T) {
	at := time.Unix(1000, 0)
	for ms, want := range map[uint32]time.Duration{
		0: 55 * time.Second, 60000: 55 * time.Second, 10000: 9 * time.Second, 1: 900 * time.Microsecond,
		math.MaxUint32: 595 * time.Second,
	} {
		if got := callDeadline(at, ms).Sub(at); got != want {
			t.Errorf("timeout %d ms: %s, want %s", ms, got, want)
		}
	}
}

func TestObserver(t *testing.T) {
	var mu sync.Mutex
	var events []string
	note := func(s string) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, s)
	}
	_, addr := startServer(t, ServerConfig{Services: echoServices(), Observer: Observer{
		ConnOpened: func(net.Addr) { note("opened") },
		ConnClosed: func(net.Addr) { note("closed") },
		Answered:   func(c *Call, class string, _ time.Duration) { note(c.Method + " " + class) },
		BytesInFlight: func(n int64) {
			if n > 0 {
				note("busy")
			} else {
				note("idle")
			}
		},
	}})
	c := dial(t, addr, DialOptions{})
	for _, method := range []string{"Echo", "No"} {
		// The outcome is what the events are about.
		_, _ = c.Call(testContext(t), method, version("x"), nil, nil)
	}
	c.Close()
	want := "opened busy idle Echo  busy idle No " + ClassUnsupportedOperation + " closed"
	got := func() string { mu.Lock(); defer mu.Unlock(); return strings.Join(events, " ") }
	eventually(t, "connection closed", func() bool { return strings.HasSuffix(got(), "closed") })
	if got() != want {
		t.Errorf("events: %s\nwant:   %s", got(), want)
	}
}
