package sync

import (
	"slices"
	"time"
)

// Letter is a change, or a run of undecodable records, that is given up: once
// it is in the dead-letter topic its place is released.
type Letter struct {
	// From and To are the first and the last position. They differ only for
	// undecodable records, between which others may stand that decode.
	From, To Position
	Reason   string // one of Reasons
	Code     string
	Field    string
	Attempts int
	Change   *Change // nil for undecodable records
	Failed   time.Time

	count   int // records
	user    *user
	run     *run
	due     time.Time
	gone    bool // not to be written any more: its user has another chance, or it is written
	writing bool
	dropped bool // its partition was forgotten while it was being written
	// accepted says that an operator wants it written, however many there are.
	accepted bool
}

// The reasons of dead letters.
const (
	reasonInvalid     = "invalid_payload"
	reasonRejected    = "rejected"
	reasonRefused     = "refused"
	reasonExhausted   = "retries_exhausted"
	reasonUndecodable = "undecodable"
)

// disguised reports whether the letter's cause could be an outage of part of
// the destination.
func (l *Letter) disguised() bool { return l.Reason == reasonExhausted || l.Reason == reasonRefused }

// retriable reports whether another attempt could end otherwise. What has no
// payload never gets one, but a newer change of the user may.
func (l *Letter) retriable() bool {
	return l.user != nil && !l.gone && !l.writing && !l.accepted && (l.Reason != reasonInvalid || l.user.next != nil)
}

// Release says how many may be given up before it is no coincidence.
type Release struct {
	Budget int           // 0: no limit
	Settle time.Duration // how long a letter waits for others that fail with it
}

// release holds back what has been given up. A dead letter cannot be taken
// back, so each waits to see how many others there are. More than the budget is
// no coincidence: the latch closes, none is written, and those that can be are
// tried again, one by one. It opens when few enough are left.
//
// A letter counts until it is written or its user is delivered or deleted, and
// not only while it waits: else chances given one by one, to users whose next
// attempt takes its time, would open the latch with nothing mended.
type release struct {
	Release
	letters   []*Letter // in order of due; some are gone
	gone      int       // of those
	waiting   int       // records of letters that are not written, and of users with another chance
	disguised int       // of those, letters whose cause could be an outage
	failing   int       // users that fail again and again, given up or not
	written   []time.Time
	latched   bool
	retryAt   time.Time // when latched: the next retrial
	pause     time.Time // none is written before it: the last could not be
}

// memory is how long a written letter counts against the budget, if its cause
// could be an outage.
const memory = time.Hour

func (r *release) add(now time.Time, l *Letter) {
	l.due = now.Add(r.Settle)
	r.letters = append(r.letters, l)
	r.count(l, 1)
}

// pardon keeps a letter from being written, for now.
func (r *release) pardon(l *Letter) {
	if !l.gone {
		l.gone = true
		r.gone++
	}
}

// remove forgets a letter, pardoned or not.
func (r *release) remove(l *Letter) {
	r.pardon(l)
	r.count(l, -1)
}

// postpone puts a letter off that could not be written, behind the others: it
// may be its own record that cannot be read. It may be the topic as well, so
// they wait too.
func (r *release) postpone(now time.Time, l *Letter) {
	r.pause = now.Add(patience)
	l.due = r.pause
	r.sort()
}

func (r *release) count(l *Letter, sign int) {
	r.waiting += sign * l.count
	if l.disguised() {
		r.disguised += sign
	}
}

// check closes or opens the latch, and reports whether it opened it.
func (r *release) check(now time.Time) (opened bool) {
	for len(r.letters) > 0 && r.letters[0].gone {
		r.letters, r.gone = r.letters[1:], r.gone-1
	}
	if r.gone > len(r.letters)/2 { // behind one that stays, and each new chance leaves one more
		r.letters, r.gone = slices.DeleteFunc(r.letters, func(l *Letter) bool { return l.gone }), 0
	}
	for len(r.written) > 0 && now.Sub(r.written[0]) >= memory {
		r.written = r.written[1:]
	}
	n := r.waiting
	if r.disguised > 0 {
		// In an outage of a part of the destination the first user is given up well
		// before the fiftieth: the others that fail count already.
		n = max(n, r.failing) + len(r.written)
	}
	was := r.latched
	r.latched = r.Budget > 0 && r.waiting > 0 && n > r.Budget
	if r.latched && !was {
		r.retryAt = now
	}
	return was && !r.latched
}

// patience is how long no letter is written after one could not be.
const patience = 5 * time.Second

// next returns the letter to write, as of the last check, if there is one. One
// is written at a time: if the topic cannot be written to, the others would fare
// no better.
func (r *release) next(now time.Time) *Letter {
	l := r.first()
	if l == nil || l.writing || l.due.After(now) || r.pause.After(now) {
		return nil
	}
	l.writing = true
	return l
}

// first returns the letter that is being written or the next to be, if there is one:
// while the latch is closed only what an operator has accepted.
func (r *release) first() *Letter {
	if !r.latched {
		if len(r.letters) == 0 {
			return nil
		}
		return r.letters[0] // as of the last check it is not gone
	}
	i := slices.IndexFunc(r.letters, func(l *Letter) bool { return (l.accepted || l.writing) && !l.gone })
	if i < 0 {
		return nil
	}
	return r.letters[i]
}

// trial returns the next letter to give another chance while the latch is
// closed, if one is due.
func (r *release) trial(now time.Time, interval time.Duration) *Letter {
	if !r.latched || r.retryAt.After(now) {
		return nil
	}
	r.retryAt = now.Add(interval)
	i := slices.IndexFunc(r.letters, (*Letter).retriable)
	if i < 0 {
		return nil
	}
	return r.letters[i]
}

// wake is when next may have something; zero for never.
func (r *release) wake() time.Time {
	switch l := r.first(); {
	case l == nil || l.writing:
		return time.Time{}
	case r.pause.After(l.due):
		return r.pause
	default:
		return l.due
	}
}
