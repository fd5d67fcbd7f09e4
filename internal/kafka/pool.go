package kafka

import (
	"context"
	"sync"
	"time"
)

// pool keeps the idle connections to each broker and knows all that are open, so that closing the client closes them. A
// connection is lent to one exchange at a time; there are as many as there are exchanges under way at once.
type pool struct {
	cfg    *Config
	ctx    context.Context // ends when the pool is closed
	cancel context.CancelFunc

	mu   sync.Mutex
	idle map[string][]*conn // by address, the longest idle first
	open map[*conn]struct{}
}

// maxIdle is below the brokers' connections.max.idle.ms (default 10 minutes), so that a request is rarely written to a
// connection that the broker is closing.
const maxIdle = 2 * time.Minute

func newPool(cfg *Config) *pool {
	p := &pool{cfg: cfg, idle: make(map[string][]*conn), open: make(map[*conn]struct{})}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// get returns an idle connection to addr or opens one.
func (p *pool) get(ctx context.Context, addr string) (*conn, error) {
	if c := p.takeIdle(addr); c != nil {
		return c, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	c, err := dial(ctx, p.cfg, addr)
	if p.ctx.Err() != nil {
		if err == nil {
			c.close()
		}
		return nil, ErrClosed
	}
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		c.close()
		return nil, ErrClosed
	}
	p.open[c] = struct{}{}
	return c, nil
}

func (p *pool) takeIdle(addr string) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.closeStale(now.Add(-maxIdle))
	for {
		cs := p.idle[addr]
		if len(cs) == 0 {
			return nil
		}
		c := cs[len(cs)-1]
		p.idle[addr] = cs[:len(cs)-1]
		if c.expires.IsZero() || now.Before(c.expires) {
			return c
		}
		c.close()
		delete(p.open, c)
	}
}

// closeStale closes the connections idle since before t. The caller holds p.mu.
func (p *pool) closeStale(t time.Time) {
	for addr, cs := range p.idle {
		n := 0
		for n < len(cs) && cs[n].idle.Before(t) {
			cs[n].close()
			delete(p.open, cs[n])
			n++
		}
		if p.idle[addr] = cs[n:]; len(cs) == n {
			delete(p.idle, addr)
		}
	}
}

// put gives back a connection after an exchange, whatever became of it.
func (p *pool) put(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.dirty || p.ctx.Err() != nil {
		c.close()
		delete(p.open, c)
		return
	}
	c.idle = time.Now()
	p.idle[c.addr] = append(p.idle[c.addr], c)
}

// forget closes the idle connections to addr: one of them has just turned out to be dead, the others will be too.
func (p *pool) forget(addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.idle[addr] {
		c.close()
		delete(p.open, c)
	}
	delete(p.idle, addr)
}

func (p *pool) close() {
	p.cancel()
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		c.close()
	}
	clear(p.open)
	clear(p.idle)
}
