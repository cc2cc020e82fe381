package consumer

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"usersync/consumer/trace"
)

// haltedAgain waits until each destination has halted the partition for the n-th time.
func (b *bubble) haltedAgain(n int, reason string) {
	b.t.Helper()
	for _, dest := range both {
		b.until(time.Minute, fmt.Sprintf("%s halts the partition, %d times by then", dest, n), func() bool { return len(b.ledger.Halts(dest)) >= n })
		if halts := b.ledger.Halts(dest); len(halts) != n || halts[n-1] != "users/0 "+reason {
			b.t.Errorf("%s: halts %v, want %d, the last for %s", dest, halts, n, reason)
		}
	}
}

// untouched fails if anything of the new topic is read or committed from now on.
func (b *bubble) untouched() {
	b.t.Helper()
	time.Sleep(10 * time.Second) // an answer may be on its way
	commits := len(b.ledger.commits(users0))
	time.Sleep(3 * time.Minute)
	if n := len(b.ledger.commits(users0)) - commits; n != 0 {
		b.t.Errorf("%d commits of a topic that nobody has decided about", n)
	}
	for _, dest := range both {
		for user := range b.rows {
			if got := b.has(dest, user); got != "" {
				b.t.Errorf("%s: user %s was read of a topic that nobody has decided about", dest, user)
			}
		}
	}
}

// notes is what the groups have committed of the partition.
func (b *bubble) notes() map[string]Committed {
	b.t.Helper()
	notes := map[string]Committed{}
	for _, dest := range both {
		all, err := b.kafka.client("users").CommittedOffsets(b.t.Context(), "usersync."+dest, map[string][]int{"users": {0}})
		if err != nil || all[users0].Err != nil {
			b.t.Fatal(err, all[users0].Err)
		}
		notes[dest] = all[users0]
	}
	return notes
}

// setNotes commits what notes returned, as edited.
func (b *bubble) setNotes(notes map[string]Committed, edit func(string) string) {
	b.t.Helper()
	for _, dest := range both {
		codes, err := b.kafka.client("users").Commit(b.t.Context(), CommitRequest{
			Group: "usersync." + dest, Generation: -1,
			Partitions: []PartitionCommit{{TopicPartition: users0, Offset: notes[dest].Offset, Metadata: edit(notes[dest].Metadata)}},
		})
		if code, ok := codes[users0]; err != nil || !ok || code != 0 {
			b.t.Fatalf("%s: %v, %v", dest, err, codes)
		}
	}
}

func unedited(note string) string { return note }

// without takes a word out of a note.
func without(key string) func(string) string {
	return func(s string) string {
		return strings.Join(slices.DeleteFunc(strings.Fields(s), func(word string) bool { return strings.HasPrefix(word, key) }), " ")
	}
}

// TestRecreatedTopicStaysHalted: neither a restart nor a rebalance makes a recreated
// topic the old one.
func TestRecreatedTopicStaysHalted(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		w := b.start()
		b.writeAll(numbers(1, 20)...)
		b.settles(time.Minute)
		// The worker commits once more before it hears of the new topic.
		deaf := b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch, kmsg.ListOffsets}, Topic: "users", Err: kerr.NotLeaderForPartition, Count: -1})
		time.AfterFunc(2*proveEvery, deaf.Remove)
		if err := b.kafka.DeleteTopic("users"); err != nil {
			b.t.Fatal(err)
		}
		b.remake(users0)
		b.ledger.Suspend(trace.TopicPartition(users0))
		b.writeAll(numbers(101, 150)...)
		b.halted(w, 30*time.Second, "topic_recreated")

		b.start() // a rebalance
		b.haltedAgain(2, "topic_recreated")
		for len(b.alive) > 0 {
			b.alive[0].stop()
		}
		w = b.start() // and a restart
		b.haltedAgain(len(b.ledger.Halts(destTaptalk))+1, "topic_recreated")
		b.untouched()
		w.stop()

		for _, dest := range both {
			b.setOffset(dest, users0, 0)
		}
		b.start()
		b.settles(3 * time.Minute)
	})
}

// TestTopicRecreatedWhileStopped recreates the topic while nobody reads it, and the
// commit of the old one survives, as it does when it comes a moment late.
func TestTopicRecreatedWhileStopped(t *testing.T) {
	for _, c := range []struct {
		name string
		// The record before the commit is the same row with the same values: only
		// its time is another.
		same bool
	}{{"other rows", false}, {"the same rows", true}} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, 1, func(b *bubble) {
				w := b.start()
				b.writeAll(numbers(1, 20)...)
				b.settles(time.Minute)
				w.stop()
				old := b.notes()
				if err := b.kafka.DeleteTopic("users"); err != nil {
					b.t.Fatal(err)
				}
				b.remake(users0)
				b.ledger.Suspend(trace.TopicPartition(users0))
				if c.same {
					b.raw(b.records("users", numbers(1, 20)...)...)
				} else {
					b.raw(b.records("users", numbers(201, 220)...)...)
				}
				b.writeAll(numbers(101, 150)...)
				b.setNotes(old, unedited)
				w = b.start()
				b.halted(w, time.Minute, "topic_recreated")
				b.untouched()
			})
		})
	}
}

// TestMarkThatIsGone: a record that retention or compaction has removed says nothing
// about the log, and nor does a note without one, as an earlier version left it.
func TestMarkThatIsGone(t *testing.T) {
	t.Run("compaction", func(t *testing.T) {
		inBubble(t, 1, func(b *bubble) {
			if err := b.kafka.DeleteTopic("users"); err != nil {
				b.t.Fatal(err)
			}
			if err := b.kafka.CreateTopic("users", 1, map[string]string{"cleanup.policy": "compact"}); err != nil {
				b.t.Fatal(err)
			}
			b.goesOn(unedited, func() {
				b.write("20", name(99))
				b.write("31", name(31)) // the end of the log is never compacted
				b.kafka.Compact()
			})
			if _, err := b.kafka.client("users").refetch(b.t.Context(), "users", 0, 19); !errors.Is(err, errRecordGone) {
				b.t.Errorf("the record of the mark: %v, want it gone", err)
			}
		})
	})
	t.Run("retention", func(t *testing.T) {
		inBubble(t, 1, func(b *bubble) {
			b.goesOn(unedited, func() {
				if err := b.kafka.DeleteRecords("users", 0, 20); err != nil {
					b.t.Fatal(err)
				}
			})
		})
	})
	t.Run("an earlier version", func(t *testing.T) {
		inBubble(t, 1, func(b *bubble) { b.goesOn(without("last="), func() {}) })
	})
}

// goesOn stops the workers, lets something happen to the topic and to the notes, and
// expects that all is read on as if nothing had.
func (b *bubble) goesOn(edit func(string) string, happens func()) {
	w := b.start()
	b.writeAll(numbers(1, 20)...)
	b.settles(time.Minute)
	w.stop()
	old := b.notes()
	for dest, c := range old {
		if n, ok := parseNote(c.Metadata); !ok || n.Last.offset() != 19 {
			b.t.Errorf("%s: the note %q does not tell of the last record, 19", dest, c.Metadata)
		}
	}
	happens()
	b.setNotes(old, edit)
	b.writeAll(numbers(21, 30)...)
	b.start()
	b.settles(time.Minute)
	for dest, c := range b.notes() {
		if n, ok := parseNote(c.Metadata); !ok || n.Last.offset() <= 19 {
			b.t.Errorf("%s: the note %q does not tell of a later record", dest, c.Metadata)
		}
	}
}
