package consumer

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"usersync/consumer/trace"
	usync "usersync/sync"
)

// operator is who says something in a bubble's control topic.
type operator struct {
	*ControlTopic
	b *bubble
}

// controlled gives a bubble a control topic that all workers look at.
func (b *bubble) controlled() *operator {
	b.t.Helper()
	if err := b.kafka.CreateTopic("control", 1, compact); err != nil {
		b.t.Fatal(err)
	}
	b.configure = func(c *Config) {
		c.ControlTopic = "control"
		c.Client = b.kafka.client("users", "dead", "control", "state")
	}
	return &operator{NewControlTopic(b.kafka.client("control"), "control"), b}
}

func (o *operator) says(records ...ControlRecord) {
	o.b.t.Helper()
	if err := o.Put(o.b.t.Context(), records...); err != nil {
		o.b.t.Fatal(err)
	}
}

func (o *operator) takesBack(records ...ControlRecord) {
	o.b.t.Helper()
	if err := o.Remove(o.b.t.Context(), records...); err != nil {
		o.b.t.Fatal(err)
	}
}

// lacks fails if a vendor was told of any of the users.
func (b *bubble) lacks(dest string, users ...string) {
	b.t.Helper()
	for _, user := range users {
		if got := b.has(dest, user); got != "" {
			b.t.Errorf("%s was called for user %s", dest, user)
		}
	}
}

// TestPaused pauses one of two destinations: nobody calls it, whoever joins, starts
// again or takes partitions over, until it is resumed; the other one and the session
// notice nothing.
func TestPaused(t *testing.T) {
	inBubble(t, 2, func(b *bubble) {
		o := b.controlled()
		first := b.start()
		b.start()
		b.writeAll(numbers(1, 20)...)
		b.settles(time.Minute)
		o.says(Pause{destTaptalk, time.Now()})
		time.Sleep(5 * time.Second)
		for _, w := range b.alive {
			if w.metric("lane_state", "destination", destTaptalk, "reason", "paused") != 1 || w.metric("lane_state", "destination", destHaptik, "reason", "running") != 1 {
				b.t.Error("no metric shows which of the two is paused")
			}
		}
		b.writeAll(numbers(21, 40)...)
		b.commits(time.Minute, destHaptik)
		b.right(destHaptik)
		time.Sleep(5 * time.Minute)
		b.lacks(destTaptalk, numbers(21, 40)...)
		generations := first.metric("consumer_generations_total", "destination", destTaptalk)

		third := b.start() // a rebalance
		time.Sleep(time.Minute)
		if first.metric("consumer_generations_total", "destination", destTaptalk) == generations {
			b.t.Error("there was no rebalance")
		}
		for _, w := range append([]*worker(nil), b.alive...) { // restarts
			if err := w.pipelines[destTaptalk].Ready(); err != nil {
				b.t.Errorf("a pause is not a failure: %v", err)
			}
			w.stop()
			b.start()
			time.Sleep(time.Minute)
		}
		b.lacks(destTaptalk, numbers(21, 40)...)
		if got := third.metric("deliveries_total", "destination", destTaptalk, "outcome", "delivered"); got != 0 {
			b.t.Errorf("%v deliveries by a worker that never saw another state", got)
		}
		o.takesBack(Pause{Destination: destTaptalk})
		b.settles(time.Minute)
		b.deadLetters(0)
		for user := range b.rows {
			if n := len(b.versions(destTaptalk, user)); n != 1 {
				b.t.Errorf("user %s took %d calls", user, n)
			}
		}
	})
}

// TestControlTopicUnavailable: workers that cannot read the control topic at their start
// wait a moment, then work as if nothing had been said, and say so; later they go on with
// what they know, and hear the rest when it is back.
func TestControlTopicUnavailable(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		o := b.controlled()
		o.says(Pause{destHaptik, time.Now()})
		away := func() *kfake.FaultHandle {
			return b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch, kmsg.ListOffsets}, Topic: "control", Err: kerr.NotLeaderForPartition, Count: -1})
		}
		fault := away()
		w := b.start()
		w.shows(time.Minute, 1, "control_unreadable")
		b.writeAll(numbers(1, 20)...)
		b.settles(time.Minute)
		if !b.said("level=ERROR", "control_topic=control", "work begins without what it says") {
			b.t.Error("nobody said that the control topic cannot be read")
		}
		fault.Remove()
		w.shows(time.Minute, 0, "control_unreadable")
		time.Sleep(time.Minute)
		b.writeAll(numbers(21, 40)...)
		b.commits(time.Minute, destTaptalk)
		time.Sleep(time.Minute)
		b.lacks(destHaptik, numbers(21, 40)...)

		fault = away()
		time.Sleep(time.Minute)
		if !b.said("level=ERROR", "control_topic=control", "work goes on with what is known of it") {
			b.t.Error("nobody said that the control topic cannot be read any more")
		}
		w.shows(time.Second, 1, "control_unreadable")
		o.takesBack(Pause{Destination: destHaptik})
		time.Sleep(5 * time.Minute)
		b.lacks(destHaptik, numbers(21, 40)...)
		fault.Remove()
		b.settles(2 * time.Minute)
		if !b.said("the control topic can be read again") {
			b.t.Error("nobody said that the control topic can be read again")
		}
		w.shows(time.Second, 0, "control_unreadable")
	})
}

// TestControlTopicRecreated: a control topic that was made anew is read from its start.
func TestControlTopicRecreated(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		o := b.controlled()
		o.says(Pause{destHaptik, time.Now()}, Accept{destHaptik, time.Now()})
		w := b.start()
		time.Sleep(30 * time.Second)
		if w.metric("lane_state", "destination", destHaptik, "reason", "paused") != 1 {
			b.t.Fatal("haptik is not paused")
		}
		if err := b.kafka.DeleteTopic("control"); err != nil {
			b.t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if err := b.kafka.CreateTopic("control", 1, compact); err != nil {
			b.t.Fatal(err)
		}
		time.Sleep(5 * time.Second) // until everybody has heard of it
		o.says(Pause{destTaptalk, time.Now()}, Accept{destHaptik, time.Now()})
		b.until(time.Minute, "the new topic holds", func() bool {
			return w.metric("lane_state", "destination", destHaptik, "reason", "running") == 1 &&
				w.metric("lane_state", "destination", destTaptalk, "reason", "paused") == 1
		})
	})
}

// TestAcceptLetters: with more than the budget given up, none is written until an
// operator accepts them; what is given up later waits for another word.
func TestAcceptLetters(t *testing.T) {
	inBubble(t, 2, func(b *bubble) {
		o := b.controlled()
		small := func(c *Config) { c.Lane.Release = usync.Release{Budget: 3, Settle: 10 * time.Second} }
		b.ledger.poison = func(trace.Event) []string { return nil } // whoever can be read is well
		b.start(small)
		b.start(small)
		b.raw(undecodableRecords(10)...)
		b.writeAll(numbers(1, 10)...) // and others that show whose fault it is
		time.Sleep(5 * time.Minute)
		b.deadLetters(0)
		o.says(Accept{destTaptalk, time.Now()})
		b.commits(time.Minute, destTaptalk)
		time.Sleep(time.Minute)
		for _, r := range b.deadLetters(10) {
			if d := headersOf(r)["usersync.destination"]; d != destTaptalk {
				b.t.Errorf("a letter of %s, which nobody has accepted", d)
			}
		}
		b.raw(undecodableRecords(10)...)
		b.writeAll(numbers(11, 20)...)
		time.Sleep(5 * time.Minute)
		b.deadLetters(10)
		o.says(Accept{destTaptalk, time.Now()}, Accept{destHaptik, time.Now()})
		b.settles(2 * time.Minute)
		b.deadLetters(40)
	})
}

// undecodableRecords are records that nobody understands, for both partitions.
func undecodableRecords(n int) []*kgo.Record {
	records := make([]*kgo.Record, n)
	for i := range records {
		records[i] = &kgo.Record{Topic: "users", Partition: int32(i % 2), Key: []byte("{}"), Value: []byte("nonsense")}
	}
	return records
}
