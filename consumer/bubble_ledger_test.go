package consumer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"usersync/consumer/trace"
	"usersync/e2e/ledger"
	"usersync/sync/vendortest"
)

// books hold the guarantees against everything that happens in a bubble.
type books struct {
	*ledger.Ledger
	b *bubble

	mu      sync.Mutex
	blame   *ledger.Blame
	judged  *ledger.Letters
	found   []ledger.Finding
	written map[named][]trace.Event // changes that are not deletes
	// tolerant: the test is about what is found, so that does not fail it.
	tolerant bool
	// poison, if not nil, says which destinations reject a change: exactly these have
	// to be given up.
	poison func(wrote trace.Event) (dests []string)
}

// named is a user with a name.
type named struct{ user, name string }

func newBooks(b *bubble) *books {
	l := &books{b: b, written: map[named][]trace.Event{}}
	l.Ledger = ledger.New(l.finding)
	l.blame = ledger.NewBlame(l.finding)
	l.judged = ledger.NewLetters(l.finding, func(wrote trace.Event) []string { return l.poison(wrote) })
	return l
}

// finding needs l.mu.
func (l *books) finding(f ledger.Finding) {
	l.found = append(l.found, f)
	const most = 10 // one rule broken is broken a thousand times
	if !l.tolerant && len(l.found) <= most {
		l.b.t.Errorf("%v", f)
	}
}

// report takes what a probe has found.
func (l *books) report(found ...ledger.Finding) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range found {
		l.finding(f)
	}
}

func (l *books) note(e trace.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Note(e)
	l.blame.Note(e)
	if l.poison != nil {
		l.judged.Note(e)
	}
}

// name is the worker's in traces.
func (w *worker) name() string { return fmt.Sprintf("w%d", w.id) }

// tell notes one event of a worker's trace.
func (w *worker) tell(e trace.Event) {
	e.Worker = w.name()
	w.b.ledger.note(e)
}

// wrote notes a change of a user that needs to be settled by a call or a letter; one
// without a name deletes the user.
func (l *books) wrote(c change, user, name string) {
	e := trace.Event{At: time.Now(), Kind: ledger.Wrote, Topic: c.Topic, Partition: c.Partition, Offset: c.offset, User: user}
	if name == "" {
		e.Outcome = ledger.Deleted
	} else {
		l.written[named{user, name}] = append(l.written[named{user, name}], e)
	}
	l.note(e)
}

// regressed holds what the vendors saved against the calls, now that nothing more will
// come: nobody was taken back by what a client could have prevented, and nobody was
// left there. Users that went back to a name that they once had are left out, since
// which change is meant cannot be told by what a vendor holds.
func (l *books) regressed() {
	probe := ledger.NewRegression(time.Minute, func(f ledger.Finding) { l.report(f) })
	returned := map[string]bool{}
	for is, changes := range l.written {
		returned[is.user] = returned[is.user] || len(changes) > 1
	}
	for _, dest := range both {
		var saved []vendortest.Version
		for user := range returned {
			for _, v := range l.b.versions(dest, user) {
				if v.Order > 0 && !returned[user] {
					saved = append(saved, v)
				}
			}
		}
		applied := l.applied(dest, saved)
		told := l.Events(func(e trace.Event) bool { return cmp.Or(e.Destination, dest) == dest })
		for _, e := range ledger.Merge(0, told, applied) {
			probe.Note(e)
		}
	}
	probe.End()
}

// applied are the changes that a destination saved with these versions, in the order in
// which it did. The name tells which change it was.
func (l *books) applied(dest string, saved []vendortest.Version) (all []trace.Event) {
	slices.SortFunc(saved, func(a, b vendortest.Version) int { return a.Order - b.Order })
	for _, v := range saved {
		field := map[string]string{destTaptalk: "fullName", destHaptik: "name"}[dest]
		for _, e := range l.written[named{v.User, bodyField(v.Body, field)}] {
			e.At, e.Kind, e.Destination = v.Applied, ledger.Applied, dest
			all = append(all, e)
		}
	}
	return all
}

func (l *books) committed(dest string, tp TopicPartition) int64 {
	return l.Committed(dest, trace.TopicPartition(tp))
}

// letters is how many dead letters a destination wrote.
func (l *books) letters(dest string) int {
	n := 0
	for _, k := range l.Letters(dest) {
		n += k
	}
	return n
}

// commits are all that was ever committed of a partition.
func (l *books) commits(tp TopicPartition) []trace.Event {
	return l.Events(func(e trace.Event) bool {
		return e.Kind == trace.Commit && e.TopicPartition() == trace.TopicPartition(tp)
	})
}

// tail is the end of the trace.
func (l *books) tail(n int) string {
	all := l.Events(func(trace.Event) bool { return true })
	return ledger.Lines(all[max(0, len(all)-n):])
}

// halts are the partitions that a destination stopped reading, with the reasons.
func (l *books) halts(dest string) string { return strings.Join(l.Halts(dest), ", ") }

// span is when the first worker's last call began, and when the second one was
// first assigned both partitions.
func (l *books) span(first, second *worker) (last, taken time.Time) {
	for _, e := range l.Events(func(trace.Event) bool { return true }) {
		switch {
		case e.Worker == first.name() && e.Kind == trace.Call:
			last = e.At
		case second != nil && e.Worker == second.name() && e.Kind == trace.Assigned && len(e.Partitions) == 2 && taken.IsZero():
			taken = e.At
		}
	}
	return last, taken
}

// assigned reports whether w has all of these partitions.
func (l *books) assigned(w *worker, dest string, all map[TopicPartition]int64) bool {
	told := l.Events(func(e trace.Event) bool {
		return e.Kind == trace.Assigned && e.Worker == w.name() && e.Destination == dest
	})
	for tp := range all {
		if len(told) == 0 || !slices.Contains(told[len(told)-1].Partitions, trace.TopicPartition(tp)) {
			return false
		}
	}
	return true
}
