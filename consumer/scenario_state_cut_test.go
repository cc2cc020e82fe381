package consumer

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"usersync/metrics"
	usync "usersync/sync"
	"usersync/sync/vendortest"
)

// TestSourceLosesItsEnd: a log loses what was delivered, but was not committed, since a
// place below was held. What is written there later is new, with and without a state, for
// the next owner and for the one after that (G1).
func TestSourceLosesItsEnd(t *testing.T) {
	for _, kept := range []bool{false, true} {
		for _, later := range []bool{false, true} {
			t.Run(fmt.Sprintf("kept=%v,later=%v", kept, later), func(t *testing.T) {
				inBubble(t, 1, func(b *bubble) {
					if kept {
						b.keeping()
					}
					b.losesItsEnd(later)
				})
			})
		}
	}
}

func (b *bubble) losesItsEnd(later bool) {
	b.t.Helper()
	w := b.start()
	b.write("1", name(0))
	b.commits(time.Minute, both...)
	b.both(vendortest.Rule{Status: 503, User: "2"})
	b.write("2", name(1))
	for n := 2; n < 8; n++ {
		b.write("1", name(n))
		time.Sleep(time.Second)
	}
	time.Sleep(20 * time.Second)
	w.stop()
	b.cutTo(2)
	if later { // an owner that reads nothing new, and a log that is longer than before when the next one comes
		w = b.start()
		time.Sleep(time.Minute)
		w.stop()
		b.write("1", name(9))
		b.writeAll(numbers(10, 20)...)
	}
	b.latency(20 * time.Millisecond)
	b.start()
	b.write("2", name(2))
	if !later {
		b.write("1", name(9))
	}
	time.Sleep(20 * time.Minute)
	for _, dest := range both {
		if got := b.has(dest, "1"); got != name(9) {
			b.t.Errorf("%s has %q, want %q", dest, got, name(9))
		}
	}
}

// cutTo takes away what partition 0 has from an offset on. The groups keep what they have
// committed, as they do when a broker has lost the end of a log.
func (b *bubble) cutTo(end int) {
	b.t.Helper()
	committed := map[string]Committed{}
	source := TopicPartition{"users", 0}
	for _, dest := range both {
		all, err := b.kafka.client("users").CommittedOffsets(b.t.Context(), "usersync."+dest, map[string][]int{"users": {0}})
		if err != nil {
			b.t.Fatal(err)
		}
		committed[dest] = all[source]
	}
	if err := b.kafka.DeleteTopic("users"); err != nil {
		b.t.Fatal(err)
	}
	left := b.changes[:end]
	b.remake(source)
	for _, r := range left {
		b.raw(&kgo.Record{Topic: "users", Key: r.Key, Value: r.Value, Timestamp: r.Timestamp})
	}
	for dest, c := range committed {
		codes, err := b.kafka.client("users").Commit(b.t.Context(), CommitRequest{
			Group: "usersync." + dest, Generation: -1,
			Partitions: []PartitionCommit{{TopicPartition: source, Offset: c.Offset, Metadata: c.Metadata}},
		})
		if err != nil || codes[source] != 0 {
			b.t.Fatal(err, codes)
		}
	}
}

// TestRegain: what was known in an earlier generation is known again, unless the log has
// become shorter since.
func TestRegain(t *testing.T) {
	for end, want := range map[int64]bool{7: false, 8: true, 9: true} {
		tp := TopicPartition{"users", 0}
		s := &state{end: 8, table: newStateTable(new(stateRoom))}
		m := metrics.New(prometheus.NewRegistry(), destTaptalk).For(destTaptalk)
		p := &owned{TopicPartition: tp, loading: true, kept: s, metrics: m.Consumer.Assign(tp.Topic, tp.Partition)}
		g := &generation{p: &Pipeline{states: &states{parts: map[TopicPartition]*state{tp: s}}}, parts: []*owned{p}}
		p.progress.LogEnd = end
		got := g.regain(p)
		if got != want || p.loading == want || (p.state == s) != want || (g.p.states.parts[tp] == s) != want {
			t.Errorf("end %d: regained is %v, want %v: %+v", end, got, want, p)
		}
	}
}

// TestStateOfLostChanges: what is known of changes that the log does not have is forgotten,
// and that is written down: who comes later may find the log longer.
func TestStateOfLostChanges(t *testing.T) {
	s := newStory(t)
	a := s.begin()
	for n, offset := range []int64{4, 5, 9} {
		a.table.put(aUser(n), usync.Version{Status: usync.Held, Offset: offset})
		a.queue[aUser(n)] = usync.Version{Status: usync.Held, Offset: offset}
	}
	s.note(a)
	s.said = a.log.own
	for _, end := range []int64{5, 1000} {
		s.changes = end
		next := s.begin()
		for n, want := range []usync.Version{{Status: usync.Held, Offset: 4}, {Status: usync.Unknown, Cause: CauseCut}, {Status: usync.Unknown, Cause: CauseCut}} {
			if got := next.table.get(aUser(n)); got != want {
				t.Errorf("log of %d changes: user %d has %+v, want %+v", end, n, got, want)
			}
		}
	}
}
