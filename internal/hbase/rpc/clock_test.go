package rpc

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// pipeListener hands out in-memory connections, which tests with a fake clock
// need.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	select {
	case <-l.done:
	default:
		close(l.done)
	}
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (l *pipeListener) dial(t testing.TB) rawConn {
	ours, theirs := net.Pipe()
	l.conns <- theirs
	return rawConn{t, ours}
}

// withFakeClock runs a test against a server under a clock that jumps when all
// goroutines wait.
func withFakeClock(t *testing.T, cfg ServerConfig, test func(t *testing.T, s *Server, ln *pipeListener)) {
	synctest.Test(t, func(t *testing.T) {
		ln := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
		s := NewServer(cfg)
		served := make(chan error, 1)
		go func() { served <- s.Serve(ln) }()
		test(t, s, ln)
		if err := s.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// expectClosed waits for the server to close the connection and returns how
// long that took.
func (c rawConn) expectClosed() time.Duration {
	c.t.Helper()
	start := time.Now()
	if n, err := c.Read(make([]byte, 1)); err != io.EOF {
		c.t.Errorf("read %d bytes, %v; want a closed connection", n, err)
	}
	return time.Since(start)
}
