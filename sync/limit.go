package sync

import (
	"math"
	"time"

	"golang.org/x/time/rate"
)

// limit is how many requests a second may be made. A call takes the place of one
// when it starts, and those of further ones at its end: the next calls wait for
// these. The configured rate is the upper bound; a destination that answers "too many" brings it down by a third, once
// for all calls that were under way, and every success lets it grow again, by
// about one call a second each second.
type limit struct {
	max    float64 // requests a second, this process's share; 0: none
	now    float64 // the rate in force; 0: none
	bucket *rate.Limiter

	cut    moment // calls started before it were sent at the old rate
	cutAt  time.Time
	paused time.Time // no call starts before it
	pause  func() time.Duration

	window time.Time // start of the second in which requests are counted
	count  int
	seen   float64 // requests in the last full second: where to start when nothing was configured
}

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
	if start < l.cut {
		return
	}
	l.cut, l.cutAt = end, now
	from := l.now
	if from == 0 {
		from = max(l.seen, float64(l.count), 1)
	}
	l.set(now, max(from*2/3, 0.1))
}

// succeeded lets the rate grow.
func (l *limit) succeeded(now time.Time) {
	l.pause = nil
	if l.now == l.max {
		return
	}
	if l.max == 0 && l.now > 2*l.seen && now.Sub(l.cutAt) > time.Minute {
		l.set(now, 0) // it has not mattered for a while, and nobody configured one
		return
	}
	r := l.now + min(1/l.now, 1)
	if l.max > 0 && r > l.max {
		r = l.max
	}
	l.set(now, r)
}
