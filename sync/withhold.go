package sync

import "time"

// Withhold makes the changes of a partition wait while f reports true of it. It is asked
// when the turn of one comes, and by each Next from then on. A change that waits so is
// not active, for it cannot be called: it is nobody to compare with, and in no backoff.
//
// A control call is not among them: it is not begun while f withholds it, since between
// its exposure and its start nothing may come.
func (l *Lane) Withhold(f func(Position) bool) { l.withheld = f }

func (l *Lane) withholds(at Position) bool { return l.withheld != nil && l.withheld(at) }

// Busy reports whether any user is on the way to a call, or in one.
func (l *Lane) Busy() bool { return l.active > 0 }

// Starved reports whether a call could be made if there were a user for it: nothing but
// that keeps the lane from it, and nobody is ready. On a held lane those don't count whom
// it has tried: they may fail for their own sake, and then all wait for somebody else.
// While users await more trust, which is not for long, they are whom it lacks.
func (l *Lane) Starved(now time.Time) bool {
	if l.paused || l.trust == Awaited || l.inflight >= l.cfg.Concurrency || l.limit.wait(now) > 0 {
		return false
	}
	return l.untried() == 0 && (l.blame.held || l.again.len() == 0)
}

// Withheld is about how many users of at's partition wait so.
func (l *Lane) Withheld(at Position) int {
	if q := l.parked[partition{at.Topic, at.Partition}]; q != nil {
		return q.len()
	}
	return 0
}

// park has u wait for its partition.
func (l *Lane) park(u *user) {
	l.become(u, parked)
	at := u.cur.change.Position
	p := partition{at.Topic, at.Partition}
	if l.parked[p] == nil {
		l.parked[p] = new(fifo)
	}
	l.parked[p].push(u)
}

// unpark lets those take their turn, in their order, whose partition does not withhold
// them any more.
func (l *Lane) unpark() {
	for p, q := range l.parked {
		if l.withholds(Position{Topic: p.topic, Partition: p.id}) {
			continue
		}
		delete(l.parked, p)
		for u := q.pop(); u != nil; u = q.pop() {
			if u.state == parked { // else it was dropped, or has a change of another partition
				l.enqueue(u)
			}
		}
	}
}
