package consumer

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	usync "usersync/sync"
	"usersync/sync/vendortest"
)

// takenOver is a partition taken over at an offset, of a log that ends there.
func takenOver(offset int64, metadata string, end int64) *owned {
	p := &owned{}
	p.inherit(time.Now(), Committed{Offset: offset, Metadata: metadata}, time.Minute)
	p.hears(end)
	return p
}

// A drained owner made calls up to 20,000, and all is committed up to 20 only. Its
// successor reads a part of that. The next one has to read all of it.
func TestReachIsHandedOn(t *testing.T) {
	first := note{End: 20_000, Drained: true, Sends: "x"}.String()
	for _, how := range []string{"killed", "drained"} {
		second := takenOver(20, first, 18_000)
		second.front.advance(700)
		if !second.behind() {
			t.Fatal("the second owner does not wait")
		}
		n := second.note(time.Now())
		second.end = n.End // accepted
		if how == "drained" {
			n = second.lastNote(time.Now(), false)
		}
		third := takenOver(20, n.String(), 18_000)
		third.front.advance(17_000)
		if !third.behind() {
			t.Errorf("%s: the third owner calls at 17,000, although calls were made up to 18,000: the note says %s", how, n)
		}
		third.front.advance(18_000)
		if third.behind() {
			t.Errorf("%s: the third owner waits for ever", how)
		}
	}
}

// What was written since the partition was taken over no former owner can have sent.
func TestWrittenSinceIsNotWaitedFor(t *testing.T) {
	for name, metadata := range map[string]string{
		"another tool's":  "",
		"accepted a loss": note{End: math.MaxInt64}.String(),
		"an owner's":      note{End: 10_020, Drained: true}.String(),
	} {
		p := takenOver(20, metadata, 30)
		p.front.advance(30)
		if p.behind() {
			t.Fatal("all is read")
		}
		p.hears(60) // a burst, of which the first part is read
		p.front.advance(45)
		if p.behind() {
			t.Errorf("%s note: waits for what nobody can have sent", name)
		}
	}
}

// goesOn accepts fetches of partition 0 that go on in the middle of it.
func goesOn(req kmsg.Request) bool {
	for _, t := range req.(*kmsg.FetchRequest).Topics {
		for _, p := range t.Partitions {
			if p.Partition == 0 && p.FetchOffset > 0 {
				return true
			}
		}
	}
	return false
}

func (b *bubble) stuck() *kfake.FaultHandle {
	return b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "users", Partitions: []int32{0}, Err: kerr.NotLeaderForPartition, Count: -1, When: goesOn})
}

// busy changes a user n times, in more bytes than a fetch holds.
func (b *bubble) busy(user string, n int) {
	b.t.Helper()
	pad := strings.Repeat("x", 1500)
	records := make([]*kgo.Record, n)
	for i := range n {
		value := fmt.Sprintf(`{"before":null,"after":{"id":%s,"full_name":%q,"pad":%q},"op":"u"}`, user, name(i), pad)
		records[i] = &kgo.Record{Partition: b.partitionOf(user), Key: []byte(keyOf(user)), Value: []byte(value)}
	}
	for i, c := range b.raw(records...) {
		b.ledger.wrote(c, user, name(i))
	}
	b.rows[user] = name(n - 1)
}

// neverBack reports whether a user was taken back.
func (b *bubble) neverBack(user string) {
	b.t.Helper()
	for _, dest := range both {
		newest, back, lowest := -1, 0, -1
		for _, v := range b.applied(dest, user) {
			n := number(v)
			if n < newest {
				if back++; lowest < 0 || n < lowest {
					lowest = n
				}
			}
			newest = max(newest, n)
		}
		if back > 0 {
			b.t.Errorf("G3: %s: user %s was taken back %d times, to %d after %d", dest, user, back, lowest, newest)
		}
	}
}

// delivered: user 2 of partition 0 fails at its start, and user 4 was delivered n
// times behind it. The worker is gone.
func (b *bubble) delivered(user string, n int) {
	b.t.Helper()
	b.both(vendortest.Rule{User: "2", Status: 503})
	w := b.start()
	b.write("2", name(0))
	b.busy(user, n)
	b.until(5*time.Minute, "user "+user+" is delivered", func() bool {
		return b.has(destTaptalk, user) == name(n-1) && b.has(destHaptik, user) == name(n-1)
	})
	w.stop()
	b.latency(20 * time.Millisecond)
}

// Two handovers in a row, with no fault at the third owner: the second one's commits
// announce less than the first one's.
func TestSecondTakeover(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		b.delivered("4", 12_000)
		more := b.stuck()
		w := b.start()
		b.hot()
		time.Sleep(2 * time.Second)
		w.stop()
		more.Remove()
		b.start()
		b.settles(5 * time.Minute)
		b.neverBack("4")
	})
}

// Others go on while a partition cannot be read, and its own wait.
func TestOthersGoOn(t *testing.T) {
	inBubble(t, 2, func(b *bubble) {
		b.delivered("4", 2_000)
		before := len(b.applied(destTaptalk, "4"))
		b.write("1", name(1))
		more := b.stuck()
		b.start()
		b.until(20*time.Second, "user 1 is delivered", func() bool {
			return b.has(destTaptalk, "1") == name(1) && b.has(destHaptik, "1") == name(1)
		})
		time.Sleep(30 * time.Second)
		if n := len(b.applied(destTaptalk, "4")); n != before {
			t.Errorf("%d calls of a withheld user", n-before)
		}
		more.Remove()
		b.settles(time.Minute)
		b.neverBack("4")
	})
}

// The window is full of users of another partition, who are being delivered.
func TestFullWindowOfOthers(t *testing.T) {
	inBubble(t, 2, func(b *bubble) {
		b.delivered("4", 2_000)
		var users []string
		for n := 1001; n < 5000; n += 2 {
			users = append(users, fmt.Sprint(n))
		}
		b.writeAll(users...)
		more := b.stuck()
		time.AfterFunc(time.Minute, more.Remove)
		b.start(func(c *Config) { c.Window, c.RateLimit = 50_000, 20 })
		b.settles(10 * time.Minute)
		b.neverBack("4")
	})
}

// The window is full of withheld users: then they are called.
func TestFullWindowOfWithheld(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		b.both(vendortest.Rule{User: "2", Status: 503})
		w := b.start()
		b.write("2", name(0))
		users := numbers(100, 399)
		b.writeAll(users...)
		b.until(time.Minute, "all are delivered", func() bool { return b.has(destTaptalk, "399") != "" && b.has(destHaptik, "399") != "" })
		w.stop()
		b.latency(20 * time.Millisecond)
		b.start(func(c *Config) { c.Window = 20_000 })
		b.settles(5 * time.Minute)
	})
}

// Retries that wait for their source partitions leave room to read these.
func TestRetriesLeaveRoomToRead(t *testing.T) {
	for what, tc := range map[string]struct {
		each        int
		compression kgo.CompressionCodec
	}{
		"100 KB of each partition":               {1, kgo.NoCompression()},
		"more than a fetch of each partition":    {12, kgo.NoCompression()},
		"more than the budget in a single fetch": {12, kgo.GzipCompression()},
	} {
		t.Run(what, func(t *testing.T) { retriesOfEach(t, tc.each, tc.compression) })
	}
}

func retriesOfEach(t *testing.T, each int, compression kgo.CompressionCodec) {
	const n = 20
	inBubble(t, n, func(b *bubble) {
		b.configure = func(c *Config) { c.RetryTopic = "retry" }
		users := numbers(1000, 1000+n-1)
		b.writeAll(users...)
		b.out = b.kafka.producer(kgo.ProducerBatchCompression(compression))
		pad := strings.Repeat("x", 100_000)
		for p, user := range users {
			var records []*kgo.Record
			for range each {
				records = append(records, asRecord("retry", int32(p), Retry{
					Destination: destTaptalk, Command: Resync, Searched: 1,
					Source: usync.Position{Topic: "users", Partition: p}, Key: []byte(keyOf(user)),
					Value: fmt.Appendf(nil, `{"before":null,"after":{"id":%s,"full_name":%q,"pad":%q},"op":"u"}`, user, name(p), pad),
				}.record()))
			}
			b.raw(records...)
		}
		away := b.unread("users")
		b.start()
		time.Sleep(time.Minute)
		away.Remove()
		for _, dest := range []string{destHaptik, destTaptalk} {
			b.until(5*time.Minute, dest+" has all users", func() bool {
				for i, user := range users {
					if b.has(dest, user) != name(i) {
						return false
					}
				}
				return true
			})
		}
	}, kfake.SeedTopics(n, "retry"))
}
