package consumer

import (
	"fmt"
	"math"
	"strconv"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"usersync/metrics"
	usync "usersync/sync"
)

// ownStates are the states of partitions with so many users each, as a lane has them.
func ownStates(partitions, users int) *states {
	m := metrics.New(prometheus.NewRegistry(), destTaptalk)
	s := newStates(StateConfig{Topic: "state", Key: []byte("key"), Users: math.MaxInt}, "sends", nil, "g", m.For(destTaptalk).State)
	for p := range partitions {
		t := newStateTable(s.room)
		for u := range users {
			t.put(s.hash.user(fmt.Sprintf("%d/%d", p, u)), usync.Version{Status: usync.Held, Offset: int64(u)})
		}
		s.begin(TopicPartition{"users", p}, &state{table: t, queue: map[userKey]usync.Version{}})
	}
	return s
}

// BenchmarkLearn is what each delivery costs to be remembered: hashing the ID, and looking
// whether another partition of the process has the user.
func BenchmarkLearn(b *testing.B) {
	for _, partitions := range []int{1, 12, 1000} {
		const users = 1000
		s := ownStates(partitions, users)
		ids := make([]string, 100_000)
		for i := range ids {
			ids[i] = strconv.Itoa(i%partitions) + "/" + strconv.Itoa(i%users)
		}
		s.Learn(ids[0], usync.Position{Topic: "users"}, usync.Version{Status: usync.Held, Offset: users}) // counts them
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				id := ids[i%len(ids)]
				s.Learn(id, usync.Position{Topic: "users", Partition: i % partitions}, usync.Version{Status: usync.Held, Offset: int64(users + i)})
			}
		})
	}
}

// BenchmarkBegin is what it takes to begin with the states of a million users: to look
// whether the process has them as of several partitions. Those who have moved are in two.
func BenchmarkBegin(b *testing.B) {
	const users = 1_000_000
	for _, partitions := range []int{1, 2, 12, 1000} {
		loaded := ownStates(partitions, users/partitions)
		for _, moved := range []int{0, users / 10} {
			for u := range moved * min(partitions-1, 1) {
				from, to := loaded.parts[TopicPartition{"users", u % partitions}], loaded.parts[TopicPartition{"users", (u + 1) % partitions}]
				user := loaded.hash.user(fmt.Sprintf("%d/%d", u%partitions, u/partitions))
				to.table.put(user, from.table.get(user))
				from.table.put(user, usync.Version{Status: usync.Unknown, Cause: usync.CauseMoved})
			}
			b.Run(fmt.Sprintf("partitions=%d/moved=%d", partitions, moved), func(b *testing.B) {
				for b.Loop() {
					s := newStates(loaded.cfg, "sends", nil, "g", loaded.metrics)
					for tp, p := range loaded.parts {
						s.begin(tp, p)
					}
				}
			})
		}
	}
}
