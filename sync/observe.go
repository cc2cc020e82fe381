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
		if u.fault.failed == 0 {
			delete(l.users, id)
			continue
		}
		l.users[id] = &user{id: id, at: u.at, fault: u.fault}
	}
	l.fresh, l.again, l.alarms = fifo{}, fifo{}, nil
	l.control, l.exposed = nil, nil
	l.active, l.bytes, l.open = 0, 0, 0
	l.release = release{Release: l.release.Release, written: l.release.written, failing: l.release.failing}
	l.bad = newUndecodable()
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
// more. Calls in flight end as usual.
func (l *Lane) Forget(at Position) {
	for id, u := range l.users {
		if !u.at.SamePartition(at) || u.state == calling || u.state == writing {
			continue
		}
		if u.letter != nil {
			l.release.remove(u.letter)
		}
		for _, p := range []*pending{u.cur, u.next} {
			if p != nil {
				l.bytes -= p.heap
				l.m.Lane.Deliveries.Dropped.Inc()
			}
		}
		for _, d := range u.doubts {
			d.open = false
			l.open--
		}
		u.cur, u.next, u.last, u.doubts = nil, nil, nil, nil // an alarm may still ring for u
		l.become(u, idle)
		l.forgive(u)
		delete(l.users, id)
	}
	l.control = slices.DeleteFunc(l.control, func(p *pending) bool { return p.change.Position.SamePartition(at) })
	l.bad.forget(at, &l.release)
}

// Observe shows how the lane stands. It looks at every user that waits.
func (l *Lane) Observe(now time.Time) {
	m := l.m.Lane
	var waiting, backoff int
	var oldest time.Time
	for _, u := range l.users {
		if u.cur == nil || u.cur.control {
			continue
		}
		if u.state != calling {
			waiting++
		}
		if u.state == resting {
			backoff++
		}
		if s := u.cur.source; !s.IsZero() && (oldest.IsZero() || s.Before(oldest)) {
			oldest = s
		}
	}
	m.QueueUsers.Set(float64(waiting))
	m.BackoffUsers.Set(float64(backoff))
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
