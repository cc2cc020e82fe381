package consumer

import (
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"usersync/consumer/event"
	"usersync/consumer/trace"
	usync "usersync/sync"
	"usersync/sync/haptik"
	"usersync/sync/taptalk"
	"usersync/sync/vendortest"
)

// both are the destinations.
var both = []string{destTaptalk, destHaptik}

// raw produces records as they are, in one go. None of them changes a user, as
// far as the ledger is concerned.
func (b *bubble) raw(records ...*kgo.Record) []change {
	b.t.Helper()
	for _, r := range records {
		if r.Topic == "" {
			r.Topic = "users"
		}
	}
	if err := b.out.ProduceSync(b.t.Context(), records...).FirstErr(); err != nil {
		b.t.Fatal(err)
	}
	changes := make([]change, len(records))
	for i, r := range records {
		c := change{TopicPartition{r.Topic, int(r.Partition)}, r.Offset}
		b.ends[c.TopicPartition] = max(b.ends[c.TopicPartition], r.Offset+1)
		changes[i] = c
	}
	return changes
}

// row changes a user in the database, with more columns than the name.
func (b *bubble) row(user, name, columns string) {
	b.rows[user] = name
	value := fmt.Sprintf(`{"before":null,"after":{"id":%s,"full_name":%q%s},"op":"u"}`, user, name, columns)
	b.send(user, keyOf(user), []byte(value), name)
}

func keyOf(user string) string { return fmt.Sprintf(`{"id":%s}`, user) }

// writeAll changes many users at once, as write does one by one.
func (b *bubble) writeAll(users ...string) { b.writeTo("users", users...) }

func (b *bubble) writeTo(topic string, users ...string) {
	b.t.Helper()
	for i, c := range b.raw(b.records(topic, users...)...) {
		b.rows[users[i]] = name(i)
		b.ledger.wrote(c, users[i], name(i))
	}
}

// records are what writeTo writes.
func (b *bubble) records(topic string, users ...string) []*kgo.Record {
	records := make([]*kgo.Record, len(users))
	for i, user := range users {
		value := fmt.Sprintf(`{"before":null,"after":{"id":%s,"full_name":%q,"email":null,"phone":null,"username":null,"avatar_url":null,"bio":null},"op":"c"}`, user, name(i))
		records[i] = &kgo.Record{Topic: topic, Partition: b.partitionOf(user), Key: []byte(keyOf(user)), Value: []byte(value)}
	}
	return records
}

// numbers are the users from first to last.
func numbers(first, last int) []string {
	var users []string
	for n := first; n <= last; n++ {
		users = append(users, strconv.Itoa(n))
	}
	return users
}

// reject makes both vendors reject some users, as they reject a value that they
// don't like, and adds to what they do already.
func (b *bubble) reject(users ...string) {
	for _, user := range users {
		b.tap.AddRule(vendortest.Rule{User: user, Code: "40002", Field: "fullName"})
		b.hap.AddRule(vendortest.Rule{User: user, Status: 400})
	}
}

// of is an edit for one destination's configuration.
func of(dest string, edit func(*Config)) func(*Config) {
	return func(c *Config) {
		if c.Destination == dest {
			edit(c)
		}
	}
}

// mapped gives a destination another mapping, and with it the decoder that keeps
// its columns.
func mapped(t *testing.T, dest string, expressions map[string]any, edit func(*usync.MappingConfig)) func(*Config) {
	t.Helper()
	cfg := usync.MappingConfig{Fields: taptalk.Fields, Expressions: expressions}
	if dest == destHaptik {
		cfg.Fields = haptik.Fields
	}
	if edit != nil {
		edit(&cfg)
	}
	m, err := usync.NewMapping(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return of(dest, func(c *Config) {
		c.Lane.Mapper = m
		c.Sends = fmt.Sprintf("%08x", crc32.ChecksumIEEE(fmt.Append(nil, cfg)))
		c.Decoder, err = event.New(event.Config{Format: "debezium", UserID: "id", Placeholder: unavailable, Columns: m.Columns()})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// setOffset does what Kafka's own tool does to a group without members.
func (b *bubble) setOffset(dest string, tp TopicPartition, offset int64) {
	b.t.Helper()
	codes, err := b.kafka.client(tp.Topic).Commit(b.t.Context(), CommitRequest{
		Group: "usersync." + dest, Generation: -1, Partitions: []PartitionCommit{{TopicPartition: tp, Offset: offset}},
	})
	if code, ok := codes[tp]; err != nil || !ok || code != 0 {
		b.t.Fatalf("setting the offset of %s: %v, %v", dest, err, codes)
	}
	b.ledger.Reset(dest, trace.TopicPartition(tp), offset)
}

// lose forgets the records of a partition below an offset: nobody can read them
// any more. What was committed is forgotten too.
func (b *bubble) lose(tp TopicPartition, below int64) {
	for _, user := range b.ledger.Lose(trace.TopicPartition(tp), below) {
		delete(b.rows, user)
	}
}

// remake creates a topic that was deleted: it has the same name, and nothing else
// in common. What the vendors have of the users of the old one stays.
func (b *bubble) remake(tp TopicPartition) {
	b.t.Helper()
	for _, user := range b.ledger.Recreate(trace.TopicPartition(tp)) {
		delete(b.rows, user)
	}
	delete(b.ends, tp)
	if err := b.kafka.CreateTopic(tp.Topic, 1, nil); err != nil {
		b.t.Fatal(err)
	}
	b.out = b.kafka.producer() // the old one insists on the old topic
}

// until waits for something that has no event of its own.
func (b *bubble) until(within time.Duration, what string, done func() bool) {
	b.t.Helper()
	for deadline := time.Now().Add(within); !done(); time.Sleep(time.Second) {
		if time.Now().After(deadline) {
			b.t.Errorf("not within %v: %s", within, what)
			b.tail()
			b.t.FailNow()
		}
	}
}

// shows waits until a series of each destination has a value.
func (w *worker) shows(within time.Duration, want float64, name string, labels ...string) {
	w.b.t.Helper()
	for _, dest := range both {
		labels := append([]string{"destination", dest}, labels...)
		w.b.until(within, fmt.Sprintf("%s %v is %v", name, labels, want), func() bool {
			return w.exposes(name) && w.metric(name, labels...) == want
		})
	}
}

// exposes reports whether there is any series of that name: some come into being
// with their first value.
func (w *worker) exposes(name string) bool {
	families, err := w.registry.Gather()
	if err != nil {
		w.b.t.Error(err)
	}
	for _, f := range families {
		if f.GetName() == "usersync_"+name {
			return true
		}
	}
	return false
}

// holds fails if the frontier of a partition is not at an offset.
func (b *bubble) holds(tp TopicPartition, offset int64) {
	b.t.Helper()
	for _, dest := range both {
		if got := b.ledger.committed(dest, tp); got != offset {
			b.t.Errorf("%s: %v is committed up to %d, want %d", dest, tp, got, offset)
		}
	}
}

// bodies are all requests that a vendor ever had about a user.
func (b *bubble) bodies(dest, user string) []string {
	var all []string
	for _, v := range b.versions(dest, user) {
		all = append(all, string(v.Body))
	}
	return all
}

// lettersOf reads n dead letters, by destination and by what they are about: no
// two are about the same.
func (b *bubble) lettersOf(n int) map[string]map[change]*kgo.Record {
	b.t.Helper()
	found := map[string]map[change]*kgo.Record{destTaptalk: {}, destHaptik: {}}
	for _, r := range b.deadLetters(n) {
		dest, c := b.about(r)
		if found[dest][c] != nil {
			b.t.Errorf("two dead letters of %s for %v", dest, c)
		}
		found[dest][c] = r
	}
	return found
}

// about says whose dead letter it is, and what it is about.
func (b *bubble) about(letter *kgo.Record) (dest string, about change) {
	b.t.Helper()
	h := headersOf(letter)
	partition, badPartition := strconv.Atoi(h["usersync.source.partition"])
	offset, badOffset := strconv.ParseInt(h["usersync.source.offset"], 10, 64)
	dest = h["usersync.destination"]
	if badPartition != nil || badOffset != nil || !slices.Contains(both, dest) {
		b.t.Fatalf("a dead letter with the headers %v", h)
	}
	return dest, change{TopicPartition{h["usersync.source.topic"], partition}, offset}
}

// said reports whether a line of the log has all words.
func (b *bubble) said(words ...string) bool {
	for line := range strings.Lines(b.logs.String()) {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			return true
		}
	}
	return false
}

const unavailable = "__debezium_unavailable_value"
