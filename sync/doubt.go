package sync

import (
	"bytes"
	"slices"
	"time"

	"usersync/sync/sabotage"
)

// doubt is a payload that the destination may hold, or may come to hold until
// the doubt ends: the reply to its call was lost, or a former owner of the
// partition may have sent it. What is delivered meanwhile may be overwritten by
// it, so if that differs, it is sent once more at the end (a confirm call).
//
// The race, with times in seconds:
//
//	 0  v1 is sent, the destination is slow
//	10  the client gives up; v2 is waiting
//	20  v2 is sent and delivered
//	25  the destination applies v1: it is wrong now, and nobody is told
//	70  the doubt about v1 ends: v2 was delivered since and differs, so it is sent again
//
// Until then the place of v1 is held, so that a new owner reads v1 and v2 again
// and has the same doubt. What was settled before it was sent, by a control call
// or by a former owner's, has no place: then that of v2 is held.
type doubt struct {
	body   []byte // nil: not known, and different from all others
	until  time.Time
	places []place
	open   bool
}

// addDoubt records that body may be applied to u until the given time.
func (l *Lane) addDoubt(u *user, body []byte, until time.Time) *doubt {
	for _, d := range u.doubts {
		if bytes.Equal(d.body, body) {
			if until.After(d.until) {
				d.until = until
				l.alarms.set(until, u)
			}
			return d
		}
	}
	d := &doubt{body: body, until: until, open: true}
	u.doubts = append(u.doubts, d)
	l.open++
	l.alarms.set(until, u)
	return d
}

// Suspect notes that a former owner's control call may be applied to a user, a
// change of whom is submitted next, until the given time. Nobody knows what it
// says, so whatever is delivered before is then sent again.
func (l *Lane) Suspect(id string, until time.Time) {
	u := l.users[id]
	if u == nil {
		u = &user{id: id}
		l.users[id] = u
	}
	l.addDoubt(u, nil, until)
}

// anchor hands p's place, now that p is delivered, to the longest doubt without
// one, unless p has a longer one already: a new owner has to begin at p or below
// to read it, and to confirm it if this one does not come to that.
func (u *user) anchor(p *pending) {
	for _, d := range u.doubts {
		if len(d.places) == 0 && (p.doubt == nil || d.until.After(p.doubt.until)) {
			p.doubt = d
		}
	}
}

// endDoubts closes the doubts of u whose time is over and, where it has to,
// sends the last delivered payload again.
func (l *Lane) endDoubts(now time.Time, u *user) {
	if len(u.doubts) == 0 || u.state == calling {
		return // a call that is on its way may be overwritten too: its end decides
	}
	var places []place
	confirm := false
	u.doubts = slices.DeleteFunc(u.doubts, func(d *doubt) bool {
		if d.until.After(now) {
			return false
		}
		d.open = false
		l.open--
		places = append(places, d.places...)
		if u.last != nil && u.lastAt.Before(d.until) && !bytes.Equal(u.last.payload.Body, d.body) {
			confirm = true
		}
		return true
	})
	switch {
	case confirm && u.cur == nil && !sabotage.On(sabotage.NoConfirm):
		l.confirm(now, u, places)
	case u.cur != nil && u.cur.confirm: // for an earlier doubt, maybe without a place
		u.cur.places = append(u.cur.places, places...)
	default:
		// A change that still waits is sent after the doubt's end: it confirms.
		releaseAll(places)
	}
	if len(u.doubts) == 0 {
		u.last = nil
	}
	l.forget(u)
}

// confirm lets the last delivered payload take its turn again.
func (l *Lane) confirm(now time.Time, u *user, places []place) {
	l.m.Lane.ConfirmCalls.Inc()
	p := u.last
	p.places, p.confirm, p.control, p.attempts, p.charged, p.since = places, true, false, 0, 0, now
	u.cur = p
	l.bytes += p.heap
	l.forgetControl(u.id)
	l.enqueue(u)
}

// Doubts returns, for each partition with a place of a user in doubt, when the
// last of these doubts ends: what the next owner has to know. The offset in the
// keys is 0.
func (l *Lane) Doubts() map[Position]time.Time {
	ends := make(map[Position]time.Time)
	for _, u := range l.users {
		for _, d := range u.doubts {
			for _, at := range u.partitions() {
				at.Offset = 0
				if d.until.After(ends[at]) {
					ends[at] = d.until
				}
			}
		}
	}
	return ends
}
