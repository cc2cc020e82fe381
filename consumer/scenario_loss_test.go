package consumer

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"usersync/consumer/trace"
	"usersync/sync/vendortest"
)

// accepts accepts what the halt of partition 0 has lost, for both destinations.
func (o *operator) accepts(offset int64) {
	o.b.t.Helper()
	for _, dest := range both {
		h := o.halt(dest)
		o.says(Loss{Destination: dest, TopicPartition: h.TopicPartition, At: time.Now(), Halted: h.At, Offset: offset})
	}
}

// halt waits until the topic says that partition 0 is halted.
func (o *operator) halt(dest string) Halt {
	o.b.t.Helper()
	var h Halt
	o.b.until(time.Minute, dest+" says that the partition is halted", func() bool {
		c, err := o.Read(o.b.t.Context())
		if err != nil {
			o.b.t.Fatal(err)
		}
		h, _ = c.Halt(dest, users0)
		return h.Reason != ""
	})
	return h
}

// forgotten waits until nothing is said of halts any more.
func (o *operator) forgotten() {
	o.b.t.Helper()
	o.b.until(time.Minute, "halts that are over are forgotten", func() bool {
		c, err := o.Read(o.b.t.Context())
		if err != nil {
			o.b.t.Fatal(err)
		}
		for key := range c.records {
			if strings.Contains(key, "halt/") || strings.Contains(key, "loss/") {
				return false
			}
		}
		return true
	})
}

// TestLossAccepted lets retention win. What an operator accepts takes effect at once
// with workers that run, and with none as soon as one halts again; what was said about
// another halt means nothing.
func TestLossAccepted(t *testing.T) {
	for name, running := range map[string]bool{"while they run": true, "while none runs": false} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 1, func(b *bubble) {
				o := b.controlled()
				b.outlived()
				for _, dest := range both { // of a halt long ago
					o.says(Loss{Destination: dest, TopicPartition: users0, At: time.Now(), Halted: time.Now().Add(-time.Hour), Offset: 40})
				}
				w := b.start()
				b.halted(w, 30*time.Second, "out_of_range_below")
				if h := o.halt(destTaptalk); h.Offset != 20 || h.Reason != "out_of_range_below" {
					b.t.Errorf("operators are told %+v", h)
				}
				time.Sleep(5 * time.Minute)
				b.holds(users0, 20)
				first := o.halt(destHaptik)
				w.stop()
				w = b.start() // the same halt, whoever meets it
				time.Sleep(time.Minute)
				if again := o.halt(destHaptik); again != first {
					b.t.Errorf("one halt is told as two: %+v, %+v", first, again)
				}
				if !running {
					w.stop()
				}
				b.lose(users0, 40)
				o.accepts(40)
				if !running {
					b.start()
				}
				b.settles(3 * time.Minute)
				o.forgotten()
				if !b.said("level=WARN", "a halted partition goes on", "offset=40") {
					b.t.Error("nobody said that the partition goes on")
				}
				b.writeAll(numbers(61, 70)...)
				b.settles(time.Minute)
			})
		})
	}
}

// TestLossOfARecreatedTopic: the topic was made anew, and while the workers are down it
// becomes longer than the old one was. That it is not the old one is not forgotten, so
// nothing of it is skipped; accepted, it is read from its start.
func TestLossOfARecreatedTopic(t *testing.T) {
	for _, c := range []struct {
		name          string
		before, after int
		reason        string
	}{
		{"shorter", 50, 20, "out_of_range_above"},
		{"longer", 20, 50, "topic_recreated"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, 1, func(b *bubble) {
				o := b.controlled()
				w := b.start()
				b.writeAll(numbers(1, c.before)...)
				b.settles(time.Minute)
				deaf := b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch, kmsg.ListOffsets}, Topic: "users", Err: kerr.NotLeaderForPartition, Count: -1})
				time.AfterFunc(4*time.Second, deaf.Remove)
				if err := b.kafka.DeleteTopic("users"); err != nil {
					b.t.Fatal(err)
				}
				b.remake(users0)
				b.ledger.Suspend(trace.TopicPartition(users0))
				b.writeAll(numbers(101, 100+c.after)...)
				b.halted(w, 30*time.Second, c.reason)
				o.halt(destTaptalk)
				o.halt(destHaptik)
				w.stop()
				b.writeAll(numbers(201, 260)...)
				b.start()
				time.Sleep(5 * time.Minute)
				for _, dest := range both {
					b.lacks(dest, numbers(101, 100+c.after)...)
					b.lacks(dest, numbers(201, 260)...)
				}
				o.accepts(0)
				b.settles(3 * time.Minute)
				o.forgotten()
				b.deadLetters(0)
			})
		})
	}
}

// TestLossAtTheStart: where nothing was committed before, the accepted loss leaves the
// offset where it is, and so does what operators were told of the halt. As long as that
// cannot be taken back the partition goes on all the same, and once.
func TestLossAtTheStart(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		o := b.controlled()
		b.both(vendortest.Rule{Status: 503})
		w := b.start()
		b.writeAll(numbers(1, 20)...)
		time.Sleep(10 * time.Second)
		deaf := b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch, kmsg.ListOffsets}, Topic: "users", Err: kerr.NotLeaderForPartition, Count: -1})
		time.AfterFunc(4*time.Second, deaf.Remove)
		b.anew()
		b.writeAll(numbers(101, 105)...)
		b.halted(w, 30*time.Second, "out_of_range_above")
		if h := o.halt(destTaptalk); h.Offset != 0 {
			t.Fatalf("halted at %d, want at the start", h.Offset)
		}
		b.both()
		o.accepts(0)
		kept := b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "control", Err: kerr.NotLeaderForPartition, Count: -1})
		b.settles(3 * time.Minute)
		kept.Remove()
		o.forgotten()
		for _, dest := range both {
			if n := w.metric("consumer_generations_total", "destination", dest); n > 3 {
				t.Errorf("%s: %v generations", dest, n)
			}
		}
	})
}

// rotten is a batch at base that cannot be read.
func rotten(base int64) []byte {
	batch := logBatch{base: base, records: values(1, 0)}.encode()
	batch[len(batch)-2] ^= 1 // the checksum no longer fits
	return batch
}

// rots spoils partition 0 between two offsets, which it is filled up to, for whoever reads
// it from now on.
func (b *bubble) rots(from, to int64) {
	b.t.Helper()
	batch := rotten(from)
	cannedFetch(b.kafka, 0, from, to, func(int64) []byte { return batch })
	for b.end0() < to {
		key := keyOf(strconv.FormatInt(b.end0()+1, 10))
		b.raw(&kgo.Record{Key: []byte(key), Value: []byte(key)}) // who can read what it says?
	}
}

// TestLossOfACorruptBatch: a batch cannot be read. What comes before it is delivered all
// the same, and nothing but the batch is lost.
func TestLossOfACorruptBatch(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		o := b.controlled()
		for _, user := range []string{"7", "8"} { // something has to be settled first
			b.tap.AddRule(vendortest.Rule{User: user, Status: 503})
			b.hap.AddRule(vendortest.Rule{User: user, Status: 503})
		}
		w := b.start()
		b.writeAll(numbers(1, 20)...)
		time.Sleep(10 * time.Second)
		b.rots(20, 25)
		b.writeAll(numbers(26, 50)...)
		b.halted(w, time.Minute, "corrupt")
		if h := o.halt(destTaptalk); h.Offset != 20 || h.Reason != "corrupt" {
			b.t.Errorf("operators are told %+v", h)
		}
		o.accepts(25)
		time.Sleep(time.Minute)
		b.holds(users0, 6)
		b.latency(20 * time.Millisecond) // and nothing else
		b.settles(3 * time.Minute)
		o.forgotten()
		b.deadLetters(0)
	})
}

// TestHaltIsOver: an operator has set the offset by other means. What was said of the
// halt is forgotten, and so is what was accepted too late.
func TestHaltIsOver(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		o := b.controlled()
		b.outlived()
		w := b.start()
		b.halted(w, 30*time.Second, "out_of_range_below")
		o.halt(destTaptalk)
		o.halt(destHaptik)
		w.stop()
		b.lose(users0, 50)
		for _, dest := range both {
			b.setOffset(dest, users0, 50)
		}
		o.accepts(40)
		b.start()
		b.settles(3 * time.Minute)
		o.forgotten()
		for _, dest := range both {
			b.lacks(dest, numbers(41, 50)...)
		}
	})
}

// TestPastCorrupt finds the first offset behind batches that cannot be read, in the
// middle of a log and at its end.
func TestPastCorrupt(t *testing.T) {
	inKafka(t, func(t *testing.T, k *fakeKafka) {
		for range 10 {
			k.produce(record(0, "a"))
		}
		rotten := rotten(3)
		cannedFetch(k, 0, 3, 7, func(int64) []byte { return rotten })
		c := k.client("users")
		for from, want := range map[int64]int64{0: 0, 3: 7, 5: 7, 7: 7, 10: 10} {
			if got, err := c.PastCorrupt(t.Context(), users0, from); err != nil || got != want {
				t.Errorf("from %d on it can be read at %d (%v), want %d", from, got, err, want)
			}
		}
		cannedFetch(k, 0, 7, 10, func(int64) []byte { return rotten })
		if got, err := c.PastCorrupt(t.Context(), users0, 4); err != nil || got != 10 {
			t.Errorf("where all that is left is corrupt it goes on at %d (%v), want the end, 10", got, err)
		}
	}, kfake.SeedTopics(1, "users"))
}
