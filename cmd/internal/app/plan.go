package app

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
)

// PlanOptions say what a deployment is planned for, and in the second part what of it is
// settled already.
type PlanOptions struct {
	Users   int64         // rows of the table
	Changes float64       // of rows, a second, on average
	Latency time.Duration // of a vendor's call
	Outage  time.Duration // of a vendor, or of all workers

	RateLimit   *float64 // of each destination; nil: as configured
	Concurrency int      // of each destination and process; 0: as configured
	Replicas    int
	Partitions  int
	JSON        bool
}

// What was measured, on two busy cores: docs/operations.md, Capacity, says how. All are
// on the safe side.
const (
	callsOfProcess = 2000      // a second, to each of both destinations
	processBytes   = 24 << 20  // resident, with nothing to do
	stateBytes     = 225       // resident, for each user and destination
	stateLoad      = 20e-6     // seconds, for each user
	fetchedBytes   = 16 << 20  // of each destination, besides the window
	heapFactor     = 2         // garbage is collected when the heap has doubled, or before
	fewPartitions  = 6         // of a topic, however few processes there are
	atMost         = 1_000_000 // of anything that is counted one by one
)

// problems lists what no plan can be made for.
func (o PlanOptions) problems() error {
	var all []error
	check := func(flag string, ok bool, text string) {
		if !ok {
			all = append(all, Problem{Key: "--" + flag, Text: text})
		}
	}
	// Comparisons with NaN are false, so each is written as what must hold.
	check("users", o.Users >= 1 && o.Users <= 1e12, "must be from 1 to 1000000000000")
	check("changes", o.Changes >= 0 && o.Changes <= 1e9, "must be from 0 to 1000000000")
	check("latency", o.Latency > 0 && o.Latency <= time.Hour, "must be above 0 and at most 1h")
	check("outage", o.Outage >= 0 && o.Outage <= 366*24*time.Hour, "must be from 0 to 8784h")
	check("rate-limit", o.RateLimit == nil || *o.RateLimit >= 0 && *o.RateLimit <= 1e9, "must be from 0, which is none, to 1000000000")
	check("concurrency", o.Concurrency >= 0 && o.Concurrency <= atMost, fmt.Sprint("must be from 1 to ", atMost))
	check("replicas", o.Replicas >= 0 && o.Replicas <= atMost, fmt.Sprint("must be from 1 to ", atMost))
	check("partitions", o.Partitions >= 0 && o.Partitions <= atMost, fmt.Sprint("must be from 1 to ", atMost))
	return errors.Join(all...)
}

// Plan says in w what a deployment needs for o, and how long things take: by arithmetic
// alone, with the reasons. A nil c stands for the defaults, with both destinations. The
// error says that it cannot work; or it joins Problems with o itself.
func Plan(c *Config, o PlanOptions, w io.Writer) error {
	if err := o.problems(); err != nil {
		return err
	}
	if c == nil {
		c = defaults()
	}
	r := newPlan(c, o)
	if err := publish(w, o.JSON, r); err != nil {
		return err
	}
	if len(r.Problems) > 0 {
		return errors.New("this cannot work: see the problems")
	}
	return nil
}

// name is the destination's.
func (d namedDelivery) name() string { return strings.TrimPrefix(d.path, "destinations.") }

// newPlan works everything out.
func newPlan(c *Config, o PlanOptions) *planReport {
	r := &planReport{
		Users: o.Users, Changes: o.Changes, Latency: o.Latency.Seconds(), Outage: o.Outage.Seconds(),
		Replicas: o.Replicas, Partitions: o.Partitions, State: c.Kafka.StateTopic != "",
		Destinations: []planDestination{}, Problems: []string{}, Advice: []string{},
	}
	for _, d := range c.deliveries() {
		x := planDestination{Name: d.name(), RateLimit: d.RateLimit, Configured: d.Concurrency, FirstCalls: 1, StateUsers: d.StateUsers, window: d.WindowBytes}
		if o.RateLimit != nil {
			x.RateLimit = *o.RateLimit
		}
		if o.Concurrency > 0 {
			x.Configured = o.Concurrency
		}
		if x.Name == haptikName && c.Haptik.FirstWrite == "put" {
			x.FirstCalls = 2 // it is asked for a user that it does not have before that is made
		}
		if d.Timeout <= o.Latency {
			r.problem("%s: a call takes %v, and is given up after %v: set destinations.%[1]s.timeout above that", x.Name, o.Latency, d.Timeout)
		}
		x.wanted(r)
		r.Destinations = append(r.Destinations, x)
	}
	r.size(o)
	for i := range r.Destinations {
		r.Destinations[i].times(r)
	}
	r.memory()
	return r
}

// wanted is how many calls a second there should be at most: what is agreed with the
// vendor or, without a limit, enough for an outage to be made up for in the time that it
// took, and no less than one process makes.
func (x *planDestination) wanted(r *planReport) {
	x.Usual = r.Changes
	if x.Most = x.RateLimit; x.RateLimit == 0 {
		x.Most = max(2*r.Changes, min(float64(x.Configured)/r.Latency, callsOfProcess))
	}
	if x.RateLimit > 0 && x.RateLimit <= r.Changes {
		r.problem("%s: %g changes a second at %g calls a second: it never gets to the end; agree on a higher limit, unless most are of users who change again while they wait", x.Name, r.Changes, x.RateLimit)
	}
}

// size says how many processes and partitions there should be.
func (r *planReport) size(o PlanOptions) {
	if r.Replicas == 0 {
		r.Replicas = 2
		for _, x := range r.Destinations {
			r.Replicas = max(r.Replicas, ceil(x.Most/callsOfProcess)+1)
		}
	}
	if r.Partitions == 0 {
		r.Partitions = r.Replicas * ceil(float64(max(fewPartitions, 2*r.Replicas))/float64(r.Replicas))
	}
	if r.Replicas > r.Partitions {
		r.problem("%d processes for %d partitions: those beyond have nothing to do", r.Replicas, r.Partitions)
	}
	if o.Partitions > 0 && r.Partitions%r.Replicas != 0 && r.Replicas < r.Partitions {
		r.advise("partitions that are a multiple of the replicas give each process the same share of the work and of the rate limit")
	}
}

// others is how many processes are left when one is away.
func (r *planReport) others() int { return max(r.Replicas-1, 1) }

// makers are those who make the calls, with the verb.
func (r *planReport) makers() string {
	if r.Replicas == 1 {
		return "one process makes"
	}
	return fmt.Sprintf("%d processes, of which one may be away, make", r.Replicas)
}

// times says how many calls there are at once, and how long things take.
func (x *planDestination) times(r *planReport) {
	if able := float64(r.others()) * callsOfProcess; x.Most > able {
		x.Most, x.capped = able, true
		if able > x.Usual {
			r.advise("%s: %s about %.0f calls a second; for more take more replicas", x.Name, r.makers(), able)
		} else {
			r.problem("%s: %g changes a second, and %s about %.0f calls: it never gets to the end; take at least %d replicas", x.Name, x.Usual, r.makers(), able, int(x.Usual/callsOfProcess)+2)
		}
	}
	x.InFlight = ceil(x.Most * r.Latency)
	x.Concurrency = max(x.Configured, ceil(float64(x.InFlight)/float64(r.others())))
	if x.Concurrency > x.Configured {
		r.advise("%s: set destinations.%[1]s.concurrency to %d; %d is too little to make use of %.4g calls a second", x.Name, x.Concurrency, x.Configured, x.Most)
	}
	spare := x.Most - x.Usual
	users := float64(r.Users)
	x.First = lastingSeconds(users*float64(x.FirstCalls), spare)
	again := users
	if r.State {
		again = max(0, users-float64(x.StateUsers)*float64(r.others()))
	}
	x.Again = lastingSeconds(again, spare)
	x.Drain = lastingSeconds(min(users, r.Changes*r.Outage), spare)
}

// lastingSeconds is how long so many calls take; nil: they never end, or nobody will live
// to see it.
func lastingSeconds(calls, rate float64) *float64 {
	const thousandYears = 1000 * 365 * 86400
	switch {
	case calls == 0:
		return new(0.0)
	case rate <= 0 || calls/rate > thousandYears:
		return nil
	default:
		return new(calls / rate)
	}
}

// memory says what each process may come to need, and how long it loads the state, at
// worst: with full windows, and with one process away.
func (r *planReport) memory() {
	bytes := float64(processBytes)
	for _, x := range r.Destinations {
		bytes += heapFactor * (float64(x.window) + fetchedBytes)
		if r.State {
			users := min(float64(r.Users)/float64(r.others()), float64(x.StateUsers))
			bytes += users * stateBytes
			r.Load = max(r.Load, users*stateLoad)
		}
	}
	r.Memory = int64(min(bytes, math.MaxInt64/2))
}

// ceil is x or the next whole number above it, within what an int holds. What is a hair
// above a whole number is so by the arithmetic of floats.
func ceil(x float64) int { return int(min(math.Ceil(x-1e-9), math.MaxInt32)) }
