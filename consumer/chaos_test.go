package consumer

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"usersync/consumer/trace"
	"usersync/e2e/ledger"
	"usersync/sync/haptik/haptiktest"
	"usersync/sync/taptalk/taptalktest"
	"usersync/sync/vendortest"
)

var (
	schedules = flag.Int("schedules", 0, "how many schedules of faults to run; 0: 40, 20 with -short, or $USERSYNC_SCHEDULES")
	seed      = flag.Uint64("seed", 0, "run this schedule only")
)

// TestChaos runs whole deployments through seeded schedules of faults: up to three
// workers that are started, stopped and killed, a broker that moves leaders and
// coordinators and whose connections die, vendors that do everything that a
// vendor does. The ledger checks G2, G3 and G7 with every event, and in the end
// every user is right (G1) and was not taken back by what a client could have
// prevented (G3), the dead letters are exactly those of the poison that was planted
// (G4), one vendor's outage did not delay the other (G5), no window held more than it
// may (G6), and nothing personal was said (G8).
//
// This runs one schedule again: go test ./consumer -run TestChaos -seed N.
func TestChaos(t *testing.T) {
	n := *schedules
	if n == 0 {
		n = full(40, 20)
		if s := os.Getenv("USERSYNC_SCHEDULES"); s != "" {
			var err error
			if n, err = strconv.Atoi(s); err != nil {
				t.Fatal("USERSYNC_SCHEDULES:", err)
			}
		}
	}
	eachSchedule(t, n, func(b *bubble, s uint64) {
		(&chaos{bubble: b, rand: rand.New(rand.NewPCG(s, 0))}).run(s)
	})
}

// eachSchedule runs n schedules side by side, each with the seed of its number in a bubble
// of its own; or the one that -seed names.
func eachSchedule(t *testing.T, n int, run func(b *bubble, s uint64), opts ...kfake.Opt) {
	first, last := uint64(1), uint64(n)
	if *seed != 0 {
		first, last = *seed, *seed
	}
	for s := first; s <= last; s++ {
		t.Run(fmt.Sprintf("seed=%d", s), func(t *testing.T) {
			t.Parallel()
			inBubble(t, 3, func(b *bubble) { run(b, s) }, append(slices.Clip(opts), kfake.NumBrokers(2))...)
		})
	}
}

// chaos is one schedule.
type chaos struct {
	*bubble
	rand   *rand.Rand
	poison string
	n      int
	window int // of workers that are started from now on; 0: as ever
	// What a schedule has beside all this, if not nil: how its workers differ, what else
	// happens between changes, and what must be so when all is quiet.
	edit    func(*Config)
	between func()
	quieted func()
}

func (c *chaos) run(seed uint64) {
	c.tap.Seed(seed)
	c.hap.Seed(seed)
	c.knobs()
	// A rejection that was taken back once makes all others need this long: time
	// that a schedule would spend idling.
	c.configure = func(cfg *Config) {
		cfg.Lane.Retry.GiveUpAfter = 4 * time.Minute
		if c.window > 0 {
			cfg.Window = c.window
		}
		if c.edit != nil {
			c.edit(cfg)
		}
	}
	if seed%4 != 0 { // all but every fourth keep what was delivered
		c.keeping()
	}
	if seed%3 == 0 { // what is written at once is a backlog
		c.sips()
	}
	first := 1 + c.rand.IntN(2)
	if c.rand.IntN(2) == 0 {
		c.poison = "7"
	}
	c.ledger.poison = func(wrote trace.Event) []string {
		if wrote.User == c.poison && wrote.Outcome != ledger.Deleted {
			return both
		}
		return nil
	}
	for range first {
		c.start()
	}
	c.calm()
	for step := range 20 + c.rand.IntN(30) {
		for range c.rand.IntN(15) {
			c.change()
		}
		if c.between != nil {
			c.between()
		}
		time.Sleep(time.Duration(c.rand.IntN(4000)) * time.Millisecond)
		if step%10 == 0 { // to read all metrics takes longer than a second of a schedule
			c.bounded(both[step/10%2])
		}
		if c.rand.IntN(3) == 0 {
			c.trouble()
		}
	}
	c.finish()
	if c.t.Failed() {
		c.t.Logf("seed %d; the trace ends:\n%s", seed, c.ledger.tail(60))
		c.tail()
	}
}

// finish ends all trouble, and holds what has come of it against the guarantees.
func (c *chaos) finish() {
	c.calm()
	c.key("id-" + secret)
	if len(c.alive) == 0 {
		c.start()
	}
	c.quiet()
	c.alone()
	c.quiet()
	c.right(destTaptalk, destHaptik)
	c.ledger.regressed()
	c.ledger.report(c.ledger.judged.Due()...)
	c.acknowledged()
}

// quiet waits until everything is committed.
func (c *chaos) quiet() {
	c.t.Helper()
	// The longest that anything is put off: a user in its longest backoff behind
	// a lane in its longest wait between probes, a doubt after that, and a ghost
	// before it all.
	stop := c.expire()
	defer stop()
	if c.poison != "" && c.uncommitted(20*time.Minute, both...) != nil {
		// A user at fault may be all that is left to a new owner, who has called nobody
		// yet to compare it with: it waits until somebody else changes.
		c.n++
		c.write("1", name(c.n))
	}
	c.commits(time.Hour, destTaptalk, destHaptik)
	if c.quieted != nil {
		c.quieted()
	}
}

// alone lets one vendor be down while nothing else is wrong: its window, which a few
// users fill, does, and the other vendor has everything in time (G5, G6). The worker is
// a new one that has nothing to read again: a full window ends its wait for what the
// last one may have delivered.
func (c *chaos) alone() {
	for len(c.alive) > 0 {
		c.alive[0].stop()
	}
	c.window = 2_000
	w, stop := c.start(), c.expire()
	c.until(10*time.Minute, "the worker has all partitions, after the sessions of those that were killed", func() bool {
		return c.ledger.assigned(w, destTaptalk, c.ends) && c.ledger.assigned(w, destHaptik, c.ends)
	})
	stop()
	broken, other, set := destTaptalk, destHaptik, c.tap.SetRules
	if c.rand.IntN(2) == 0 {
		broken, other, set = other, broken, c.hap.SetRules
	}
	c.rules(set, vendortest.Rule{Name: "down", Status: 503})
	const length, late = 15, 10 * time.Second
	var most int64
	for second := range length {
		for user := 1; user <= 30; user += 1 + c.rand.IntN(5) {
			if id := strconv.Itoa(user); id != c.poison {
				c.n++
				c.write(id, name(c.n))
			}
		}
		time.Sleep(time.Second)
		c.isolated(broken, other, late)
		if second%5 == 4 {
			c.bounded(other)
			most = max(most, c.bounded(broken))
		}
	}
	if most < int64(c.window) {
		c.t.Errorf("G6: at most %d bytes waited in a window of %d: it was never full", most, c.window)
	}
	c.calm()
}

// acknowledged holds the dead-letter topic against the traces: each letter in a trace
// is there. One that no trace has, for its acknowledgement was lost, must be about
// poison as well.
func (c *chaos) acknowledged() {
	type letter struct {
		dest string
		change
	}
	told, there := map[letter]bool{}, map[letter]bool{}
	for _, e := range c.ledger.Events(func(e trace.Event) bool { return e.Kind == trace.Letter }) {
		told[letter{e.Destination, change{TopicPartition(e.TopicPartition()), e.Offset}}] = true
	}
	for _, r := range c.allLetters() {
		dest, about := c.about(r)
		there[letter{dest, about}] = true
		if c.poison == "" || string(r.Key) != keyOf(c.poison) {
			c.t.Errorf("G4: in the dead-letter topic: %s: %v, which was not poisoned", dest, about)
		}
	}
	for l := range told {
		if !there[l] {
			c.t.Errorf("G2: %s: the letter for %v was acknowledged and is not there", l.dest, l.change)
		}
	}
}

func (c *chaos) knobs() {
	c.tap.Set(func(k *taptalktest.Knobs) {
		k.Merge = c.rand.IntN(2) == 0
		k.StatusMode = []string{taptalktest.Body200, taptalktest.Mirrored}[c.rand.IntN(2)]
	})
	c.hap.Set(func(k *haptiktest.Knobs) {
		k.Merge = c.rand.IntN(2) == 0
		k.PostExisting = []string{haptiktest.Update, haptiktest.Ignore200, "409", "400"}[c.rand.IntN(4)]
		k.PutMissing = []string{"404", "403", "400", haptiktest.Upsert}[c.rand.IntN(4)]
		k.PutEmpty = c.rand.IntN(2) == 0
	})
}

// change writes or deletes a user; some are hot.
func (c *chaos) change() {
	user := strconv.Itoa(1 + c.rand.IntN(30))
	if c.rand.IntN(3) == 0 {
		user = strconv.Itoa(1 + c.rand.IntN(3))
	}
	if c.rand.IntN(12) == 0 {
		c.delete(user)
		return
	}
	c.n++
	value := name(c.n)
	if returns := strings.HasSuffix(user, "3"); returns && c.rand.IntN(2) == 0 {
		value = name(0) // back to an old value: A, B, A
	}
	c.write(user, value)
}

// calm ends the vendors' troubles.
func (c *chaos) calm() { c.rules(c.tap.SetRules, vendortest.Rule{}) }

// rules sets the script of a vendor: r, after what is always there.
func (c *chaos) rules(set func(...vendortest.Rule), r vendortest.Rule) {
	all := func(set func(...vendortest.Rule), field string) {
		rules := []vendortest.Rule{{Latency: 20 * time.Millisecond}}
		if c.poison != "" {
			rules = append(rules, vendortest.Rule{Name: "poison", User: c.poison, Status: 400, Code: "40002", Field: field})
		}
		if r.Name != "" {
			rules = append(rules, r)
		}
		set(rules...)
	}
	if r.Name == "" {
		all(c.tap.SetRules, "107")
		all(c.hap.SetRules, "")
		return
	}
	all(set, "107")
}

// trouble makes one.
func (c *chaos) trouble() {
	switch c.rand.IntN(9) {
	case 0:
		if len(c.alive) < 3 {
			c.start()
		}
	case 1:
		if len(c.alive) > 0 {
			c.alive[c.rand.IntN(len(c.alive))].stop()
		}
	case 2:
		if len(c.alive) > 0 {
			c.alive[c.rand.IntN(len(c.alive))].kill()
		}
	case 3:
		c.broker()
	case 4:
		c.calm()
	case 5:
		c.key("wrong-" + secret)
		c.tap.SetKeys(vendortest.Key{ID: "id-" + secret, Secret: secret})
	case 6:
		c.key("id-" + secret)
	default:
		c.vendor()
	}
}

func (c *chaos) broker() {
	switch c.rand.IntN(6) {
	case 0:
		c.kafka.RehashCoordinators()
	case 1:
		p := int32(c.rand.IntN(c.parts))
		_ = c.kafka.MoveTopicPartition("users", p, int32(c.rand.IntN(2)))
	case 2:
		c.kafka.sever()
	case 3:
		c.kafka.Compact() // of all topics, the state's is compacted
	case 4: // what was delivered cannot be written down for a while
		c.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "state", Err: kerr.NotEnoughReplicas, Count: 1 + c.rand.IntN(10)})
	default:
		for range 3 {
			c.kafka.sever()
			time.Sleep(2 * time.Second)
		}
	}
}

// vendor makes trouble at one of the two.
func (c *chaos) vendor() {
	d := time.Duration(1+c.rand.IntN(30)) * time.Second
	p := .1 + .9*c.rand.Float64()
	r := []vendortest.Rule{
		{Name: "down", Status: 503, For: d},
		{Name: "some 500", Status: 500, For: d, Probability: p},
		{Name: "proxy", Answer: vendortest.HTML, For: d, Probability: p},
		{Name: "reset", Answer: vendortest.Reset, For: d, Probability: p},
		{Name: "truncated", Answer: vendortest.Truncate, For: d, Probability: p},
		{Name: "hang", Answer: vendortest.Hang, For: d, Probability: p},
		{Name: "throttled", Status: 429, RetryAfter: time.Duration(c.rand.IntN(5)) * time.Second, For: d, Probability: p},
		{Name: "rate", Status: 429, Rate: 20, For: d},
		{Name: "applied, reply dropped", Answer: vendortest.Reset, Apply: true, For: d, Probability: p},
		{Name: "applied late", Answer: vendortest.Hang, ApplyAfter: 10*time.Second + d, For: d, Probability: p},
		{Name: "slow", Latency: time.Duration(c.rand.IntN(15)) * time.Second, For: d},
		{Name: "rejects all", Status: 400, Code: "40002", Field: "107", For: d},
		{Name: "one bad node", Nodes: 4, Status: 400, Code: "40002", Field: "107", For: d},
		{Name: "forbids", Status: 403, For: d, Probability: p},
	}[c.rand.IntN(14)]
	if c.rand.IntN(2) == 0 {
		c.rules(c.tap.SetRules, r)
	} else {
		c.rules(c.hap.SetRules, r)
	}
}
