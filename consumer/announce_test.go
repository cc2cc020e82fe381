package consumer

import (
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"usersync/consumer/trace"
)

// TestAnnounce: as much as is used four times over, at first the most, and halving what is
// not used down to the least.
func TestAnnounce(t *testing.T) {
	p := part(0, 0, 1_000, 0)
	for i, step := range []struct{ registered, room int64 }{
		{0, headroom}, // nothing is known of a new owner
		{0, headroom / 2},
		{100, headroom / 4},
		{0, headroom / 8},
		{0, headroom / 16},
		{50, headroom / 32},
		{50, leastHeadroom},
		{leastHeadroom / 2, 2 * leastHeadroom},
		{leastHeadroom, 4 * leastHeadroom},
		{100_000, headroom},
		{0, headroom / 2},
	} {
		p.front.advance(p.front.position + step.registered)
		end := p.announce()
		if got := end - p.front.position; got != step.room {
			t.Fatalf("step %d: %d are announced, want %d", i, got, step.room)
		}
		if p.end > end {
			t.Fatalf("step %d: calls are made up to %d, and %d is announced", i, p.end, end)
		}
		p.end = end // it is accepted
	}
}

// announcing holds each call against what the broker has accepted by then: the next owner
// is told no more than that (G1).
func (b *bubble) announcing() {
	type place struct {
		dest string
		tp   TopicPartition
	}
	var mu sync.Mutex
	ends := map[place]int64{}
	b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Observe: true, Count: -1, When: func(r kmsg.Request) bool {
		c := r.(*kmsg.OffsetCommitRequest)
		mu.Lock()
		defer mu.Unlock()
		for _, topic := range c.Topics {
			for _, p := range topic.Partitions {
				if n, ok := parseNote(*p.Metadata); ok {
					ends[place{c.Group, TopicPartition{topic.Topic, int(p.Partition)}}] = n.End
				}
			}
		}
		return true
	}})
	b.configure = func(c *Config) {
		tell := c.Trace
		c.Trace = func(e trace.Event) {
			if tell(e); e.Kind != trace.Call {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if end := ends[place{c.Group, TopicPartition{e.Topic, e.Partition}}]; e.Offset >= end {
				b.t.Errorf("%s: a call for offset %d of partition %d, and %d is announced", c.Destination, e.Offset, e.Partition, end)
			}
		}
	}
}

// TestCallsAreAnnounced: bursts after quiet times, and quiet times after bursts, with
// commits that fail.
func TestCallsAreAnnounced(t *testing.T) {
	inBubble(t, 2, func(b *bubble) {
		b.announcing()
		b.start()
		b.hot()
		for round := range 6 {
			b.writeAll(numbers(1, 50*1<<(2*round%8))...)
			if round%2 == 0 {
				b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Count: 3})
			}
			b.settles(3 * time.Minute)
			time.Sleep(time.Duration(20*(round%3)) * time.Second)
		}
	})
}

// TestQuietOwnerLeavesLittleInDoubt: a worker that has little to do is killed. What comes in
// before another one owns its partition it cannot have sent, but for a little, and the next
// owner knows: no call makes sure of users who change again and again meanwhile.
func TestQuietOwnerLeavesLittleInDoubt(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		w := b.start()
		for i := range 120 {
			b.write(strconv.Itoa(1+i%10), name(i))
			time.Sleep(500 * time.Millisecond)
		}
		w.kill()
		users := numbers(1, 1_000)
		for i := range 3 { // with other words each time
			b.writeAll(slices.Concat(users[i:], users[:i])...)
		}
		next := b.start()
		b.settles(5 * time.Minute)
		for _, dest := range both {
			if n := next.metric("confirm_calls_total", "destination", dest); n > leastHeadroom {
				t.Errorf("%s: %v confirm calls, want %d at the most", dest, n, leastHeadroom)
			}
		}
	})
}
