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
	places []Place
	open   bool
}

// ambiguity is what is known of a user of whom a call's outcome is, or was, unknown.
type ambiguity struct {
	fence  time.Time // changes newer than unsure wait until then
	unsure *pending  // the change whose outcome set the fence
	doubts []*doubt  // open
	last   *pending  // the newest delivered change, kept while there are doubts
	lastAt time.Time
	proof  *proof // see delivered.go
}

// open returns the open doubts.
func (a *ambiguity) open() []*doubt {
	if a == nil {
		return nil
	}
	return a.doubts
}

// newest returns the newest delivered change, if there are doubts.
func (a *ambiguity) newest() *pending {
	if a == nil {
		return nil
	}
	return a.last
}

// fences reports whether newer changes wait.
func (a *ambiguity) fences(now time.Time) bool { return a != nil && a.fence.After(now) }

// disprove notes that what was to be known once the doubts are over is not.
func (a *ambiguity) disprove() {
	if a != nil {
		a.proof = nil
	}
}

// ambiguous returns what is known of u's calls with an unknown outcome, and begins it if
// nothing is.
func (u *user) ambiguous() *ambiguity {
	if u.ambiguity == nil {
		u.ambiguity = new(ambiguity)
	}
	return u.ambiguity
}

// addDoubt records that body may be applied to u until the given time.
func (l *Lane) addDoubt(u *user, body []byte, until time.Time) *doubt {
	a := u.ambiguous()
	for _, d := range a.doubts {
		if bytes.Equal(d.body, body) {
			if until.After(d.until) {
				d.until = until
				l.alarms.set(until, u)
			}
			return d
		}
	}
	d := &doubt{body: body, until: until, open: true}
	a.doubts = append(a.doubts, d)
	l.open++
	l.alarms.set(until, u)
	return d
}

// inherit records that a former owner may have sent p, and until when its call may be
// applied. What p leaves out the former owner may have known, from a change that is
// settled now, so what it sent is then not known. A column that is not needed makes no
// difference: a mapping may name some that the table has not. Nothing at all is known of
// what another mapping has made of p, which may send something where this one does not.
func (l *Lane) inherit(now time.Time, u *user, p *pending, sent Sent) {
	payload, omitted, err := l.cfg.Mapper.Payload(&p.change)
	body, sends := payload.Body, err == nil
	switch {
	case sent.Remapped, lacks(omitted, err, omittedUnavailable, omittedNoColumn):
		body, sends = nil, true
	case err == nil && body == nil:
		return // a delete that needs no call
	}
	if (body == nil || !l.holds(&p.change, body)) && !sabotage.On(sabotage.TrustPossiblySent) {
		l.distrust(u.id, p.change.Position, CausePossiblySent)
	}
	if sends && sent.Until.After(now) {
		p.doubt = l.addDoubt(u, body, sent.Until)
	}
}

// doubtsOther reports whether another payload than body may be applied to u; a nil
// body differs from all.
func (u *user) doubtsOther(body []byte) bool {
	return slices.ContainsFunc(u.ambiguity.open(), func(d *doubt) bool {
		return body == nil || d.body == nil || !bytes.Equal(d.body, body)
	})
}

// Suspect notes that a former owner's control call may be applied to a user, a
// change of whom is submitted next, until the given time. Nobody knows what it
// says, so whatever is delivered before is then sent again.
func (l *Lane) Suspect(id string, until time.Time) {
	l.addDoubt(l.user(id), nil, until)
}

// anchor hands p's place, now that p is delivered, to the longest doubt without
// one, unless p has a longer one already: a new owner has to begin at p or below
// to read it, and to confirm it if this one does not come to that.
func (u *user) anchor(p *pending) {
	for _, d := range u.ambiguity.open() {
		if len(d.places) == 0 && (p.doubt == nil || d.until.After(p.doubt.until)) {
			p.doubt = d
		}
	}
}

// endDoubts closes the doubts of u whose time is over, except for those that what
// was last delivered may have been overwritten by. These stay, with the places of
// all, until something is delivered after them: what waits, if it is not given up
// in the end, or else the last delivered payload, sent again.
func (l *Lane) endDoubts(now time.Time, u *user) {
	a := u.ambiguity
	if len(a.open()) == 0 || u.state == calling {
		return // a call that is on its way may be overwritten too: its end decides
	}
	var overwrote *doubt
	var places []Place
	a.doubts = slices.DeleteFunc(a.doubts, func(d *doubt) bool {
		switch {
		case d.until.After(now):
			return false
		case a.last != nil && a.lastAt.Before(d.until) && !bytes.Equal(a.last.body, d.body) && !sabotage.On(sabotage.NoConfirm):
			overwrote = d
			return false
		}
		d.open = false
		l.open--
		places = append(places, d.places...)
		return true
	})
	if overwrote == nil {
		releaseAll(places)
	} else {
		overwrote.places = append(overwrote.places, places...)
		if u.cur == nil {
			l.confirm(now, u)
		}
	}
	if len(a.doubts) == 0 {
		a.last = nil
		l.proven(u)
	}
	l.forget(u)
}

// confirm lets the last delivered payload take its turn again. Its places are with
// the doubts.
func (l *Lane) confirm(now time.Time, u *user) {
	l.m.Lane.ConfirmCalls.Inc()
	p := u.ambiguity.last
	p.confirm, p.control, p.attempts, p.charged, p.since = true, false, 0, 0, now
	u.cur = p
	l.bytes += p.heap
	l.forgetControl(u.id)
	l.enqueue(u)
}

// Doubts returns the partitions whose next owner has to doubt what it reads again,
// because a user with a place there is in doubt. The offsets mean nothing, and are 0.
func (l *Lane) Doubts() map[Position]bool {
	all := make(map[Position]bool)
	for _, u := range l.users {
		if len(u.ambiguity.open()) == 0 {
			continue
		}
		for _, at := range u.partitions() {
			at.Offset = 0
			all[at] = true
		}
	}
	return all
}
