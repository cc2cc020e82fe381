package sync

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// clockwork is a limit with a clock and a count of moments.
type clockwork struct {
	*limit
	now  time.Time
	tick moment
}

func newClockwork(rate float64) *clockwork {
	c := &clockwork{limit: newLimit(), now: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
	c.setMax(c.now, rate)
	return c
}

func (c *clockwork) moment() moment { c.tick++; return c.tick }

// begin starts a call as soon as it may, and returns its moment.
func (c *clockwork) begin() moment {
	c.now = c.now.Add(c.wait(c.now))
	c.start(c.now)
	return c.moment()
}

// busy notes a 429 for a call begun at start.
func (c *clockwork) busy(start moment, after time.Duration) {
	pace := func() func() time.Duration { return func() time.Duration { return 200 * time.Millisecond } }
	c.throttled(c.now, start, c.moment(), after, pace)
}

// run makes calls that succeed for d and returns how many.
func (c *clockwork) run(d time.Duration) int {
	n := 0
	for until := c.now.Add(d); ; n++ {
		start := c.begin()
		if c.now.After(until) {
			return n
		}
		c.succeeded(c.now, start)
	}
}

func near(got, want float64) bool { return math.Abs(got-want) < 1e-6 }

// TestLimitKeepsItsRate: neither more, which a vendor would notice, nor less,
// which a backlog would.
func TestLimitKeepsItsRate(t *testing.T) {
	for _, r := range []float64{0.5, 3, 20, 777} {
		c := newClockwork(r)
		got := c.run(100 * time.Second)
		if want := int(100 * r); got < want || got > want+max(1, int(math.Ceil(r/10))) {
			t.Errorf("%d calls in 100 s at %v a second", got, r)
		}
	}
}

// TestLimitCountsRequests: a vendor has no notion of a call that takes two.
func TestLimitCountsRequests(t *testing.T) {
	for _, r := range []float64{0.5, 3, 20, 777} {
		c, requests := newClockwork(r), 0
		for until := c.now.Add(100 * time.Second); c.now.Before(until); requests += 2 {
			c.begin()
			c.more(c.now, 1)
		}
		if want := int(100 * r); requests < want || requests > want+2*max(1, int(math.Ceil(r/10))) {
			t.Errorf("%d requests in 100 s at %v a second", requests, r)
		}
	}
}

// TestLimitNeverSpins: after the time that it asked to wait the call may start,
// and that time is never nothing while it may not.
func TestLimitNeverSpins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newClockwork(rapid.SampledFrom([]float64{0, 0.02, 0.1, 1, 20, 333.3, 1e6}).Draw(t, "max"))
		var begun []moment
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			switch rapid.IntRange(0, 6).Draw(t, "step") {
			case 0:
				c.now = c.now.Add(time.Duration(rapid.Int64Range(0, int64(3*time.Second)).Draw(t, "ns")))
			case 1:
				c.setMax(c.now, rapid.SampledFrom([]float64{0, 0.02, 0.1, 7, 1e6}).Draw(t, "new max"))
			case 2:
				if len(begun) > 0 {
					c.busy(rapid.SampledFrom(begun).Draw(t, "call"), time.Duration(rapid.IntRange(0, 2).Draw(t, "s"))*time.Second)
				}
			case 3:
				c.succeeded(c.now, c.moment())
			case 4:
				c.recovered(c.now, c.moment())
			default:
				d := c.wait(c.now)
				least := 0.1
				if c.max > 0 {
					least = min(least, c.max)
				}
				if d < 0 || d > 5*time.Second+time.Duration(float64(time.Second)/least) {
					t.Fatalf("wait for %v", d)
				}
				c.now = c.now.Add(d)
				if again := c.wait(c.now); again != 0 {
					t.Fatalf("wait for %v, then for %v", d, again)
				}
				begun = append(begun, c.begin())
			}
			if c.max > 0 && c.limit.now > c.max || c.limit.now < 0 || math.IsNaN(c.limit.now) {
				t.Fatalf("rate %v of at most %v", c.limit.now, c.max)
			}
		}
	})
}

// TestThrottledOncePerWave: the calls that were under way when the destination
// first said so bring the rate down once, all together.
func TestThrottledOncePerWave(t *testing.T) {
	c := newClockwork(90)
	var wave []moment
	for range 8 {
		wave = append(wave, c.begin())
	}
	for _, start := range wave {
		c.busy(start, 0)
	}
	if !near(c.limit.now, 76.5) {
		t.Errorf("rate %v after one wave, want 76.5", c.limit.now)
	}
	if d := c.wait(c.now); d != 200*time.Millisecond {
		t.Errorf("pause of %v, want that of the backoff, once", d)
	}
	c.busy(c.begin(), 0)
	if !near(c.limit.now, 65.025) {
		t.Errorf("rate %v after the next one, want 65.025", c.limit.now)
	}
}

// TestLeftAlone: the destination is left alone for as long as it asks, by
// whichever of its answers asks for most.
func TestLeftAlone(t *testing.T) {
	c := newClockwork(90)
	first, second := c.begin(), c.begin()
	c.busy(first, 4*time.Second)
	c.busy(second, time.Second)
	if d := c.wait(c.now); d != 4*time.Second {
		t.Errorf("pause of %v, want 4s", d)
	}
	c.succeeded(c.now, second) // of a call that was under way
	if d := c.wait(c.now); d != 4*time.Second {
		t.Errorf("a late success cuts the pause to %v", d)
	}
}

// TestGrowsBack: fast at first, to what is configured and not past it, and in the same
// time whatever that is.
func TestGrowsBack(t *testing.T) {
	for _, r := range []float64{2, 20, 2000} {
		c := newClockwork(r)
		c.busy(c.begin(), 0)
		c.run(recovery / 3)
		if part := c.limit.now / r; part < .94 || part > .97 {
			t.Errorf("%v of %v after a third of the time, want 0.955", c.limit.now, r)
		}
		c.run(recovery)
		if c.limit.now != r {
			t.Errorf("rate %v, want %v, which is configured", c.limit.now, r)
		}
	}
}

// TestGrowsFasterTheLongerNobodyMinds: what was too much once may be far from it later.
func TestGrowsFasterTheLongerNobodyMinds(t *testing.T) {
	c := newClockwork(1000)
	for range 30 {
		c.succeeded(c.now, c.begin())
		c.busy(c.begin(), 0)
	}
	from, last := c.limit.now, 0.0
	for range 6 {
		before := c.limit.now
		c.run(recovery)
		if grown := c.limit.now - before; grown <= last && c.limit.now < 1000 {
			t.Errorf("it grows by %v, after %v", grown, last)
		}
		last = c.limit.now - before
		if before == from {
			last = 0 // back to where it was too much
		}
	}
	if c.limit.now < 10*from {
		t.Errorf("from %v to %v in %v", from, c.limit.now, 6*recovery)
	}
}

// TestBackAfterRefusingEverything: that was no word on the rate, which is soon what it
// was, but not at once.
func TestBackAfterRefusingEverything(t *testing.T) {
	c := newClockwork(90)
	for range 50 {
		c.busy(c.begin(), 0)
	}
	if !near(c.limit.now, 0.1) {
		t.Errorf("rate %v while everything is refused", c.limit.now)
	}
	c.succeeded(c.now, c.begin())
	if !near(c.limit.now, 1.1) {
		t.Errorf("rate %v after one success", c.limit.now)
	}
	c.run(8 * time.Second)
	if c.limit.now < 76.5 {
		t.Errorf("rate %v after 8 s", c.limit.now)
	}
}

// TestBeginsAgainSlowly: after an outage what is allowed is reached within seconds, and
// not at once; and if nobody has said what is, it is soon forgotten that there was a limit.
func TestBeginsAgainSlowly(t *testing.T) {
	for _, r := range []float64{0, 20, 2000} {
		c := newClockwork(r)
		c.recovered(c.now, c.moment())
		c.succeeded(c.now, 0) // it was sent before: it says nothing of how many there may be
		if n := c.run(time.Second); n > 20 {
			t.Errorf("at %v a second: %d calls in the first second", r, n)
		}
		if n := c.run(3 * time.Second); r != 20 && (n < 100 || n > 600) {
			t.Errorf("at %v a second: %d calls in the next three", r, n)
		}
		for n := 0; c.limit.now != r && n < 20_000; n++ { // at most so many a second
			c.succeeded(c.now, c.begin())
			c.now = c.now.Add(time.Millisecond)
		}
		if c.limit.now != r {
			t.Errorf("rate %v in the end, want %v", c.limit.now, r)
		}
	}
}

// TestBeginsAgainBelowTheWall: what a 429 has said counts after an outage too, and one in
// the meantime counts at once.
func TestBeginsAgainBelowTheWall(t *testing.T) {
	c := newClockwork(1000)
	for range 10 {
		c.succeeded(c.now, c.begin())
		c.busy(c.begin(), 0)
	}
	wall := c.wall
	c.recovered(c.now, c.moment())
	if c.run(10 * time.Second); c.limit.now < .9*wall || c.limit.now > wall {
		t.Errorf("rate %v after ten seconds, want nearly %v, which was too much", c.limit.now, wall)
	}
	c = newClockwork(0)
	c.recovered(c.now, c.moment())
	c.run(3 * time.Second)
	before := c.limit.now
	c.busy(c.begin(), 0)
	if want := before * backTo; !near(c.limit.now, want) {
		t.Errorf("rate %v after a 429, want %v", c.limit.now, want)
	}
	if c.run(5 * time.Second); c.limit.now > before {
		t.Errorf("rate %v five seconds later, above the one that was too much", c.limit.now)
	}
}

// TestNeverToNothing: however often it is told, it tries now and then.
func TestNeverToNothing(t *testing.T) {
	c := newClockwork(20)
	for range 100 {
		c.busy(c.begin(), 0)
	}
	if c.limit.now != 0.1 {
		t.Errorf("rate %v, want a call every ten seconds", c.limit.now)
	}
	if got := c.run(5 * time.Minute); got < 30 {
		t.Errorf("%d calls in five minutes after that", got)
	}
}

// TestNoRateConfigured: then the rate that was too much is the one that was seen.
func TestNoRateConfigured(t *testing.T) {
	c := newClockwork(0)
	if d := c.wait(c.now); d != 0 {
		t.Fatalf("wait for %v without a limit", d)
	}
	var last moment
	for range 300 {
		last = c.begin()
		c.now = c.now.Add(10 * time.Millisecond)
	}
	c.busy(last, 0)
	if c.limit.now < 80 || c.limit.now > 90 {
		t.Errorf("rate %v, want 85 %% of the 100 a second that were made", c.limit.now)
	}
	before := c.limit.now
	c.run(10 * time.Second)
	if c.limit.now <= before+5 {
		t.Errorf("from %v to %v in 10 s: nothing bounds it", before, c.limit.now)
	}
}

// TestNewShare: a rebalance changes what this process may call. That takes
// nothing back that the destination said.
func TestNewShare(t *testing.T) {
	c := newClockwork(20)
	c.setMax(c.now, 10)
	if c.limit.now != 10 {
		t.Errorf("rate %v, want the new share", c.limit.now)
	}
	c.setMax(c.now, 30)
	if c.limit.now != 30 {
		t.Errorf("rate %v, want the new share", c.limit.now)
	}
	c.busy(c.begin(), 0)
	c.setMax(c.now, 100)
	if !near(c.limit.now, 25.5) {
		t.Errorf("rate %v although the destination asked for less", c.limit.now)
	}
	c.setMax(c.now, 5)
	if c.limit.now != 5 {
		t.Errorf("rate %v above the share", c.limit.now)
	}
}

// TestUnlimitedAndBack: a share of nothing and a new one, all in one moment.
func TestUnlimitedAndBack(t *testing.T) {
	c := newClockwork(20)
	c.setMax(c.now, 0)
	c.setMax(c.now, 10)
	if got := c.run(10 * time.Second); got < 100 || got > 101 {
		t.Errorf("%d calls in 10 s at 10 a second", got)
	}
}
