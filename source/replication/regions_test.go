package replication

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waltap/waltap/internal/hbase/walentry"
)

func TestCallsOnOneRegionWaitForEachOther(t *testing.T) {
	l := newRegionLocks()
	first, err := l.lock(t.Context(), []string{"r2", "r1"})
	if err != nil {
		t.Fatal(err)
	}
	other, err := l.lock(t.Context(), []string{"r3"})
	if err != nil {
		t.Fatal("another region waits:", err)
	}
	other()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := l.lock(ctx, []string{"r1", "r4"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a call on a region in use got %v, want to wait", err)
	}
	first()
	again, err := l.lock(t.Context(), []string{"r1", "r2", "r4"})
	if err != nil {
		t.Fatal(err)
	}
	again()
	if len(l.locks) != 0 {
		t.Errorf("%d locks are kept though nobody holds a region", len(l.locks))
	}
}

func TestRegionLocksDoNotDeadlock(t *testing.T) {
	l := newRegionLocks()
	var inside [3]atomic.Int32
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			a, b := i%3, (i/3)%3
			regions := []string{string(rune('a' + a))}
			if a != b {
				regions = append(regions, string(rune('a'+b)))
			}
			for range 200 {
				unlock, err := l.lock(t.Context(), append([]string(nil), regions...))
				if err != nil {
					t.Error(err)
					return
				}
				for _, r := range regions {
					if n := inside[r[0]-'a'].Add(1); n != 1 {
						t.Errorf("%d calls are inside region %s", n, r)
					}
				}
				for _, r := range regions {
					inside[r[0]-'a'].Add(-1)
				}
				unlock()
			}
		})
	}
	wg.Wait()
}

func TestReplaysAreSeen(t *testing.T) {
	s := &sequences{highest: make(map[string]uint64)}
	call := func(sequences ...uint64) *callRegions {
		var param []byte
		for _, seq := range sequences {
			param = walentry.Append(param, &walentry.Entry{Region: []byte("r"), Table: []byte("t"), Sequence: seq})
		}
		c, err := regionsOf(param)
		if err != nil {
			t.Fatal(err)
		}
		s.load(c)
		return c
	}
	first := call(5, 7, 6)
	if first.of([]byte("r")).replayed(5) {
		t.Error("an edit of an unknown region counts as a replay")
	}
	s.acknowledge(first)
	s.acknowledge(call(6))
	for seq, want := range map[uint64]bool{6: true, 7: true, 8: false} {
		if got := call(seq).of([]byte("r")).replayed(seq); got != want {
			t.Errorf("replayed(%d) = %v, want %v", seq, got, want)
		}
	}
}
