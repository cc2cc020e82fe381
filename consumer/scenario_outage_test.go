package consumer

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"usersync/consumer/trace"
	"usersync/e2e/ledger"
	"usersync/sync/vendortest"
)

var figures = flag.Bool("figures", false, "run TestOutageFigures as long as docs/figures.md says")

// TestOutageFigures has TapTalk answer everything with 503 while users go on changing, a
// hundred times a second, and says what that took. In the end nobody is wrong; what the
// outage costs is one call for each user that it touched; calls begin again slowly; and
// Haptik has not noticed.
func TestOutageFigures(t *testing.T) {
	o := outage{length: 3 * time.Minute, users: 2_000}
	if *figures {
		o = outage{length: 30 * time.Minute, users: 20_000}
	}
	for _, c := range []struct {
		name string
		rate float64
	}{
		{"rate_limit 0", 0},
		{"rate_limit 200", 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := o
			o.rate = c.rate
			inBubble(t, 4, func(b *bubble) {
				o.bubble, o.random = b, rand.New(rand.NewPCG(1, 2))
				o.run()
			})
		})
	}
}

// outage is the time in which TapTalk is down, and all around it.
type outage struct {
	*bubble
	length time.Duration
	users  int
	rate   float64
	random *rand.Rand
	n      int   // changes so far
	peak   int64 // bytes that waited for TapTalk
}

func (o *outage) run() {
	const latency, ramp, settled = 50 * time.Millisecond, 20 * time.Second, 10 * time.Minute
	o.latency(latency)
	w := o.start(func(c *Config) { c.RateLimit = o.rate })
	o.rename(numbers(1, o.users)...) // everybody is known before anything happens
	o.settles(settled)
	o.change(min(time.Minute, o.length))

	began := time.Now()
	o.tap.SetRules(vendortest.Rule{Latency: latency}, vendortest.Rule{Name: "down", Status: 503, For: o.length})
	o.change(o.length)
	ended := time.Now()
	// A probe may be a minute away. Then twice the time that the calls take, for users
	// change again meanwhile.
	pace := 16 / latency.Seconds()
	if o.rate > 0 {
		pace = min(pace, o.rate)
	}
	o.change(90*time.Second + ramp + time.Duration(2*float64(o.users)/pace)*time.Second)
	o.settles(settled)
	o.deadLetters(0)

	cost := ledger.Outage{
		Began: began, Ended: ended, Wrote: o.ledger.Events(func(e trace.Event) bool { return e.Kind == ledger.Wrote }),
		Broken: o.seen(destTaptalk), Other: o.seen(destHaptik),
	}.Cost()
	commits := map[string]int{}
	for _, d := range both {
		commits[d] = o.commitsIn(d, began, ended)
	}
	o.t.Logf("taptalk is down for %v, %v a second of %d users change:\n%s| most that waited for it | %.1f MB of the window's %d |\n| commits in the outage: taptalk, haptik | %d, %d |",
		o.length, changesASecond, o.users, cost, float64(o.peak)/(1<<20), w.pipelines[destTaptalk].cfg.Window>>20, commits[destTaptalk], commits[destHaptik])
	o.judge(cost, commits)
}

const changesASecond = 100

// change has users change for so long, ten times a second some of them.
func (o *outage) change(d time.Duration) {
	o.t.Helper()
	const ticks = 10 // a second
	for i := range int(d.Seconds() * ticks) {
		users := make([]string, changesASecond/ticks)
		for i := range users {
			users[i] = strconv.Itoa(1 + o.random.IntN(o.users))
		}
		o.rename(users...)
		time.Sleep(time.Second / ticks)
		if i%(10*ticks) == 0 {
			o.peak = max(o.peak, o.bounded(destTaptalk))
		}
	}
}

// rename gives users names that nobody had before.
func (o *outage) rename(users ...string) {
	o.t.Helper()
	records, names := make([]*kgo.Record, len(users)), make([]string, len(users))
	for i, user := range users {
		o.n++
		names[i] = name(o.n)
		value := fmt.Sprintf(`{"before":null,"after":{"id":%s,"full_name":%q,%s},"source":{"schema":"public","table":"users","ts_ms":%d},"op":"u"}`,
			user, names[i], personal(user), time.Now().UnixMilli())
		records[i] = &kgo.Record{Partition: o.partitionOf(user), Key: []byte(keyOf(user)), Value: []byte(value)}
	}
	for i, c := range o.raw(records...) {
		o.rows[users[i]] = names[i]
		o.ledger.wrote(c, users[i], names[i])
	}
}

// seen is what a vendor saw.
func (o *outage) seen(dest string) (s ledger.Seen) {
	feed := o.tap.Feed
	if dest == destHaptik {
		feed = o.hap.Feed
	}
	all, _ := feed(0, 1<<30)
	var saved []vendortest.Version
	for _, v := range all {
		s.Calls = append(s.Calls, v.Received)
		if v.Order > 0 {
			saved = append(saved, v)
		}
	}
	slices.SortFunc(s.Calls, time.Time.Compare)
	s.Applied = o.ledger.applied(dest, saved)
	return s
}

// commitsIn is how many commits were accepted in a time; one may be of several partitions.
func (o *outage) commitsIn(dest string, from, to time.Time) int {
	at := map[time.Time]bool{}
	for _, e := range o.ledger.Events(func(e trace.Event) bool { return e.Kind == trace.Commit && e.OK() && e.Destination == dest }) {
		if !e.At.Before(from) && e.At.Before(to) {
			at[e.At] = true
		}
	}
	return len(at)
}

// judge holds the cost against what it may be.
func (o *outage) judge(c ledger.Cost, commits map[string]int) {
	if c.Missed > 0 {
		o.t.Errorf("G1: %d changes were never held, nor anything newer", c.Missed)
	}
	// It takes a second to be held, then there are probes: soon, and at last a minute apart.
	if most := 2*320 + 20 + 2*int(o.length.Minutes()); c.Meanwhile > most {
		o.t.Errorf("G4: %d requests in the outage, %d are allowed", c.Meanwhile, most)
	}
	const few = 20 // of those who changed while a call of theirs was under way
	if c.After > c.Touched+c.Further+few {
		o.t.Errorf("G9: %d requests after the outage, for %d users touched and %d further changes", c.After, c.Touched, c.Further)
	}
	if late := 500 * time.Millisecond; c.Worst > late {
		o.t.Errorf("G5: haptik took %v for a change while taptalk was down, %v are allowed", c.Worst, late)
	}
	if most := int(o.length.Seconds()) + 10; commits[destTaptalk] > most || commits[destHaptik] > most {
		o.t.Errorf("%v commits in %v: more than one a second", commits, o.length)
	}
	// Not all at once: at first a few, then more and more, and all that is allowed within seconds.
	for i, n := range c.Ramp[:len(c.Ramp)-1] {
		if next, most := c.Ramp[i+1], 4*n; i == 0 && n > 25 || next > most {
			o.t.Errorf("%v requests in each second after the outage: they do not begin slowly", c.Ramp)
			break
		}
	}
}
