package sync

import (
	"math"
	"time"

	"golang.org/x/time/rate"
)

// limit is how many requests a second may be made. A call takes the place of one
// when it starts, and those of further ones at its end: the next calls wait for
// these.
//
// The configured rate is the upper bound. Below it the rate follows a destination that
// answers "too many", once for all calls that were under way, along the curve by which
// TCP follows a network (CUBIC, RFC 9438): down by a part, fast back to near where it
// was too much, slowly past that, and then faster and faster for as long as nobody
// minds; past it steeper than TCP, since vendors lift their limits at once. The curve has
// no unit: it is the same for five a second and for five hundred.
//
//	rate
//	wall |      x               _ - ` x            x  429
//	     |      |        _ - `        |     _ -
//	     |      |    .`               |  .`
//	     |      | /                   |/
//	     +------+------ recovery -----+--------------- time
//
// After an outage nobody has said how much is too much, so there is no wall: the rate
// begins small, and each success allows one more.
type limit struct {
	max    float64 // requests a second, this process's share; 0: none
	now    float64 // the rate in force; 0: none
	bucket *rate.Limiter

	cut    moment    // calls started before it were sent at the old rate
	wall   float64   // the rate that was too much; 0: none was; infinite: it begins again after an outage
	flowed bool      // a call started since the cut has succeeded
	since  time.Time // it may grow
	paused time.Time // no call starts before it
	pause  func() time.Duration

	window time.Time // start of the second in which requests are counted
	count  int       // of those that were not refused
	seen   float64   // the same in the last full second
}

const (
	// backTo is the part of a rate that is left when it was too much.
	backTo = 0.85
	// recovery is how long it takes to be back at it. A shorter one would be refused
	// more often, a longer one use less of what is allowed.
	recovery = 15 * time.Second
	// restart is the rate with which calls begin again after an outage. From a smaller
	// one, a destination that still fails now and then would fail twice in a row, and be
	// held anew, before the rate has grown.
	restart = 10
)

func newLimit() *limit { return &limit{bucket: rate.NewLimiter(rate.Inf, 1)} }

// setMax changes the upper bound; 0 means none.
func (l *limit) setMax(now time.Time, r float64) {
	if r == l.max {
		return
	}
	throttled := l.now != l.max
	l.max = r
	if !throttled || r > 0 && l.now > r {
		l.set(now, r)
	}
}

func (l *limit) set(now time.Time, r float64) {
	l.now = r
	if r == 0 {
		l.bucket.SetLimitAt(now, rate.Inf)
		return
	}
	l.bucket.SetLimitAt(now, rate.Limit(r))
	l.bucket.SetBurstAt(now, max(1, int(math.Ceil(r/10)))) // 100 ms worth: smooth, and no rounding loss
}

// wait returns how long the next call has to wait; 0: it may start.
func (l *limit) wait(now time.Time) time.Duration {
	pause := max(l.paused.Sub(now), 0)
	if l.now == 0 {
		return pause
	}
	missing := 1 - l.bucket.TokensAt(now)
	if missing <= 1e-9 {
		return pause
	}
	return max(pause, time.Duration(missing/l.now*float64(time.Second)).Round(time.Microsecond)+time.Microsecond)
}

// start takes the place of one call.
func (l *limit) start(now time.Time) {
	if now.Sub(l.window) >= time.Second {
		l.seen, l.count, l.window = float64(l.count), 0, now
	}
	l.count++
	l.bucket.AllowN(now, 1)
}

// more takes the places of n further requests that a call has made.
func (l *limit) more(now time.Time, n int) {
	for range n {
		l.count++
		l.bucket.ReserveN(now, 1) // unlike AllowN also beyond what is there
	}
}

// throttled notes an answer that asked for fewer calls, of a call begun at start.
func (l *limit) throttled(now time.Time, start, end moment, after time.Duration, pace func() func() time.Duration) {
	if after <= 0 {
		if l.pause == nil {
			l.pause = pace()
		}
		if start >= l.cut {
			after = l.pause()
		}
	}
	if until := now.Add(after); until.After(l.paused) {
		l.paused = until
	}
	l.count = max(l.count-1, 0)
	if start < l.cut {
		return
	}
	l.cut, l.since = end, l.paused
	from := l.now
	if from == 0 { // nobody has said how much is too much; what was not refused tells
		from = max(l.seen, float64(l.count), 1)
	}
	// As long as it refuses everything that says nothing of the rate.
	if l.flowed || l.wall == 0 {
		l.wall = from
	}
	l.flowed = false
	l.set(now, min(from, max(from*backTo, 0.1)))
}

// recovered notes that an outage is over: from now on whoever waited meanwhile is called, and
// a destination that has just come back should not meet all of them at once. Within five
// seconds of successes it is a thousand a second, if that is allowed.
func (l *limit) recovered(now time.Time, end moment) {
	if l.now == l.max {
		l.wall = math.Inf(1)
	}
	if l.now == 0 || l.now > restart {
		l.set(now, restart)
	}
	l.cut, l.since, l.flowed = end, now, false
}

// succeeded notes a call begun at start that was not refused, and lets the rate grow.
func (l *limit) succeeded(now time.Time, start moment) {
	if start < l.cut {
		return
	}
	l.pause, l.flowed = nil, true
	if l.now == l.max {
		return
	}
	idle := time.Minute
	if math.IsInf(l.wall, 1) {
		idle = recovery // it was not the rate that was at fault
	}
	if l.max == 0 && l.now > 2*l.seen && now.Sub(l.since) > idle {
		l.wall = 0
		l.set(now, 0) // it has not mattered for a while, and nobody configured one
		return
	}
	left := 1 - max(now.Sub(l.since).Seconds(), 0)/recovery.Seconds()
	bend := 1 - backTo
	if left < 0 {
		bend = 1 // twice the rate after as long again, 28 times after a minute
	}
	curve := l.wall * (1 - bend*left*left*left)
	// From far below, as after a time in which everything was refused, each success
	// allows one more: that doubles the rate in less than a second.
	r := max(l.now, min(curve, l.now+1))
	if l.max > 0 && r > l.max {
		r = l.max
	}
	l.set(now, r)
}
