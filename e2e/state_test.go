package e2e_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"usersync/consumer/trace"
	"usersync/e2e/ledger"
	"usersync/e2e/vendors"
	"usersync/e2e/worker"
)

// keeping returns a deployment whose workers remember what was delivered.
func keeping(t *testing.T, partitions int) *worker.Deployment {
	t.Helper()
	d := deploy(t, partitions, nil)
	d.Traces = t.TempDir()
	d.Config["kafka.state_topic"], d.Config["kafka.state_topic_create"] = stateTopic, true
	d.Config["destinations.haptik.first_write"] = "post" // it is empty, and each payload costs one call
	d.OneAddress()
	return d
}

// load writes changes for as long as a test waits for something.
type load struct {
	t     *testing.T
	d     *worker.Deployment
	book  *worker.Book
	batch int
	left  []int // the users to change next
}

// until writes some of the changes, again and again, until done.
func (l *load) until(what string, done func() bool) {
	l.t.Helper()
	worker.Until(l.t, worker.Limit, what, func() bool {
		l.book.Write(l.t, l.d.Broker, l.take(l.batch)...)
		return done()
	})
}

// take returns the users who change next, n of them.
func (l *load) take(n int) []int {
	n = min(n, len(l.left))
	next := l.left[:n]
	l.left = l.left[n:]
	return next
}

// stop has a worker drain and leave, while users go on changing.
func (l *load) stop(w *worker.Worker) {
	l.t.Helper()
	w.Terminate()
	l.until(w.Name+" has ended", func() bool {
		select {
		case <-w.Done():
			return true
		default:
			return false
		}
	})
	if code := w.Exit(worker.Limit); code != 0 {
		l.t.Errorf("%s ended with code %d", w.Name, code)
	}
}

// replace has so many workers share the partitions, and then replaces each of them, one
// after the other, while users change: end ends it, and a new process takes its place. It
// returns all that there were.
func (l *load) replace(workers, partitions int, end func(*worker.Worker)) (all []*worker.Worker) {
	l.t.Helper()
	var running []*worker.Worker
	// shared waits until each worker owns its part, and is busy with it.
	shared := func() {
		l.until("each worker owns its part", func() bool {
			return !slices.ContainsFunc(running, func(w *worker.Worker) bool { return owned(w) != float64(partitions/workers) })
		})
		for _, destination := range worker.Destinations {
			begun := l.d.Vendors.Count(destination)
			l.until("the workers are busy", func() bool {
				return l.d.Vendors.Count(destination) >= begun+200 && l.d.Vendors.Stats(destination).InFlight > 0
			})
		}
	}
	start := func() {
		w := l.d.Launch(l.t, fmt.Sprintf("worker-%d", len(all)+1), nil)
		all, running = append(all, w), append(running, w)
	}
	for range workers {
		start()
	}
	shared()
	for range workers {
		w := running[0]
		running = running[1:]
		end(w)
		start()
		shared()
	}
	return all
}

// repeated returns the calls of a destination with what it had been called with for the
// same user before.
func repeated(v *vendors.Vendors, destination string) (again []vendors.Call) {
	type payload struct{ user, body string }
	seen := map[payload]bool{}
	for _, c := range v.Calls(func(c vendors.Call) bool { return c.Destination == destination }) {
		p := payload{c.User, string(c.Body)}
		if seen[p] {
			again = append(again, c)
		}
		seen[p] = true
	}
	return again
}

// TestRollingRestart replaces three workers, one after the other, by SIGTERM and a new
// process each, while users change: no payload is sent twice.
func TestRollingRestart(t *testing.T) {
	const partitions, users, workers = 6, 1_000, 3
	d := keeping(t, partitions)
	d.Patient()
	d.Vendors.Latency(100 * time.Millisecond) // so that every SIGTERM meets calls in flight
	book := worker.NewBook("users")
	l := &load{t: t, d: d, book: book, batch: 15, left: book.Shuffled(100_000, users)}

	all := l.replace(workers, partitions, l.stop)
	book.Settle(t, d)

	for _, destination := range worker.Destinations {
		again := repeated(d.Vendors, destination)
		t.Logf("%s: %d calls for %d changes, %d of them for nothing", destination, d.Vendors.Count(destination), len(book.Written), len(again))
		for _, c := range again[:min(len(again), 10)] {
			t.Errorf("%s: user %s was sent %q again", destination, c.User, c.Name())
		}
		if n := d.Vendors.Stats(destination).MaxOverlap; n > 1 {
			t.Errorf("%s: %d calls of one user at once", destination, n)
		}
	}
	judge(t, d, book, nil, all...)
}

// TestKilledUnderLoad kills one worker after the other with -9 while users change.
// What the dead one had in flight is sent again, and what it had not written down yet;
// nothing else is.
//
// Each user changes once a round. With a second change before the next worker has
// taken over there would be two payloads that the dead one may have sent, and that costs
// a confirm call, whatever is remembered.
func TestKilledUnderLoad(t *testing.T) {
	const rounds, users, concurrency = 3, 2_000, 16
	d := keeping(t, 4)
	d.Vendors.Latency(50 * time.Millisecond)
	for _, destination := range worker.Destinations {
		d.Config["destinations."+destination+".concurrency"] = concurrency
	}
	book := worker.NewBook("users")
	l := &load{t: t, d: d, book: book, batch: 15}

	all := []*worker.Worker{d.Start(t, "worker-0", nil)}
	var killed []trace.Event
	lost := map[string][]loss{} // by destination, one of each round
	for round := 1; round <= rounds; round++ {
		l.left = book.Shuffled(users, users)
		l.until("a third of the changes is written, and the worker is busy", func() bool {
			return len(l.left) <= users*2/3 && !slices.ContainsFunc(worker.Destinations, func(destination string) bool {
				return d.Vendors.Stats(destination).InFlight == 0
			})
		})
		w := all[len(all)-1]
		w.Kill()
		killed = append(killed, trace.Event{At: time.Now(), Kind: ledger.Killed, Worker: w.Name})
		known := noted(t, d)
		for _, destination := range worker.Destinations {
			lost[destination] = append(lost[destination], lostWith(traced(t, w), destination, known))
		}
		all = append(all, d.Launch(t, fmt.Sprintf("worker-%d", round), nil))
		l.until("everything is written", func() bool { return len(l.left) == 0 })
		book.Settle(t, d)
	}
	all[rounds].Stop()
	if a, fine, err := d.Audit(t, nil); err != nil || !fine { // what is remembered is so
		t.Errorf("audit: %+v, %v", a, err)
	}

	for _, destination := range worker.Destinations {
		again := map[string][]string{} // users, by the name that they were sent again
		for _, c := range repeated(d.Vendors, destination) {
			again[c.Name()] = append(again[c.Name()], worker.Hash(c.User))
		}
		late := users
		for i, l := range lost[destination] {
			l.check(t, destination, again[worker.NameAt(i+1)])
			late = min(late, len(l.unwritten))
		}
		// One kill may meet a broker that is busy, but not each of them.
		if late > 4*concurrency {
			t.Errorf("%s: it is written down late what was delivered", destination)
		}
	}
	judge(t, d, book, killed, all...)
}

// loss is what of one destination a dead worker had not said: users by what traces call
// them.
type loss struct{ flying, unwritten map[string]bool }

// lostWith compares the trace of a dead worker with the state topic.
func lostWith(events []trace.Event, destination string, known map[string]int64) loss {
	l := loss{map[string]bool{}, map[string]bool{}}
	for _, e := range events {
		if e.Destination != destination {
			continue
		}
		switch e.Kind {
		case trace.Call:
			l.flying[e.User] = true
		case trace.Called:
			delete(l.flying, e.User)
			if offset, ok := known[destination+" "+e.User]; e.OK() && (!ok || offset < e.Offset) {
				l.unwritten[e.User] = true
			}
		default: // it sends nobody anything
		}
	}
	return l
}

// check reports users who were sent again although nothing of them was lost, or more
// than once.
func (l loss) check(t *testing.T, destination string, again []string) {
	t.Helper()
	t.Logf("%s: killed with %d calls in flight and %d deliveries not written down: %d calls for nothing",
		destination, len(l.flying), len(l.unwritten), len(again))
	if len(l.flying) == 0 {
		t.Errorf("%s: it was killed with no call in flight: nothing is shown", destination)
	}
	may := maps.Clone(l.flying)
	maps.Copy(may, l.unwritten)
	wrong := 0
	for _, user := range again {
		if !may[user] {
			wrong++
		}
		delete(may, user)
	}
	if wrong > 0 {
		t.Errorf("%s: %d calls for nothing, of users who were known to be right", destination, wrong)
	}
}

// noted returns the offset as of which each user is held, by destination and user.
func noted(t *testing.T, d *worker.Deployment) map[string]int64 {
	t.Helper()
	partitions, err := d.Broker.Partitions(t.Context(), stateTopic)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]int64{}
	for p := range int32(partitions) {
		for _, r := range readState(t, d, p) {
			if r.held {
				all[r.destination+" "+r.user] = r.offset
			}
		}
	}
	return all
}
