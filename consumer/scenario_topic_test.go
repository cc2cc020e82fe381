package consumer

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"usersync/consumer/trace"
	"usersync/sync/vendortest"
)

// users0 is the only partition of most topics here.
var users0 = TopicPartition{"users", 0}

// halted waits until each destination has halted the partition, loudly and for one
// of the reasons.
func (b *bubble) halted(w *worker, within time.Duration, reasons ...string) {
	b.t.Helper()
	for _, dest := range both {
		b.until(within, dest+" halts the partition", func() bool { return b.ledger.halts(dest) != "" })
		reason, ok := strings.CutPrefix(b.ledger.halts(dest), "users/0 ")
		if !ok || !slices.Contains(reasons, reason) {
			b.t.Errorf("%s: halts %v, want one of %v", dest, b.ledger.halts(dest), reasons)
		}
		if w.metric("consumer_partition_halted", "destination", dest, "topic", "users", "partition", "0", "reason", reason) != 1 {
			b.t.Errorf("%s: no metric shows the halt", dest)
		}
		if !b.said("level=ERROR", "destination="+dest, "a partition is not read any more", "reason="+reason, wayOut(reason)) {
			b.t.Errorf("%s: the log does not say that the partition is halted", dest)
		}
	}
}

// wayOut is what the log says of what helps.
func wayOut(reason string) string {
	if reason == "topic_gone" {
		return "its topic is created again"
	}
	return "an operator accepts what is lost, with usersync offsets accept-loss, or sets the group's offset with Kafka's own tool while no worker runs"
}

// TestTopicRecreated recreates the topic, with fewer or with more records than
// the old one had: either way nothing is read as if it were the old one's, and
// the documented way out skips nothing.
func TestTopicRecreated(t *testing.T) {
	for _, c := range []struct {
		name          string
		before, after int
		quiet         bool // nothing was read since the worker started
		deaf          bool // and it hears nothing of the topic until that has its records
		reasons       []string
	}{
		{"shorter", 50, 20, false, true, []string{"out_of_range_above"}},
		{"longer", 20, 50, false, true, []string{"topic_recreated"}},
		{"longer, after a restart", 20, 50, true, true, []string{"topic_recreated"}},
		{"while it is being filled", 20, 50, false, false, []string{"out_of_range_above", "topic_recreated"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, 1, func(b *bubble) {
				w := b.start()
				b.writeAll(numbers(1, c.before)...)
				b.settles(time.Minute)
				if c.quiet {
					w.stop()
					w = b.start()
					time.Sleep(10 * time.Second)
				}
				if c.deaf {
					deaf := b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch, kmsg.ListOffsets}, Topic: "users", Err: kerr.NotLeaderForPartition, Count: -1})
					time.AfterFunc(4*time.Second, deaf.Remove)
				}
				if err := b.kafka.DeleteTopic("users"); err != nil {
					b.t.Fatal(err)
				}
				b.remake(users0)
				b.ledger.Suspend(trace.TopicPartition(users0))
				b.writeAll(numbers(101, 100+c.after)...)
				b.halted(w, 30*time.Second, c.reasons...)
				time.Sleep(10 * time.Second) // an answer may be on its way
				commits := b.ledger.commits(users0)
				time.Sleep(5 * time.Minute)
				if len(b.ledger.commits(users0)) != len(commits) {
					b.t.Error("offsets are committed after the halt: the new topic takes the old one's")
				}
				for _, dest := range both {
					if got := b.has(dest, "101"); got != "" {
						b.t.Errorf("%s: %q was read of a topic that nobody has decided about", dest, got)
					}
				}
				w.stop()
				for _, dest := range both {
					b.setOffset(dest, users0, 0)
				}
				b.start()
				b.settles(3 * time.Minute)
				b.deadLetters(0)
			})
		})
	}
}

// TestTopicGoneAndBack deletes the topic for so long that the workers notice:
// they say so, and when it is back they read it from its start.
func TestTopicGoneAndBack(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		w := b.start()
		b.writeAll(numbers(1, 20)...)
		b.settles(time.Minute)
		if err := b.kafka.DeleteTopic("users"); err != nil {
			b.t.Fatal(err)
		}
		b.until(30*time.Second, "somebody says that the topic is gone", func() bool {
			return !slices.ContainsFunc(both, func(dest string) bool {
				err := w.pipelines[dest].Ready()
				return err == nil || !strings.Contains(err.Error(), "users")
			})
		})
		for _, dest := range both {
			if !b.said("level=WARN", "destination="+dest, "no such topic") {
				b.t.Errorf("%s: the log does not say that the topic is gone", dest)
			}
		}
		time.Sleep(time.Minute)
		b.remake(users0)
		b.writeAll(numbers(101, 150)...) // more than the old one had
		b.settles(3 * time.Minute)
		b.deadLetters(0)
	})
}

// TestTopicMissingAtTheStart starts workers before there is a topic.
func TestTopicMissingAtTheStart(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		if err := b.kafka.DeleteTopic("users"); err != nil {
			b.t.Fatal(err)
		}
		w := b.start()
		time.Sleep(time.Minute)
		for _, dest := range both {
			if err := w.pipelines[dest].Ready(); err == nil || !strings.Contains(err.Error(), "no such topic: [users]") {
				b.t.Errorf("%s: ready says %v", dest, err)
			}
			if err := w.pipelines[dest].Alive(); err != nil {
				b.t.Error(err)
			}
		}
		if got := w.metric("consumer_generations_total"); got != 0 {
			b.t.Errorf("%v generations without a topic", got)
		}
		if err := b.kafka.CreateTopic("users", 1, nil); err != nil {
			b.t.Fatal(err)
		}
		b.writeAll(numbers(1, 20)...)
		b.settles(30 * time.Second)
		for _, dest := range both {
			if err := w.pipelines[dest].Ready(); err != nil {
				b.t.Error(err)
			}
		}
	})
}

// TestSecondTopicAdded creates the second of two configured topics later: the
// first is read meanwhile, and a restart is not needed.
func TestSecondTopicAdded(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		w := b.start(func(c *Config) {
			c.Topics = []string{"users", "customers"}
			c.Client = b.kafka.client("users", "customers", "dead")
		})
		b.writeAll(numbers(1, 20)...)
		b.settles(30 * time.Second)
		if err := b.kafka.CreateTopic("customers", 2, nil); err != nil {
			b.t.Fatal(err)
		}
		b.writeTo("customers", numbers(21, 40)...)
		b.writeAll(numbers(41, 60)...)
		b.settles(time.Minute)
		if got := w.metric("consumer_generations_total", "destination", destTaptalk); got > 3 {
			b.t.Errorf("%v generations for one new topic", got)
		}
	})
}

// outlived has retention win while no worker runs: 20 changes are committed, 60 were
// written, and the first 40 are gone.
func (b *bubble) outlived() {
	b.t.Helper()
	w := b.start()
	b.writeAll(numbers(1, 20)...)
	b.settles(time.Minute)
	w.stop()
	b.writeAll(numbers(21, 60)...)
	if err := b.kafka.DeleteRecords("users", 0, 40); err != nil {
		b.t.Fatal(err)
	}
}

// TestRecordsDeletedBelowThePosition lets retention win against a worker that is
// stopped, or against one that waits: what was lost is not passed over in silence.
func TestRecordsDeletedBelowThePosition(t *testing.T) {
	t.Run("stopped", func(t *testing.T) {
		inBubble(t, 1, func(b *bubble) {
			b.outlived()
			w := b.start()
			b.halted(w, 30*time.Second, "out_of_range_below")
			time.Sleep(5 * time.Minute)
			b.holds(users0, 20)
			w.stop()

			b.lose(users0, 40) // an operator has decided so
			for _, dest := range both {
				b.setOffset(dest, users0, 40)
			}
			b.start()
			b.settles(3 * time.Minute)
		})
	})
	t.Run("reading", func(t *testing.T) {
		inBubble(t, 1, func(b *bubble) {
			w := b.start(func(c *Config) { c.Window = 1 }) // one user
			b.tap.AddRule(vendortest.Rule{Status: 503})
			b.hap.AddRule(vendortest.Rule{Status: 503})
			blob := `,"blob":"` + strings.Repeat("x", 150_000) + `"`
			for _, user := range numbers(1, 20) { // more than one fetch holds
				b.row(user, name(1), blob)
			}
			time.Sleep(20 * time.Second)
			if err := b.kafka.DeleteRecords("users", 0, 18); err != nil {
				b.t.Fatal(err)
			}
			b.latency(time.Millisecond)
			b.halted(w, 5*time.Minute, "out_of_range_below")
		})
	})
}
