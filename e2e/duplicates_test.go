package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"usersync/consumer/trace"
	"usersync/e2e/ledger"
	"usersync/e2e/worker"
)

// TestDuplicateCalls replaces three workers, one after the other, while users change, and
// counts the calls that told a vendor what it had been told before: by SIGTERM and by
// kill -9, with a state topic and without one. With one, TestRollingRestart and
// TestKilledUnderLoad hold which calls these may be, so they are left out here unless
// figures are asked for.
func TestDuplicateCalls(t *testing.T) {
	t.Parallel() // it counts, and measures no time
	cases := []*replacement{{kill: false}, {kill: true}}
	if *figures {
		cases = append(cases, &replacement{kill: false, state: true}, &replacement{kill: true, state: true})
	}
	t.Cleanup(func() { // when all are done
		t.Logf("three workers are replaced while users change:\n%s", table(cases))
	})
	for _, r := range cases {
		t.Run(r.String(), func(t *testing.T) {
			t.Parallel()
			r.run(t)
		})
	}
}

// replacement is how workers are replaced, and what that took.
type replacement struct {
	kill, state    bool
	changes, users int
	calls          map[string]int // by destination
	again, confirm map[string]int // of these: told before, and of those, confirm calls
}

// String says how.
func (r *replacement) String() string {
	how, state := "SIGTERM", "without a state topic"
	if r.kill {
		how = "kill -9"
	}
	if r.state {
		state = "with a state topic"
	}
	return how + " " + state
}

func (r *replacement) run(t *testing.T) {
	const partitions, workers = 6, 3
	users := 1_000
	if *figures {
		users = 20_000
	}
	d := keeping(t, partitions)
	if !r.state {
		d.Config["kafka.state_topic"], d.Config["kafka.state_topic_create"] = nil, nil
	}
	if *figures || !r.kill { // how long a session is, and a doubt, is a part of the figure
		d.Patient()
	}
	d.Vendors.Latency(100 * time.Millisecond) // so that every signal meets calls in flight
	book := worker.NewBook("users")
	l := &load{t: t, d: d, book: book, batch: 15, left: book.Shuffled(100_000, users)}
	var killed []trace.Event
	end := l.stop
	if r.kill {
		end = func(w *worker.Worker) {
			w.Kill()
			killed = append(killed, trace.Event{At: time.Now(), Kind: ledger.Killed, Worker: w.Name})
		}
	}
	all := l.replace(workers, partitions, end)
	book.Settle(t, d)

	r.changes, r.users = len(book.Written), len(book.Users())
	r.calls, r.again, r.confirm = map[string]int{}, map[string]int{}, map[string]int{}
	for _, destination := range worker.Destinations {
		r.calls[destination], r.again[destination] = d.Vendors.Count(destination), len(repeated(d.Vendors, destination))
		for _, w := range all[workers:] {
			n, _ := w.Metric("confirm_calls_total", label("destination", destination))
			r.confirm[destination] += int(n)
		}
	}
	judge(t, d, book, killed, all...)
	r.check(t)
}

// check holds what was repeated against what may be.
func (r *replacement) check(t *testing.T) {
	t.Helper()
	for _, destination := range worker.Destinations {
		n, confirm := r.again[destination], r.confirm[destination]
		most := 0 // with a state topic and a drain everything is known
		switch {
		case r.kill: // of each worker what was in flight, and a second between two commits
			most = r.calls[destination] / 4
		case !r.state: // what waits below something delivered when it has to stop
			most = r.calls[destination] / 20
		}
		if n-confirm > most {
			t.Errorf("%s: %s: %d calls for nothing, and %d confirm calls, %d are allowed", r, destination, n-confirm, confirm, most)
		}
		if !r.kill && confirm > 0 {
			t.Errorf("%s: %s: %d confirm calls although every worker has drained", r, destination, confirm)
		}
	}
}

// table is what all took.
func table(all []*replacement) string {
	var b strings.Builder
	b.WriteString("| | | changes | users changed | calls | told before | of these, confirm calls |\n|---|---|--:|--:|--:|--:|--:|\n")
	for _, r := range all {
		for _, destination := range worker.Destinations {
			fmt.Fprintf(&b, "| %s | %s | %d | %d | %d | %d | %d |\n", r, destination,
				r.changes, r.users, r.calls[destination], r.again[destination], r.confirm[destination])
		}
	}
	return b.String()
}
