package consumer

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	usync "usersync/sync"
)

// mapper counts how many payloads a mapping makes.
type mapper struct {
	usync.Mapper
	made *atomic.Int64
}

func (m mapper) Payload(c *usync.Change) (usync.Payload, []usync.Omission, error) {
	m.made.Add(1)
	return m.Mapper.Payload(c)
}

// mappers count by destination.
type mappers map[string]*atomic.Int64

func newMappers() mappers {
	return mappers{destTaptalk: new(atomic.Int64), destHaptik: new(atomic.Int64)}
}

// count has a worker's payloads counted.
func (m mappers) count(c *Config) { c.Lane.Mapper = mapper{c.Lane.Mapper, m[c.Destination]} }

// made fails unless each destination had a number of payloads made within these bounds
// since it was asked last.
func (m mappers) made(t *testing.T, what string, least, most int64) {
	t.Helper()
	for _, dest := range both {
		if n := m[dest].Swap(0); n < least || n > most {
			t.Errorf("%s, %s: %d payloads were made, want %d to %d", dest, what, n, least, most)
		}
	}
}

// toCompare is how many payloads a lane keeps to compare with: so many are made although
// nothing has changed.
const toCompare = 4

// written is how many records the state topic has.
func (b *bubble) written() (n int64) {
	for p := range b.parts {
		n += b.kafka.PartitionInfo("state", int32(p)).HighWatermark
	}
	return n
}

// TestUnchangedRowsAreNotMapped: a new snapshot costs no mapping for users whose rows have
// not changed, also after a restart and whatever else is in the rows; what has changed is
// sent.
func TestUnchangedRowsAreNotMapped(t *testing.T) {
	inBubble(t, 2, func(b *bubble) {
		users := numbers(1, 60)
		b.remembered(users...).stop()
		before, m := b.saved(), newMappers()
		w := b.start(m.count)
		b.hot()
		for _, what := range []string{"after a restart", "once more"} {
			b.again(users...)
			b.settles(time.Minute)
			m.made(t, what, 1, toCompare)
			b.calledMore(before, 0)
		}
		w.stop()
		b.start(m.count)
		b.hot()
		for _, user := range users {
			b.row(user, b.rows[user], ","+personal(user)+`,"city":"Jakarta"`)
		}
		b.settles(time.Minute)
		m.made(t, "another column", 1, toCompare)
		b.calledMore(before, 0)

		const changed = 7
		for i, user := range users {
			if i < changed {
				b.row(user, b.rows[user], `,"email":"new@example.org"`) // and what it leaves out is not known
			} else {
				b.write(user, b.rows[user])
			}
		}
		b.settles(time.Minute)
		b.calledMore(before, changed)
	})
}

// TestUnknownRowsAreMapped: what another mapping or program has made of a row is not known.
// Each user is mapped once then, in a new snapshot, and none is called or written down for
// that.
func TestUnknownRowsAreMapped(t *testing.T) {
	const users = 20
	for name, test := range map[string]struct {
		edit      func(*Config)
		forgotten bool
		then      int64 // how many are mapped when that has been seen once
	}{
		"another mapping":        {edit: func(c *Config) { c.Sends = "other" }, then: toCompare},
		"another program":        {edit: func(c *Config) { c.State.Program = "other" }, then: toCompare},
		"an earlier version":     {edit: func(*Config) {}, forgotten: true, then: toCompare},
		"no word of the mapping": {edit: unworded, then: users},
		"no word of the program": {edit: func(c *Config) { c.State.Program = "" }, then: users},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 2, func(b *bubble) {
				b.remembered(numbers(1, users)...).stop()
				if test.forgotten {
					b.forgetRows()
				}
				before, m := b.saved(), newMappers()
				b.start(test.edit, m.count)
				b.hot()
				written := b.written()
				b.again(numbers(1, users)...)
				b.settles(time.Minute)
				m.made(t, "at first", users, users)
				b.again(numbers(1, users)...)
				b.settles(time.Minute)
				m.made(t, "then", test.then, test.then)
				b.calledMore(before, 0)
				if n := b.written(); n != written {
					t.Errorf("%d records were written of what is as it was", n-written)
				}
			})
		})
	}
}

// forgetRows leaves of the state what an earlier version of the program would have written.
func (b *bubble) forgetRows() {
	b.t.Helper()
	kept := map[int][]*kgo.Record{}
	for p := range b.parts {
		kept[p] = b.stateRecords(p)
	}
	b.remakeState(kept)
}
