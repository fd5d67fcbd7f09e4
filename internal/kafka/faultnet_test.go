package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
)

// fault is what happens to one produce request on the network.
type fault int

const (
	passThrough  fault = iota
	cutBefore          // the connection breaks before the broker has the whole request
	cutReply           // the broker appends, the connection breaks before the reply arrives
	silentReply        // the broker appends, the reply never arrives, the connection stays
	holdRequest        // the request stays on the way; network.release lets it arrive later, over what the broker still reads
	numberFaults = iota
)

// network is a Config.Dial that plays faults on produce requests, in the order that next gives them.
type network struct {
	mu       sync.Mutex
	next     func() fault
	requests int
	held     []heldRequest
	onHold   func() // nil: nobody is told of a request that is held
}

type heldRequest struct {
	addr  string
	frame []byte
}

// script plays the given faults, then none.
func script(faults ...fault) *network {
	n := &network{}
	n.next = func() fault {
		if len(faults) == 0 {
			return passThrough
		}
		f := faults[0]
		faults = faults[1:]
		return f
	}
	return n
}

func (n *network) install(cfg *Config) { cfg.Dial = n.dial }

func (n *network) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &faultyConn{Conn: nc, n: n, addr: addr}, nil
}

func (n *network) produceRequests() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.requests
}

// release lets the held requests arrive at their broker and waits until it has answered them.
func (n *network) release(t *testing.T) {
	t.Helper()
	n.mu.Lock()
	held := n.held
	n.held = nil
	n.mu.Unlock()
	for _, h := range held {
		nc, err := net.Dial("tcp", h.addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := nc.Write(h.frame); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(nc, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
		nc.Close()
	}
}

// faultyConn gathers whole requests and treats the produce requests among them.
type faultyConn struct {
	net.Conn
	n     *network
	addr  string
	frame []byte
	fault fault // of the request last written
}

func (c *faultyConn) Write(b []byte) (int, error) {
	c.frame = append(c.frame, b...)
	if len(c.frame) < 8 || len(c.frame) < 4+int(binary.BigEndian.Uint32(c.frame)) {
		return len(b), nil
	}
	frame := c.frame
	c.frame = nil
	c.fault = passThrough
	if apiKey := binary.BigEndian.Uint16(frame[4:]); apiKey == 0 {
		c.n.mu.Lock()
		c.n.requests++
		c.fault = c.n.next()
		if c.fault == holdRequest {
			c.n.held = append(c.n.held, heldRequest{c.addr, frame})
			if c.n.onHold != nil {
				c.n.onHold()
			}
		}
		c.n.mu.Unlock()
	}
	switch c.fault {
	case cutBefore:
		c.Conn.Write(frame[:len(frame)/2])
		c.Conn.Close()
		return 0, syscall.ECONNRESET
	case holdRequest:
		return len(b), nil
	}
	if _, err := c.Conn.Write(frame); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (c *faultyConn) Read(b []byte) (int, error) {
	switch c.fault {
	case cutReply:
		if _, err := c.Conn.Read(b); err != nil {
			return 0, err
		}
		c.Conn.Close()
		return 0, syscall.ECONNRESET
	case silentReply:
		for {
			if _, err := c.Conn.Read(b); err != nil {
				return 0, err
			}
		}
	}
	return c.Conn.Read(b)
}

var errRefused = errors.New("connection refused by the test")
