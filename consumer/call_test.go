package consumer

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestTimeout: each call has all of its time, and none is cancelled for what another took.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent, cancel := context.WithCancel(t.Context())
		defer cancel()
		limit := timeout{parent: parent, after: 10 * time.Second}
		defer limit.close()
		call := func(takes time.Duration) error {
			ctx := limit.start()
			defer limit.stop()
			select {
			case <-time.After(takes):
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		for i, takes := range []time.Duration{9, 9, 9, 11, 9, 11, 11, 9} {
			before := time.Now()
			err := call(takes * time.Second)
			if late := takes > 10; late != errors.Is(err, context.DeadlineExceeded) || !late && err != nil {
				t.Errorf("call %d, of %d s: %v", i, takes, err)
			}
			if took, want := time.Since(before), min(takes, 10)*time.Second; took != want {
				t.Errorf("call %d took %v, want %v", i, took, want)
			}
			time.Sleep(20 * time.Second) // between calls nothing runs out
		}
		// One that ends in the moment in which its time is over: the next has all of its own.
		for range 100 {
			limit.start()
			time.Sleep(10 * time.Second)
			limit.stop()
			if err := call(9 * time.Second); err != nil {
				t.Errorf("the call after one that ended with its time: %v", err)
			}
		}
		ctx := limit.start()
		cancel()
		if !errors.Is(context.Cause(ctx), context.Canceled) {
			t.Errorf("what cancels all calls: %v", context.Cause(ctx))
		}
		limit.stop()
	})
}
