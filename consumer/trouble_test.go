package consumer

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestTroubleIsSaidNowAndThen(t *testing.T) {
	start := time.Unix(1000, 0)
	for _, c := range []struct {
		name     string
		patience time.Duration
		fails    []time.Duration // after the start
		said     string          // a mark for each: s, or - for silence
		worth    bool            // saying that it is over
	}{
		{"at once, and every minute", 0, []time.Duration{0, time.Second, 59 * time.Second, time.Minute, 90 * time.Second, 2 * time.Minute}, "s--s-s", true},
		{"over before the patience is", 10 * time.Second, []time.Duration{0, 9 * time.Second}, "--", false},
		{"longer than the patience", 10 * time.Second, []time.Duration{0, 10 * time.Second, 11 * time.Second, 70 * time.Second}, "-s-s", true},
		{"none", 0, nil, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var x trouble
			said := ""
			for _, at := range c.fails {
				if x.again(start.Add(at), c.patience) {
					said += "s"
				} else {
					said += "-"
				}
			}
			if said != c.said {
				t.Errorf("said %q, want %q", said, c.said)
			}
			lasted, worth := x.over(start.Add(100 * time.Second))
			if worth != c.worth || len(c.fails) > 0 && lasted != 100*time.Second {
				t.Errorf("over after %v, worth saying: %v", lasted, worth)
			}
			if _, worth := x.over(start.Add(time.Hour)); worth {
				t.Error("over twice")
			}
		})
	}
}

// lines counts the lines of the log that have all words.
func (b *bubble) lines(words ...string) int {
	n := 0
line:
	for line := range strings.Lines(b.logs.String()) {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue line
			}
		}
		n++
	}
	return n
}

// TestRefusedCommitsAreSaid lets a broker refuse every commit: without one no call is
// made, so the log says so at once, every minute, and when it is over.
func TestRefusedCommitsAreSaid(t *testing.T) {
	for _, c := range []struct {
		err  *kerr.Error
		says []string
	}{
		{kerr.InvalidCommitOffsetSize, []string{"level=WARN", "a commit failed", "commit of users/0", "[28]"}},
		{kerr.TopicAuthorizationFailed, []string{"level=ERROR", "grant it with kafka-acls.sh", "topic users"}},
	} {
		t.Run(c.err.Message, func(t *testing.T) {
			inBubble(t, 1, func(b *bubble) {
				fault := b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: c.err, Count: -1})
				b.start()
				b.writeAll(numbers(1, 10)...)
				time.Sleep(20 * time.Second)
				says := append([]string{"destination=" + destTaptalk}, c.says...)
				if n := b.lines(says...); n != 1 {
					b.t.Errorf("said %d times in 20 seconds", n)
				}
				time.Sleep(10 * time.Minute)
				if n := b.lines(says...); n < 10 || n > 12 {
					b.t.Errorf("said %d times in ten minutes", n)
				}
				fault.Remove()
				b.settles(time.Minute)
				if n := b.lines("level=INFO", "commits are accepted again", "destination="+destTaptalk); n != 1 {
					b.t.Errorf("%d lines say that it is over", n)
				}
			})
		})
	}
}

// TestFailedFetchesAreSaid lets one partition of two fail: in each of the ways that
// its leader may be found and asked.
func TestFailedFetchesAreSaid(t *testing.T) {
	for _, key := range []kmsg.Key{kmsg.Fetch, kmsg.ListOffsets, kmsg.Metadata} {
		t.Run(key.Name(), func(t *testing.T) {
			inBubble(t, 2, func(b *bubble) {
				b.start()
				b.writeAll(numbers(0, 9)...)
				b.settles(time.Minute)
				fails := kfake.Fault{Keys: []kmsg.Key{key}, Topic: "users", Partitions: []int32{1}, Err: kerr.NotLeaderForPartition, Count: -1}
				if key == kmsg.Metadata {
					fails.Partitions, fails.Err = nil, kerr.TopicAuthorizationFailed // it answers by topic
				}
				fault := b.kafka.Fault(fails)
				time.Sleep(metadataAge)
				moved := b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "users", Partitions: []int32{1}, Err: kerr.NotLeaderForPartition, Count: 2})
				b.write("0", name(777)) // the other goes on
				time.Sleep(5 * time.Second)
				says := []string{"level=WARN", "a partition cannot be fetched", "partition=1", "destination=" + destHaptik}
				if n := b.lines(says...); n != 0 {
					b.t.Error("said before a new leader could be found")
				}
				time.Sleep(time.Minute)
				if n := b.lines(says...); n != 1 {
					b.t.Errorf("said %d times in a minute", n)
				}
				b.write("1", name(778))
				fault.Remove()
				moved.Remove()
				b.settles(time.Minute)
				if n := b.lines("level=INFO", "a partition is fetched again", "partition=1", "destination="+destHaptik); n != 1 {
					b.t.Errorf("%d lines say that it is over", n)
				}
			}, kfake.NumBrokers(1), kfake.Ports(9092)) // whoever is asked leads the partition
		})
	}
}
