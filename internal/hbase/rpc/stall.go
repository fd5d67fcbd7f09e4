package rpc

import (
	"errors"
	"net"
	"os"
	"time"
)

// stallReader reads from a connection and gives up when nothing arrives for a
// while. Its methods belong to the one goroutine that reads.
type stallReader struct {
	conn net.Conn
	// stall bounds each single read; 0 leaves the connection's deadline alone,
	// as for the wait between two frames.
	stall time.Duration
	// until bounds all reads; zero for no bound.
	until time.Time
}

func (r *stallReader) Read(p []byte) (int, error) {
	if r.stall > 0 {
		deadline := time.Now().Add(r.stall)
		if !r.until.IsZero() && r.until.Before(deadline) {
			deadline = r.until
		}
		if err := r.conn.SetReadDeadline(deadline); err != nil {
			return 0, err
		}
	}
	return r.conn.Read(p)
}

// within sets the bounds of the reads to come.
func (r *stallReader) within(stall time.Duration, until time.Time) {
	r.stall, r.until = stall, until
}

// timedOut reports whether a read failed because deadline has passed, rather
// than for a stall before it.
func timedOut(err error, deadline time.Time) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) && !time.Now().Before(deadline)
}
