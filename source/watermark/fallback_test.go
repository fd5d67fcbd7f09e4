package watermark

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waltap/waltap/internal/hbase/admin"
)

const (
	patience = 2 * time.Minute
	slack    = 30 * time.Second
)

// on runs a Watermark on a cluster of two servers until it is proved, then play.
func on(t *testing.T, play func(t *testing.T, c *cluster)) { onWith(t, patience, play) }

func onWith(t *testing.T, patience time.Duration, play func(t *testing.T, c *cluster)) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour) // off the epoch of the clock
		c := newCluster(2)
		stop := c.watch(t.Context(), patience, slack)
		defer func() {
			stop()
			for _, u := range c.untrue {
				t.Error(u)
			}
		}()
		time.Sleep(20 * time.Second)
		c.wantProved(t)
		play(t, c)
	})
}

func (c *cluster) wantProved(t *testing.T) {
	t.Helper()
	if p, age := c.last(); p.Estimated || age > 5*time.Second || c.status().waits != "" || c.status().reason != "" {
		t.Errorf("the watermark is %s old, estimated %v, %+v; want a proved one that moves", age, p.Estimated, c.status())
	}
}

func (c *cluster) wantEstimated(t *testing.T, reason string) {
	t.Helper()
	if p, age := c.last(); !p.Estimated || age > slack+5*time.Second || age < slack || !strings.Contains(c.status().reason, reason) {
		t.Errorf("the watermark is %s old, estimated %v, %+v; want an estimate because of %q", age, p.Estimated, c.status(), reason)
	}
}

// wantStill: it stands where it was at begin, waits for that, and is no estimate.
func (c *cluster) wantStill(t *testing.T, begin time.Time, waits string) {
	t.Helper()
	p, _ := c.last()
	if s := c.status(); p.Time > begin.UnixMilli() || s.reason != "" || !strings.Contains(s.waits, waits) {
		t.Errorf("the watermark is at %d, it shows %+v; want it not behind %d, waiting for %s", p.Time, s, begin.UnixMilli(), waits)
	}
}

func TestFallback(t *testing.T) {
	denied := errors.New("AccessDeniedException: no WRITE")
	for _, tc := range []struct {
		name         string
		begin, mend  func(c *cluster)
		waits        string // what is shown until the patience ends
		reason       string
		refusalsSeen int
	}{
		{"the right to write is taken away", func(c *cluster) { c.refused = denied }, func(c *cluster) { c.refused = nil },
			"a heartbeat of h0,1,1 to come back (AccessDeniedException: no WRITE)", "AccessDeniedException", 2},
		{"the table is dropped", func(c *cluster) { c.regionsErr = fmt.Errorf("locate: %w", admin.ErrTableNotFound) }, func(c *cluster) { c.regionsErr = nil },
			"a start of the connector creates it", "a start of the connector creates it", 0},
		{"the table is disabled", func(c *cluster) { c.online(false) }, func(c *cluster) { c.online(true) },
			"enable it", "enable it", 0},
		{"the table is off the peer's list", func(c *cluster) { c.unlisted = true }, func(c *cluster) { c.unlisted = false },
			"a heartbeat of h0,1,1 to come back", "no heartbeat has proved anything since", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			on(t, func(t *testing.T, c *cluster) {
				for range 2 {
					began := time.Now()
					c.set(func() { tc.begin(c) })
					time.Sleep(patience - time.Second)
					c.wantStill(t, began, tc.waits)
					time.Sleep(time.Minute)
					c.wantEstimated(t, tc.reason)
					time.Sleep(20 * time.Minute)
					c.wantEstimated(t, tc.reason)
					c.set(func() { tc.mend(c) })
					time.Sleep(slack)
					c.wantProved(t)
				}
				if a, b := c.logged("it is an estimate"), c.logged("proved again"); a != 2 || b != 2 {
					t.Errorf("logged that it is an estimate %d times, that it is proved again %d times; want 2 each", a, b)
				}
				if n := c.logged("a heartbeat was refused"); n != 2*tc.refusalsSeen {
					t.Errorf("%d refused heartbeats were logged, want one for each server and time", n)
				}
			})
		})
	}
}

func (c *cluster) online(open bool) {
	for i := range c.regions {
		c.regions[i].Offline = !open
	}
}

// TestNoFallback: a watermark that has to stand still does.
func TestNoFallback(t *testing.T) {
	for name, tc := range map[string]struct {
		begin, mend func(c *cluster)
		waits       string
	}{
		"the peer is disabled": {func(c *cluster) { c.disabled = true }, func(c *cluster) { c.disabled = false }, "a heartbeat of h0,1,1 to come back"},
		"a backlog":            {func(c *cluster) { c.stuck = true }, func(c *cluster) { c.stuck = false }, "a heartbeat of h0,1,1 to come back"},
	} {
		t.Run(name, func(t *testing.T) {
			on(t, func(t *testing.T, c *cluster) {
				began := time.Now()
				c.set(func() { tc.begin(c) })
				time.Sleep(time.Hour)
				c.wantStill(t, began, tc.waits)
				c.set(func() { tc.mend(c) })
				time.Sleep(20 * time.Second)
				c.wantProved(t)
			})
		})
	}
	t.Run("a dead server's queue", func(t *testing.T) {
		on(t, func(t *testing.T, c *cluster) {
			began := time.Now()
			gone := c.live[0]
			c.set(func() { c.wals[gone] = append(c.wals[gone], walEntry{at: began.UnixMilli()}) })
			c.leave(gone)
			time.Sleep(time.Hour)
			c.wantStill(t, began, "the queue of h0,1,1, which is gone, to be shipped")
			c.drained()
			time.Sleep(20 * time.Second)
			c.wantProved(t)
		})
	})
	t.Run("no patience at all", func(t *testing.T) {
		onWith(t, 0, func(t *testing.T, c *cluster) {
			began := time.Now()
			c.set(func() { c.refused = errors.New("no") })
			time.Sleep(time.Hour)
			c.wantStill(t, began, "a heartbeat of h0,1,1 to come back (no)")
		})
	})
}

// TestServerThatGetsNoRegion, as one of another region server group.
func TestServerThatGetsNoRegion(t *testing.T) {
	on(t, func(t *testing.T, c *cluster) {
		c.set(func() { c.moveErr = errors.New("not of this group") })
		began := time.Now()
		s := c.join()
		time.Sleep(time.Minute)
		c.wantStill(t, began, fmt.Sprintf("the first heartbeat of %s (not of this group)", s))
		time.Sleep(patience)
		c.wantEstimated(t, "not of this group")
		c.set(func() { c.moveErr = nil })
		time.Sleep(slack)
		c.wantProved(t)
	})
}

// TestNoMetricsAndNoProof shows both reasons.
func TestNoMetricsAndNoProof(t *testing.T) {
	on(t, func(t *testing.T, c *cluster) {
		began := time.Now()
		c.set(func() { c.refused, c.statusErr = errors.New("no right to write"), errors.New("no right to ask") })
		time.Sleep(2 * patience)
		c.wantStill(t, began, "(no right to write) (and no metrics: no right to ask)")
		c.set(func() { c.statusErr = nil })
		time.Sleep(2 * patience)
		c.wantEstimated(t, "no right to write")
		c.set(func() { c.statusErr = errors.New("no right to ask") })
		at, _ := c.last()
		time.Sleep(time.Minute)
		if p, _ := c.last(); p.Time > at.Time || c.status().waits != "an error to be gone: no right to ask" {
			t.Errorf("an estimate without metrics: %+v after %+v, %+v", p, at, c.status())
		}
		c.set(func() { c.refused = nil })
		time.Sleep(slack)
		c.wantProved(t)
	})
}

// TestLyingMetrics: an estimate may be wrong, the proof behind it is not, and nothing goes back.
func TestLyingMetrics(t *testing.T) {
	on(t, func(t *testing.T, c *cluster) {
		c.set(func() { c.stuck, c.lying = true, true })
		time.Sleep(10 * time.Minute)
		c.wantEstimated(t, "no heartbeat has proved anything")
		c.set(func() { c.stuck, c.lying = false, false })
		time.Sleep(20 * time.Second)
		c.wantProved(t)
	})
}

func TestSeveralWALs(t *testing.T) {
	on(t, func(t *testing.T, c *cluster) {
		old := c.live[1]
		s := c.join()
		c.set(func() { c.group[s] = ".regiongroup-1" })
		time.Sleep(slack)
		c.wantEstimated(t, s.String()+" writes several WALs")
		c.leave(s) // it comes back without
		time.Sleep(10 * time.Second)
		if c.status().reason == "" {
			t.Error("proved, with a queue of a server of several WALs left")
		}
		c.drained()
		time.Sleep(slack)
		c.wantProved(t)
		synctest.Wait()
		if _, kept := c.w.several[s]; kept || c.w.several[old] {
			t.Errorf("what is known of the servers' WALs: %v", c.w.several)
		}
	})
}

func TestMetricsMode(t *testing.T) {
	for _, reason := range []string{"", "no right to create the table"} {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Hour)
			c := newCluster(1)
			c.mode, c.why = Metrics, reason
			defer c.watch(t.Context(), patience, slack)()
			time.Sleep(10 * time.Second)
			want := reason
			if want == "" {
				want = "watermark.mode: metrics"
			}
			c.wantEstimated(t, want)
			synctest.Wait()
			if len(c.wals[c.live[0]]) > 1 || c.logged("it is an estimate") != map[bool]int{true: 1}[reason != ""] {
				t.Errorf("%d entries in the WAL, log %q", len(c.wals[c.live[0]]), c.log)
			}
			c.set(func() { c.disabled = true })
			began := time.Now()
			time.Sleep(time.Hour)
			if p, _ := c.last(); p.Time > began.UnixMilli() || c.status().waits != "peer p to be enabled" {
				t.Errorf("with a disabled peer: at %d, %+v", p.Time, c.status())
			}
		})
	}
}
