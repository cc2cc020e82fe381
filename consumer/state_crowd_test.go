package consumer

import (
	"fmt"
	"testing"

	usync "usersync/sync"
)

// TestLearnElsewhere: whoever is delivered from one partition is known as held from no
// other one, however many there are, and whoever came to be known when: as a state was
// loaded, by a delivery, or when there was no more room to count them.
func TestLearnElsewhere(t *testing.T) {
	const partitions = 20
	s := ownStates(partitions, 100)
	held := func(user string) (n int) {
		for p := range partitions {
			if s.Known(user, usync.Position{Topic: "users", Partition: p}).Status == usync.Held {
				n++
			}
		}
		return n
	}
	learn := func(user string, p int) {
		s.Learn(user, usync.Position{Topic: "users", Partition: p}, usync.Version{Status: usync.Held, Offset: 1000})
	}
	for i := range 10_000 { // many times as many as were loaded
		user := fmt.Sprintf("%d/%d", i%partitions, i/partitions)
		learn(user, (i+1)%partitions)
		if i%7 == 0 {
			learn(user, (i+2)%partitions)
		}
		if n := held(user); n != 1 {
			t.Fatalf("user %s is held as of %d partitions", user, n)
		}
	}
	table := newStateTable(s.room)
	table.put(s.hash.user("late"), usync.Version{Status: usync.Held})
	learn("late", 0)
	s.begin(TopicPartition{"users", partitions - 1}, &state{table: table, queue: map[userKey]usync.Version{}})
	if learn("late", 0); held("late") != 1 {
		t.Error("a user is held as of two partitions, of which one was loaded later")
	}
}

// TestCrowdErrsSeldom: nearly nobody who is in one table alone is looked for in others.
func TestCrowdErrsSeldom(t *testing.T) {
	s := ownStates(10, 2000)
	wrong := 0
	for i := range 40_000 { // as many as there is room for
		user := s.hash.user(fmt.Sprint("new", i))
		if s.crowd.room > 0 || i == 0 {
			s.joins(user)
		}
		if s.severalHave(user) {
			wrong++
		}
	}
	if wrong > 800 {
		t.Errorf("%d of 40,000 users are taken for such as are in several tables", wrong)
	}
}
