package consumer

import (
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"usersync/consumer/trace"
)

// inAnew runs test in a bubble with one partition of each topic, where users 1 to 20 were
// delivered and nobody works now.
func inAnew(t *testing.T, test func(b *bubble)) {
	t.Helper()
	inBubble(t, 1, func(b *bubble) {
		b.configure = func(c *Config) { c.RetryTopic = "retry" }
		w := b.start()
		b.writeAll(numbers(1, 20)...)
		b.settles(time.Minute)
		w.stop()
		test(b)
	}, kfake.SeedTopics(1, "retry"))
}

// anew deletes the source topic and makes another one of its name.
func (b *bubble) anew() {
	b.t.Helper()
	if err := b.kafka.DeleteTopic("users"); err != nil {
		b.t.Fatal(err)
	}
	b.remake(users0)
	b.ledger.Suspend(trace.TopicPartition(users0))
}

// TestRetryOfAShorterLog: the source was made anew after somebody has asked for a retry,
// and ends before where the command has searched. The retry is let go, and those behind
// it have their turn.
func TestRetryOfAShorterLog(t *testing.T) {
	inAnew(t, func(b *bubble) {
		b.retry(destTaptalk, "20", 19, b.end0())
		b.anew()
		b.writeAll(numbers(101, 110)...)
		b.retry(destTaptalk, "103", 2, b.end0())
		w := b.start()
		b.settles(3 * time.Minute)
		w.retried(destTaptalk, retryOutdated, 1)
		w.retried(destTaptalk, retrySubmitted, 1)
		if !b.said("level=WARN", "a record of the retry topic is passed over", "why=outdated", "source_offset=19") {
			b.t.Error("nobody said which retry was let go")
		}
	})
}

// TestRetryOfAnotherLog: the source was made anew, is longer than the old one, and has a
// newer row of the user where the command has never looked. The retry takes nobody back
// (G1), whether it asks for a replay or a resync.
func TestRetryOfAnotherLog(t *testing.T) {
	for _, command := range []Command{Replay, Resync} {
		t.Run(string(command), func(t *testing.T) {
			inAnew(t, func(b *bubble) {
				b.askFor(command, destTaptalk, "20", 19, b.end0())
				b.anew()
				b.writeAll(numbers(20, 60)...)
				w := b.start()
				b.settles(3 * time.Minute)
				w.retried(destTaptalk, retryOutdated, 1)
			})
		})
	}
}

// TestRetryOfAHaltedPartition: while an operator has to decide about the source, retries
// of it are let go, for others may wait behind them.
func TestRetryOfAHaltedPartition(t *testing.T) {
	inAnew(t, func(b *bubble) {
		old := b.notes()
		b.retry(destTaptalk, "20", 19, b.end0())
		b.anew()
		b.writeAll(numbers(101, 150)...)
		b.setNotes(old, unedited)
		w := b.start()
		b.halted(w, time.Minute, "topic_recreated")
		delete(b.ends, users0)
		b.commits(3*time.Minute, destTaptalk)
		w.retried(destTaptalk, retryOutdated, 1)
	})
}

// TestRetryOfWhatIsGone: the record itself is not in the source any more. Age removes
// older ones first, so it may still be the newest. Compaction removes the newest last: there
// was a newer one, be it gone as well by now, and nobody is taken back (G1).
func TestRetryOfWhatIsGone(t *testing.T) {
	t.Run("by age", func(t *testing.T) {
		inAnew(t, func(b *bubble) {
			b.retry(destTaptalk, "10", 9, b.end0())
			if err := b.kafka.DeleteRecords("users", 0, 15); err != nil {
				b.t.Fatal(err)
			}
			w := b.start()
			b.settles(3 * time.Minute)
			w.retried(destTaptalk, retrySubmitted, 1)
		})
	})
	t.Run("by compaction", func(t *testing.T) {
		inAnew(t, func(b *bubble) {
			b.anew()
			if err := errors.Join(b.kafka.DeleteTopic("users"), b.kafka.CreateTopic("users", 1, compact)); err != nil {
				b.t.Fatal(err)
			}
			b.out = b.kafka.producer()
			b.writeAll(numbers(1, 20)...)
			b.write("10", name(99))
			b.retry(destTaptalk, "10", 9, b.end0()) // by a command that has overlooked the newer one
			b.write("31", name(31))                 // the end of the log is never compacted
			b.kafka.Compact()
			w := b.start()
			b.settles(3 * time.Minute)
			w.retried(destTaptalk, retryOutdated, 1)
		})
	})
}
