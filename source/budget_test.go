package source

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
)

func TestBudgetLetsTheTooLargeThroughAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(10)
		if err := b.acquire(t.Context(), 50); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var order []int
		for i, n := range []int64{6, 5, 4} {
			go func() {
				if err := b.acquire(t.Context(), n); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				order = append(order, i)
			}()
			synctest.Wait()
		}
		if len(order) != 0 {
			t.Fatalf("%v were let through beside one larger than the budget", order)
		}
		b.release(50)
		synctest.Wait()
		if len(order) != 1 || order[0] != 0 {
			t.Fatalf("let through %v, want only the first: 6 of 10 are in use", order)
		}
		b.release(6)
		synctest.Wait()
		if len(order) != 3 || b.used != 9 {
			t.Fatalf("let through %v with %d in use, want all three and 9", order, b.used)
		}
	})
}

func TestBudgetGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(10)
		if err := b.acquire(t.Context(), 8); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		errs := make(chan error, 1)
		small := make(chan error, 1)
		go func() { errs <- b.acquire(ctx, 9) }()
		synctest.Wait()
		go func() { small <- b.acquire(t.Context(), 2) }() // fits, but is behind the large one
		synctest.Wait()
		cancel()
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v, want canceled", err)
		}
		if err := <-small; err != nil {
			t.Fatal(err)
		}
		if b.used != 10 {
			t.Errorf("%d in use, want 10", b.used)
		}
	})
}
