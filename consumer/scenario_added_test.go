package consumer

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestPartitionWithoutALeaderKeepsNobodyWaiting adds a partition whose leader does
// not say where it starts. The others are read meanwhile; a log line and a metric
// name it; and it is read as soon as its leader answers.
func TestPartitionWithoutALeaderKeepsNobodyWaiting(t *testing.T) {
	inBubble(t, 2, func(b *bubble) {
		w := b.start()
		b.writeAll(numbers(0, 9)...)
		b.settles(time.Minute)
		fault := b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Topic: "users", Err: kerr.LeaderNotAvailable, Count: -1})
		b.grow(3)
		b.parts = 2 // nobody writes to the new one yet
		time.Sleep(time.Minute)
		b.write("1", name(777))
		b.settles(30 * time.Second)
		for _, dest := range both {
			if !b.said("level=WARN", "destination="+dest, "its leader does not say where it starts", "partition=2") {
				b.t.Errorf("%s: the log does not say what is the matter", dest)
			}
		}
		w.shows(time.Second, 1, "consumer_partition_waiting", "partition", "2", "reason", "unreachable")

		b.parts = 3
		b.write("2", name(778))
		time.Sleep(5 * time.Minute)
		if n := b.lines("level=WARN", "destination="+destTaptalk, "cannot tell yet", "partition=2"); n < 5 || n > 8 {
			b.t.Errorf("said again %d times in seven minutes", n)
		}
		before := w.metric("consumer_generations_total", "destination", destTaptalk)
		fault.Remove()
		b.settles(time.Minute)
		if got := w.metric("consumer_generations_total", "destination", destTaptalk); got != before+1 {
			b.t.Errorf("%v generations more to read it", got-before)
		}
	})
}

// TestFirstStartWithoutALeader starts a new group, at a given time, while one of
// three partitions has no leader. It is no added one: it starts at that time too.
func TestFirstStartWithoutALeader(t *testing.T) {
	inBubble(t, 3, func(b *bubble) {
		b.writeAll("2")
		time.Sleep(time.Hour)
		began := time.Now()
		old := TopicPartition{"users", 2}
		b.lose(old, 1) // older than what is asked for
		delete(b.ends, old)
		fault := b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Topic: "users", Partitions: []int32{2}, Err: kerr.LeaderNotAvailable, Count: -1})
		b.start(func(c *Config) { c.StartFrom = began })
		b.writeAll("0", "1")
		b.settles(time.Minute)
		b.writeAll("5")
		time.Sleep(time.Minute)
		fault.Remove()
		b.settles(time.Minute)
		for _, dest := range both {
			if got := b.has(dest, "2"); got != "" {
				b.t.Errorf("%s was given what is older than start_from", dest)
			}
		}
	})
}

// TestPartitionsAreAdmittedTogether adds ten partitions at once: to read them all
// takes one generation that waits for their turn and one that reads them.
func TestPartitionsAreAdmittedTogether(t *testing.T) {
	inBubble(t, 2, func(b *bubble) {
		w := b.start()
		b.writeAll(numbers(0, 9)...)
		b.settles(time.Minute)
		before := w.metric("consumer_generations_total", "destination", destTaptalk)
		b.grow(12)
		for n := 2; n < 12; n++ {
			b.write(numbers(n, n)[0], name(500+n))
		}
		b.settles(2 * time.Minute)
		if got := w.metric("consumer_generations_total", "destination", destTaptalk) - before; got > 3 {
			b.t.Errorf("%v generations", got)
		}
	})
}
