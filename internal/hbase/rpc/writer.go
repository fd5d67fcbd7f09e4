package rpc

import (
	"net"
	"sync"
	"time"
)

// maxQueuedAnswers is how many bytes of answers may wait for a peer to read
// them before no more of its calls are read.
const maxQueuedAnswers = 1 << 20

// responseWriter sends a connection's answers in the order they are given,
// from its own goroutine, so that who answers never waits for the network.
type responseWriter struct {
	conn    net.Conn
	timeout time.Duration
	done    chan struct{}

	mu     sync.Mutex
	change sync.Cond // queue, closed or broken has changed
	queue  net.Buffers
	queued int
	closed bool
	broken bool
}

func newResponseWriter(conn net.Conn, timeout time.Duration) *responseWriter {
	w := &responseWriter{conn: conn, timeout: timeout, done: make(chan struct{})}
	w.change.L = &w.mu
	go w.run()
	return w
}

// run sends what is queued until close or abort. On an error it closes the
// connection, by which its reader learns of it.
func (w *responseWriter) run() {
	defer close(w.done)
	for {
		bufs, ok := w.next()
		if !ok {
			return
		}
		err := w.conn.SetWriteDeadline(time.Now().Add(w.timeout))
		if err == nil {
			_, err = bufs.WriteTo(w.conn)
		}
		if err != nil {
			w.abort()
			w.conn.Close()
			return
		}
	}
}

func (w *responseWriter) next() (net.Buffers, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queue) == 0 && !w.closed && !w.broken {
		w.change.Wait()
	}
	if w.broken || len(w.queue) == 0 {
		return nil, false
	}
	bufs := w.queue
	w.queue, w.queued = nil, 0
	w.change.Broadcast()
	return bufs, true
}

// send queues the parts of a frame; after close or abort it does nothing.
func (w *responseWriter) send(parts ...[]byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.broken {
		return
	}
	for _, p := range parts {
		if len(p) > 0 {
			w.queue = append(w.queue, p)
			w.queued += len(p)
		}
	}
	w.change.Broadcast()
}

// waitForReader waits until the peer has read enough of its answers, or
// will not get any more.
func (w *responseWriter) waitForReader() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.queued > maxQueuedAnswers && !w.closed && !w.broken {
		w.change.Wait()
	}
}

// close sends what is queued and ends the goroutine.
func (w *responseWriter) close() {
	w.mu.Lock()
	w.closed = true
	w.change.Broadcast()
	w.mu.Unlock()
	<-w.done
}

// abort drops what is queued and lets the goroutine end.
func (w *responseWriter) abort() {
	w.mu.Lock()
	w.broken = true
	w.queue, w.queued = nil, 0
	w.change.Broadcast()
	w.mu.Unlock()
}
