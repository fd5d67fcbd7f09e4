package capture

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// What an idle process tells the leader must not wake itself: it would ask Kafka for the progress topic's end as fast as that
// answers, for as long as it runs.
func TestAnIdleProcessLooksOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second+lookInterval/2)
		defer cancel()
		p := &process{}
		looks := 0
		idle := func(context.Context) (bool, error) {
			if looks++; looks > 100 {
				cancel() // else a process without a pause would never end
			}
			p.idle.tell()
			return false, nil
		}
		if err := p.keepLooking(ctx, idle); err != nil {
			t.Fatal(err)
		}
		if want := int(10*time.Second/lookInterval) + 1; looks != want {
			t.Errorf("looked %d times in ten seconds, want %d", looks, want)
		}
	})
}

func TestPlansAreSeenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := &process{}
		started := time.Now()
		looks := 0
		err := p.keepLooking(ctx, func(context.Context) (bool, error) {
			if looks++; looks == 1 {
				time.AfterFunc(lookInterval/10, p.plans.tell)
			} else {
				cancel()
			}
			return false, nil
		})
		if took := time.Since(started); err != nil || took != lookInterval/10 {
			t.Errorf("shards that were planned were seen after %v (%v)", took, err)
		}
	})
}
