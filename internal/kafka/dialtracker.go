package kafka

import (
	"context"
	"net"
	"sync"
)

// dialTracker remembers the connections it has opened, so that they can be cut from outside.
type dialTracker struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	mu   sync.Mutex
	open map[*trackedConn]struct{}
}

type trackedConn struct {
	net.Conn
	t *dialTracker
}

// Dial is a dial function for kafka-go.
func (t *dialTracker) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	nc, err := t.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &trackedConn{Conn: nc, t: t}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = make(map[*trackedConn]struct{})
	}
	t.open[c] = struct{}{}
	return c, nil
}

func (c *trackedConn) Close() error {
	c.t.mu.Lock()
	delete(c.t.open, c)
	c.t.mu.Unlock()
	return c.Conn.Close()
}

func (t *dialTracker) closeAll() {
	t.mu.Lock()
	open := t.open
	t.open = nil
	t.mu.Unlock()
	for c := range open {
		c.Conn.Close()
	}
}
