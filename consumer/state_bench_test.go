package consumer

import (
	"strconv"
	"testing"
	"time"

	"usersync/consumer/trace"
	"usersync/metrics"
	usync "usersync/sync"
	"usersync/sync/taptalk"
)

// aRow is what the default mapping reads of a usual row.
func aRow(user string) map[string]any {
	return map[string]any{
		"full_name": "Siti Rahmawati " + user, "first_name": usync.Unavailable{NoColumn: true}, "last_name": usync.Unavailable{NoColumn: true},
		"email": "siti.rahmawati." + user + "@example.co.id", "phone": "+628123456789", "username": "siti" + user,
		"avatar_url": "https://cdn.example.co.id/avatars/" + user + "/large.jpg",
	}
}

// BenchmarkUnchanged shows what a row of a new snapshot takes in the lane if its user has
// not changed, without decoding it: when the row is known, and when only its payload is.
func BenchmarkUnchanged(b *testing.B) {
	b.Run("row", func(b *testing.B) { unchanged(b, "sends") })
	b.Run("payload", func(b *testing.B) { unchanged(b, "") })
}

func unchanged(b *testing.B, sends string) {
	const users = 10_000
	m := metrics.New(nil, "test").For("test")
	all := newStates(StateConfig{Topic: "state", Key: []byte("key"), Program: "test", Users: users}, sends, nil, "test", m.State)
	all.tell = func(trace.Event) {}
	tp := TopicPartition{Topic: "users"}
	s := &state{table: newStateTable(all.room), queue: map[userKey]usync.Version{}}
	all.parts[tp] = s
	mapping, err := usync.NewMapping(usync.MappingConfig{Fields: taptalk.Fields, Expressions: taptalk.DefaultMapping})
	if err != nil {
		b.Fatal(err)
	}
	lane := usync.NewLane(usync.LaneConfig{Mapper: mapping, Concurrency: 1, Metrics: m, Delivered: all})
	changes := make([]usync.Change, users)
	for i := range changes {
		c := usync.Change{User: strconv.Itoa(i), Op: usync.Upsert, Columns: usync.ColumnsOf(aRow(strconv.Itoa(i)))}
		p, _, err := mapping.Payload(&c)
		if err != nil {
			b.Fatal(err)
		}
		s.table.put(all.hash.user(c.User), usync.Version{Status: usync.Held, Print: all.Fingerprint(p.Body), Row: all.Row(c.User, c.Columns)})
		changes[i] = c
	}
	now, offset := time.Unix(0, 0), int64(0)
	b.ReportAllocs()
	for b.Loop() {
		offset++
		c := changes[offset%users]
		c.Position = usync.Position{Topic: tp.Topic, Offset: offset}
		lane.Submit(now, c, usync.Place{At: c.Position, Hold: &place{}}, usync.Sent{})
	}
	if lane.InFlight() > 0 || lane.Bytes() > 0 {
		b.Fatal("some were not passed over")
	}
}
