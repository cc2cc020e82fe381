package e2e_test

import (
	"flag"
	"net/http"
	"slices"
	"testing"
	"time"

	"usersync/e2e/ledger"
	"usersync/e2e/vendors"
	"usersync/e2e/worker"
	"usersync/sync/vendortest"
)

var figures = flag.Bool("figures", false, "run TestOutageForReal and TestDuplicateCalls as long as docs/figures.md says")

// TestOutageForReal has TapTalk answer everything with 503 for a while, with two workers
// and a hundred changes a second, and says what that took. consumer.TestOutageFigures is
// the same in virtual time, of half an hour.
func TestOutageForReal(t *testing.T) {
	length, users := 12*time.Second, 1_000
	if *figures {
		length, users = 90*time.Second, 20_000
	}
	d := deploy(t, 6, nil)
	d.Traces = t.TempDir()
	d.Patient()
	d.Config["destinations.haptik.first_write"] = "post" // it is empty at first
	latency := vendortest.Rule{Latency: 20 * time.Millisecond}
	d.Vendors.SetRules(worker.TapTalk, latency)
	d.Vendors.SetRules(worker.Haptik, latency)
	book := worker.NewBook("users")
	book.Write(t, d.Broker, book.Shuffled(users, users)...)
	// Every 50 ms five of them change.
	l := &load{t: t, d: d, book: book, batch: 5, left: book.Shuffled(users+60_000, users)}
	all := []*worker.Worker{d.Start(t, "worker-1", nil), d.Start(t, "worker-2", nil)}
	book.Settle(t, d)
	l.pass("a few seconds are over", 5*time.Second)

	began := time.Now()
	d.Vendors.SetRules(worker.TapTalk, latency, vendortest.Rule{Name: "down", Status: http.StatusServiceUnavailable})
	l.pass("the outage is over", length)
	d.Vendors.SetRules(worker.TapTalk, latency)
	ended := time.Now()
	l.until("nothing of the outage waits any more", func() bool {
		return worker.Lag(t, d.Broker, d.Group(worker.TapTalk), "users") < 3*100 // three seconds of changes
	})
	book.Settle(t, d)

	cost := ledger.Outage{
		Began: began, Ended: ended, Wrote: slices.Concat(written(book)...),
		Broken: seen(d.Vendors, book, worker.TapTalk, all), Other: seen(d.Vendors, book, worker.Haptik, all),
	}.Cost()
	t.Logf("taptalk is down for %v, 100 a second of %d users change:\n%s", length, users, cost)
	if cost.Missed > 0 {
		t.Errorf("G1: %d changes were never held, nor anything newer", cost.Missed)
	}
	// Of each worker those of the first seconds, until it is held, and then probes.
	if most := 6 * 100; cost.Meanwhile > most {
		t.Errorf("G4: %d requests in the outage, %d are allowed", cost.Meanwhile, most)
	}
	if most := (cost.Touched + cost.Further) * 11 / 10; cost.After > most {
		t.Errorf("G9: %d requests after the outage, for %d users touched and %d further changes", cost.After, cost.Touched, cost.Further)
	}
	if cost.Late > 5*time.Second { // a busy machine; while all is well it is a few hundredths of that
		t.Errorf("G5: haptik took %v for a change in a hundred while taptalk was down", cost.Late)
	}
	if first := cost.Ramp[0]; first > 2*25 {
		t.Errorf("%d requests in the first second after the outage, by two workers: they do not begin slowly", first)
	}
	if n := len(deadLetters(t, d)); n != 0 {
		t.Errorf("G4: %d dead letters", n)
	}
	for _, w := range all {
		w.Stop()
	}
	judge(t, d, book, nil, all...)
}

// seen is what a destination saw.
func seen(v *vendors.Vendors, book *worker.Book, destination string, workers []*worker.Worker) ledger.Seen {
	s := ledger.Seen{Applied: applied(v, book, destination, workers)}
	for _, c := range v.Calls(func(c vendors.Call) bool { return c.Destination == destination }) {
		s.Calls = append(s.Calls, c.Received)
	}
	return s
}

// pass lets users change for so long.
func (l *load) pass(what string, d time.Duration) {
	l.t.Helper()
	over := time.After(d)
	l.until(what, func() bool {
		select {
		case <-over:
			return true
		default:
			return false
		}
	})
}
