// Package delivered_test shows on real parts what it is worth to remember what was
// delivered: how many calls the second snapshot of a large table costs. And it shows
// what usersync audit finds of what went wrong, among users who are all right.
package delivered_test

import (
	"fmt"
	"testing"
	"time"

	"usersync/e2e/worker"
)

const (
	users   = 100_000
	changed = 1_000
)

// TestSnapshots reads a table three times: once for users nobody has told the vendors
// of, once for users who have not changed, and once for some who have, among those.
func TestSnapshots(t *testing.T) {
	w := newWorld(t)
	w.insert()
	first := w.deployment.Start(t, "first", nil)
	w.snapshot("everybody is new", users)
	first.Stop()

	second := w.deployment.Start(t, "second", nil) // it reads in Kafka what the first one has delivered
	w.snapshot("nobody has changed", 0)
	w.neededNoCall(second, users)

	if err := w.p.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.exec(`update users set full_name = 'Changed ' || id, updated_at = now() where id % $1 = 0`, users/changed)
	w.snapshot(fmt.Sprintf("%d have changed", changed), changed)
	w.neededNoCall(second, 2*users-changed)
	w.differ(nil)
	w.audit(nil)

	wrong := w.damage(second)
	w.differ(wrong.atVendors)
	w.audit(wrong.inKafka)
}

// snapshot has the connector read the whole table, waits until all of that is committed,
// and compares how many calls it took.
func (w *world) snapshot(what string, calls int) {
	w.t.Helper()
	before := map[string]int{}
	for _, destination := range worker.Destinations {
		before[destination] = w.deployment.Vendors.Count(destination)
	}
	began := time.Now()
	// It reads the table whenever it begins, and then follows its changes.
	if err := w.p.Capture(w.t.Context(), map[string]string{"snapshot.mode": "always"}); err != nil {
		w.t.Fatal(err)
	}
	w.snapshots++
	worker.Until(w.t, limit, "the topic has a record of every row", func() bool { return w.records() >= int64(w.snapshots*users) })
	captured := time.Since(began)
	w.settle()
	w.t.Logf("%s: the table was read in %.1f s, and all was committed after %.1f s", what, captured.Seconds(), time.Since(began).Seconds())
	for _, destination := range worker.Destinations {
		n := w.deployment.Vendors.Count(destination) - before[destination]
		w.t.Logf("%s: %s: %d calls", what, destination, n)
		if n != calls {
			w.t.Errorf("%s: %s: %d calls, want %d", what, destination, n, calls)
		}
	}
}

// neededNoCall compares how many changes a worker did not call for.
func (w *world) neededNoCall(x *worker.Worker, want int) {
	w.t.Helper()
	for _, destination := range worker.Destinations {
		n, _ := x.Metric("deliveries_total", fmt.Sprintf("destination=%q", destination), `outcome="unchanged"`)
		if n != float64(want) {
			w.t.Errorf("%s: %.0f changes needed no call, want %d", destination, n, want)
		}
	}
}
