package sync

import (
	"time"

	"usersync/metrics"
	"usersync/sync/sabotage"
)

// Call is one call to make: the lane wants to know what became of it.
type Call struct {
	Payload  Payload
	Position Position // of the change
	Started  time.Time
	// Probe says that the lane is held: the credentials are to be read again first.
	Probe bool
	// Requests is how many the call took: whoever made it says so before Done. Next
	// counted one.
	Requests int

	user    *user
	pending *pending
	start   moment
}

// Next returns the call to start now, or nil if there is none. The caller
// brings it back with Done.
func (l *Lane) Next(now time.Time) *Call {
	l.ring(now)
	l.unpark()
	l.retry(now)
	if l.paused || l.inflight >= l.cfg.Concurrency {
		l.throttle(now, false)
		return nil
	}
	waits := l.limit.wait(now) > 0
	if l.throttle(now, waits && l.queued() > 0); waits {
		return nil
	}
	if l.blame.held {
		return l.probe(now)
	}
	for u := l.pop(false); u != nil; u = l.pop(false) {
		if c := l.start(now, u); c != nil {
			return c
		}
	}
	return nil
}

// throttle counts the time in which only the limiter kept a call from starting.
func (l *Lane) throttle(now time.Time, waits bool) {
	if !l.throttled.IsZero() && now.After(l.throttled) {
		l.m.Lane.ThrottleWait.Add(now.Sub(l.throttled).Seconds())
	}
	l.throttled = time.Time{}
	if waits {
		l.throttled = now
	}
}

// pop takes the next ready user. The queues take turns: those who fail again and
// again must not starve the others, nor the other way round; and behind all users,
// whom an operator has sent once more, neither a new change may wait nor the second
// attempt of one. On a held lane those go first who were never tried: what failed
// before may fail for its own sake.
func (l *Lane) pop(held bool) *user {
	queues, from := [...]*fifo{&l.fresh, &l.repeats, &l.again}, l.turn
	if held {
		from = 0
	}
	for i := range queues {
		n := (from + i) % len(queues)
		for u := queues[n].pop(); u != nil; u = queues[n].pop() {
			if u.state == ready {
				l.turn = n + 1
				return u
			}
		}
	}
	return nil
}

// probe returns the next call of a held lane: one at a time, further and
// further apart.
func (l *Lane) probe(now time.Time) *Call {
	b := &l.blame
	if b.probing || b.probeAt.After(now) {
		return nil
	}
	for {
		var u *user
		if p := l.nextControl(now); p != nil && l.untried() == 0 {
			u = l.expose(p)
		} else if u = l.pop(true); u == nil {
			return nil
		}
		b.turn = !b.turn
		if c := l.start(now, u); c != nil {
			c.Probe, b.probing = true, true
			return c
		}
	}
}

// start begins the attempt whose turn it is, unless the change needs no call,
// must wait, or is given up.
func (l *Lane) start(now time.Time, u *user) *Call {
	p := u.cur
	if !p.control && l.withholds(p.change.Position) {
		l.park(u)
		return nil
	}
	if p.attempts == 0 && !p.confirm && !p.control && l.overtaken(&p.change) { // as it waited: another state was loaded
		l.m.Lane.Deliveries.Stale.Inc()
		l.forgive(u)
		l.settle(now, u)
		return nil
	}
	if p.change.Op == Delete && l.endsHere(now, u) {
		return nil
	}
	if a := u.ambiguity; a.fences(now) && a.unsure != p {
		l.rest(u, a.fence)
		return nil
	}
	if reason := l.judge(now, u); reason != "" {
		l.giveUp(now, u, reason, u.fault.code, u.fault.field)
		return nil
	}
	if !l.payload(now, u) {
		return nil
	}
	if l.trust == Awaited && l.needless(u, p, p.body) {
		l.await(u)
		return nil
	}
	if l.trust == Trusted && l.skip(u, p, p.body) {
		l.settle(now, u)
		return nil
	}
	if p.attempts == 0 && !p.control {
		l.m.Lane.QueueWait.Observe(now.Sub(p.since).Seconds())
	}
	if sabotage.On(sabotage.ReleaseEarly) {
		p.release()
	}
	p.attempts++
	l.become(u, calling)
	l.inflight++
	l.limit.start(now)
	return &Call{Payload: Payload{User: u.id, Body: p.body}, Position: p.change.Position, Started: now, user: u, pending: p, start: l.moment()}
}

// endsHere settles u's change, a delete, if it needs no call.
func (l *Lane) endsHere(now time.Time, u *user) bool {
	p := u.cur
	if payload, _, err := l.cfg.Mapper.Payload(&p.change); err != nil || payload.Body != nil {
		return false
	}
	if u.ambiguity != nil {
		u.ambiguity.last = nil // nothing is wanted of this user any more
	}
	l.forgive(u)
	if !l.skip(u, p, nil) {
		l.m.Lane.Deliveries.Nothing.Inc()
		l.reached(u, p)
	}
	l.settle(now, u)
	return true
}

// Done brings a call back. err is nil, or what the destination said.
func (l *Lane) Done(now time.Time, c *Call, err error) {
	u, p, end := c.user, c.pending, l.moment()
	l.inflight--
	l.limit.more(now, c.Requests-1)
	if c.Probe {
		l.blame.probing = false
	}
	e := asCallError(err)
	if e != nil && c.Probe {
		l.blame.probed(now)
	}
	if e != nil && !e.Unsent {
		l.attempted(u, p)
	}
	if e != nil && e.Ambiguous {
		l.unsure(now, u, p, e.Code)
	}
	if e != nil && e.Throttled {
		l.limit.throttled(now, c.start, end, e.RetryAfter, l.probePace)
	}
	switch {
	case e == nil:
		l.delivered(now, c)
	case p.control:
		l.endControl(now, u)
	case p.dropped:
		l.abandon(u)
		l.promote(now, u)
	case e.Unsent || e.Throttled:
		p.attempts--
		l.succeed(u)
		l.enqueue(u)
	default:
		l.failed(now, c, end, e)
	}
	l.m.Lane.Attempts.Of(label(e)).Inc()
	if e != nil {
		l.note(now, e)
		l.endDoubts(now, u)
	}
}

// note remembers a call that failed for whoever looks why. What the process gave up
// by itself says nothing of the destination.
func (l *Lane) note(now time.Time, e *CallError) {
	what := e.Verdict.String()
	switch {
	case e.Throttled:
		what = metrics.StateThrottled
	case e.Unsent:
		return
	}
	l.m.Failures.Note(now, what, e.Code, e.Field)
}

func label(e *CallError) string {
	switch {
	case e == nil:
		return OK.String()
	case e.Unsent:
		return "unsent"
	default:
		return e.Verdict.String()
	}
}

// unsure notes that the outcome of an attempt of p is unknown: what is newer
// waits for at least the length of a call, and p's payload may be applied later.
func (l *Lane) unsure(now time.Time, u *user, p *pending, code string) {
	l.m.Lane.Ambiguous.Of(code).Inc()
	a := u.ambiguous()
	a.fence, a.unsure = now.Add(l.cfg.Timeout), p
	if p.control {
		a.last = p // what the destination held before: only something newer is worth a confirm call
		l.alarms.set(a.fence, u)
	}
	p.doubt = l.addDoubt(u, p.body, now.Add(l.cfg.Retry.ConfirmAfter))
}

// delivered notes that the destination holds the change.
func (l *Lane) delivered(now time.Time, c *Call) {
	u, p := c.user, c.pending
	l.limit.succeeded(now, c.start)
	if l.blame.succeeded(u.id, c.start) {
		l.unannounce()
		l.limit.recovered(now, l.moment())
	}
	if tookBack(u.fault, p) {
		l.blame.believed[u.fault.judged] = now.Add(doubted)
		reason := u.fault.judged.String()
		l.reprieve(func(l *Letter) bool { return l.Reason == reason })
	}
	if p.retrial {
		l.reprieve((*Letter).retriable)
	}
	l.forgive(u)
	if p.control {
		l.endControl(now, u)
		return
	}
	l.m.Lane.Deliveries.Delivered.Inc()
	l.m.Lane.LastSuccess.Set(float64(now.UnixMilli()) / 1000)
	if !p.confirm && !p.source.IsZero() {
		l.m.Lane.EventDelivery.Observe(now.Sub(p.source).Seconds())
	}
	if a := u.ambiguity; len(a.open()) > 0 {
		a.last, a.lastAt = p, c.Started
		u.anchor(p)
	}
	l.reached(u, p)
	l.remember(u, p)
	l.settle(now, u)
}

// failed notes a failure that may be the user's or the destination's.
func (l *Lane) failed(now time.Time, c *Call, end moment, e *CallError) {
	u := c.user
	again := u.fault != nil
	if !again {
		u.fault = new(fault)
	}
	f := u.fault
	if f.failures++; f.failures == strikes {
		l.release.failing++
	}
	f.failed, f.weighed = end, false
	f.verdict, f.code, f.field = e.Verdict, e.Code, e.Field
	if e.Verdict != Failed {
		f.body, f.judged = c.Payload.Body, e.Verdict
	}
	if f.pace == nil {
		f.pace = l.cfg.Retry.pace(l.cfg.Retry.Max)
	}
	l.m.Lane.Retries.Of(e.Verdict.String()).Inc()
	l.blame.failed(now, u.id, c.start, end, e, l.active == 1, again)
	delay := f.pace()
	if l.frozen(u) && u.cur.attempts < strikes {
		delay = time.Second
	}
	f.backoff = delay
	l.succeed(u)
	l.rest(u, now.Add(delay))
}

// succeed puts a newer change in the place of one that was not delivered.
func (l *Lane) succeed(u *user) {
	if u.next != nil && (!l.frozen(u) || u.next.change.Op == Delete) {
		l.overtake(u)
	}
}

// State names what keeps the lane from running, as metrics do, and the code of
// the answer, or of the mapping's error, that did it.
func (l *Lane) State(now time.Time) (state, code string) {
	unmapped, why := l.unmapped.state(now, l.cfg.Release.Settle)
	switch {
	case l.paused:
		return metrics.StatePaused, ""
	case l.blame.held:
		return l.blame.reason.String(), l.blame.code
	case l.limit.paused.After(now):
		return metrics.StateThrottled, ""
	case unmapped != "":
		return unmapped, why
	case l.release.latched:
		return metrics.StateLatched, ""
	default:
		return metrics.StateRunning, ""
	}
}
