package ledger

import (
	"cmp"
	"fmt"
	"slices"

	"usersync/consumer/trace"
)

// Letters holds dead letters against what deserves one (G4), both ways: each is about
// a change that was poison, and whose newest change is poison has one for it. Letters
// for records that could not be read are not its matter. It takes Wrote events beside
// those of the workers, and is not safe for concurrent use; use NewLetters.
type Letters struct {
	report   func(Finding)
	poison   func(wrote trace.Event) (destinations []string)
	poisoned map[change]bool
	// due are, by user, the newest change for each destination that it is poison for
	// and that has no letter for it yet.
	due map[string][]trace.Event
}

// NewLetters returns a probe that calls report with each letter that is wrong. Poison
// says which destinations reject a change.
func NewLetters(report func(Finding), poison func(wrote trace.Event) (destinations []string)) *Letters {
	return &Letters{report: report, poison: poison, poisoned: map[change]bool{}, due: map[string][]trace.Event{}}
}

// Note takes the next event.
func (l *Letters) Note(e trace.Event) {
	switch e.Kind {
	case Wrote:
		delete(l.due, e.User)
		for _, e.Destination = range l.poison(e) {
			l.poisoned[changeOf(e)] = true
			l.due[e.User] = append(l.due[e.User], e)
		}
	case trace.Letter:
		if e.User != "" && !l.poisoned[changeOf(e)] {
			l.report(Finding{
				Name: NotAtFault, At: e.At, Destination: e.Destination, Worker: e.Worker,
				Text: fmt.Sprintf("user %q, the change at %d of %v: %s", e.User, e.Offset, e.TopicPartition(), e.Outcome),
			})
		}
		l.due[e.User] = slices.DeleteFunc(l.due[e.User], func(w trace.Event) bool { return changeOf(w) == changeOf(e) })
	default: // nobody is given up by it
	}
}

// Due are the letters that are missing: findings, if nothing is to come any more.
func (l *Letters) Due() []Finding {
	var all []Finding
	for _, changes := range l.due {
		for _, w := range changes {
			all = append(all, Finding{
				Name: Spared, At: w.At, Destination: w.Destination,
				Text: fmt.Sprintf("user %q, the change at %d of %v", w.User, w.Offset, w.TopicPartition()),
			})
		}
	}
	slices.SortFunc(all, func(a, b Finding) int { return cmp.Compare(a.String(), b.String()) })
	return all
}
