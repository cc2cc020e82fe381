package consumer

import (
	"context"
	"testing"
	"testing/synctest"
)

func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		acquired := func(n int64) <-chan error {
			done := make(chan error, 1)
			go func() { done <- b.acquire(t.Context(), n) }()
			synctest.Wait()
			return done
		}
		waits := func(done <-chan error, want bool, what string) {
			t.Helper()
			synctest.Wait()
			select {
			case err := <-done:
				if err != nil || want {
					t.Errorf("%s: went through, error %v", what, err)
				}
			default:
				if !want {
					t.Errorf("%s: waits", what)
				}
			}
		}
		waits(acquired(60), false, "60 of 100")
		second := acquired(60)
		waits(second, true, "60 of 40")
		b.release(20)
		waits(second, false, "60 of 60")
		b.release(-50) // a response that was larger than expected
		third := acquired(1)
		waits(third, true, "1 of -50")
		b.release(100)
		waits(third, false, "1 of 50")
		b.release(51)
		if b.free != b.size {
			t.Errorf("%d free of %d", b.free, b.size)
		}
		waits(acquired(500), false, "more than the budget, with nothing held")
		fourth := acquired(1)
		waits(fourth, true, "1 of -400")
		b.release(500)
		waits(fourth, false, "1 of 100")

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := b.acquire(ctx, 100); err == nil {
			t.Error("acquired after the end of the context")
		}
	})
}
