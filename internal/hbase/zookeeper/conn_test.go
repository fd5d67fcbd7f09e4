package zookeeper

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

// listen serves connections with handle until the test ends.
func listen(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			handle(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		<-done
	})
	return ln.Addr().String()
}

// unusedAddr is an address where nobody listens.
func unusedAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func TestConnectNamesServersAndCauses(t *testing.T) {
	t.Parallel()
	a, b := unusedAddr(t), unusedAddr(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second) // in which both are tried, on a busy machine too
	defer cancel()
	_, err := Connect(ctx, []string{a + "," + b}, 0, nil)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error %v", err)
	}
	for _, want := range []string{a, b, "connection refused"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not name %q", err, want)
		}
	}
}

func TestConnectToAnotherProtocol(t *testing.T) {
	answered := make(chan struct{}, 16)
	addr := listen(t, func(conn net.Conn) {
		io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
		io.Copy(io.Discard, conn) // until the client hangs up
		answered <- struct{}{}
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-answered
		cancel()
	}()
	_, err := Connect(ctx, []string{addr}, 0, nil)
	checkError(t, err, "this is no ZooKeeper server")
}

func TestConnectToSilentServer(t *testing.T) {
	accepted := make(chan struct{}, 16)
	addr := listen(t, func(conn net.Conn) {
		accepted <- struct{}{}
		io.Copy(io.Discard, conn)
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-accepted
		cancel()
	}()
	_, err := Connect(ctx, []string{addr}, 0, nil)
	checkError(t, err, "no session within")
}

// TestOperationsEndWithTheirContext runs the operations of a Conn that never had a session.
func TestOperationsEndWithTheirContext(t *testing.T) {
	addr := listen(t, func(conn net.Conn) { io.Copy(io.Discard, conn) })
	c := newTestConn(t, addr)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := c.Get(ctx, "/hbase/hbaseid")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("get: %v", err)
	}
	checkError(t, err, "read /hbase/hbaseid: zookeeper "+addr+" does not answer")
	if err := c.Create(ctx, "/x", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("create: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Children(t.Context(), "/"); !errors.Is(err, ErrClosed) {
		t.Errorf("children after Close: %v", err)
	}
}

// newTestConn is Connect without the wait for a session.
func newTestConn(t *testing.T, addr string) *Conn {
	t.Helper()
	c, err := newConn([]string{addr}, DefaultSessionTimeout, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestConnectionLost(t *testing.T) {
	for err, want := range map[error]bool{
		zk.ErrConnectionClosed: true,
		zk.ErrNoServer:         true,
		zk.ErrSessionExpired:   true,
		zk.ErrNoNode:           false,
		zk.ErrNoAuth:           false,
		zk.ErrNodeExists:       false,
	} {
		if got := connectionLost(err); got != want {
			t.Errorf("%v: %v, want %v", err, got, want)
		}
	}
}

func TestNormalizeQuorum(t *testing.T) {
	got, err := normalizeQuorum([]string{"a:2182, b", "c:2183", "[::1]", "[::1]:2184"})
	want := []string{"a:2182", "b:2181", "c:2183", "[::1]:2181", "[::1]:2184"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	_, err = normalizeQuorum([]string{" , "})
	checkError(t, err, "the list of servers is empty")
}

func TestHostProvider(t *testing.T) {
	h := &hostProvider{}
	if err := h.Init([]string{"a", "b"}); err != nil {
		t.Fatal(err)
	}
	var got []string
	next := func() {
		server, retry := h.Next()
		if retry {
			server += " after a pause"
		}
		got = append(got, server)
	}
	for range 4 {
		next()
	}
	h.Connected()
	next()
	next()
	next()
	want := []string{"a", "b", "a after a pause", "b", "a", "b", "a after a pause"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestHandshakeInspect(t *testing.T) {
	for _, tt := range []struct {
		name  string
		reads []string
		done  bool
		err   string
	}{
		{"whole answer", []string{"\x00\x00\x00\x02ab"}, true, ""},
		{"in pieces", []string{"\x00\x00", "\x00\x02a", "b"}, true, ""},
		{"not yet whole", []string{"\x00\x00\x00\x02", "a"}, false, ""},
		{"empty answer", []string{"\x00\x00\x00\x00"}, true, ""},
		{"another protocol", []string{"SSH-2.0"}, false, `begins with "SSH-"`},
		{"a region server's exception", []string{"\x00\x00\x01\x07\x85\x02"}, false, "this is no ZooKeeper server"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var h handshakeConn
			var err error
			for _, p := range tt.reads {
				if err = h.inspect([]byte(p)); err != nil {
					break
				}
			}
			checkError(t, err, tt.err)
			if h.done != tt.done {
				t.Errorf("done %v, want %v", h.done, tt.done)
			}
		})
	}
}

func TestRegisterChecksItsConfiguration(t *testing.T) {
	good := RegistrationConfig{Quorum: []string{"h:1"}, Root: "/waltap", ClusterID: "id", Host: "w", Port: 1}
	for name, tt := range map[string]struct {
		change func(*RegistrationConfig)
		err    string
	}{
		"root without slash": {func(c *RegistrationConfig) { c.Root = "waltap" }, "parent znode"},
		"root is /":          {func(c *RegistrationConfig) { c.Root = "/" }, "parent znode"},
		"no host":            {func(c *RegistrationConfig) { c.Host = "" }, "no host name"},
		"host with comma":    {func(c *RegistrationConfig) { c.Host = "a,b" }, "no host name"},
		"no port":            {func(c *RegistrationConfig) { c.Port = 0 }, "no port"},
		"no cluster id":      {func(c *RegistrationConfig) { c.ClusterID = "" }, "no cluster id"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := good
			tt.change(&cfg)
			_, err := Register(t.Context(), cfg)
			checkError(t, err, tt.err)
		})
	}
	if err := good.complete(); err != nil {
		t.Error(err)
	}
	if good.StartCode == 0 || good.SessionTimeout != DefaultSessionTimeout {
		t.Errorf("defaults: start code %d, session timeout %v", good.StartCode, good.SessionTimeout)
	}
}
