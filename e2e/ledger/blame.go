package ledger

import (
	"fmt"
	"time"

	"usersync/consumer/trace"
)

// Blame watches that nobody is blamed for the destination's fault (G4). It knows of a destination at fault what a
// worker must know as well: two users have failed in a row, the second a second or
// more after the first, by a call that began after the first one's had ended, and
// nobody has succeeded since. From then on a worker makes one call at a time and writes no
// dead letter. It is not safe for concurrent use; use NewBlame.
type Blame struct {
	report func(Finding)
	lanes  map[lane]*trouble
}

// lane is what a worker has for each destination.
type lane struct{ worker, destination string }

type trouble struct {
	calls map[string]inFlight // by user
	event int                 // counts them: of two at the same time, one is the earlier all the same
	first trace.Event         // the failure that began it; without a kind: none
	began int                 // which event that was
	since time.Time           // the second one's; zero: not at fault
}

type inFlight struct {
	event int
	fault bool // it began when the destination was at fault
}

// NewBlame returns a probe. It calls report with each finding.
func NewBlame(report func(Finding)) *Blame {
	return &Blame{report: report, lanes: map[lane]*trouble{}}
}

// writing is how long a dead letter may take that was begun before the trouble.
const writing = 15 * time.Second

// waited is how much later than it decided a worker may say so: it reads its clock,
// waits for a busy machine to let it go on, and only then writes what it did. Without
// it the probe would take the second that a worker counts for over before it is.
const waited = 500 * time.Millisecond

// Note takes the next event.
func (b *Blame) Note(e trace.Event) {
	at := lane{e.Worker, e.Destination}
	t := b.lanes[at]
	if t == nil {
		t = &trouble{calls: map[string]inFlight{}}
		b.lanes[at] = t
	}
	t.event++
	switch e.Kind {
	case trace.Call:
		held := !t.since.IsZero()
		for other, f := range t.calls {
			if held && f.fault {
				b.found(CalledHeld, e, "user %s beside %s, at fault since %v", e.User, other, t.since)
			}
		}
		t.calls[e.User] = inFlight{t.event, held}
	case trace.Called:
		t.called(e)
	case trace.Letter:
		if !t.since.IsZero() && e.At.Sub(t.since) > writing {
			b.found(JudgedHeld, e, "user %q, %s, at fault since %v", e.User, e.Outcome, t.since)
		}
	default: // nobody is blamed by it
	}
}

func (t *trouble) called(e trace.Event) {
	call := t.calls[e.User].event
	delete(t.calls, e.User)
	switch {
	case e.OK() && call < t.began: // sent before the trouble: it says nothing of now
	case e.OK():
		t.first, t.began, t.since = trace.Event{}, 0, time.Time{}
	case e.Unsent() || e.Throttled(): // nobody's fault
	case t.first.Kind == "":
		t.first, t.began = e, t.event
	case t.since.IsZero() && e.User != t.first.User && call > t.began && e.At.Sub(t.first.At) >= time.Second+waited:
		t.since = e.At
	}
}

func (b *Blame) found(name Name, e trace.Event, format string, args ...any) {
	b.report(Finding{Name: name, At: e.At, Destination: e.Destination, Worker: e.Worker, Text: fmt.Sprintf(format, args...)})
}
