package consumer

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"usersync/sync/vendortest"
)

// TestResyncBehindOneWhoFails: one user of a resync fails, which holds the offset of the
// retry topic. Those behind it are sent once, be the worker stopped, killed or one of two,
// and the one who failed is sent in the end (G1).
func TestResyncBehindOneWhoFails(t *testing.T) {
	for end, kept := range map[string]bool{"stopped": true, "killed": true, "stopped, nothing kept": false, "joined by another": true} {
		t.Run(end, func(t *testing.T) {
			inBubble(t, 1, func(b *bubble) {
				b.configure = func(c *Config) { c.RetryTopic = "retry" }
				if kept {
					b.keeping()
				}
				users := numbers(1, 40)
				b.writeAll(users...)
				w := b.start()
				b.commits(time.Minute, both...)
				b.tap.AddRule(vendortest.Rule{User: "3", Status: 503})
				b.hap.AddRule(vendortest.Rule{User: "3", Status: 503})
				b.resyncAll(users)
				b.until(time.Minute, "all are asked for", func() bool { return b.submitted(destTaptalk)+b.submitted(destHaptik) == 80 })
				time.Sleep(2 * proveEvery) // and a commit has said so
				for range 3 {
					switch end {
					case "killed":
						w.kill()
						w = b.start()
					case "joined by another":
						b.start()
					default:
						w.stop()
						w = b.start()
					}
					time.Sleep(2 * time.Minute)
				}
				for dest, held := range map[string]int64{destTaptalk: 2, destHaptik: 42} {
					if at := b.ledger.committed(dest, TopicPartition{"retry", 0}); at != held {
						t.Errorf("%s: the retry topic is committed up to %d, want %d, where user 3 is", dest, at, held)
					}
				}
				b.latency(20 * time.Millisecond) // and nothing else
				well := time.Now()
				b.settles(2 * time.Minute)
				for _, dest := range both {
					if n := b.submitted(dest); n < 41 || n > 43 {
						t.Errorf("%s: %v records of the resync were submitted, want 40 and user 3 once for each new owner", dest, n)
					}
					if all := b.versions(dest, "3"); all[len(all)-1].Received.Before(well) {
						t.Errorf("%s: user 3 was not sent when it could be", dest)
					}
				}
			}, kfake.SeedTopics(1, "retry"))
		})
	}
}

// submitted is how many records of the retry topic all workers have submitted. Deliveries
// would not tell: who delivers nobody else repeats some, to compare with.
func (b *bubble) submitted(dest string) (n float64) {
	b.t.Helper()
	for _, w := range b.all {
		n += w.metric("retry_records_total", "destination", dest, "outcome", retrySubmitted)
	}
	return n
}
