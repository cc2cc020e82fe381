package consumer

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"usersync/consumer/trace"
	usync "usersync/sync"
	"usersync/sync/haptik"
	"usersync/sync/taptalk"
	"usersync/sync/vendortest"
)

// TestChaosOfMappings runs schedules of faults and rollouts in which each worker that is
// started has one of two mappings: when all is quiet the vendors must have of each user
// what that mapping makes of it which delivered it last, whatever another one has sent
// before.
func TestChaosOfMappings(t *testing.T) {
	eachSchedule(t, cmp.Or(*schedules, full(15, 5)), func(b *bubble, s uint64) {
		r := &remapped{
			chaos: &chaos{bubble: b, rand: rand.New(rand.NewPCG(s, 0))},
			pick:  rand.New(rand.NewPCG(s, 2)), last: map[string]map[string]bool{destTaptalk: {}, destHaptik: {}},
		}
		r.edit, r.quieted = r.either, r.compare
		r.between = func() {
			if r.pick.IntN(8) == 0 {
				r.rollout()
			}
		}
		r.run(s)
	})
}

// remapped is a schedule with two mappings. The other one changes the address.
type remapped struct {
	*chaos
	pick *rand.Rand
	mu   sync.Mutex
	last map[string]map[string]bool // by destination and user: whether the other one delivered last
}

// either gives a worker one of the mappings, and notes what it delivers.
func (r *remapped) either(c *Config) {
	other := r.pick.IntN(2) == 1
	if other {
		changed := maps.Clone(expressions[c.Destination])
		changed["email"] = `"ii." + email`
		fields := map[string][]usync.Field{destTaptalk: taptalk.Fields, destHaptik: haptik.Fields}
		c.Lane.Mapper, c.Sends = mapping(r.t, fields[c.Destination], changed), "other"
	}
	tell, dest := c.Trace, c.Destination
	c.Trace = func(e trace.Event) {
		tell(e)
		if e.Kind == trace.Called && e.OK() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.last[dest][e.User] = other
		}
	}
}

// rollout replaces all workers, while a vendor has calls that it will apply late, and
// waits until all is quiet: whoever changes again would hide what these calls have done.
func (r *remapped) rollout() {
	set := r.tap.SetRules
	if r.pick.IntN(2) == 0 {
		set = r.hap.SetRules
	}
	lands := time.Duration(20+r.pick.IntN(39)) * time.Second
	r.rules(set, vendortest.Rule{Name: "applied late", Answer: vendortest.Hang, ApplyAfter: lands, For: 2 * time.Second})
	for range 5 {
		r.change()
	}
	time.Sleep(time.Duration(r.pick.IntN(14_000)) * time.Millisecond)
	for _, w := range slices.Clone(r.alive) {
		if r.pick.IntN(3) == 0 {
			w.kill()
		} else {
			w.stop()
		}
		r.start()
	}
	r.calm()
	r.key("id-" + secret)
	if len(r.alive) > 0 {
		r.quiet()
	}
}

// compare holds the addresses that the vendors have against the mapping that delivered
// each user last. A dead letter excuses a user.
func (r *remapped) compare() {
	for dest, last := range r.last {
		for user := range r.rows {
			want := planted + "@example.org"
			if last[user] {
				want = "ii." + want
			}
			current := r.tap.Current(user)
			if dest == destHaptik {
				current = r.hap.Current(user)
			}
			if got := current["email"]; got != want && !r.ledger.Excused(dest, user) {
				r.t.Errorf("G1: %s has the address %v of user %s, and %s was delivered last", dest, got, user, want)
			}
		}
	}
}
