package e2e_test

import (
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"usersync/consumer/trace"
	"usersync/e2e/ledger"
	"usersync/e2e/vendors"
	"usersync/e2e/worker"
)

// reach is how long after its start a call may come to be applied, by vendors that
// answer within a fraction of a second on a machine that is busy.
const reach = 10 * time.Second

// judge holds a deployment, whose workers write traces, against the guarantees, now
// that everything has come to rest. Told is what the test did to workers, in order. It
// returns the steps back that no client could have prevented, counted.
func judge(t *testing.T, d *worker.Deployment, book *worker.Book, told []trace.Event, workers ...*worker.Worker) *ledger.Regression {
	t.Helper()
	found := 0
	report := func(f ledger.Finding) {
		const most = 10 // one rule broken is broken a thousand times
		if found++; found <= most {
			t.Errorf("%v", f)
		}
	}
	all := [][]trace.Event{told}
	for _, w := range workers {
		all = append(all, traced(t, w))
	}
	all = append(all, written(book)...)
	for _, destination := range worker.Destinations {
		all = append(all, applied(d.Vendors, book, destination, workers))
	}
	books, regression, blame := ledger.New(report), ledger.NewRegression(reach, report), ledger.NewBlame(report)
	letters := ledger.NewLetters(report, func(trace.Event) []string { return nil })
	counts := map[string]map[trace.Kind]int{}
	for _, destination := range worker.Destinations {
		counts[destination] = map[trace.Kind]int{}
	}
	for _, e := range ledger.Merge(ledger.Tick, all...) {
		books.Note(e)
		regression.Note(e)
		blame.Note(e)
		letters.Note(e)
		if n := counts[e.Destination]; n != nil {
			n[e.Kind]++
		}
	}
	regression.End()
	for destination, n := range counts {
		// Who was shown next to nothing would find nothing wrong.
		users := len(book.Users())
		if n[trace.Commit] < 2 || n[trace.Call] < users || n[ledger.Applied] < users {
			t.Errorf("%s: there is too little to find anything in: %v", destination, n)
		}
		t.Logf("%s: %v", destination, n)
	}
	t.Logf("taken back: %d times by a killed worker's last call, %d by a lost reply, %d by a call that a thawed worker still sent", regression.Killed, regression.Lost, regression.Thawed)
	if regression.Thawed > 2 {
		t.Errorf("G7: %d calls of a thawed worker: more than are frozen between the last look at the lease and the first byte", regression.Thawed)
	}
	return regression
}

// traced is what a worker has written so far.
func traced(t *testing.T, w *worker.Worker) []trace.Event {
	t.Helper()
	f, err := os.Open(w.Trace)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	events, err := trace.Read(f)
	if err != nil {
		t.Fatalf("%s: %v", w.Name, err)
	}
	for i := range events {
		events[i].Worker = w.Name // by which the vendors know it
	}
	return events
}

// written is what was written to each partition, in the order of offsets.
func written(book *worker.Book) [][]trace.Event {
	log := map[int32][]trace.Event{}
	for _, e := range book.Written {
		r := e.Record
		log[r.Partition] = append(log[r.Partition], trace.Event{
			At: r.Timestamp, Kind: ledger.Wrote, Topic: r.Topic, Partition: int(r.Partition), Offset: r.Offset, User: userOf(e),
		})
	}
	var all [][]trace.Event
	for _, events := range log {
		slices.SortFunc(events, func(a, b trace.Event) int { return int(a.Offset - b.Offset) })
		all = append(all, events)
	}
	return all
}

func userOf(e worker.Entry) string { return worker.Hash(strconv.Itoa(e.User)) }

// applied is what a destination has saved, in the order in which it did. A user has a
// name of its own at each version, so the name tells which change it was. Who called is
// not known where workers share an address.
func applied(v *vendors.Vendors, book *worker.Book, destination string, workers []*worker.Worker) []trace.Event {
	type version struct{ user, name string }
	changes := map[version]trace.Event{}
	for _, e := range book.Written {
		changes[version{strconv.Itoa(e.User), worker.NameAt(e.Version)}] = trace.Event{
			Kind: ledger.Applied, Destination: destination, User: userOf(e),
			Topic: e.Record.Topic, Partition: int(e.Record.Partition), Offset: e.Record.Offset,
		}
	}
	calls := v.Calls(func(c vendors.Call) bool { return c.Destination == destination && c.Order > 0 })
	slices.SortFunc(calls, func(a, b vendors.Call) int { return a.Order - b.Order })
	var all []trace.Event
	for _, c := range calls {
		e := changes[version{c.User, c.Name()}] // what nobody wrote comes by no call, and is found
		e.At, e.Kind, e.Destination = c.Applied, ledger.Applied, destination
		if slices.ContainsFunc(workers, func(w *worker.Worker) bool { return w.Name == c.Caller }) {
			e.Worker = c.Caller
		}
		all = append(all, e)
	}
	return all
}
