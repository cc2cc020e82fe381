package consumer

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"usersync/sync/haptik/haptiktest"
	"usersync/sync/taptalk/taptalktest"
	"usersync/sync/vendortest"
)

var (
	schedules = flag.Int("schedules", 0, "how many schedules of faults to run; 0: 40, or $USERSYNC_SCHEDULES")
	seed      = flag.Uint64("seed", 0, "run this schedule only")
)

// TestChaos runs whole deployments through seeded schedules of faults: up to three
// workers that are started, stopped and killed, a broker that moves leaders and
// coordinators and whose connections die, vendors that do everything that a
// vendor does. The ledger checks G2, G3 and G7 with every event, and in the end
// every user is right (G1), the dead letters are exactly the poison that was
// planted (G4), and nothing personal was said (G8).
//
// This runs one schedule again: go test ./consumer -run TestChaos -seed N.
func TestChaos(t *testing.T) {
	n := *schedules
	if n == 0 {
		n = 40
		if s := os.Getenv("USERSYNC_SCHEDULES"); s != "" {
			var err error
			if n, err = strconv.Atoi(s); err != nil {
				t.Fatal("USERSYNC_SCHEDULES:", err)
			}
		}
	}
	first, last := uint64(1), uint64(n)
	if *seed != 0 {
		first, last = *seed, *seed
	}
	for s := first; s <= last; s++ {
		t.Run(fmt.Sprintf("seed=%d", s), func(t *testing.T) {
			t.Parallel()
			inBubble(t, 3, func(b *bubble) { (&chaos{bubble: b, rand: rand.New(rand.NewPCG(s, 0))}).run(s) }, kfake.NumBrokers(2))
		})
	}
}

// chaos is one schedule.
type chaos struct {
	*bubble
	rand   *rand.Rand
	poison string
	n      int
}

func (c *chaos) run(seed uint64) {
	c.tap.Seed(seed)
	c.hap.Seed(seed)
	c.knobs()
	// A rejection that was taken back once makes all others need this long: time
	// that a schedule would spend idling.
	c.configure = func(cfg *Config) { cfg.Lane.Retry.GiveUpAfter = 4 * time.Minute }
	for range 1 + c.rand.IntN(2) {
		c.start()
	}
	if c.rand.IntN(2) == 0 {
		c.poison = "7"
	}
	c.calm()
	for range 20 + c.rand.IntN(30) {
		for range c.rand.IntN(15) {
			c.change()
		}
		time.Sleep(time.Duration(c.rand.IntN(4000)) * time.Millisecond)
		if c.rand.IntN(3) == 0 {
			c.trouble()
		}
	}
	c.calm()
	c.key("id-" + secret)
	if len(c.alive) == 0 {
		c.start()
	}
	// The longest that anything is put off: a user in its longest backoff behind
	// a lane in its longest wait between probes, a doubt after that, and a ghost
	// before it all.
	stop := c.expire()
	c.commits(time.Hour, destTaptalk, destHaptik)
	stop()
	c.right(destTaptalk, destHaptik)
	for _, d := range []string{destTaptalk, destHaptik} {
		for user := range c.ledger.Letters(d) {
			if user != c.poison {
				c.t.Errorf("G4: %s: a dead letter for user %q, which was not poisoned", d, user)
			}
		}
	}
	if c.t.Failed() {
		c.t.Logf("seed %d; the trace ends:\n%s", seed, c.ledger.tail(60))
	}
}

// expire does what a broker does and kfake does not, until the function it returns
// is called. It ends
//   - the sessions of members that died between the answers to their join and sync
//     requests: kfake starts a session's clock when it has written such an answer,
//     which it cannot to a connection that is gone;
//   - a rebalance that takes longer than its timeout: kfake starts that clock anew
//     with every join, so members whose joins time out one after the other, each at
//     a time of its own, keep one another waiting for ever.
func (c *chaos) expire() (stop func()) {
	ctx, cancel := context.WithCancel(c.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		joining := map[string]bool{} // at the last look, a rebalance timeout ago
		for sleep(ctx, time.Minute) {
			for _, d := range []string{destTaptalk, destHaptik} {
				joining[d] = c.expireGroup(ctx, d, joining[d])
			}
		}
	}()
	return func() { cancel(); <-done }
}

// expireGroup reports whether members are waited for.
func (c *chaos) expireGroup(ctx context.Context, dest string, before bool) (joining bool) {
	describe := kmsg.NewPtrDescribeGroupsRequest()
	describe.Groups = []string{"usersync." + dest}
	res, err := describe.RequestWith(ctx, c.out)
	if err != nil {
		return false
	}
	joining = res.Groups[0].State == "PreparingRebalance"
	if res.Groups[0].State != "Stable" && (!joining || !before) {
		return joining
	}
	for _, m := range res.Groups[0].Members {
		if !joining && c.ledger.Joined(dest, m.MemberID) {
			continue
		}
		leave := kmsg.NewPtrLeaveGroupRequest()
		leave.Group = describe.Groups[0]
		leave.Members = []kmsg.LeaveGroupRequestMember{{MemberID: m.MemberID}}
		leave.MemberID = m.MemberID
		_, _ = leave.RequestWith(ctx, c.out) // tried again in a minute
	}
	return joining
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
	if c.rand.IntN(6) == 0 {
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
	switch c.rand.IntN(4) {
	case 0:
		c.kafka.RehashCoordinators()
	case 1:
		p := int32(c.rand.IntN(c.parts))
		_ = c.kafka.MoveTopicPartition("users", p, int32(c.rand.IntN(2)))
	case 2:
		c.kafka.sever()
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
