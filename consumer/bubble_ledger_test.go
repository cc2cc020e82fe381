package consumer

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"usersync/consumer/trace"
	"usersync/e2e/ledger"
)

// books hold the guarantees against everything that happens in a bubble.
type books struct {
	*ledger.Ledger
	b *bubble

	mu    sync.Mutex
	blame *ledger.Blame
	found []ledger.Finding
	// tolerant: the test is about what is found, so that does not fail it.
	tolerant bool
	// poisoned, if not nil, says whose dead letters are right.
	poisoned func(dest, user string) bool
}

func newBooks(b *bubble) *books {
	l := &books{b: b}
	l.Ledger = ledger.New(l.finding)
	l.blame = ledger.NewBlame(l.finding, func(dest, user string) bool { return l.poisoned == nil || l.poisoned(dest, user) })
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
}

// name is the worker's in traces.
func (w *worker) name() string { return fmt.Sprintf("w%d", w.id) }

// tell notes one event of a worker's trace.
func (w *worker) tell(e trace.Event) {
	e.Worker = w.name()
	w.b.ledger.note(e)
}

// wrote notes a change of a user that needs to be settled by a call or a letter.
func (l *books) wrote(c change, user string, deleted bool) {
	e := trace.Event{At: time.Now(), Kind: ledger.Wrote, Topic: c.Topic, Partition: c.Partition, Offset: c.offset, User: user}
	if deleted {
		e.Outcome = ledger.Deleted
	}
	l.note(e)
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
