package consumer

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"usersync/sync/vendortest"
)

// stateOf is how the workers of a bubble keep what was delivered.
func stateOf() StateConfig {
	return StateConfig{Topic: "state", Key: []byte("a key"), BaseURL: "http://vendor", Program: "test", Users: 1_000_000}
}

// keeping has the workers that are started from now on keep what was delivered.
func (b *bubble) keeping() {
	b.t.Helper()
	if err := b.kafka.CreateTopic("state", int32(b.parts), map[string]string{"cleanup.policy": "compact"}); err != nil {
		b.t.Fatal(err)
	}
	before := b.configure
	b.configure = func(c *Config) {
		if before != nil {
			before(c)
		}
		c.State = stateOf()
	}
}

// remembered starts a worker that keeps what was delivered, and returns when users are.
func (b *bubble) remembered(users ...string) *worker {
	b.t.Helper()
	b.keeping()
	w := b.start()
	b.hot()
	b.rowsOf(users...)
	b.settles(time.Minute)
	return w
}

// saved is how often the vendors saved a user since the bubble began, by destination.
func (b *bubble) saved() map[string]int {
	all := map[string]int{}
	for _, dest := range both {
		for user := range b.rows {
			for _, v := range b.versions(dest, user) {
				if v.Order > 0 {
					all[dest]++
				}
			}
		}
	}
	return all
}

// rowsOf writes users one by one; what they have is written in the same words later.
func (b *bubble) rowsOf(users ...string) {
	for i, user := range users {
		b.write(user, name(i))
	}
}

// again writes rows as they are, as a new snapshot does.
func (b *bubble) again(users ...string) {
	for _, user := range users {
		b.write(user, b.rows[user])
	}
}

// calledMore fails unless each vendor saved n users more than before.
func (b *bubble) calledMore(before map[string]int, n int) {
	b.t.Helper()
	now := b.saved()
	for _, dest := range both {
		if got := now[dest] - before[dest]; got != n {
			b.t.Errorf("%s: %d users were saved again, want %d", dest, got, n)
		}
	}
}

// TestNothingChanged: a restart, a new member, and a second snapshot cost no call for
// users who did not change, and one for each who did.
func TestNothingChanged(t *testing.T) {
	inBubble(t, 2, func(b *bubble) {
		users := numbers(1, 60)
		w := b.remembered(users...)
		before := b.saved()

		b.again(users...)
		b.settles(time.Minute)
		b.calledMore(before, 0)

		w.stop()
		second := b.start()
		b.start() // the second one's partitions: one stays, one is loaded by the other
		b.hot()
		b.again(users...)
		b.settles(2 * time.Minute)
		b.calledMore(before, 0)

		second.stop()
		for i, user := range users[:7] {
			b.write(user, name(1000+i))
		}
		b.again(users[7:]...)
		b.settles(2 * time.Minute)
		b.calledMore(before, 7)
	})
}

// TestRollingRestart: three replicas are replaced one after the other under load; no
// change is sent twice.
func TestRollingRestart(t *testing.T) {
	inBubble(t, 3, func(b *bubble) {
		b.keeping()
		workers := []*worker{b.start(), b.start(), b.start()}
		b.hot()
		n := 0
		busy := func() {
			for range 20 {
				for range 6 {
					n++
					b.write(strconv.Itoa(1+n%40), name(n))
				}
				time.Sleep(300 * time.Millisecond)
			}
		}
		busy()
		for _, w := range workers {
			w.stop()
			b.start()
			busy()
		}
		b.settles(2 * time.Minute)
		for _, dest := range both {
			for user := range b.rows {
				sent := b.applied(dest, user)
				slices.Sort(sent)
				if unique := slices.Compact(slices.Clone(sent)); len(unique) != len(sent) {
					t.Errorf("%s: something was sent twice for user %s: %v", dest, user, sent)
				}
			}
		}
	})
}

// TestKilledKeepsMost: after a kill only what was in flight, or not written down yet, is
// sent again.
func TestKilledKeepsMost(t *testing.T) {
	inBubble(t, 2, func(b *bubble) {
		b.keeping()
		w := b.start()
		b.hot()
		b.rowsOf(numbers(1, 200)...)
		time.Sleep(300 * time.Millisecond) // some of them are delivered
		w.kill()
		before := b.saved()
		b.start()
		b.settles(3 * time.Minute)
		for dest, n := range b.saved() {
			twice := n - 200
			t.Logf("%s: %d of 200 were delivered before the kill, %d sent again", dest, before[dest], twice)
			if before[dest] < 50 || twice > 2*16 {
				t.Errorf("%s: %d were delivered before the kill, and %d sent again; want at least 50, and at most twice the concurrency", dest, before[dest], twice)
			}
		}
	})
}

// TestBackToTheOldValueKnown is scenario b with what was delivered at hand: A is
// delivered, then B is applied and its reply lost, then A is wanted again. The worker
// is killed at any moment of it, and the next one comes soon or late.
func TestBackToTheOldValueKnown(t *testing.T) {
	for _, kill := range []time.Duration{-1, 0, 10, 25, 45, 60, 100, 150, 300, 1000, 3000} {
		for _, pause := range []time.Duration{0, 2 * time.Minute} {
			t.Run(fmt.Sprintf("kill=%v,pause=%v", kill*time.Millisecond, pause), func(t *testing.T) {
				t.Parallel()
				inBubble(t, 2, func(b *bubble) {
					b.keeping()
					w := b.start()
					b.hot()
					b.write("1", name(1))
					b.commits(time.Minute, both...)
					b.both(vendortest.Rule{Name: "dropped", Answer: vendortest.Reset, Apply: true, User: "1", Last: 2, PerUser: true})
					b.write("1", name(2))
					time.Sleep(40 * time.Millisecond)
					b.write("1", name(1))
					if kill >= 0 {
						time.Sleep(kill * time.Millisecond)
						w.kill()
						time.Sleep(pause)
						b.start()
					}
					time.Sleep(5 * time.Minute)
					b.settles(time.Minute)
				})
			})
		}
	}
}

// TestAnotherTarget: what was delivered to another URL, or before the operator said that
// the vendor was emptied, was not delivered here.
func TestAnotherTarget(t *testing.T) {
	for what, edit := range map[string]func(*StateConfig){
		"base URL":    func(s *StateConfig) { s.BaseURL = "http://other" },
		"state_epoch": func(s *StateConfig) { s.Epoch = "2" },
		"hash key":    func(s *StateConfig) { s.Key = []byte("another") },
	} {
		t.Run(what, func(t *testing.T) {
			inBubble(t, 2, func(b *bubble) {
				w := b.remembered(numbers(1, 10)...)
				before := b.saved()
				w.stop()
				b.start(func(c *Config) { edit(&c.State) })
				b.again(numbers(1, 10)...)
				b.settles(time.Minute)
				b.calledMore(before, 10)
			})
		})
	}
}

// TestStateOffForAWhile: what was delivered while nobody kept it is not in the topic, so
// nothing in there is believed afterwards.
func TestStateOffForAWhile(t *testing.T) {
	inBubble(t, 2, func(b *bubble) {
		b.keeping()
		w := b.start()
		b.hot()
		b.write("1", name(1))
		b.settles(time.Minute)
		w.stop()
		w = b.start(func(c *Config) { c.State = StateConfig{} })
		b.write("1", name(2))
		b.settles(time.Minute)
		w.stop()
		b.start()
		b.write("1", name(1))
		b.settles(time.Minute)
	})
}

// stateRecords reads a partition of the state topic.
func (b *bubble) stateRecords(partition int) []*kgo.Record {
	b.t.Helper()
	info := b.kafka.PartitionInfo("state", int32(partition))
	c := b.kafka.producer(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"state": {int32(partition): kgo.NewOffset().AtStart()}}))
	defer c.Close()
	var all []*kgo.Record
	for len(all) == 0 || all[len(all)-1].Offset < info.HighWatermark-1 {
		fetches := c.PollFetches(b.t.Context())
		if err := fetches.Err(); err != nil {
			b.t.Fatal(err)
		}
		all = append(all, fetches.Records()...)
	}
	return all
}

// remakeState makes the state topic anew, with some of the records that it had.
func (b *bubble) remakeState(keep map[int][]*kgo.Record) {
	b.t.Helper()
	if err := b.kafka.DeleteTopic("state"); err != nil {
		b.t.Fatal(err)
	}
	if err := b.kafka.CreateTopic("state", int32(b.parts), map[string]string{"cleanup.policy": "compact"}); err != nil {
		b.t.Fatal(err)
	}
	for _, partition := range slices.Sorted(maps.Keys(keep)) {
		for _, r := range keep[partition] {
			b.kafka.produce(&kgo.Record{Topic: "state", Partition: int32(partition), Key: r.Key, Value: r.Value})
		}
	}
}

// TestStateLosesItsTail: the last records of the state are gone, as after a failover to a
// broker that was not in sync. What is left says that the user has A.
func TestStateLosesItsTail(t *testing.T) {
	inBubble(t, 1, loseTail)
}

func loseTail(b *bubble) {
	partition := int(b.partitionOf("1"))
	b.keeping()
	w := b.start()
	b.hot()
	b.write("1", name(1))
	b.commits(time.Minute, both...)
	kept := b.stateRecords(partition)
	b.write("1", name(2))
	b.commits(time.Minute, both...)
	w.kill()
	b.remakeState(map[int][]*kgo.Record{partition: kept})
	b.start()
	b.write("1", name(1))
	b.commits(2*time.Minute, both...)
	b.right(both...)
}

// TestStateZombie: an owner was frozen between the vendor's answer and its write, and
// writes when its successor has delivered something newer, and is gone again.
func TestStateZombie(t *testing.T) {
	for _, compacted := range []bool{false, true} {
		t.Run(fmt.Sprintf("compacted=%v", compacted), func(t *testing.T) {
			inBubble(t, 1, func(b *bubble) { thaw(b, compacted) })
		})
	}
}

func thaw(b *bubble, compacted bool) {
	partition := int(b.partitionOf("1"))
	b.keeping()
	w := b.start()
	b.hot()
	b.write("1", name(1))
	b.commits(time.Minute, both...)
	late := b.stateRecords(partition) // with what it will say of user 1 once more
	w.stop()
	second := b.start()
	b.hot()
	b.write("1", name(2))
	b.commits(time.Minute, both...)
	second.kill()
	for _, r := range late {
		for _, dest := range both {
			if is, ours, _ := parseState(statePrefix("usersync."+dest, "users"), r.Key, r.Value); ours && is.kind == stateUser {
				b.kafka.produce(&kgo.Record{Topic: "state", Partition: int32(partition), Key: r.Key, Value: r.Value})
			}
		}
	}
	if compacted {
		b.kafka.Compact()
	}
	third := b.start()
	b.hot()
	time.Sleep(time.Minute)
	third.stop()
	if compacted {
		b.kafka.Compact()
	}
	b.start()
	b.write("1", name(1))
	b.commits(2*time.Minute, both...)
	b.right(both...)
}
