package consumer

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"usersync/sync/vendortest"
)

// in writes a user's row, with the nth name, to a partition of its own choice, and waits for nothing.
func (b *bubble) in(partition int32, user string, n int) {
	b.t.Helper()
	b.raw(&kgo.Record{Partition: partition, Key: []byte(keyOf(user)), Value: fmt.Appendf(nil, `{"id":%s,"full_name":%q}`, user, name(n))})
}

// moves writes a user's row to a partition, and waits until everything is committed.
func (b *bubble) moves(partition int32, user string, n int) {
	b.t.Helper()
	b.in(partition, user, n)
	b.commits(2*time.Minute, both...)
}

// had fails unless the vendors had a user with these names, in this order.
func (b *bubble) had(user string, numbers ...int) {
	b.t.Helper()
	var want []string
	for _, n := range numbers {
		want = append(want, name(n))
	}
	for _, dest := range both {
		if got := b.applied(dest, user); !slices.Equal(got, want) {
			b.t.Errorf("%s has had %q of user %s, want %q", dest, got, user, want)
		}
	}
}

// keepingBoth starts two workers that keep what was delivered, and returns when each has its
// share.
func (b *bubble) keepingBoth() {
	b.t.Helper()
	b.keeping()
	b.start()
	b.start()
	b.hot()
	time.Sleep(time.Minute)
}

// TestMovedAndBack: a user's changes come from another partition, and then from the first
// one with the old values again, each when nothing of the user waits (G1).
func TestMovedAndBack(t *testing.T) {
	inBubble(t, 2, func(b *bubble) {
		b.keeping()
		b.start()
		b.hot()
		b.moves(1, "1", 1)
		b.moves(0, "1", 2)
		b.moves(1, "1", 1)
		b.moves(1, "1", 1)
		b.had("1", 1, 2, 1)
	})
}

// TestMovedBetweenOwners: the partitions had different owners, neither of which knew what
// the other one has sent. Whoever owns both, or did so before, finds out (G1).
func TestMovedBetweenOwners(t *testing.T) {
	for name, restart := range map[string]func(b *bubble){
		"one owner takes over": func(b *bubble) { b.alive[0].stop() },
		"one owner is killed":  func(b *bubble) { b.alive[0].kill() },
		"another one begins": func(b *bubble) {
			b.alive[0].stop()
			b.alive[0].stop()
			b.start()
		},
		"one had both in between": func(b *bubble) {
			b.alive[0].stop()
			b.hot()
			b.alive[0].stop()
			b.start()
			b.start()
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 2, func(b *bubble) {
				b.keepingBoth()
				b.moves(1, "1", 1)
				b.moves(1, "3", 1)
				b.moves(0, "1", 2)
				restart(b)
				time.Sleep(2 * time.Minute)
				b.hot()
				b.moves(1, "1", 1)
				b.moves(1, "1", 1)
				b.moves(1, "3", 1)
				b.had("1", 1, 2, 1)
				b.had("3", 1)
			})
		})
	}
}

// TestMovedBelowAnother: what was delivered in one partition is read again, since another
// user's change keeps the offset below it, by whoever comes to own the partition to which
// its user has moved meanwhile. It is not sent again: the user would be left with it (G1).
func TestMovedBelowAnother(t *testing.T) {
	inBubble(t, 2, func(b *bubble) {
		b.keepingBoth()
		b.both(vendortest.Rule{User: "13", Status: 500})
		b.in(1, "13", 1)
		time.Sleep(5 * time.Second)
		b.in(1, "1", 1)
		time.Sleep(5 * time.Second)
		for _, user := range []string{"3", "5", "7", "9"} { // the newest are sent once more, to compare
			b.in(1, user, 1)
		}
		time.Sleep(5 * time.Second)
		b.in(0, "1", 2)
		time.Sleep(5 * time.Second)
		b.had("1", 1, 2)
		b.alive[0].stop()
		time.Sleep(time.Minute)
		b.hot()
		b.had("1", 1, 2)
		b.tap.SetRules()
		b.hap.SetRules()
		b.commits(time.Hour, both...)
		b.had("1", 1, 2)
		b.in(1, "1", 3) // moved back
		b.commits(time.Minute, both...)
		b.had("1", 1, 2, 3)
	})
}

// movedUnnoticed has two users moved from partition 1 to 0 and one stay, all with different
// owners, and returns when those are gone, and the next one can't read the state of partition
// 0. In between is done what no owner sees.
func (b *bubble) movedUnnoticed(unseen func()) (away *kfake.FaultHandle) {
	b.keepingBoth()
	for _, user := range []string{"1", "2", "3"} {
		b.moves(1, user, 1)
	}
	b.moves(0, "1", 2)
	b.moves(0, "2", 2)
	b.alive[0].stop()
	b.alive[0].stop()
	unseen()
	away = b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "state", Partitions: []int32{0}, Count: -1})
	w := b.start()
	b.until(time.Minute, "one partition loads, the other one has", func() bool {
		return w.metric("state_loading_partitions") == 2 && b.said("the state is loaded", "partition=1", "worker=2", "destination=taptalk") &&
			b.said("the state is loaded", "partition=1", "worker=2", "destination=haptik")
	})
	return away
}

// TestMovedWhileLoading: a user changes while the state of one partition is known, which
// says that nothing changes, and that of another one is not, to which the user had moved (G1).
func TestMovedWhileLoading(t *testing.T) {
	t.Run("loaded soon", func(t *testing.T) {
		inBubble(t, 2, func(b *bubble) {
			away := b.movedUnnoticed(func() {})
			b.in(1, "1", 1) // it is held, says partition 1
			b.in(1, "2", 3)
			b.in(1, "3", 1)
			time.Sleep(5 * time.Second)
			b.had("1", 1, 2)
			b.had("2", 1, 2, 3) // a change waits for no other partition
			away.Remove()
			b.commits(time.Minute, both...)
			b.had("1", 1, 2, 1)
			b.had("3", 1) // who has not moved costs no call
			b.moves(0, "2", 2)
			b.had("2", 1, 2, 3, 2) // what partition 0 has loaded is older than what was sent meanwhile
		})
	})
	t.Run("halted", func(t *testing.T) {
		inBubble(t, 2, func(b *bubble) {
			away := b.movedUnnoticed(func() {
				b.in(0, "4", 1)
				if err := b.kafka.DeleteRecords("users", 0, 3); err != nil {
					b.t.Fatal(err)
				}
				b.lose(users0, 3)
			})
			b.halted(b.alive[0], time.Minute, "out_of_range_below")
			b.in(1, "1", 1)
			time.Sleep(5 * time.Second)
			b.had("1", 1, 2)
			away.Remove()
			time.Sleep(time.Minute)
			b.had("1", 1, 2, 1)
		})
	})
	t.Run("not loaded", func(t *testing.T) {
		inBubble(t, 2, func(b *bubble) {
			away := b.movedUnnoticed(func() {})
			b.in(1, "1", 1)
			b.in(1, "3", 1)
			b.commits(2*time.Minute, both...) // nothing waits for ever
			b.had("1", 1, 2, 1)
			b.had("3", 1, 1) // nobody knows that it has not moved
			away.Remove()
			time.Sleep(time.Minute)
			b.moves(0, "1", 2)
			b.had("1", 1, 2, 1, 2)
			b.moves(1, "3", 1)
			b.had("3", 1, 1)
		})
	})
}
