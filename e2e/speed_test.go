package e2e_test

import (
	"testing"
	"time"

	"usersync/e2e/vendors"
	"usersync/e2e/worker"
)

// TestDrainSpeed lets one worker work off a topic: 20,000 changes of 4,903 users,
// vendors that answer in 20 ms, 64 calls in flight. One call for each user is the
// least there is, and 64 at a time take 4,903 x 20 ms / 64 = 1.53 s.
func TestDrainSpeed(t *testing.T) {
	const (
		changes, users = 20_000, 4_903
		latency        = 20 * time.Millisecond
		concurrency    = 64
		least          = users * latency / concurrency
	)
	d := deploy(t, 6, nil)
	d.Traces = t.TempDir()
	book := worker.NewBook("users")
	book.Write(t, d.Broker, book.Shuffled(changes, users)...)
	d.Vendors.Latency(latency)
	d.Config["destinations.haptik.first_write"] = "post" // it is empty, and each user costs one call
	for _, destination := range worker.Destinations {
		d.Config["destinations."+destination+".concurrency"] = concurrency
	}
	w := d.Launch(t, "worker", nil)
	began := time.Now()
	book.Settle(t, d)

	for _, destination := range worker.Destinations {
		calls := d.Vendors.Calls(func(c vendors.Call) bool { return c.Destination == destination })
		first, last := calls[0].Received, calls[len(calls)-1].Ended
		t.Logf("%s: %.2f s for %d calls, %.1f times the least; the first came %.2f s after the start",
			destination, last.Sub(first).Seconds(), len(calls), float64(last.Sub(first))/float64(least), first.Sub(began).Seconds())
		if len(calls) > changes/2 {
			t.Errorf("%s: %d calls for %d users: changes that wait together were not one call", destination, len(calls), users)
		}
		if took := last.Sub(first); took > time.Minute {
			t.Errorf("%s: %v", destination, took)
		}
	}
	w.Stop()
	judge(t, d, book, nil, w)
}
