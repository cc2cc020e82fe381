package ledger

import (
	"fmt"

	"usersync/consumer/trace"
)

// Regression watches what destinations hold: an older version of a user must not
// follow a newer one, unless no client could have prevented that, and then the newer
// one must be brought back. It takes Applied events beside those of the workers,
// and is not safe for concurrent use. Its zero value is not ready: use NewRegression.
//
// Versions are the offsets of one partition, so it is not for users whose changes
// come from several, nor for those that go back to an earlier value: what is the
// same cannot be told apart.
type Regression struct {
	report func(Finding)
	calls  map[change][]*carried
	users  map[user]*held
	// Killed and Lost are how many steps back there were by the last call of a
	// killed worker, and by a call whose reply was lost or whose worker was frozen.
	Killed, Lost int
}

type user struct{ destination, id string }

type change struct {
	destination string
	tp          trace.TopicPartition
	offset      int64
}

// carried is a call that carried a change to a destination.
type carried struct {
	trace.Event
	ended  bool
	unsure bool // its reply is lost, or its worker was frozen or killed before it came
	killed bool
}

// held is what a destination holds of a user.
type held struct {
	newest trace.Event // of all that were applied
	now    trace.Event
	cause  string // why now is not the newest, if it is not
}

// NewRegression returns a probe that calls report with each finding.
func NewRegression(report func(Finding)) *Regression {
	return &Regression{report: report, calls: map[change][]*carried{}, users: map[user]*held{}}
}

func changeOf(e trace.Event) change { return change{e.Destination, e.TopicPartition(), e.Offset} }

// Note takes the next event.
func (r *Regression) Note(e trace.Event) {
	switch e.Kind {
	case trace.Call:
		r.calls[changeOf(e)] = append(r.calls[changeOf(e)], &carried{Event: e})
	case trace.Called:
		for _, c := range r.calls[changeOf(e)] {
			if c.Worker == e.Worker && !c.ended {
				c.ended, c.unsure = true, c.unsure || e.Unsure()
				break
			}
		}
	case Killed, Frozen:
		for _, calls := range r.calls {
			for _, c := range calls {
				if !c.ended && c.Worker == e.Worker {
					c.killed, c.unsure = e.Kind == Killed, true
				}
			}
		}
	case Applied:
		r.applied(e)
	default: // it moves no user
	}
}

func (r *Regression) applied(e trace.Event) {
	u := user{e.Destination, e.User}
	h := r.users[u]
	if h == nil {
		h = &held{}
		r.users[u] = h
	} else if e.Offset < h.now.Offset {
		h.cause = r.cause(e, h)
	}
	h.now = e
	if e.Offset >= h.newest.Offset {
		h.newest, h.cause = e, ""
	}
}

// cause says whose call e was. Where several calls carried the same change, the one
// that nobody could have prevented is taken to be it.
func (r *Regression) cause(e trace.Event, h *held) string {
	var killed, lost *carried
	for _, c := range r.calls[changeOf(e)] {
		switch {
		case e.Worker != "" && c.Worker != e.Worker:
		case c.killed:
			killed = c
		case c.unsure:
			lost = c
		}
	}
	switch {
	case killed != nil:
		r.Killed++
		return fmt.Sprintf("by the last call of %s, which was killed", killed.Worker)
	case lost != nil:
		r.Lost++
		return fmt.Sprintf("by a call of %s whose reply was lost", lost.Worker)
	}
	cause := "by a call that was in nobody's doubt"
	r.report(Finding{
		Name: TakenBack, At: e.At, Destination: e.Destination, Worker: e.Worker,
		Text:  fmt.Sprintf("user %s from the change at %d of %v to that at %d, %s", e.User, h.now.Offset, e.TopicPartition(), e.Offset, cause),
		Trace: append(r.of(h.now), append(r.of(e), h.now, e)...),
	})
	return cause
}

// of are the calls that carried what was applied.
func (r *Regression) of(e trace.Event) []trace.Event {
	var all []trace.Event
	for _, c := range r.calls[changeOf(e)] {
		all = append(all, c.Event)
	}
	return all
}

// End reports the users that are still at an older version than the newest one that
// was applied. It is called when everything has come to rest.
func (r *Regression) End() {
	for u, h := range r.users {
		if h.cause != "" {
			r.report(Finding{
				Name: LeftBack, At: h.now.At, Destination: u.destination,
				Text:  fmt.Sprintf("user %s is at the change at %d of %v and not at that at %d, since %s", u.id, h.now.Offset, h.now.TopicPartition(), h.newest.Offset, h.cause),
				Trace: append(r.of(h.now), h.newest, h.now),
			})
		}
	}
}
