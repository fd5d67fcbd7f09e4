package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	defaultMaxFrameBytes    = 512 << 20
	defaultMaxBytesInFlight = 128 << 20
	defaultMaxParamBytes    = 64 << 20
	defaultStallTimeout     = 30 * time.Second
)

// Handler serves the calls of one service, whatever their method; what it does
// not know it refuses with [Call.Unsupported].
//
// It runs on the connection's goroutine: until it returns, no further call of
// that connection is read. It must be done with c.Cells when it returns (the
// server discards what is left), and with c.Param, whose memory is used again;
// but it may answer later, from any goroutine.
// Every call must be answered exactly once, before c.Deadline if the answer is
// to be of use; until then it occupies its share of MaxBytesInFlight.
//
// ctx ends at c.Deadline, when the call has been answered, when its connection
// ends, and when Shutdown gives up.
type Handler func(ctx context.Context, c *Call)

// ServerConfig says what a server serves and how much it takes on.
type ServerConfig struct {
	// Services by ServiceName, as "AdminService". A call for another service
	// is refused with UnsupportedOperationException.
	Services map[string]Handler
	// Allow decides, right after accept, whether an address may connect; a
	// connection for which it returns an error is closed without an answer.
	// nil allows all.
	Allow func(remote net.Addr) error
	// MaxFrameBytes bounds a request frame; default 512 MiB. A longer one is
	// answered with RequestTooBigException and ends the connection.
	MaxFrameBytes int64
	// MaxBytesInFlight bounds the sum of the frames, by their lengths, that
	// are being read or not yet answered; default 128 MiB. A frame waits for
	// room, first come first served, until its deadline; then it is answered
	// with an IOException and discarded. A frame longer than the bound waits
	// until it is alone.
	MaxBytesInFlight int64
	// MaxParamBytes bounds a request's parameter message, which is held whole;
	// default 64 MiB. A longer one is answered with RequestTooBigException.
	MaxParamBytes int64
	// StallTimeout is how long a peer may pause inside a frame, or not read
	// its answers, before its connection is closed; default 30s. Between
	// frames it may pause for ever.
	StallTimeout time.Duration
	// Logger; default slog.Default().
	Logger *slog.Logger
	// Observer is told what happens.
	Observer Observer
}

// Observer is a set of optional functions a server calls, from several
// goroutines, at what they are named after. They must return quickly.
type Observer struct {
	ConnOpened func(remote net.Addr)
	ConnClosed func(remote net.Addr)
	// Refused: Allow returned err.
	Refused func(remote net.Addr, err error)
	// Rejected: a connection was ended with an exception of this Java class,
	// because of its handshake or a frame.
	Rejected func(remote net.Addr, class, message string)
	// Answered: a call was answered, with an exception of class, or with a
	// message if class is "".
	Answered func(c *Call, class string, took time.Duration)
	// BytesInFlight: the sum that MaxBytesInFlight bounds has changed to n. A
	// frame longer than the bound counts as the bound.
	BytesInFlight func(n int64)
}

// Server serves HBase RPC on any number of listeners.
type Server struct {
	cfg    ServerConfig
	log    *slog.Logger
	room   *semaphore.Weighted
	taken  atomic.Int64
	notice noticeLimiter
	// params are *[]byte for Call.Param: of a call of 25 000 edits it has 3 MB, and growing a new one took a tenth of the CPU time of single puts.
	params sync.Pool

	// ctx is what calls live under; stop ends it when Shutdown gives up.
	ctx  context.Context
	stop context.CancelFunc
	// accepting ends when Shutdown begins.
	accepting context.Context
	drain     context.CancelFunc

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[*serverConn]struct{}
	wg        sync.WaitGroup // one per connection
}

// NewServer returns a server that waits for Serve.
func NewServer(cfg ServerConfig) *Server {
	for _, d := range []struct {
		field *int64
		value int64
	}{
		{&cfg.MaxFrameBytes, defaultMaxFrameBytes},
		{&cfg.MaxBytesInFlight, defaultMaxBytesInFlight},
		{&cfg.MaxParamBytes, defaultMaxParamBytes},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	if cfg.StallTimeout <= 0 {
		cfg.StallTimeout = defaultStallTimeout
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	s := &Server{
		cfg:       cfg,
		log:       cfg.Logger,
		room:      semaphore.NewWeighted(cfg.MaxBytesInFlight),
		listeners: make(map[net.Listener]struct{}),
		conns:     make(map[*serverConn]struct{}),
	}
	s.params.New = func() any { return new([]byte) }
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.accepting, s.drain = context.WithCancel(s.ctx)
	return s
}

// Serve accepts connections from ln until Shutdown, then returns nil, or until
// ln fails for good. It closes ln.
func (s *Server) Serve(ln net.Listener) error {
	defer ln.Close()
	s.mu.Lock()
	if s.accepting.Err() != nil {
		s.mu.Unlock()
		return nil
	}
	s.listeners[ln] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.listeners, ln)
		s.mu.Unlock()
	}()

	var pause time.Duration
	for {
		conn, err := ln.Accept()
		switch {
		case err == nil:
			pause = 0
			s.accept(conn)
		case s.accepting.Err() != nil:
			return nil
		case acceptCanHeal(err):
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.log.Warn("accept failed, trying again", "listen", ln.Addr(), "error", err, "pause", pause)
			select {
			case <-time.After(pause):
			case <-s.accepting.Done():
				return nil
			}
		default:
			return fmt.Errorf("accept on %s: %w", ln.Addr(), err)
		}
	}
}

// acceptCanHeal reports whether err concerns one connection or a resource that
// may come back, rather than the listener.
func acceptCanHeal(err error) bool {
	for _, e := range []syscall.Errno{
		syscall.ECONNABORTED, syscall.EINTR, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (s *Server) accept(conn net.Conn) {
	remote := conn.RemoteAddr()
	if s.cfg.Allow != nil {
		if err := s.cfg.Allow(remote); err != nil {
			conn.Close()
			if f := s.cfg.Observer.Refused; f != nil {
				f(remote, err)
			}
			if s.notice.allow(remote) {
				s.log.Warn("connection refused", "remote", remote, "reason", err)
			}
			return
		}
	}
	c := newServerConn(s, conn)
	s.mu.Lock()
	if s.accepting.Err() != nil {
		s.mu.Unlock()
		c.close()
		return
	}
	s.conns[c] = struct{}{}
	s.wg.Add(1)
	s.mu.Unlock()
	go func() {
		defer s.wg.Done()
		c.serve()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
}

// Shutdown stops accepting connections and calls, waits until the calls in
// hand are answered and their answers sent, and closes the connections. When
// ctx ends before that, it ends the contexts of the remaining calls, closes
// their connections and returns ctx's error without waiting for handlers.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.drain()
	for ln := range s.listeners {
		ln.Close()
	}
	for c := range s.conns {
		c.drain()
	}
	s.mu.Unlock()

	done := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(done)
	}()
	defer s.stop()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.conns)
	for c := range s.conns {
		c.close()
	}
	return fmt.Errorf("shut down RPC server: %d connections with calls not yet answered: %w", n, ctx.Err())
}

// acquire waits for room for a frame of size bytes and returns what to give
// back with release.
func (s *Server) acquire(ctx context.Context, size int64) (int64, error) {
	n := min(size, s.cfg.MaxBytesInFlight)
	if !s.room.TryAcquire(n) {
		// A frame that waits is not in hand yet: Shutdown does not wait for it.
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(s.accepting, cancel)()
		if err := s.room.Acquire(ctx, n); err != nil {
			return 0, err
		}
	}
	s.observeTaken(s.taken.Add(n))
	return n, nil
}

func (s *Server) release(n int64) {
	s.observeTaken(s.taken.Add(-n))
	s.room.Release(n)
}

func (s *Server) observeTaken(n int64) {
	if f := s.cfg.Observer.BytesInFlight; f != nil {
		f(n)
	}
}

// BytesInFlight returns the sum of the frames being read or not yet answered.
func (s *Server) BytesInFlight() int64 { return s.taken.Load() }

// noticeLimiter lets one log line a second through for each address.
type noticeLimiter struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// maxNoticed bounds the addresses remembered; over it, new ones are not logged
// until old ones are a second old.
const maxNoticed = 1024

func (l *noticeLimiter) allow(remote net.Addr) bool {
	host, _, err := net.SplitHostPort(remote.String())
	if err != nil {
		host = remote.String()
	}
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.last[host]) < time.Second {
		return false
	}
	if len(l.last) >= maxNoticed {
		for h, t := range l.last {
			if now.Sub(t) >= time.Second {
				delete(l.last, h)
			}
		}
		if len(l.last) >= maxNoticed {
			return false
		}
	}
	if l.last == nil {
		l.last = make(map[string]time.Time)
	}
	l.last[host] = now
	return true
}
