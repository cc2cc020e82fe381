package consumer

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// input is a record that may be bad, and what becomes of it at each vendor: a
// dead letter, or a name that the vendor has, or neither.
type input struct {
	name       string
	key, value []byte // nil is null
	letters    [2]string
	user, has  string
}

// after is the value of a record with that row.
func after(id, name string) []byte {
	return fmt.Appendf(nil, `{"before":null,"after":{"id":%s,"full_name":%q},"op":"u"}`, id, name)
}

// same is what is the same for both vendors.
func same(letter string) [2]string { return [2]string{letter, letter} }

const uuid = "550e8400-e29b-41d4-a716-446655440000"

func inputs() []input {
	long := strings.Repeat("x", 51)
	megabyte := planted + strings.Repeat("y", 1<<20)
	quote := func(s string) []byte { return fmt.Appendf(nil, `{"id":%q}`, s) }
	key := func(n int) []byte { return fmt.Appendf(nil, `{"id":%d}`, n) }
	return []input{
		{name: "not JSON", key: key(1), value: []byte("<xml>"), letters: same("undecodable: bad_json")},
		{name: "cut off", key: key(1), value: []byte(`{"after":{"id":1`), letters: same("undecodable: bad_json")},
		{name: "magic byte", key: key(1), value: []byte("\x00\x00\x00\x00\x01abc"), letters: same("undecodable: not_json")},
		{name: "empty value", key: key(1), value: []byte{}, letters: same("undecodable: empty")},
		{name: "empty key", key: []byte{}, value: after("1", "x"), letters: same("undecodable: empty")},
		{name: "a number", key: key(1), value: []byte("5"), letters: same("undecodable: not_object")},
		{name: "invalid UTF-8", key: key(1), value: []byte("{\"after\":{\"id\":1,\"full_name\":\"\xff\"},\"op\":\"u\"}"), letters: same("undecodable: invalid_utf8")},
		{name: "deep", key: key(1), value: []byte(strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)), letters: same("undecodable: too_deep")},
		{name: "unknown op", key: key(1), value: []byte(`{"after":{"id":1},"op":"x","source":{}}`), letters: same("undecodable: unknown_op")},
		{name: "no row", key: key(1), value: []byte(`{"before":null,"after":null,"op":"u"}`), letters: same("undecodable: no_row")},
		{name: "null key", value: after("1", "x"), letters: same("undecodable: null_key")},
		{name: "JSON null as key", key: []byte("null"), value: after("1", "x"), letters: same("undecodable: null_key")},
		{name: "two users", key: key(1), value: after("2", "x"), letters: same("undecodable: key_mismatch")},
		{name: "ID missing", key: []byte(`{"other":1}`), value: []byte(`{"after":{"full_name":"x"},"op":"u"}`), letters: same("undecodable: no_user_id")},
		{name: "ID null", key: []byte(`{"id":null}`), value: after("null", "x"), letters: same("undecodable: no_user_id")},
		{name: "ID blank", key: []byte(`{"id":" "}`), value: after(`" "`, "x"), letters: same("undecodable: no_user_id")},
		{name: "ID a fraction", key: []byte(`{"id":1.5}`), value: after("1.5", "x"), letters: same("undecodable: bad_user_id")},

		{name: "tombstone without a key"},
		{name: "JSON null without a key", value: []byte("null")},
		{name: "tombstone of nobody", key: key(3)},
		{name: "JSON null of nobody", key: key(3), value: []byte("null")},
		{name: "truncate", value: []byte(`{"before":null,"after":null,"op":"t","source":{"table":"users"}}`)},
		{name: "heartbeat", key: []byte(`{"serverName":"app"}`), value: []byte(`{"ts_ms":1}`)},

		{name: "64 bits", key: quote("9223372036854775807"), value: after(`"9223372036854775807"`, "big"), user: "9223372036854775807", has: "big"},
		{name: "unsigned", key: []byte(`{"id":18446744073709551615}`), value: after("18446744073709551615", "bigger"), user: "18446744073709551615", has: "bigger"},
		{name: "above 2^53", key: []byte(`{"id":9007199254740993}`), value: after("9007199254740993", "odd"), user: "9007199254740993", has: "odd"},
		{name: "UUID", key: quote(uuid), value: after(`"`+uuid+`"`, "u"), user: uuid, has: "u"},
		{name: "1 MB name", key: key(4), value: after("4", megabyte), user: "4", has: megabyte[:250]},
		{name: "name in all scripts", key: key(5), value: after("5", "Žofie 李 😀"), user: "5", has: "Žofie 李 😀"},
		{
			name: "ID too long for TapTalk", key: quote(long), value: after(`"`+long+`"`, "long"), user: long, has: "long",
			letters: [2]string{"invalid_payload: too_long (field xcUserID)", ""},
		},
		{
			name: "no name", key: key(6), value: []byte(`{"after":{"id":6,"full_name":null},"op":"u"}`),
			letters: [2]string{"invalid_payload: missing (field fullName)", ""},
		},
	}
}

// TestBadInput reads one of everything, and good records after it: each is
// settled in its own way, and none in the way of another.
func TestBadInput(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		b.limit("users", 4<<20)
		b.limit("dead", 4<<20)
		b.out = b.kafka.producer(kgo.ProducerBatchMaxBytes(4 << 20))
		want := [2]map[change]input{{}, {}}
		list, letters := inputs(), 0
		for _, in := range list {
			c := b.raw(&kgo.Record{Key: in.key, Value: in.value})[0]
			for i := range both {
				if in.letters[i] != "" {
					want[i][c] = in
					letters++
				}
			}
		}
		w := b.start()
		b.writeAll(numbers(101, 120)...)
		b.settles(2 * time.Minute)

		all := b.lettersOf(letters)
		for i, dest := range both {
			got := all[dest]
			for c, in := range want[i] {
				l := got[c]
				if l == nil {
					b.t.Errorf("%s, %s: no dead letter", dest, in.name)
					continue
				}
				h := headersOf(l)
				if reason := h["usersync.reason"] + ": " + h["usersync.error"]; reason != in.letters[i] {
					b.t.Errorf("%s, %s: given up as %s, want %s", dest, in.name, reason, in.letters[i])
				}
				if string(l.Key) != string(in.key) || string(l.Value) != string(in.value) || (l.Key == nil) != (in.key == nil) {
					b.t.Errorf("%s, %s: the dead letter is not the record", dest, in.name)
				}
			}
			if len(got) != len(want[i]) {
				b.t.Errorf("%s: %d dead letters, want %d", dest, len(got), len(want[i]))
			}
			for _, in := range list {
				if has := b.has(dest, in.user); in.letters[i] == "" && has != in.has {
					b.t.Errorf("%s, %s: the vendor has %d bytes of name, want %q", dest, in.name, len(has), in.has)
				}
			}
			if calls := len(b.versions(dest, "1")) + len(b.versions(dest, "2")) + len(b.versions(dest, "3")); calls > 0 {
				b.t.Errorf("%s: %d calls for users of whom nothing is known", dest, calls)
			}
		}
		w.shows(time.Second, 2, "events_skipped_total", "reason", "keyless_tombstone")
	})
}

// limit sets how large a record of a topic may be.
func (b *bubble) limit(topic string, size int) {
	b.t.Helper()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	res := kmsg.NewIncrementalAlterConfigsRequestResource()
	res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	cfg := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	cfg.Name, cfg.Value = "max.message.bytes", new(fmt.Sprint(size))
	res.Configs = []kmsg.IncrementalAlterConfigsRequestResourceConfig{cfg}
	req.Resources = []kmsg.IncrementalAlterConfigsRequestResource{res}
	answer, err := req.RequestWith(b.t.Context(), b.out)
	if err == nil {
		err = kerr.ErrorForCode(answer.Resources[0].ErrorCode)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// TestLetterTooLarge gives up a record that the dead-letter topic does not take:
// what was kept of it is written in its place, and the offset passes.
func TestLetterTooLarge(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		b.limit("dead", 2000)
		b.reject("7")
		b.rows["7"] = planted
		key := []byte(`{ "id": 7 }`)
		value := fmt.Appendf(nil, `{"before":null,"after":{"id":7,"full_name":%q,"email":null,"blob":%q},"op":"u"}`, planted, strings.Repeat("z", 100_000))
		c := b.raw(&kgo.Record{Key: key, Value: value})[0]
		b.ledger.wrote(c, "7", planted)
		b.writeAll(numbers(101, 120)...)
		b.start()
		b.settles(2 * time.Minute)
		for dest, letters := range b.lettersOf(2) {
			l := letters[c]
			if l == nil {
				b.t.Fatalf("%s: no dead letter for %v", dest, c)
			}
			if h := headersOf(l); h["usersync.form"] != "columns" || h["usersync.reason"] != "rejected" {
				b.t.Errorf("%s: headers %v", dest, h)
			}
			if want := fmt.Sprintf(`{"email":null,"full_name":%q}`, planted); string(l.Value) != want || string(l.Key) != string(key) {
				b.t.Errorf("%s: the dead letter is %s %.200s, want %s %s", dest, l.Key, l.Value, key, want)
			}
		}
	})
}

// TestRedelivered writes what a connector writes that was killed and starts again:
// changes twice, and an older stretch once more before what is newer.
func TestRedelivered(t *testing.T) {
	inBubble(t, 2, func(b *bubble) {
		b.latency(300 * time.Millisecond)
		b.start()
		for round := range 5 {
			for _, again := range []bool{false, true} {
				for n := range 40 {
					b.write(fmt.Sprint(n%8), name(round*40+n))
				}
				if again {
					time.Sleep(time.Second)
				}
			}
		}
		b.settles(time.Minute)
		for _, dest := range both {
			if calls := b.ledger.Calls(dest); calls > 8*4*5 {
				b.t.Errorf("%s: %d calls for 400 changes of 8 users", dest, calls)
			}
		}
		b.deadLetters(0)
	})
}

// TestFlood has 200,000 undecodable records in a row: they cost no memory, they do
// not stop the reading, and no budget lets them into the dead-letter topic.
func TestFlood(t *testing.T) {
	const flood = 200_000
	inBubble(t, 1, func(b *bubble) {
		b.writeAll(numbers(1, 10)...)
		first := b.ends[users0]
		records := make([]*kgo.Record, 20_000)
		for range flood / len(records) {
			for i := range records {
				records[i] = &kgo.Record{Key: []byte("\x00\x00\x00\x00\x01k"), Value: []byte("\x00\x00\x00\x00\x02 0123456789")}
			}
			b.raw(records...)
		}
		clear(records)
		before := heap()
		w := b.start()
		w.shows(5*time.Minute, flood, "undecodable_records_waiting")
		if grown := heap() - before; grown > 8<<20 {
			b.t.Errorf("%d KB more heap, %d bytes for each undecodable record", grown>>10, grown/flood)
		}
		b.holds(users0, first)
		b.writeAll(numbers(11, 60)...)
		w.shows(5*time.Minute, 1, "dead_letters_latched")
		time.Sleep(time.Minute)
		b.right(both...)
		b.holds(users0, first)
		w.shows(time.Second, flood, "undecodable_records_waiting")
		w.shows(time.Second, flood, "events_undecodable_total", "code", "not_json")
		b.deadLetters(0)
	})
}

// heap is how much is in use.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
