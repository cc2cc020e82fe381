package sync

import (
	"slices"
	"time"
)

// A control call repeats a delivered payload on a held lane, to have someone to
// compare with. Its change is settled, so a new owner does not read it again, and
// would not know that the call of a killed process may still be applied:
//
//	 0  v1, delivered an hour ago, is sent once more; the destination is slow
//	 1  the process is killed
//	46  the new owner delivers v2
//	58  the destination applies v1, and nobody looks
//
// So the call is announced first: it waits for a commit that tells the next owner
// of whom to be suspicious (Controls, Announced, Suspect).

// remembered is how many delivered payloads are kept, each of another user.
const remembered = 4

// remember keeps a delivered payload to compare with.
func (l *Lane) remember(u *user, p *pending) {
	if u.next != nil || p.dropped || p.change.Op == Delete {
		return
	}
	l.forgetControl(u.id)
	if len(l.control) == remembered {
		l.control = l.control[:remembered-1]
	}
	l.control = slices.Insert(l.control, 0, &pending{change: p.change, body: p.body, control: true})
}

// forgetControl forgets a payload that is no longer the newest of its user.
func (l *Lane) forgetControl(id string) {
	l.control = slices.DeleteFunc(l.control, func(p *pending) bool { return p.change.User == id })
}

// Controls lists the users of at's partition to whom a control call may come to be
// applied: every commit has to name them to the next owner. announced is false if
// some of them wait for a commit that does.
func (l *Lane) Controls(at Position) (users []string, announced bool) {
	announced = true
	l.exposed = slices.DeleteFunc(l.exposed, func(p *pending) bool { return p.doubt != nil && !p.doubt.open })
	for _, p := range l.exposed {
		if p.change.Position.SamePartition(at) {
			users = append(users, p.change.User)
		}
	}
	if !l.blame.held {
		return users, true
	}
	for _, p := range l.control {
		if p.change.Position.SamePartition(at) {
			users = append(users, p.change.User)
			announced = announced && p.announced
		}
	}
	return users, announced
}

// Announced notes that a commit was accepted that names these users, who were
// taken from Controls; since then no other may have been sent for their partition.
func (l *Lane) Announced(users []string) {
	if !l.blame.held {
		return // the next commit does not name them
	}
	for _, p := range l.control {
		if slices.Contains(users, p.change.User) {
			p.announced = true
		}
	}
}

// unannounce notes that the lane is not held any more: commits cease to name those
// to whom no call was made.
func (l *Lane) unannounce() {
	for _, p := range l.control {
		p.announced = false
	}
}

// nextControl returns the newest payload that may be repeated now, if it is the
// control call's turn among the probes. When nobody is left to be tried, letters
// may still wait for the lane to be let go.
func (l *Lane) nextControl(now time.Time) *pending {
	b := &l.blame
	if !b.held || l.active > 0 && !b.turn || l.active == 0 && l.release.waiting == 0 {
		return nil
	}
	l.control = slices.DeleteFunc(l.control, func(p *pending) bool { return l.overtaken(&p.change) })
	i := slices.IndexFunc(l.control, func(p *pending) bool {
		u := l.users[p.change.User]
		return p.announced && !l.withholds(p.change.Position) && (u == nil || !u.ambiguity.fences(now))
	})
	if i < 0 {
		return nil
	}
	return l.control[i]
}

// expose gives a remembered payload the slot of its user, to be sent at once. That
// user has nothing newer, or the payload would be forgotten.
func (l *Lane) expose(remembered *pending) *user {
	l.m.Lane.ControlCalls.Inc()
	p := *remembered
	u := l.users[p.change.User]
	if u == nil {
		u = &user{id: p.change.User, at: p.change.Position}
		l.users[u.id] = u
	}
	u.cur = &p
	l.exposed = append(l.exposed, u.cur)
	return u
}

// endControl frees the user's slot. Probes go one at a time, so there is one call
// at most without a doubt; and of those that share a doubt the last is enough.
func (l *Lane) endControl(now time.Time, u *user) {
	p := u.cur
	l.exposed = slices.DeleteFunc(l.exposed, func(o *pending) bool { return o.doubt == p.doubt })
	if p.doubt != nil {
		l.exposed = append(l.exposed, p)
	}
	u.cur = nil
	l.become(u, idle)
	l.promote(now, u)
}
