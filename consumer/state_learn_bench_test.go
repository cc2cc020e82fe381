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
