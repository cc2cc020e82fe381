package consumer

import (
	"log/slog"
	"reflect"
	"testing"

	"github.com/segmentio/kafka-go"
)

// TestRanges: whoever owns a partition owns that of its number in the other topics, in
// whatever order a broker lists them.
func TestRanges(t *testing.T) {
	var members []kafka.GroupMember
	for _, id := range []string{"b", "a"} {
		members = append(members, kafka.GroupMember{ID: id, Topics: []string{"users", "retry"}})
	}
	var partitions []kafka.Partition
	for _, p := range []int{2, 0, 1} {
		partitions = append(partitions, kafka.Partition{Topic: "users", ID: p})
	}
	for _, p := range []int{1, 2, 0} {
		partitions = append(partitions, kafka.Partition{Topic: "retry", ID: p})
	}
	got := ranges{}.AssignGroups(members, partitions)
	for id, want := range map[string][]int{"a": {0}, "b": {1, 2}} {
		if !reflect.DeepEqual(got[id], map[string][]int{"users": want, "retry": want}) {
			t.Errorf("%s has %v, want %v of both", id, got[id], want)
		}
	}
}

// TestSeparate: a partition of the retry topic is read by whoever owns all source
// partitions of its number, and by nobody else.
func TestSeparate(t *testing.T) {
	g := &generation{
		Config: &Config{Topics: []string{"users", "more", "absent"}, Log: slog.New(slog.DiscardHandler)},
		counts: map[string]int{"users": 3, "more": 3, "retry": 3}, byName: map[TopicPartition]*owned{},
	}
	for _, tp := range []TopicPartition{{"users", 0}, {"more", 0}, {"retry", 0}, {"users", 1}, {"retry", 1}, {"retry", 2}} {
		p := &owned{TopicPartition: tp, retry: tp.Topic == "retry"}
		g.parts = append(g.parts, p)
		g.byName[tp] = p
	}
	g.separate()
	for _, p := range g.parts {
		if want := p.retry && p.Partition > 0; p.aside() != want {
			t.Errorf("%v: aside is %t, want %t", p.TopicPartition, p.aside(), want)
		}
	}
}
