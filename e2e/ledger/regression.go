package ledger

import (
	"fmt"
	"iter"
	"time"

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
	reach  time.Duration
	calls  map[change][]*carried
	users  map[user]*held
	// deleted: the newest change of the user, in all destinations, is a delete, after
	// which nothing is promised of it.
	deleted map[string]bool
	// Killed and Lost are how many steps back there were by the last call of a
	// killed worker, and by a call whose reply was lost or whose worker was frozen.
	// Thawed is how many of those came later than reach, when the worker thawed: it was
	// frozen between its last look at the lease and the first byte. Nobody expects such a
	// call any more, so nothing need bring the user forward again.
	Killed, Lost, Thawed int
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
	ended   bool
	refused bool // it was answered otherwise than OK, or nothing of it has left
	unsure  bool // its reply is lost, or its worker was frozen or killed before it came
	killed  bool
	thawed  time.Time // when its worker went on that had been frozen in it
	applied bool      // it is the one that something applied was taken to come from
}

// held is what a destination holds of a user.
type held struct {
	newest  trace.Event // of all that were applied
	now     trace.Event
	cause   string // why now is not the newest, if it is not
	excused bool   // and nothing need change that
}

// NewRegression returns a probe that calls report with each finding. Reach is how long
// after its start a call may come to be applied: with a worker frozen in the middle of
// it, a link that is silent and a vendor that takes its time; or after such a worker has
// thawed. What comes later was another's.
func NewRegression(reach time.Duration, report func(Finding)) *Regression {
	return &Regression{report: report, reach: reach, calls: map[change][]*carried{}, users: map[user]*held{}, deleted: map[string]bool{}}
}

func changeOf(e trace.Event) change { return change{e.Destination, e.TopicPartition(), e.Offset} }

// Note takes the next event.
func (r *Regression) Note(e trace.Event) {
	switch e.Kind {
	case Wrote:
		r.deleted[e.User] = e.Outcome == Deleted
	case trace.Call:
		r.calls[changeOf(e)] = append(r.calls[changeOf(e)], &carried{Event: e})
	case trace.Called:
		for _, c := range r.calls[changeOf(e)] {
			if c.Worker == e.Worker && !c.ended {
				r.called(c, e)
				break
			}
		}
	case Killed, Frozen:
		for c := range r.underWay(e.Worker) {
			c.killed, c.unsure = e.Kind == Killed, true
		}
	case Thawed:
		for c := range r.underWay(e.Worker) {
			if c.unsure {
				c.thawed = e.At
			}
		}
	case Applied:
		r.applied(e)
	default: // it moves no user
	}
}

// underWay are the calls of a worker that have not ended.
func (r *Regression) underWay(worker string) iter.Seq[*carried] {
	return func(yield func(*carried) bool) {
		for _, calls := range r.calls {
			for _, c := range calls {
				if !c.ended && c.Worker == worker && !yield(c) {
					return
				}
			}
		}
	}
}

// called takes the outcome of a call.
func (r *Regression) called(c *carried, e trace.Event) {
	c.ended = true
	switch {
	case e.OK():
	case e.Unsure():
		c.unsure = true
	default:
		c.refused = true
		if !c.applied {
			return
		}
		// Then it was an earlier one, whose reply was lost, that was applied meanwhile.
		if r.carrier(e) == nil {
			r.uncarried(e, fmt.Sprintf("by a call that ended as %q", e.Outcome))
		}
	}
}

// carrier finds the call by which a change was applied at the time of e, and takes it
// out: no call is applied twice. Those in nobody's doubt come first, so that one that
// is in doubt does not excuse what came by another.
func (r *Regression) carrier(e trace.Event) *carried {
	var found *carried
	for _, c := range r.calls[changeOf(e)] {
		switch {
		case c.applied || c.refused || e.Worker != "" && c.Worker != e.Worker:
		case !c.unsure:
			c.applied = true
			return c
		case found == nil && (e.At.Sub(c.At) <= r.reach || r.late(e, c)):
			found = c // the oldest: the others have more time left
		}
	}
	if found != nil {
		found.applied = true
	}
	return found
}

// late reports whether c can have carried e only because its worker thawed.
func (r *Regression) late(e trace.Event, c *carried) bool {
	return !c.thawed.IsZero() && e.At.Sub(c.At) > r.reach && e.At.Sub(c.thawed) <= r.reach
}

func (r *Regression) applied(e trace.Event) {
	by := r.carrier(e)
	u := user{e.Destination, e.User}
	h := r.users[u]
	if h == nil {
		h = &held{now: e}
		r.users[u] = h
	}
	switch {
	case e.Offset < h.now.Offset:
		h.cause = r.cause(e, by, h)
		h.excused = by != nil && r.late(e, by)
	case by == nil:
		r.uncarried(e, "by no call that is known")
	}
	h.now = e
	if e.Offset >= h.newest.Offset {
		h.newest, h.cause = e, ""
	}
}

func (r *Regression) uncarried(e trace.Event, why string) {
	r.report(Finding{
		Name: Uncarried, At: e.At, Destination: e.Destination, Worker: e.Worker,
		Text:  fmt.Sprintf("user %s, the change at %d of %v, %s", e.User, e.Offset, e.TopicPartition(), why),
		Trace: append(r.of(e), e),
	})
}

// cause says whose call took a user back.
func (r *Regression) cause(e trace.Event, by *carried, h *held) string {
	switch {
	case by == nil || !by.unsure:
	case by.killed:
		r.Killed++
		return fmt.Sprintf("by the last call of %s, which was killed", by.Worker)
	case r.late(e, by):
		r.Thawed++
		return fmt.Sprintf("by a call that %s sent when it thawed", by.Worker)
	default:
		r.Lost++
		return fmt.Sprintf("by a call of %s whose reply was lost", by.Worker)
	}
	cause := "by a call that was in nobody's doubt"
	if by == nil {
		cause = "by no call that is known"
	}
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
// was applied, and have not been deleted. It is called when everything has come to rest.
func (r *Regression) End() {
	for u, h := range r.users {
		if h.cause != "" && !h.excused && !r.deleted[u.id] {
			r.report(Finding{
				Name: LeftBack, At: h.now.At, Destination: u.destination,
				Text:  fmt.Sprintf("user %s is at the change at %d of %v and not at that at %d, since %s", u.id, h.now.Offset, h.now.TopicPartition(), h.newest.Offset, h.cause),
				Trace: append(r.of(h.now), h.newest, h.now),
			})
		}
	}
}
