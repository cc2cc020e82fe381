package consumer

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"usersync/metrics"
)

// TestBadRowsAlone gives a worker nothing but rows that both vendors reject.
// That could as well be the vendors' fault, so nothing is given up before others
// show that it is not.
func TestBadRowsAlone(t *testing.T) {
	const bad = 25
	inBubble(t, 3, func(b *bubble) {
		b.reject(numbers(1, bad)...)
		b.writeAll(numbers(1, bad)...)
		w := b.start()
		w.shows(time.Minute, 1, "lane_state", "reason", metrics.StateRejected)
		time.Sleep(30 * time.Minute)
		for _, dest := range both {
			if n := b.ledger.letters(dest); n > 0 {
				b.t.Errorf("%s: %d dead letters while nobody could tell whose fault it was", dest, n)
			}
			if calls := b.ledger.Calls(dest); calls > 200 {
				b.t.Errorf("%s: %d calls in half an hour of nothing but rejections", dest, calls)
			}
		}
		for p := range 3 {
			b.holds(TopicPartition{"users", p}, 0)
		}

		b.writeAll(numbers(101, 150)...)
		b.settles(5 * time.Minute)
		w.shows(time.Minute, 1, "lane_state", "reason", metrics.StateRunning)
		for _, dest := range both {
			for user := range b.rows {
				n, _ := strconv.Atoi(user)
				if b.ledger.Excused(dest, user) != (n <= bad) {
					b.t.Errorf("%s: a dead letter for user %s: %v", dest, user, n > bad)
				}
			}
		}
		b.deadLetters(2 * bad)
	})
}

// TestOnePoisonUser holds one user that no vendor takes among ten thousand.
func TestOnePoisonUser(t *testing.T) {
	const poison = "5000"
	inBubble(t, 3, func(b *bubble) {
		b.reject(poison)
		b.writeAll(numbers(1, 4999)...)
		key, value := `{"id":5000}`, `{"before":null,"after":{"id":5000,"full_name":"`+planted+`","other":[1]},"source":{"ts_ms":1767225600123},"op":"c"}`
		c := b.raw(&kgo.Record{
			Partition: b.partitionOf(poison), Key: []byte(key), Value: []byte(value),
			Headers: []kgo.RecordHeader{{Key: "trace", Value: []byte("7")}},
		})[0]
		b.ledger.wrote(c, poison, planted)
		b.rows[poison] = planted
		b.writeAll(numbers(5001, 10_000)...)
		b.start()
		b.settles(2 * time.Minute)

		letters := b.lettersOf(2)
		for dest, code := range map[string]string{destTaptalk: "40002 (field fullName)", destHaptik: "http_400"} {
			l := letters[dest][c]
			if l == nil {
				b.t.Fatalf("%s: no dead letter for offset %d", dest, c.offset)
			}
			if string(l.Key) != key || string(l.Value) != value {
				b.t.Errorf("%s: the dead letter is %s %s", dest, l.Key, l.Value)
			}
			h := headersOf(l)
			if at, err := time.Parse("2006-01-02T15:04:05.000Z", h["usersync.failed_at"]); err != nil || time.Since(at) > 2*time.Minute {
				b.t.Errorf("%s: failed at %q", dest, h["usersync.failed_at"])
			}
			delete(h, "usersync.failed_at")
			want := map[string]string{
				"trace": "7", "usersync.destination": dest, "usersync.reason": "rejected", "usersync.error": code,
				"usersync.source.topic": "users", "usersync.source.partition": strconv.Itoa(c.Partition),
				"usersync.source.offset": strconv.FormatInt(c.offset, 10), "usersync.source.timestamp": "2026-01-01T00:00:00.123Z",
				"usersync.attempts": "3", "usersync.version": "test",
			}
			if fmt.Sprint(h) != fmt.Sprint(want) {
				b.t.Errorf("%s: headers\n%v, want\n%v", dest, h, want)
			}
			if calls := b.ledger.Calls(dest); calls != 10_000+2 {
				b.t.Errorf("%s: %d calls for 10,000 users of whom one takes three", dest, calls)
			}
		}
	})
}

// good is how many good users keep slow vendors busy for six seconds, in which the
// bad ones among them become known.
const (
	good = 2000
	slow = 50 * time.Millisecond
)

// TestTooManyPoisonUsers has more users rejected than can be a coincidence: the
// latch keeps all of them, and they are delivered when the vendor is mended.
func TestTooManyPoisonUsers(t *testing.T) {
	const bad = 51 // one more than the budget
	inBubble(t, 3, func(b *bubble) {
		b.latency(slow)
		b.reject(numbers(1, bad)...)
		b.writeAll(numbers(1, good)...)
		w := b.start()
		w.shows(time.Minute, 1, "dead_letters_latched")
		w.shows(time.Minute, bad, "dead_letters_waiting")
		w.shows(time.Minute, 1, "lane_state", "reason", metrics.StateLatched)
		b.writeAll(numbers(good+1, good+100)...)
		time.Sleep(time.Minute)
		for _, dest := range both {
			for _, user := range numbers(bad+1, good+100) {
				if b.has(dest, user) == "" {
					b.t.Errorf("%s: user %s does not flow past the latch", dest, user)
				}
			}
		}
		// Nothing is mended by another look, by a newer version, or by silence.
		b.writeAll(numbers(1, 5)...)
		time.Sleep(30 * time.Minute)
		w.shows(time.Second, 1, "dead_letters_latched")
		w.shows(time.Second, bad, "dead_letters_waiting")
		b.deadLetters(0)
		b.holds(TopicPartition{"users", 1}, 0)

		b.latency(slow) // and no rules
		b.settles(5 * time.Minute)
		w.shows(time.Minute, 0, "dead_letters_latched")
		w.shows(time.Minute, 0, "dead_letters_waiting")
		w.shows(time.Minute, 1, "lane_state", "reason", metrics.StateRunning)
		b.deadLetters(0)
	})
}

// TestLatchOpensForTheOperator accepts what the latch holds, with a higher
// budget and a restart.
func TestLatchOpensForTheOperator(t *testing.T) {
	const bad = 60
	inBubble(t, 3, func(b *bubble) {
		b.latency(slow)
		b.reject(numbers(1, bad)...)
		b.writeAll(numbers(1, good)...)
		w := b.start()
		w.shows(time.Minute, 1, "dead_letters_latched")
		w.stop()
		b.deadLetters(0)
		w = b.start(func(c *Config) { c.Lane.Release.Budget = bad })
		b.settles(5 * time.Minute)
		w.shows(time.Minute, bad, "dead_letters_total", "reason", "rejected")
		b.lettersOf(2 * bad)
	})
}

// TestDeadLetterTopicUnavailable refuses dead letters for ten minutes: the offset
// is held until one is written, and then it is written once.
func TestDeadLetterTopicUnavailable(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		refused := b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "dead", Err: kerr.NotEnoughReplicas, Count: -1})
		b.reject("1")
		b.writeAll(numbers(1, 20)...)
		w := b.start()
		time.Sleep(10 * time.Minute)
		b.holds(TopicPartition{"users", 0}, 0)
		b.deadLetters(0)
		for _, dest := range both {
			if n := w.metric("dead_letter_write_failures_total", "destination", dest); n < 50 || n > 150 {
				b.t.Errorf("%s: %v failed writes in ten minutes", dest, n)
			}
			if calls := b.ledger.Calls(dest); calls > 50 {
				b.t.Errorf("%s: %d calls: what cannot be written is no reason to call", dest, calls)
			}
			for _, user := range numbers(2, 20) {
				if b.has(dest, user) == "" {
					b.t.Errorf("%s: user %s waits for somebody else's dead letter", dest, user)
				}
			}
		}
		if !b.said("level=ERROR", "writing a dead letter failed") {
			b.t.Error("nobody was told")
		}
		refused.Remove()
		b.settles(time.Minute)
		b.lettersOf(2)
	})
}

// formats are ways in which a topic becomes unreadable as a whole.
var formats = []struct {
	name, code string
	record     func(n int) (key, value string)
}{
	{"avro", "not_json", func(n int) (string, string) {
		return fmt.Sprintf("\x00\x00\x00\x00\x01%d", n), fmt.Sprintf("\x00\x00\x00\x00\x02\x02%s", name(n))
	}},
	{"ID column renamed", "no_user_id", func(n int) (string, string) {
		return fmt.Sprintf(`{"user_id":%d}`, n), fmt.Sprintf(`{"before":null,"after":{"user_id":%d,"full_name":%q},"op":"u"}`, n, name(n))
	}},
}

// TestTopicChangesFormat turns a topic into something that cannot be decoded:
// that is nobody's fault who is in it.
func TestTopicChangesFormat(t *testing.T) {
	for _, f := range formats {
		t.Run(f.name, func(t *testing.T) {
			inBubble(t, 3, func(b *bubble) { changesFormat(b, f.code, f.record) })
		})
	}
}

func changesFormat(b *bubble, code string, record func(n int) (key, value string)) {
	const bad = 120
	w := b.start()
	b.writeAll(numbers(1, 30)...)
	b.settles(time.Minute)
	var firsts [3]int64
	for p := range firsts {
		firsts[p] = b.ends[TopicPartition{"users", p}]
	}
	var records []*kgo.Record
	for n := range bad {
		key, value := record(n)
		records = append(records, &kgo.Record{Partition: int32(n % 3), Key: []byte(key), Value: []byte(value)})
	}
	b.raw(records...)
	still := func() {
		b.t.Helper()
		w.shows(time.Minute, bad, "events_undecodable_total", "code", code)
		w.shows(time.Minute, bad, "undecodable_records_waiting")
		b.deadLetters(0)
		for p, first := range firsts {
			b.holds(TopicPartition{"users", p}, first)
		}
	}
	time.Sleep(5 * time.Minute)
	still()
	w.shows(time.Second, 0, "dead_letters_waiting") // not eligible

	// The format is as it was: the flood is at fault, and too much for a coincidence.
	b.writeAll(numbers(31, 60)...)
	time.Sleep(5 * time.Minute)
	still()
	w.shows(time.Second, bad, "dead_letters_waiting")
	w.shows(time.Second, 1, "dead_letters_latched")
	b.right(both...) // others flow

	w.stop()
	w = b.start(func(c *Config) { c.Lane.Release.Budget = 0 })
	b.settles(10 * time.Minute)
	w.shows(time.Minute, bad, "dead_letters_total", "reason", "undecodable")
	for _, l := range b.deadLetters(2 * bad) {
		if h := headersOf(l); h["usersync.reason"] != "undecodable" || h["usersync.error"] != code {
			b.t.Fatalf("the headers of a dead letter are %v", h)
		}
		if !slices.ContainsFunc(records, func(r *kgo.Record) bool { return string(r.Key) == string(l.Key) && string(r.Value) == string(l.Value) }) {
			b.t.Fatalf("a dead letter that nobody wrote: %q %q", l.Key, l.Value)
		}
	}
}

// avro is a value as the Avro converter writes it.
func avro(n int) []byte { return fmt.Appendf(nil, "\x00\x00\x00\x00\x02\x02%s", name(n)) }

// TestTombstoneIsNoProof changes the format of the values only. Now and then a
// user is deleted, and the tombstone has no value that could be of another format.
func TestTombstoneIsNoProof(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		w := b.start()
		b.writeAll(numbers(1, 30)...)
		b.settles(time.Minute)
		first := b.ends[users0]
		for round := range 6 {
			for n := range 20 {
				b.raw(&kgo.Record{Key: []byte(keyOf(fmt.Sprint(100 + 20*round + n))), Value: avro(n)})
			}
			b.raw(
				&kgo.Record{Key: []byte(keyOf("1"))},
				&kgo.Record{Key: []byte(`{}`), Value: []byte(`{"ts_ms":1}`)}, // a heartbeat
			)
			time.Sleep(time.Minute)
		}
		w.shows(time.Second, 120, "undecodable_records_waiting")
		b.deadLetters(0)
		b.holds(users0, first)
	})
}

// TestOlderRecordIsNoProof reads one partition in its new format, while another
// is behind with what was written before.
func TestOlderRecordIsNoProof(t *testing.T) {
	const old = 400
	inBubble(t, 2, func(b *bubble) {
		var records []*kgo.Record
		for n := range old {
			user := fmt.Sprint(2*n + 1)
			records = append(records, &kgo.Record{Partition: 1, Key: []byte(keyOf(user)), Value: after(user, name(n)+strings.Repeat("x", 10_000))})
		}
		b.raw(records...)
		time.Sleep(time.Hour)
		for n := range 20 {
			b.raw(&kgo.Record{Partition: 0, Key: []byte(keyOf(fmt.Sprint(2 * n))), Value: avro(n)})
		}
		w := b.start()
		w.shows(10*time.Minute, old, "deliveries_total", "outcome", "delivered")
		w.shows(time.Second, 20, "undecodable_records_waiting")
		b.deadLetters(0)
		b.holds(users0, 0)

		b.raw(&kgo.Record{Partition: 1, Key: []byte(keyOf("1")), Value: after("1", name(1))})
		w.shows(time.Minute, 20, "dead_letters_total", "reason", "undecodable")
		b.lettersOf(40)
	})
}

// TestRenamedColumn renames the column that a required field is made of, so that no
// row has a payload any more: that is nobody's fault either. The operator is told,
// mends the mapping, and all are delivered.
func TestRenamedColumn(t *testing.T) {
	const changed = 200
	inBubble(t, 1, func(b *bubble) {
		w := b.start()
		b.writeAll(numbers(1, 30)...)
		b.settles(time.Minute)
		first := b.ends[users0]
		for n := range changed {
			user := fmt.Sprint(101 + n)
			b.raw(&kgo.Record{Key: []byte(keyOf(user)), Value: fmt.Appendf(nil, `{"before":null,"after":{"id":%s,"display_name":%q},"op":"u"}`, user, name(n))})
			time.Sleep(5 * time.Second)
		}
		time.Sleep(time.Minute)
		b.deadLetters(0)
		if n := b.ledger.committed(destTaptalk, users0); n != first {
			b.t.Errorf("committed up to %d, want %d", n, first)
		}
		for name, want := range map[string]float64{"unmapped_users": changed, "dead_letters_waiting": 0} {
			if n := w.metric(name, "destination", destTaptalk); n != want {
				b.t.Errorf("%s is %v, want %v", name, n, want)
			}
		}
		if w.metric("lane_state", "destination", destTaptalk, "reason", metrics.StateUnmapped) != 1 || !b.said("level=WARN", "state=unmapped", "(field fullName)") {
			b.t.Error("nobody was told what is missing")
		}

		w.stop()
		b.start(mapped(b.t, destTaptalk, map[string]any{"fullName": "display_name"}, nil))
		b.until(5*time.Minute, "all are delivered", func() bool { return b.ledger.committed(destTaptalk, users0) == b.ends[users0] })
		if has, want := b.has(destTaptalk, "300"), name(changed-1); has != want {
			b.t.Errorf("taptalk has %q, want %q", has, want)
		}
		b.deadLetters(0)
	})
}
