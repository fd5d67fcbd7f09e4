package scan

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// within fails unless d is want, give or take the burst and rounding.
func within(t *testing.T, what string, d, want time.Duration) {
	t.Helper()
	if d < want-limitBurst-time.Millisecond || d > want+time.Millisecond {
		t.Errorf("%s took %s, want %s", what, d, want)
	}
}

func TestLimiterHoldsTheRate(t *testing.T) {
	for _, tc := range []struct {
		name   string
		limits Limits
		want   time.Duration // for 1000 rows of 100 bytes
	}{
		{"none", Limits{}, 0},
		{"rows", Limits{RowsPerSecond: 100}, 10 * time.Second},
		{"bytes", Limits{BytesPerSecond: 50_000}, 2 * time.Second},
		{"the tighter of two", Limits{RowsPerSecond: 500, BytesPerSecond: 10_000}, 10 * time.Second},
		{"less than a row a second", Limits{BytesPerSecond: 10}, 10_000 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, begin := NewLimiter(tc.limits), time.Now()
				var all sync.WaitGroup
				for range 4 {
					all.Go(func() {
						for range 250 {
							if err := m.Wait(t.Context(), 1, 100); err != nil {
								t.Error(err)
							}
						}
					})
				}
				all.Wait()
				within(t, "the scan", time.Since(begin), tc.want)
			})
		})
	}
}

func TestLimitsThatChangeReachWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, begin := NewLimiter(Limits{RowsPerSecond: 1}), time.Now()
		done := make(chan error, 1)
		go func() { done <- m.Wait(t.Context(), 1000, 0) }()
		time.Sleep(100 * time.Second)
		m.Set(Limits{RowsPerSecond: 90})
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		within(t, "900 rows left, 90 a second,", time.Since(begin)-100*time.Second, 10*time.Second)
		go func() { done <- m.Wait(t.Context(), 1_000_000, 0) }()
		time.Sleep(time.Second)
		m.Set(Limits{})
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		within(t, "a limit taken away", time.Since(begin), 111*time.Second)
		if got := m.Limits(); got != (Limits{}) {
			t.Errorf("limits %+v", got)
		}
	})
}

func TestLimiterEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := NewLimiter(Limits{BytesPerSecond: 1}).Wait(ctx, 1, 1000); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestPausedUntilResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, begin := NewLimiter(Limits{}), time.Now()
		m.Pause(true)
		if !m.Active() {
			t.Error("a paused limiter is not active")
		}
		done := make(chan error, 1)
		go func() { done <- m.Wait(t.Context(), 1, 1) }()
		time.Sleep(3 * longPause)
		m.Set(Limits{RowsPerSecond: 1000})
		time.Sleep(longPause)
		select {
		case <-done:
			t.Fatal("a change of the limits resumes")
		default:
		}
		m.Pause(false)
		if err := <-done; err != nil || time.Since(begin) != 4*longPause {
			t.Error(err, time.Since(begin))
		}
		m.Set(Limits{})
		if m.Active() {
			t.Error("it is active without limits")
		}
	})
}
