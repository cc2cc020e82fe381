package consumer

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
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
				b.keeping()
				b.start()
				b.start()
				b.hot()
				time.Sleep(time.Minute) // both have their share
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
