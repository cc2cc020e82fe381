package consumer

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"usersync/consumer/trace"
	"usersync/metrics"
	usync "usersync/sync"
	"usersync/sync/taptalk"
)

// loadedWith are states of which each was loaded with one version of the user "u"; one
// that is Absent is not in its table.
func loadedWith(versions ...usync.Version) *states {
	m := metrics.New(prometheus.NewRegistry(), destTaptalk)
	s := newStates(StateConfig{Topic: "state", Key: []byte("key"), Users: math.MaxInt}, "sends", nil, "g", m.For(destTaptalk).State)
	for n, v := range versions {
		s.loads(n, v)
	}
	return s
}

// loads begins with a partition of which the user "u" has v.
func (s *states) loads(n int, v usync.Version) {
	t := newStateTable(s.room)
	if v.Status != usync.Absent {
		t.put(s.hash.user("u"), v)
	}
	s.begin(TopicPartition{"users", n}, &state{table: t, queue: map[userKey]usync.Version{}})
}

// says is what the state of each partition has of the user, and what is to be written there.
func (s *states) says() (all []string) {
	for n := range len(s.parts) {
		p := s.parts[TopicPartition{"users", n}]
		known := p.table.get(s.hash.user("u"))
		text := fmt.Sprint([]string{"absent", "unknown", "held", "deleted"}[known.Status], "@", known.Offset)
		if known.Cause != "" {
			text += " " + string(known.Cause)
		}
		if known.Settled {
			text += " settled"
		}
		switch queued, ok := p.queue[s.hash.user("u")]; {
		case ok && queued != known:
			text += fmt.Sprintf(", but writes %+v", queued)
		case ok:
			text += ", written"
		}
		all = append(all, text)
	}
	return all
}

func heldAt(offset int64) usync.Version { return usync.Version{Status: usync.Held, Offset: offset} }

func unknownAt(offset int64, why usync.Cause) usync.Version {
	return usync.Version{Status: usync.Unknown, Offset: offset, Cause: why}
}

func settledAt(offset int64, why usync.Cause) usync.Version {
	return usync.Version{Status: usync.Unknown, Offset: offset, Cause: why, Settled: true}
}

// TestConflict: who is loaded as of several partitions is known from none of them, unless
// all but one of these say that another one has the last word.
func TestConflict(t *testing.T) {
	none := usync.Version{}
	for name, tc := range map[string]struct {
		loaded []usync.Version
		want   []string
	}{
		"one": {[]usync.Version{heldAt(7), none}, []string{"held@7", "absent@0"}},
		"two": {
			[]usync.Version{heldAt(7), heldAt(3)},
			[]string{"unknown@7 conflict settled, written", "unknown@3 conflict settled, written"},
		},
		"a deleted one": {
			[]usync.Version{{Status: usync.Deleted, Offset: 7}, heldAt(3)},
			[]string{"unknown@7 conflict settled, written", "unknown@3 conflict settled, written"},
		},
		"three": {
			[]usync.Version{heldAt(7), none, heldAt(3), heldAt(9)},
			[]string{"unknown@7 conflict settled, written", "absent@0", "unknown@3 conflict settled, written", "unknown@9 conflict settled, written"},
		},
		"one has moved":     {[]usync.Version{unknownAt(7, usync.CauseMoved), heldAt(3)}, []string{"unknown@7 moved", "held@3"}},
		"it has moved back": {[]usync.Version{heldAt(7), unknownAt(3, usync.CauseMoved)}, []string{"held@7", "unknown@3 moved"}},
		"one was in doubt, so the other one may be there no more": {
			[]usync.Version{heldAt(7), unknownAt(3, usync.CauseDeadLetter)},
			[]string{"unknown@7 conflict settled, written", "unknown@3 dead_letter"},
		},
		"one is written, and a kill kept the other from it": {
			[]usync.Version{unknownAt(7, usync.CauseConflict), heldAt(3)},
			[]string{"unknown@7 conflict", "unknown@3 conflict settled, written"},
		},
		"a cause of a later version": {
			[]usync.Version{heldAt(7), unknownAt(3, "")},
			[]string{"unknown@7 conflict settled, written", "unknown@3"},
		},
		"one had moved, and a kill kept that it has moved back from the other": {
			[]usync.Version{heldAt(7), settledAt(3, usync.CauseConflict)},
			[]string{"unknown@7 conflict settled, written", "unknown@3 conflict settled"},
		},
		"nobody is known": {
			[]usync.Version{unknownAt(7, usync.CauseConflict), unknownAt(3, usync.CauseAttempted)},
			[]string{"unknown@7 conflict", "unknown@3 attempted"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := loadedWith(tc.loaded...).says(); fmt.Sprint(got) != fmt.Sprint(tc.want) {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

// TestMoved: what is learned from one partition is the last word, whatever others said; if it
// is that nothing is known, nobody has it. Whoever is loaded later has not heard it.
func TestMoved(t *testing.T) {
	for name, tc := range map[string]struct {
		other, learned usync.Version
		want           []string
		later          []string
	}{
		"held": {
			heldAt(3), heldAt(9),
			[]string{"unknown@3 moved settled, written", "held@9, written"},
			[]string{"unknown@3 moved settled, written", "unknown@9 conflict settled, written", "unknown@3 conflict settled, written"},
		},
		"attempted": {
			heldAt(3), unknownAt(9, usync.CauseAttempted),
			[]string{"unknown@3 conflict settled, written", "unknown@9 attempted, written"},
			[]string{"unknown@3 conflict settled, written", "unknown@9 attempted, written", "unknown@3 conflict settled, written"},
		},
		"attempted, and so was the other one before": { // which costs no write: nobody is believed
			unknownAt(3, usync.CauseConflict), unknownAt(9, usync.CauseAttempted),
			[]string{"unknown@3 conflict", "unknown@9 attempted, written"},
			[]string{"unknown@3 conflict", "unknown@9 attempted, written", "unknown@3 conflict settled, written"},
		},
		"what was in doubt": {
			unknownAt(3, usync.CauseDoubt),
			usync.Version{Status: usync.Deleted, Offset: 9},
			[]string{"unknown@3 moved, written", "deleted@9, written"},
			[]string{"unknown@3 moved, written", "unknown@9 conflict settled, written", "unknown@3 conflict settled, written"},
		},
		"moved, and settled there": { // which costs no write either
			settledAt(3, usync.CauseMoved), heldAt(9),
			[]string{"unknown@3 moved settled", "held@9, written"},
			[]string{"unknown@3 moved settled", "unknown@9 conflict settled, written", "unknown@3 conflict settled, written"},
		},
		"a conflict of what was settled": {
			settledAt(3, usync.CauseConflict), heldAt(9),
			[]string{"unknown@3 moved settled, written", "held@9, written"},
			[]string{"unknown@3 moved settled, written", "unknown@9 conflict settled, written", "unknown@3 conflict settled, written"},
		},
		"moved already": { // which costs no write
			unknownAt(3, usync.CauseMoved), heldAt(9),
			[]string{"unknown@3 moved", "held@9, written"},
			[]string{"unknown@3 moved", "unknown@9 conflict settled, written", "unknown@3 conflict settled, written"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := loadedWith(tc.other, usync.Version{})
			s.Learn("u", usync.Position{Topic: "users", Partition: 1}, tc.learned)
			if got := s.says(); fmt.Sprint(got) != fmt.Sprint(tc.want) {
				t.Errorf("%q, want %q", got, tc.want)
			}
			s.loads(2, heldAt(3))
			if got := s.says(); fmt.Sprint(got) != fmt.Sprint(tc.later) {
				t.Errorf("then another is loaded: %q, want %q", got, tc.later)
			}
		})
	}
}

// TestMovedHalfWritten: the log of the partition that was told that a call failed is without
// it, and without all since its user had moved away from there; so what it has is of before
// that. The other one, which is written, does not leave it to be believed.
func TestMovedHalfWritten(t *testing.T) {
	held := heldAt(3)
	s := loadedWith(held, usync.Version{})
	s.Learn("u", usync.Position{Topic: "users", Partition: 1}, heldAt(9))
	s.Learn("u", usync.Position{Topic: "users"}, unknownAt(5, usync.CauseAttempted))
	written := s.parts[TopicPartition{"users", 1}].queue[s.hash.user("u")]
	want := []string{"unknown@3 conflict settled, written", "unknown@9 conflict settled"}
	if got := loadedWith(held, written).says(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestMovedInTheLane: what was held in one partition, and is read again, is found to have been
// overtaken as the change of the other one waits or is on its way. It does not take the place
// of that one, which nobody has been sent (G1).
func TestMovedInTheLane(t *testing.T) {
	for name, tc := range map[string]struct {
		called bool  // the other one is on its way
		fails  error // and fails at first
	}{
		"it waits":         {},
		"it is on its way": {called: true},
		"it fails":         {called: true, fails: &usync.CallError{Verdict: usync.Failed, Code: "http_500"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := loadedWith(usync.Version{}, heldAt(9))
			s.tell = func(trace.Event) {}
			lane := usync.NewLane(usync.LaneConfig{
				Mapper: mapping(t, taptalk.Fields, map[string]any{"fullName": "name"}), Concurrency: 1, Timeout: time.Second, Metrics: metrics.New(nil, destTaptalk).For(destTaptalk), Delivered: s,
				Retry: usync.Retry{Initial: time.Second, Multiplier: 2, Max: time.Minute, GiveUpAfter: time.Hour, ConfirmAfter: time.Minute},
			})
			now := time.Now()
			var released []int
			submit := func(partition int, offset int64, v string) {
				at := usync.Position{Topic: "users", Partition: partition, Offset: offset}
				c := usync.Change{User: "u", Op: usync.Upsert, Position: at, Columns: usync.ColumnsOf(map[string]any{"name": v})}
				lane.Submit(now, c, usync.Place{At: at, Hold: releases(func() { released = append(released, partition) })}, usync.Sent{})
			}
			submit(0, 5, "B")
			var call *usync.Call
			if tc.called {
				call = lane.Next(now)
			}
			submit(1, 9, "A")
			if fmt.Sprint(released) != "[1]" {
				t.Errorf("the places of partitions %v are released, want 1", released)
			}
			if call == nil {
				call = lane.Next(now)
			}
			for end := tc.fails; call != nil; end = nil {
				if !strings.Contains(string(call.Payload.Body), "B") {
					t.Errorf("%s is sent", call.Payload.Body)
				}
				lane.Done(now, call, end)
				now = now.Add(time.Hour)
				call = lane.Next(now)
			}
			if fmt.Sprint(released) != "[1 0]" {
				t.Errorf("the places of partitions %v are released, want 1 and then 0", released)
			}
		})
	}
}

type releases func()

func (r releases) Release() { r() }

// TestTrustWhileLoading: a state that is being loaded is waited for, for a while; then it
// depends on whether that may ever end.
func TestTrustWhileLoading(t *testing.T) {
	loads := &owned{loading: true}
	kept := &owned{loading: true, kept: &state{}}
	halted := &owned{loading: true, halt: &Halt{Reason: string(haltGone)}}
	for name, tc := range map[string]struct {
		parts       []*owned
		soon, later usync.Trust
	}{
		"nothing is loaded":        {[]*owned{{}, kept, {halt: halted.halt}}, usync.Trusted, usync.Trusted},
		"one is":                   {[]*owned{{}, loads}, usync.Awaited, usync.Doubted},
		"a halted one is":          {[]*owned{{}, halted}, usync.Awaited, usync.Trusted},
		"a halted and another one": {[]*owned{halted, loads}, usync.Awaited, usync.Doubted},
	} {
		taken := time.Now()
		g := &generation{parts: tc.parts, taken: taken}
		if soon, later := g.trust(taken.Add(loadLimit-1)), g.trust(taken.Add(loadLimit)); soon != tc.soon || later != tc.later {
			t.Errorf("%s: %v, and later %v; want %v and %v", name, soon, later, tc.soon, tc.later)
		}
	}
}
