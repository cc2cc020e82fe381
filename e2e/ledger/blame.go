package ledger

import (
	"fmt"
	"time"

	"usersync/consumer/trace"
)

// Blame watches who is blamed (G4). It knows of a destination at fault what a
// worker must know as well: two users have failed in a row, the second a second or
// more after the first, by a call that began after the first one's had ended, and
// nobody has succeeded since. From then on a worker makes one call at a time and writes no
// dead letter. It is not safe for concurrent use; use NewBlame.
type Blame struct {
	report   func(Finding)
	poisoned func(destination, user string) bool
	lanes    map[lane]*trouble
}

// lane is what a worker has for each destination.
type lane struct{ worker, destination string }

type trouble struct {
	calls map[string]inFlight // by user
	first trace.Event         // the failure that began it; without a kind: none
	since time.Time           // the second one's; zero: not at fault
}

type inFlight struct {
	at    time.Time
	fault bool // it began when the destination was at fault
}

// NewBlame returns a probe. It calls report with each finding; poisoned says whose
// dead letter is right, and is nil if the test does not know.
func NewBlame(report func(Finding), poisoned func(destination, user string) bool) *Blame {
	return &Blame{report: report, poisoned: poisoned, lanes: map[lane]*trouble{}}
}

// writing is how long a dead letter may take that was begun before the trouble.
const writing = 15 * time.Second

// Note takes the next event.
func (b *Blame) Note(e trace.Event) {
	at := lane{e.Worker, e.Destination}
	t := b.lanes[at]
	if t == nil {
		t = &trouble{calls: map[string]inFlight{}}
		b.lanes[at] = t
	}
	switch e.Kind {
	case trace.Call:
		held := !t.since.IsZero()
		for other, f := range t.calls {
			if held && f.fault {
				b.found(CalledHeld, e, "user %s beside %s, at fault since %v", e.User, other, t.since)
			}
		}
		t.calls[e.User] = inFlight{e.At, held}
	case trace.Called:
		t.called(e)
	case trace.Letter:
		if b.poisoned != nil && e.User != "" && !b.poisoned(e.Destination, e.User) {
			b.found(NotAtFault, e, "user %s, %s", e.User, e.Outcome)
		}
		if !t.since.IsZero() && e.At.Sub(t.since) > writing {
			b.found(JudgedHeld, e, "user %q, %s, at fault since %v", e.User, e.Outcome, t.since)
		}
	default: // nobody is blamed by it
	}
}

func (t *trouble) called(e trace.Event) {
	began := t.calls[e.User].at
	delete(t.calls, e.User)
	switch {
	case e.OK() && began.Before(t.first.At): // sent before the trouble: it says nothing of now
	case e.OK():
		t.first, t.since = trace.Event{}, time.Time{}
	case e.Unsent() || e.Throttled(): // nobody's fault
	case t.first.Kind == "":
		t.first = e
	case t.since.IsZero() && e.User != t.first.User && began.After(t.first.At) && e.At.Sub(t.first.At) >= time.Second:
		t.since = e.At
	}
}

func (b *Blame) found(name Name, e trace.Event, format string, args ...any) {
	b.report(Finding{Name: name, At: e.At, Destination: e.Destination, Worker: e.Worker, Text: fmt.Sprintf(format, args...)})
}
