package worker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"usersync/e2e/broker"
	"usersync/e2e/vendors"
)

// Change returns a change of a user as Debezium writes one without schemas. The
// user's name tells its version. The bio is mapped to nothing.
func Change(topic string, user, version int, bio string) *kgo.Record {
	ms := time.Now().UnixMilli()
	return &kgo.Record{
		Topic: topic,
		Key:   fmt.Appendf(nil, `{"id":%d}`, user),
		Value: fmt.Appendf(nil, `{"before":null,"after":{"id":%d,"full_name":%q,"email":"user%[1]d@example.test",`+
			`"phone":"+6281234567890","username":"user%[1]d","avatar_url":null,"role":"member","language":"en",`+
			`"bio":%[4]q,"updated_at":"2026-03-01T00:00:00.000000Z"},`+
			`"source":{"version":"3.7.0.Final","connector":"postgresql","name":"app","ts_ms":%[3]d,"snapshot":"false",`+
			`"db":"app","schema":"public","table":"users","txId":%[3]d,"lsn":%[3]d,"xmin":null},`+
			`"transaction":null,"op":"u","ts_ms":%[3]d}`, user, NameAt(version), ms, bio),
	}
}

// NameAt is the name of every user at a version.
func NameAt(version int) string { return "Version " + strconv.Itoa(version) }

// Book is what was written to a topic, and so what must come of it.
type Book struct {
	topic  string
	random *rand.Rand
	newest map[int]int
	// Written are all changes, in the order of each partition. A record says where
	// it is.
	Written []Entry
	// Bio is in every change that is written, to make it larger.
	Bio string
}

// Entry is a change in a topic.
type Entry struct {
	User, Version int
	Record        *kgo.Record
}

// NewBook returns an empty book for a topic.
func NewBook(topic string) *Book {
	return &Book{topic: topic, random: rand.New(rand.NewPCG(1, 2)), newest: map[int]int{}}
}

// Users are the users with a change, in no order, with their newest versions.
func (b *Book) Users() map[int]int { return b.newest }

// Write writes a change of each of the users, in this order.
func (b *Book) Write(t testing.TB, kafka *broker.Client, users ...int) {
	t.Helper()
	records := make([]*kgo.Record, len(users))
	for i, user := range users {
		b.newest[user]++
		records[i] = Change(b.topic, user, b.newest[user], b.Bio)
		b.Written = append(b.Written, Entry{User: user, Version: b.newest[user], Record: records[i]})
	}
	ctx, cancel := context.WithTimeout(t.Context(), Limit)
	defer cancel()
	if err := kafka.Produce(ctx, records...); err != nil {
		t.Fatal(err)
	}
}

// Shuffled returns n users out of 1 to most, in random order: each one once, as
// far as n reaches, and the rest at random.
func (b *Book) Shuffled(n, most int) []int {
	users := make([]int, n)
	for i := range users {
		if users[i] = i + 1; i >= most {
			users[i] = 1 + b.random.IntN(most)
		}
	}
	b.random.Shuffle(n, func(i, j int) { users[i], users[j] = users[j], users[i] })
	return users
}

// Wrong returns what is wrong with the first user found that a destination does
// not hold at its newest version, "" if there is none.
func (b *Book) Wrong(v *vendors.Vendors, destination string) string {
	held := v.Users(destination)
	for user, version := range b.newest {
		if name := vendors.NameOf(destination, held[strconv.Itoa(user)]); name != NameAt(version) {
			return fmt.Sprintf("%s: user %d has %q, not %q", destination, user, name, NameAt(version))
		}
	}
	return ""
}

// Settle waits until both groups have committed everything and both destinations
// hold every user, and no other one, at its newest version.
func (b *Book) Settle(t testing.TB, d *Deployment) {
	t.Helper()
	what := ""
	defer func() {
		if t.Failed() {
			t.Log(what)
		}
	}()
	Until(t, Limit, "everything is delivered and committed", func() bool {
		for _, destination := range Destinations {
			if lag := Lag(t, d.Broker, d.Group(destination), b.topic); lag != 0 {
				what = fmt.Sprintf("%s: lag %d", destination, lag)
				return false
			}
			if what = b.Wrong(d.Vendors, destination); what != "" {
				return false
			}
		}
		return true
	})
	for _, destination := range Destinations {
		if got := len(d.Vendors.Users(destination)); got != len(b.newest) {
			t.Errorf("%s holds %d users, want %d", destination, got, len(b.newest))
		}
	}
}

// Lag returns how many records of a topic a group has not committed; a partition
// without a commit counts whole.
func Lag(t testing.TB, kafka *broker.Client, group, topic string) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Limit)
	defer cancel()
	committed, err := kafka.Committed(ctx, group)
	if err != nil {
		t.Fatal(err)
	}
	partitions, err := kafka.Partitions(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	var lag int64
	for p := range int32(partitions) {
		start, end, err := kafka.Offsets(ctx, topic, p)
		if err != nil {
			t.Fatal(err)
		}
		if c, ok := committed[topic][p]; ok {
			start = c.Offset
		}
		lag += end - start
	}
	return lag
}
