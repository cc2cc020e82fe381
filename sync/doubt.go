package sync

import (
	"bytes"
	"slices"
	"time"
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
// and has the same doubt.
type doubt struct {
	body   []byte
	until  time.Time
	places []place
	open   bool
}

// addDoubt records that body may be applied to u until the given time.
func (l *Lane) addDoubt(u *user, p *pending, body []byte, until time.Time) {
	for _, d := range u.doubts {
		if bytes.Equal(d.body, body) {
			if until.After(d.until) {
				d.until = until
				l.alarms.set(until, u)
			}
			p.doubt = d
			return
		}
	}
	d := &doubt{body: body, until: until, open: true}
	u.doubts = append(u.doubts, d)
	p.doubt = d
	l.open++
	l.alarms.set(until, u)
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
	if confirm && u.cur == nil {
		l.confirm(now, u, places)
	} else {
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

// Doubt returns the end of the latest open doubt of a user with a place in the
// partition of at, or zero: what the next owner has to know.
func (l *Lane) Doubt(at Position) time.Time {
	var until time.Time
	for _, u := range l.users {
		for _, d := range u.doubts {
			if d.until.After(until) && u.inPartition(at) {
				until = d.until
			}
		}
	}
	return until
}
