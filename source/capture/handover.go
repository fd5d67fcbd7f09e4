package capture

import (
	"context"
	"slices"
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
	// burial is when a registration that is not this process's must be a dead one's.
	burial = time.Second
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
//
// before are the others that were registered when this process still led: they are dead, and their sessions are not at their end.
func (c *Capture) awaitSuccessor(r *receiver, before []string) {
	ctx, cancel := context.WithTimeout(context.Background(), successorPatience)
	defer cancel()
	if some, err := c.successors(ctx); err != nil || !some {
		return
	}
	begun := time.Now()
	for {
		others, err := r.registration.Others(ctx)
		if err == nil && slices.ContainsFunc(others, func(name string) bool { return !slices.Contains(before, name) }) {
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
	c.cfg.Log.Info("changes go to another process of this connector", "handed_over_in", time.Since(begun).Round(time.Millisecond), "last_call_answered", r.lastAnswer())
}

// bury takes registrations off ZooKeeper that others have left which have died: HBase would call their ports until their sessions end.
// One that stops takes its own back as soon as it sees this one's; a process that lives, and should not, registers again.
func (c *Capture) bury(ctx context.Context, r *receiver) {
	if sleep(ctx, burial) != nil {
		return
	}
	removed, err := r.registration.RemoveOthers(ctx)
	if len(removed) > 0 {
		c.cfg.Log.Info("registrations of processes that have died are removed", "znodes", removed)
	}
	if err != nil && ctx.Err() == nil {
		c.cfg.Log.Info("registrations of processes that have died stay until their sessions end", "error", err)
	}
}

// registeredNow lists the others that are registered; what cannot be read is nobody.
func (c *Capture) registeredNow(r *receiver) []string {
	ctx, cancel := context.WithTimeout(context.Background(), quietFor)
	defer cancel()
	others, err := r.registration.Others(ctx)
	if err != nil {
		c.cfg.Log.Info("the registered processes cannot be listed", "error", err)
	}
	return others
}

// successors tells whether another process may take over.
func (c *Capture) successors(ctx context.Context) (bool, error) {
	if c.cfg.Successors != nil {
		return c.cfg.Successors(), nil
	}
	return c.leadership.Successors(ctx)
}
