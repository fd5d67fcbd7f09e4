package zookeeper

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
)

const (
	// handshakeTimeout bounds the wait for a server's answer to the connect request; the library waits for seven
	// session timeouts.
	handshakeTimeout = 5 * time.Second
	// maxHandshake is more than any answer to a connect request, which has 36 or 37 bytes: version, timeout, session
	// id, password of 16 bytes, read-only flag. A region server's refusal is longer.
	maxHandshake = 64
)

// handshakeConn watches over the first packet that a server sends. The library believes its length, whatever it
// is, and waits for its body without a deadline: a server that is no ZooKeeper could cost 4 GiB, or for ever.
type handshakeConn struct {
	net.Conn
	report func(error) // the handshake's outcome, nil when a ZooKeeper answered

	header [4]byte
	have   int // bytes of header seen
	left   int // bytes of the packet to come, once header is whole
	done   bool
}

func newHandshakeConn(conn net.Conn, report func(error)) net.Conn {
	h := &handshakeConn{Conn: conn, report: report}
	// An error here is a closed connection, which the first read reports.
	_ = conn.SetReadDeadline(time.Now().Add(handshakeTimeout))
	return h
}

// SetReadDeadline is ignored until the handshake is over, so that its own deadline stands.
func (h *handshakeConn) SetReadDeadline(t time.Time) error {
	if !h.done {
		return nil
	}
	return h.Conn.SetReadDeadline(t)
}

func (h *handshakeConn) Read(p []byte) (int, error) {
	n, err := h.Conn.Read(p)
	if h.done {
		return n, err
	}
	if err == nil {
		err = h.inspect(p[:n])
	}
	if err != nil {
		err = fmt.Errorf("zookeeper handshake with %s: %w", h.RemoteAddr(), err)
		h.report(err)
		return 0, err
	}
	if h.done {
		h.report(nil)
		err = h.Conn.SetReadDeadline(time.Time{})
	}
	return n, err
}

func (h *handshakeConn) inspect(p []byte) error {
	if h.have < len(h.header) {
		n := copy(h.header[h.have:], p)
		h.have += n
		if p = p[n:]; h.have < len(h.header) {
			return nil
		}
		size := binary.BigEndian.Uint32(h.header[:])
		if size > maxHandshake {
			return fmt.Errorf("the answer begins with %q: this is no ZooKeeper server", h.header[:])
		}
		h.left = int(size)
	}
	h.left -= len(p)
	h.done = h.left <= 0
	return nil
}

// hostProvider hands out the servers by name, one after the other: names are resolved at every dial, where the
// library's own provider resolves once and never learns a new address.
type hostProvider struct {
	mu      sync.Mutex
	servers []string
	next    int
	tried   int // since the last success
}

func (h *hostProvider) Init(servers []string) error {
	h.servers = servers
	return nil
}

func (h *hostProvider) Len() int { return len(h.servers) }

func (h *hostProvider) Next() (server string, retryStart bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	server = h.servers[h.next%len(h.servers)]
	retryStart = h.tried > 0 && h.tried%len(h.servers) == 0
	h.next++
	h.tried++
	return server, retryStart
}

func (h *hostProvider) Connected() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tried = 0
}

// printer turns the library's log lines into debug records.
type printer struct{ log *slog.Logger }

func (p printer) Printf(format string, args ...any) {
	p.log.Debug("zookeeper client", "message", fmt.Sprintf(format, args...))
}
