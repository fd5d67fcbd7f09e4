package guard

import (
	"log/slog"
	"net"
	"sync"
	"time"
)

// refusedLog is how often connections that are refused are logged.
const refusedLog = 10 * time.Second

// Connections bounds how many connections of l are open at once: one more is closed as soon as it is there, so that those who hold
// connections open take memory and file descriptors from this process up to a bound only.
func Connections(l net.Listener, most int, log *slog.Logger) net.Listener {
	return &connections{Listener: l, most: most, log: log}
}

type connections struct {
	net.Listener
	most int
	log  *slog.Logger

	mu     sync.Mutex
	open   int
	last   time.Time // when a refusal was logged
	silent int       // refused since
}

// Accept implements net.Listener.
func (l *connections) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.take(c.RemoteAddr()) {
			return &connection{Conn: c, of: l}, nil
		}
		c.Close() // nothing was sent
	}
}

func (l *connections) take(from net.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open < l.most {
		l.open++
		return true
	}
	l.silent++
	if time.Since(l.last) >= refusedLog {
		l.log.Warn("connections to the port are refused: too many are open (rest.max.connections)", "open", l.open, "refused", l.silent, "from", from.String())
		l.last, l.silent = time.Now(), 0
	}
	return false
}

func (l *connections) give() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
}

type connection struct {
	net.Conn
	of   *connections
	once sync.Once
}

func (c *connection) Close() error {
	c.once.Do(c.of.give)
	return c.Conn.Close()
}
