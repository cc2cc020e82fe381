package sync

import (
	"slices"
	"time"
)

// Drop forgets what waits: the partitions are revoked, and whoever owns them
// next reads it all again. No call may be in flight. What is known of failing
// users and of the destination stays.
func (l *Lane) Drop() {
	for id, u := range l.users {
		if u.cur != nil {
			l.m.Lane.Deliveries.Dropped.Inc()
		}
		if u.fault == nil {
			delete(l.users, id)
			continue
		}
		l.users[id] = &user{id: id, at: u.at, fault: u.fault}
	}
	l.fresh, l.repeats, l.again, l.gathering, l.alarms = fifo{}, fifo{}, fifo{}, nil, nil
	clear(l.parked)
	l.awaiting = fifo{}
	l.control, l.exposed = nil, nil
	l.active, l.bytes, l.open = 0, 0, 0
	l.release = release{Release: l.release.Release, written: l.release.written, failing: l.release.failing}
	l.bad, l.unmapped = newUndecodable(), newUnmapped()
	l.blame.probing = false
	l.throttled = time.Time{}
}

// Retain forgets the users of partitions that are not owned any more.
func (l *Lane) Retain(owned func(Position) bool) {
	for id, u := range l.users {
		if u.cur == nil && !owned(u.at) {
			l.forgive(u)
			delete(l.users, id)
		}
	}
}

// Forget drops what waits of one partition, whose records can not be read any
// more. A call or a letter on its way ends, but whatever becomes of it, it is not
// repeated: at the place of its record may be another user's by now.
func (l *Lane) Forget(at Position) {
	for _, u := range l.users {
		if !u.at.SamePartition(at) {
			continue
		}
		for _, d := range u.ambiguity.open() {
			d.open = false
			l.open--
		}
		if a := u.ambiguity; a != nil {
			a.doubts, a.last, a.proof = nil, nil, nil // an alarm may still ring for u
		}
		l.drop(&u.next)
		switch u.state {
		case calling:
			u.cur.dropped = true
			continue
		case writing:
			u.letter.dropped = true
			continue
		default: // nothing of it is under way
		}
		l.abandon(u)
		l.forget(u)
	}
	l.control = slices.DeleteFunc(l.control, func(p *pending) bool { return p.change.Position.SamePartition(at) })
	l.bad.forget(at, &l.release)
	delete(l.unmapped.newest, partition{at.Topic, at.Partition})
}

// drop takes a change out without a settlement. Its places stay held: what it
// stands for of another partition has to be read again.
func (l *Lane) drop(p **pending) {
	if *p != nil {
		l.bytes -= (*p).heap
		l.m.Lane.Deliveries.Dropped.Inc()
		*p = nil
	}
}

// abandon drops u's current change, with its letter.
func (l *Lane) abandon(u *user) {
	l.withdraw(u)
	l.forgive(u)
	l.drop(&u.cur)
	l.become(u, idle)
}

// Observe shows how the lane stands. It looks at every user that waits.
func (l *Lane) Observe(now time.Time) {
	m := l.m.Lane
	var waiting, backoff, withheld, awaits int
	var oldest time.Time
	for _, u := range l.users {
		if u.cur == nil || u.cur.control {
			continue
		}
		if u.state != calling {
			waiting++
		}
		switch u.state {
		case resting:
			backoff++
		case parked:
			withheld++
		case awaiting:
			awaits++
		default: // it has its turn, or is counted elsewhere
		}
		if s := u.cur.source; !s.IsZero() && (oldest.IsZero() || s.Before(oldest)) {
			oldest = s
		}
	}
	m.QueueUsers.Set(float64(waiting))
	m.BackoffUsers.Set(float64(backoff))
	m.WithheldUsers.Set(float64(withheld))
	m.AwaitingUsers.Set(float64(awaits))
	m.GatheringUsers.Set(float64(l.gathers()))
	m.UnmappedUsers.Set(float64(l.unmapped.count))
	m.QueueBytes.Set(float64(l.bytes))
	m.InFlight.Set(float64(l.inflight))
	m.AmbiguousUsers.Set(float64(l.open))
	m.RateLimit.Set(l.limit.now)
	state, _ := l.State(now)
	m.SetState(state)
	l.m.DeadLetters.Waiting.Set(float64(l.release.waiting))
	l.m.DeadLetters.Undecodable.Set(float64(l.bad.records))
	l.m.DeadLetters.Latched.Set(0)
	if l.release.latched {
		l.m.DeadLetters.Latched.Set(1)
	}
	if oldest.IsZero() {
		l.m.Events.OldestPending.Set(0)
	} else {
		l.m.Events.OldestPending.Set(float64(oldest.UnixMilli()) / 1000)
	}
}
