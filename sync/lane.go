package sync

import (
	"errors"
	"time"

	"usersync/metrics"
	"usersync/sync/sabotage"
)

// Mapper makes the payload of a change. Its error is an *InvalidError. A delete that
// needs no call has one without a body.
type Mapper interface {
	Payload(c *Change) (Payload, []Omission, error)
}

// LaneConfig is what a lane needs to know.
type LaneConfig struct {
	Mapper      Mapper
	Concurrency int           // calls in flight
	Timeout     time.Duration // of a call
	Retry       Retry
	Release     Release
	Metrics     *metrics.Destination
	Delivered   Delivered // nil: nothing is remembered
}

// Lane is the way of changes to one destination. The newest change of each user
// waits; at most one of each user is in flight. It is a state machine without
// goroutines: one loop puts changes in (Submit, Undecodable), takes calls and
// letters out (Next, Letter) and brings back what became of them (Done,
// Written). None of its methods may be called concurrently.
//
// A lane lives as long as its process. On revoke, Drop forgets what waits, but
// not who had failed how often, nor that the destination is in trouble.
type Lane struct {
	cfg LaneConfig
	m   *metrics.Destination

	users     map[string]*user
	fresh     fifo                // never tried since they arrived
	repeats   fifo                // the same, and repeated by an operator
	again     fifo                // tried before
	turn      int                 // which of the three is next
	gathering map[partition]*fifo // to be fresh when more is read: see gather.go
	alarms    alarms
	inflight  int
	paused    bool // by an operator
	withheld  func(Position) bool
	parked    map[partition]*fifo // whose turn came while that withholds their change
	trust     Trust
	awaiting  fifo // whose change waits for more of that
	active    int  // users with a change to deliver: ready, resting or calling
	bytes     int
	open      int // doubts
	tick      moment
	// throttled is since when only the limiter keeps a call from starting; zero
	// when it does not.
	throttled time.Time

	blame    blame
	limit    *limit
	release  release
	bad      undecodable
	unmapped unmappedUsers
	control  []*pending // the last delivered payloads, newest first, of different users
	exposed  []*pending // control calls that are in flight or in doubt: see control.go
}

// NewLane returns an empty lane.
func NewLane(cfg LaneConfig) *Lane {
	if cfg.Delivered == nil {
		cfg.Delivered = nothingDelivered{}
	}
	l := &Lane{cfg: cfg, m: cfg.Metrics, users: make(map[string]*user), parked: make(map[partition]*fifo), limit: newLimit(), bad: newUndecodable(), unmapped: newUnmapped()}
	l.release.Release = cfg.Release
	l.blame.newPace = l.probePace
	return l
}

func (l *Lane) probePace() func() time.Duration { return l.cfg.Retry.pace(longestProbe) }

func (l *Lane) moment() moment {
	l.tick++
	return l.tick
}

// SetRate sets how many calls may start in a second; 0 means no limit.
func (l *Lane) SetRate(now time.Time, perSecond float64) { l.limit.setMax(now, perSecond) }

// Bytes is the heap that waiting changes occupy.
func (l *Lane) Bytes() int { return l.bytes }

// InFlight is how many calls were taken with Next and not yet brought back.
func (l *Lane) InFlight() int { return l.inflight }

// Submit puts a change in, whose record is at that place. sent is what is known of
// a former owner of its partition. A change that an operator has sent once more comes
// after the row's own record: only then is known what it leaves out.
func (l *Lane) Submit(now time.Time, c Change, at Place, sent Sent) {
	if c.Op == Upsert {
		l.bad.decoded(now, c.evidence(), &l.release)
	}
	if l.stale(&c, at) {
		l.m.Lane.Deliveries.Stale.Inc()
		l.pass(now, c, at, sent)
		return
	}
	if l.passes(now, &c, at, sent) {
		return
	}
	if c.Force {
		l.distrust(c.User, c.Position, CauseResync)
	}
	u := l.user(c.User)
	older := u.newest()
	if older != nil && older.change.Position.SamePartition(c.Position) && !c.newerThan(&older.change) {
		l.m.Events.Stale.Inc() // ordered by position, not by arrival
		l.pass(now, c, at, sent)
		return
	}
	if u.at.Topic != "" && !u.at.SamePartition(c.Position) {
		l.m.Lane.PartitionConflicts.Inc()
		l.distrust(c.User, u.at, CauseConflict)
		l.distrust(c.User, c.Position, CauseConflict)
		if l.overtaken(&c) { // it is seen by that; it must not take the place of what waits
			l.m.Lane.Deliveries.Stale.Inc()
			l.pass(now, c, at, sent)
			return
		}
	}
	u.at = c.Position
	l.forgetControl(c.User)
	if older == nil {
		// What c leaves out is at the destination, but a payload in doubt may take it
		// back, and then c is what is sent once more.
		older = u.ambiguity.newest()
	}
	if older != nil {
		c.fillFrom(&older.change)
	}
	p := &pending{change: c, places: []Place{at}, heap: c.Heap(), since: now, source: c.Source}
	if p.repeat = at.repeats(&c); p.repeat {
		p.source = time.Time{} // when the row changed says nothing of how late the destination is
	}
	if sent.Possibly {
		l.inherit(now, u, p, sent)
	}
	if l.skipsAtOnce(now, u, p) {
		p.release()
		l.forget(u)
		return
	}
	l.arrive(u, p)
}

// user returns what is known of a user, and begins it if nothing is.
func (l *Lane) user(id string) *user {
	u := l.users[id]
	if u == nil || sabotage.On(sabotage.TwoInFlight) {
		u = &user{id: id}
		l.users[id] = u
	}
	return u
}

// pass lets c go by, since something newer is known. If c is repeated by an operator,
// a former owner may have sent it after that. If it is the newest of those that are
// Settled, it was delivered, and an attempt before that may still be applied: of the same
// payload, which is another one than that of the partition to which its user has moved.
func (l *Lane) pass(now time.Time, c Change, at Place, sent Sent) {
	v := l.cfg.Delivered.Known(c.User, c.Position)
	if !sent.Possibly || !at.repeats(&c) && (!v.Settled || c.Position.Offset != v.Offset) {
		at.Hold.Release()
		return
	}
	u := l.user(c.User)
	if u.at.Topic == "" {
		u.at = c.Position
	}
	p := &pending{change: c, places: []Place{at}}
	l.inherit(now, u, p, sent)
	p.release()
	l.forget(u)
}

// arrive puts p where it belongs: in the place of the waiting change, behind
// the one in flight or being judged, or at the end of the queue.
func (l *Lane) arrive(u *user, p *pending) {
	l.bytes += p.heap
	if u.next != nil { // it is older than p, whichever place p gets
		l.supersede(u.next, p)
		u.next = nil
	}
	switch {
	case u.cur == nil:
		u.cur = p
		l.enqueue(u)
	case l.replaceable(u, p):
		behind, moved := u.cur.repeat && !p.repeat, !u.cur.change.Position.SamePartition(p.change.Position)
		l.replace(u, p)
		switch u.state {
		case ready:
			if behind { // else it keeps its turn, which may be behind a resync of all users
				l.queue(u)
			}
		case eligible:
			l.release.pardon(u.letter)
			l.enqueue(u)
		case unmapped:
			l.enqueue(u)
		case parked:
			if moved { // to a partition that may not be withheld
				l.enqueue(u)
			}
		case awaiting:
			l.enqueue(u) // the newer one may need a call
		default: // it keeps its turn
		}
	default:
		u.next = p
	}
}

// replaceable reports whether p may take the place of u's current change now.
func (l *Lane) replaceable(u *user, p *pending) bool {
	switch u.state {
	case calling, writing:
		return false
	case eligible: // it waits for release, which a user that keeps changing must not put off for ever
		return p.change.Op == Delete || l.release.latched
	case unmapped: // there is nothing to judge
		return true
	default:
		// A change that was never tried holds nothing up, for the newer one keeps its
		// turn. It may be an old one, read again after a rebalance.
		return p.change.Op == Delete || !l.frozen(u) || u.cur.attempts == 0
	}
}

// replace lets p stand for u's current change, which keeps its turn.
func (l *Lane) replace(u *user, p *pending) {
	l.supersede(u.cur, p)
	u.cur = p
}

// overtake puts the newer change of u, if there is one, in the place of the
// current one.
func (l *Lane) overtake(u *user) {
	if p := u.next; p != nil {
		u.next = nil
		l.replace(u, p)
	}
}

// supersede lets p stand for older as well.
func (l *Lane) supersede(older, p *pending) {
	l.bytes -= older.heap
	p.absorb(older)
	l.m.Events.Coalesced.Inc()
}

// Undecodable notes a record, written at that time, that no decoder understands.
func (l *Lane) Undecodable(at Position, written time.Time, code string, hold Hold) {
	l.bad.add(evidence{at, written}, code, hold, &l.release)
}

// enqueue makes u ready: its change takes its turn.
func (l *Lane) enqueue(u *user) {
	l.become(u, ready)
	switch {
	case u.cur.attempts > 0:
		l.again.push(u)
	case u.cur.repeat:
		l.repeats.push(u)
	default:
		l.queue(u)
	}
}

// untried is about how many users are ready whose change was never tried, and queued how
// many are in all.
func (l *Lane) untried() int { return l.fresh.len() + l.repeats.len() }
func (l *Lane) queued() int  { return l.untried() + l.again.len() }

// rest puts u's change off until due.
func (l *Lane) rest(u *user, due time.Time) {
	l.become(u, resting)
	u.due = due
	l.alarms.set(due, u)
}

func (l *Lane) become(u *user, s state) {
	l.active += s.active() - u.state.active()
	if u.state == unmapped {
		l.unmapped.remove(u)
	}
	u.state = s
}

func (s state) active() int {
	if s == ready || s == resting || s == calling {
		return 1
	}
	return 0
}

// ring wakes the users whose time has come.
func (l *Lane) ring(now time.Time) {
	for u := l.alarms.due(now); u != nil; u = l.alarms.due(now) {
		if u.state == resting && !u.due.After(now) {
			l.enqueue(u)
		}
		l.endDoubts(now, u)
	}
}

// Wake returns when the lane may have something to do although nothing new
// comes in; zero for never.
func (l *Lane) Wake(now time.Time) time.Time {
	wake := l.alarms.next()
	if !l.blame.held {
		wake = earliest(wake, l.release.wake())
	}
	if l.paused {
		return wake
	}
	if l.release.latched {
		wake = earliest(wake, l.release.retryAt)
	}
	if l.queued() == 0 && l.nextControl(now) == nil || l.inflight >= l.cfg.Concurrency {
		return wake
	}
	start := now.Add(l.limit.wait(now))
	if l.blame.held {
		if l.blame.probing {
			return wake
		}
		if l.blame.probeAt.After(start) {
			start = l.blame.probeAt
		}
	}
	return earliest(wake, start)
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// settle ends u's current change: it needs no further call.
func (l *Lane) settle(now time.Time, u *user) {
	l.bytes -= u.cur.heap
	l.withdraw(u)
	u.cur.release()
	u.cur = nil
	l.become(u, idle)
	l.promote(now, u)
}

// promote makes u's newer change the current one.
func (l *Lane) promote(now time.Time, u *user) {
	if u.next != nil {
		u.cur, u.next = u.next, nil
		l.enqueue(u)
	}
	l.endDoubts(now, u)
	l.forget(u)
}

// forget drops a user of whom nothing has to be known.
func (l *Lane) forget(u *user) {
	if u.cur == nil && len(u.ambiguity.open()) == 0 && u.fault == nil {
		delete(l.users, u.id)
	}
}

// asCallError reads the outcome of a call.
func asCallError(err error) *CallError {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*CallError](err); ok {
		return e
	}
	return &CallError{Verdict: Failed, Code: "internal", Ambiguous: true}
}
