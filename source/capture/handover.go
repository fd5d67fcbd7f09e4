package capture

import (
	"context"
	"time"
)

const (
	// successorPatience is how long a process that stops goes on receiving until another one receives.
	successorPatience = 15 * time.Second
	// successorLook is how often it looks for that one.
	successorLook = 20 * time.Millisecond
	// Once it is off ZooKeeper, calls may still come from servers that have not noticed: until none has come for quietFor, within
	// quietPatience.
	quietFor, quietPatience = 500 * time.Millisecond, 10 * time.Second
)

// takesOver tells whether changes flow already: to another process that stops, or that has died. Then this one is registered when it
// can take them, not before.
func (c *Capture) takesOver(ctx context.Context) (bool, error) {
	st, known, err := c.state.capture()
	if err != nil || !known || st.Phase != phaseStreaming {
		return false, err
	}
	p, err := c.findPeer(ctx)
	return p != nil && p.Enabled, err
}

// awaitSuccessor goes on receiving after this process has ceased to lead, until another one receives: a region server that meets
// a closed port pauses for a second or more. Region servers up to HBase 2.6 watch ZooKeeper and change over within
// milliseconds; those of 3.x look again after their first error only.
func (c *Capture) awaitSuccessor(r *receiver) {
	ctx, cancel := context.WithTimeout(context.Background(), successorPatience)
	defer cancel()
	if some, err := c.successors(ctx); err != nil || !some {
		return
	}
	begun := time.Now()
	for {
		others, err := r.registration.Others(ctx)
		if err == nil && len(others) > 0 {
			break
		}
		if sleep(ctx, successorLook) != nil {
			c.cfg.Log.Warn("no other process of this connector has begun to receive, this one stops", "waited", successorPatience, "error", err)
			return
		}
	}
	if err := r.registration.Close(); err != nil {
		c.cfg.Log.Info("the registration could not be taken back, it vanishes with its session", "error", err)
	}
	quiet, cancel := context.WithTimeout(context.Background(), quietPatience)
	defer cancel()
	for since := time.Now().UnixNano(); ; {
		last := max(since, r.entered.Load())
		left := quietFor - time.Since(time.Unix(0, last))
		if left <= 0 || sleep(quiet, left) != nil {
			break
		}
	}
	c.cfg.Log.Info("changes go to another process of this connector", "handed_over_in", time.Since(begun).Round(time.Millisecond))
}

// successors tells whether another process may take over.
func (c *Capture) successors(ctx context.Context) (bool, error) {
	if c.cfg.Successors != nil {
		return c.cfg.Successors(), nil
	}
	return c.leadership.Successors(ctx)
}
