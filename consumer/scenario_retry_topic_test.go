package consumer

import (
	"strings"
	"testing"
	"time"

	usync "usersync/sync"
)

// TestRetryTopicTrouble: whatever becomes of the retry topic, users are brought up to
// date, and it is read as soon as it fits.
func TestRetryTopicTrouble(t *testing.T) {
	inRetries(t, func(b *bubble) {
		w := b.givenUp()
		if err := b.kafka.DeleteTopic("retry"); err != nil {
			b.t.Fatal(err)
		}
		b.writeAll("3", "4")
		b.settles(2 * time.Minute)
		time.Sleep(2 * time.Minute)
		if err := b.kafka.CreateTopic("retry", 1, nil); err != nil {
			b.t.Fatal(err)
		}
		b.until(5*time.Minute, "it says that the topic does not fit", func() bool { return b.said("the retry topic is not read", "partitions=1") })
		b.retry(destTaptalk, "2", 0, b.end0())
		delete(b.ends, TopicPartition{"retry", 0})
		b.writeAll("3", "4")
		b.settles(2 * time.Minute)
		if b.has(destTaptalk, "2") != "" {
			b.t.Error("a retry topic that does not fit is read")
		}
		b.more("retry", 2)
		b.until(5*time.Minute, "the replay is delivered", func() bool { return b.has(destTaptalk, "2") == name(1) })
		if err := w.pipelines[destTaptalk].Ready(); err != nil || strings.Contains(b.logs.String(), "panic") {
			b.t.Error(err)
		}
	})
}

// TestRetryOfAMissingTopic: a retry whose source topic does not exist waits for it for a
// moment, then it is let go. It harms nobody.
func TestRetryOfAMissingTopic(t *testing.T) {
	for name, comes := range map[string]bool{"that comes": true, "that is gone": false} {
		t.Run(name, func(t *testing.T) {
			inRetries(t, func(b *bubble) {
				record := b.records("others", "2")[0]
				err := b.kafka.client("retry").WriteRetry(b.t.Context(), "retry", Retry{
					Destination: destTaptalk, Command: Replay, Source: usync.Position{Topic: "others"}, Searched: 1,
					Key: record.Key, Value: record.Value,
				})
				if err != nil {
					b.t.Fatal(err)
				}
				w := b.start(func(c *Config) { c.Topics = []string{"users", "others"} })
				b.writeAll("3", "4")
				b.settles(time.Minute)
				b.until(5*time.Minute, "it says that the retry waits", func() bool { return b.said("waits until its source partition is read", "source=others") })
				outcome := retryOutdated
				if comes {
					outcome = retrySubmitted
					if err := b.kafka.CreateTopic("others", 2, nil); err != nil {
						b.t.Fatal(err)
					}
					b.writeTo("others", "2")
				}
				b.until(2*time.Minute, "the retry is "+outcome, func() bool {
					return w.metric("retry_records_total", "destination", destTaptalk, "outcome", outcome) == 1
				})
				b.settles(time.Minute)
			})
		})
	}
}
