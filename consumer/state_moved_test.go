package consumer

import (
	"fmt"
	"math"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"usersync/metrics"
	usync "usersync/sync"
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

// TestConflict: who is loaded as of several partitions is known from none of them, unless
// all but one of these say that another one has the last word.
func TestConflict(t *testing.T) {
	held := func(at int64) usync.Version { return usync.Version{Status: usync.Held, Offset: at} }
	unknown := func(at int64, why usync.Cause) usync.Version {
		return usync.Version{Status: usync.Unknown, Offset: at, Cause: why}
	}
	none := usync.Version{}
	for name, tc := range map[string]struct {
		loaded []usync.Version
		want   []string
	}{
		"one": {[]usync.Version{held(7), none}, []string{"held@7", "absent@0"}},
		"two": {
			[]usync.Version{held(7), held(3)},
			[]string{"unknown@7 conflict, written", "unknown@3 conflict, written"},
		},
		"a deleted one": {
			[]usync.Version{{Status: usync.Deleted, Offset: 7}, held(3)},
			[]string{"unknown@7 conflict, written", "unknown@3 conflict, written"},
		},
		"three": {
			[]usync.Version{held(7), none, held(3), held(9)},
			[]string{"unknown@7 conflict, written", "absent@0", "unknown@3 conflict, written", "unknown@9 conflict, written"},
		},
		"one has moved":     {[]usync.Version{unknown(7, CauseMoved), held(3)}, []string{"unknown@7 moved", "held@3"}},
		"it has moved back": {[]usync.Version{held(7), unknown(3, CauseMoved)}, []string{"held@7", "unknown@3 moved"}},
		"one was in doubt, so the other one may be there no more": {
			[]usync.Version{held(7), unknown(3, usync.CauseDeadLetter)},
			[]string{"unknown@7 conflict, written", "unknown@3 dead_letter"},
		},
		"one is written, and a kill kept the other from it": {
			[]usync.Version{unknown(7, usync.CauseConflict), held(3)},
			[]string{"unknown@7 conflict", "unknown@3 conflict, written"},
		},
		"a cause of a later version": {
			[]usync.Version{held(7), unknown(3, "")},
			[]string{"unknown@7 conflict, written", "unknown@3"},
		},
		"nobody is known": {
			[]usync.Version{unknown(7, usync.CauseConflict), unknown(3, usync.CauseAttempted)},
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

// TestMoved: what is learned from one partition is the last word, whatever others said, and
// also when it is that nothing is known; and whoever is loaded later has not heard it.
func TestMoved(t *testing.T) {
	held := usync.Version{Status: usync.Held, Offset: 3}
	for name, tc := range map[string]struct {
		other, learned usync.Version
		want           []string
		later          []string
	}{
		"held": {
			held,
			usync.Version{Status: usync.Held, Offset: 9},
			[]string{"unknown@3 moved, written", "held@9, written"},
			[]string{"unknown@3 moved, written", "unknown@9 conflict, written", "unknown@3 conflict, written"},
		},
		"attempted": {
			held,
			usync.Version{Status: usync.Unknown, Offset: 9, Cause: usync.CauseAttempted},
			[]string{"unknown@3 moved, written", "unknown@9 attempted, written"},
			[]string{"unknown@3 moved, written", "unknown@9 attempted, written", "unknown@3 conflict, written"},
		},
		"what was in doubt": {
			usync.Version{Status: usync.Unknown, Offset: 3, Cause: usync.CauseDoubt},
			usync.Version{Status: usync.Deleted, Offset: 9},
			[]string{"unknown@3 moved, written", "deleted@9, written"},
			[]string{"unknown@3 moved, written", "unknown@9 conflict, written", "unknown@3 conflict, written"},
		},
		"moved already": { // which costs no write
			usync.Version{Status: usync.Unknown, Offset: 3, Cause: CauseMoved},
			usync.Version{Status: usync.Held, Offset: 9},
			[]string{"unknown@3 moved", "held@9, written"},
			[]string{"unknown@3 moved", "unknown@9 conflict, written", "unknown@3 conflict, written"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := loadedWith(tc.other, usync.Version{})
			s.Learn("u", usync.Position{Topic: "users", Partition: 1}, tc.learned)
			if got := s.says(); fmt.Sprint(got) != fmt.Sprint(tc.want) {
				t.Errorf("%q, want %q", got, tc.want)
			}
			s.loads(2, held)
			if got := s.says(); fmt.Sprint(got) != fmt.Sprint(tc.later) {
				t.Errorf("then another is loaded: %q, want %q", got, tc.later)
			}
		})
	}
}
