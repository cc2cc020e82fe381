package ledger

import (
	"testing"
	"time"

	"usersync/consumer/trace"
)

func applied(seconds float64, offset int64) trace.Event { return event(seconds, Applied, on(offset)) }

func TestRegression(t *testing.T) {
	tests := []struct {
		name         string
		events       []trace.Event
		killed, lost int
		want         []Name
	}{
		{"forward", join(delivered(1, 0), applied(1, 0), delivered(2, 1), applied(2, 1), applied(3, 1)), 0, 0, nil},
		{"back", join(delivered(1, 1), applied(1, 1), delivered(2, 0), applied(2, 0), delivered(3, 1), applied(3, 1)), 0, 0, []Name{TakenBack}},
		{"back for good", join(delivered(1, 1), applied(1, 1), delivered(2, 0), applied(2, 0)), 0, 0, []Name{TakenBack, LeftBack}},
		{"back in steps", join(delivered(1, 2), applied(1, 2), delivered(2, 1), applied(2, 1), delivered(3, 0), applied(3, 0), applied(4, 2)), 0, 0, []Name{TakenBack, TakenBack}},
		{"no call at all", join(applied(1, 1), applied(2, 0), applied(3, 1)), 0, 0, []Name{TakenBack}},
		{"by a killed worker", join(event(1, trace.Call, on(0)), event(2, Killed), delivered(9, 1, by("b")), applied(9, 1), applied(10, 0), applied(70, 1)), 1, 0, nil},
		{"and left there", join(event(1, trace.Call, on(0)), event(2, Killed), delivered(9, 1, by("b")), applied(9, 1), applied(10, 0)), 1, 0, []Name{LeftBack}},
		{"half the way", join(event(1, trace.Call, on(0)), event(2, Killed), delivered(9, 2, by("b")), applied(9, 2), applied(10, 0), applied(11, 1)), 1, 0, []Name{LeftBack}},
		{"the kill came later", join(delivered(1, 0), event(2, Killed), delivered(9, 1, by("b")), applied(9, 1), applied(10, 0), applied(70, 1)), 0, 0, []Name{TakenBack}},
		{"another was killed", join(event(1, trace.Call, on(0)), event(2, Killed, by("c")), delivered(9, 1, by("b")), applied(9, 1), applied(10, 0), applied(70, 1)), 0, 0, []Name{TakenBack}},
		{"by a lost reply", join(event(1, trace.Call, on(0)), event(2, trace.Called, on(0), said("unsure: timeout")), delivered(9, 1), applied(9, 1), applied(10, 0), applied(70, 1)), 0, 1, nil},
		{"a failure that was answered", join(event(1, trace.Call, on(0)), event(2, trace.Called, on(0), said("failed: http_500")), delivered(9, 1), applied(9, 1), applied(10, 0), applied(70, 1)), 0, 0, []Name{TakenBack}},
		{"by a frozen worker", join(event(1, trace.Call, on(0)), event(2, Frozen), delivered(9, 1, by("b")), applied(9, 1), applied(10, 0), event(11, trace.Called, on(0), said(trace.OK)), applied(70, 1)), 0, 1, nil},
		{"another was frozen", join(event(1, trace.Call, on(0)), event(2, Frozen, by("c")), delivered(9, 1, by("b")), applied(9, 1), applied(10, 0), applied(70, 1)), 0, 0, []Name{TakenBack}},
		{"killed, and another of its name", join(event(1, Killed), event(2, trace.Call, on(0)), delivered(9, 1, by("b")), applied(9, 1), applied(10, 0), applied(70, 1)), 0, 0, []Name{TakenBack}},
		{"the wrong worker", join(event(1, trace.Call, on(0)), event(2, Killed), delivered(9, 1, by("b")), applied(9, 1), event(10, Applied, on(0), by("b")), applied(70, 1)), 0, 0, []Name{TakenBack}},
		{"each destination by itself", join(delivered(1, 1), applied(1, 1), event(2, Applied, on(0), func(e *trace.Event) { e.Destination = "haptik" })), 0, 0, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var found []Finding
			r := NewRegression(func(f Finding) { found = append(found, f) })
			for _, e := range tt.events {
				r.Note(e)
			}
			r.End()
			check(t, found, tt.want...)
			if r.Killed != tt.killed || r.Lost != tt.lost {
				t.Errorf("%d by a killed worker and %d by lost replies, want %d and %d", r.Killed, r.Lost, tt.killed, tt.lost)
			}
		})
	}
}

func TestBlame(t *testing.T) {
	failed := func(from, to float64, user, outcome string) []trace.Event {
		return join(event(from, trace.Call, of(user)), event(to, trace.Called, of(user), said(outcome)))
	}
	down := join(failed(1, 2, "1", "failed: http_503"), failed(2.5, 3.5, "2", "failed: http_503"))
	tests := []struct {
		name   string
		events []trace.Event
		want   []Name
	}{
		{"a probe at a time", join(down, failed(4, 5, "3", "failed: http_503"), failed(6, 7, "1", "failed: http_503")), nil},
		{"two at once", join(down, event(4, trace.Call, of("3")), event(5, trace.Call, of("4"))), []Name{CalledHeld}},
		{"begun before", join(event(1, trace.Call, of("3")), event(1, trace.Call, of("4")), down, event(5, trace.Call, of("5"))), nil},
		{"one user alone", join(failed(1, 2, "1", "failed: http_503"), failed(3, 4, "1", "failed: http_503"), event(4, trace.Call, of("3")), event(5, trace.Call, of("4"))), nil},
		{"both on their way", join(event(1, trace.Call, of("1")), event(1, trace.Call, of("2")), event(2, trace.Called, of("1"), said("failed: x")),
			event(3, trace.Called, of("2"), said("failed: x")), event(4, trace.Call, of("3")), event(5, trace.Call, of("4"))), nil},
		{"within a second", join(failed(1, 2, "1", "failed: x"), failed(2.1, 2.9, "2", "failed: x"), event(4, trace.Call, of("3")), event(5, trace.Call, of("4"))), nil},
		{"a success between", join(failed(1, 2, "1", "failed: x"), failed(2, 2.1, "3", trace.OK), failed(2.5, 3.5, "2", "failed: x"), event(4, trace.Call, of("3")), event(5, trace.Call, of("4"))), nil},
		{"a success since", join(down, failed(4, 5, "3", trace.OK), event(6, trace.Call, of("3")), event(6, trace.Call, of("4"))), nil},
		{"throttled", join(failed(1, 2, "1", "throttled: http_429"), failed(2.5, 3.5, "2", "throttled: http_429"), event(4, trace.Call, of("3")), event(5, trace.Call, of("4"))), nil},
		{"unsent", join(failed(1, 2, "1", "unsent: lease"), failed(2.5, 3.5, "2", "unsent: lease"), event(4, trace.Call, of("3")), event(5, trace.Call, of("4"))), nil},
		{"another worker", join(down, event(4, trace.Call, of("3")), event(5, trace.Call, of("4"), by("b"))), nil},
		{"the poisoned user", join(event(4, trace.Letter, of("poison"))), nil},
		{"a record that could not be read", join(event(4, trace.Letter, of(""))), nil},
		{"any other user", join(event(4, trace.Letter, of("3"))), []Name{NotAtFault}},
		{"judged while held", join(down, event(30, trace.Letter, of("poison"))), []Name{JudgedHeld}},
		{"judged before", join(down, event(5, trace.Letter, of("poison"))), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var found []Finding
			b := NewBlame(func(f Finding) { found = append(found, f) }, func(_, user string) bool { return user == "poison" })
			for _, e := range tt.events {
				b.Note(e)
			}
			check(t, found, tt.want...)
		})
	}
}

func TestStall(t *testing.T) {
	tests := []struct {
		name    string
		samples []Work
		want    []Name
	}{
		{"it works", []Work{{Waiting: 9, Settled: 1}, {Waiting: 8, Settled: 2}, {Waiting: 7, Settled: 3}}, nil},
		{"it does not", []Work{{Waiting: 9, Settled: 1}, {Waiting: 9, Settled: 1}, {Waiting: 9, Settled: 1}}, []Name{Stalled}},
		{"it is told once", []Work{{Waiting: 9}, {Waiting: 9}, {Waiting: 9}, {Waiting: 9}}, []Name{Stalled}},
		{"nothing to do", []Work{{Settled: 1}, {Settled: 1}, {Settled: 1}}, nil},
		{"work has come only now", []Work{{}, {}, {Waiting: 9}, {Waiting: 9}}, nil},
		{"held", []Work{{Waiting: 9, Held: true}, {Waiting: 9, Held: true}, {Waiting: 9, Held: true}}, nil},
		{"the other one works", []Work{{Waiting: 9}, {Waiting: 9, Worker: "b", Settled: 1}, {Waiting: 9}}, []Name{Stalled}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := Stall{Limit: time.Minute}
			var found []Finding
			for i, w := range tt.samples {
				w.At = at(float64(i) * 40)
				found = append(found, s.Add(w)...)
			}
			check(t, found, tt.want...)
		})
	}
}

func TestLag(t *testing.T) {
	tests := []struct {
		name    string
		samples []Progress
		want    []Name
	}{
		{"it follows", []Progress{{Committed: 1, Settled: 5}, {Committed: 5, Settled: 9}, {Committed: 9, Settled: 9}}, nil},
		{"it stays", []Progress{{Committed: 1, Settled: 5}, {Committed: 1, Settled: 5}, {Committed: 1, Settled: 6}}, []Name{Stagnant}},
		{"nothing is settled", []Progress{{Committed: 5, Settled: 5}, {Committed: 5, Settled: 5}, {Committed: 5, Settled: 5}}, nil},
		{"settled only now", []Progress{{}, {}, {Settled: 5}, {Settled: 5}}, nil},
		{"held", []Progress{{Committed: 1, Settled: 5, Held: true}, {Committed: 1, Settled: 5, Held: true}, {Committed: 1, Settled: 5, Held: true}}, nil},
		{"the other one moves", []Progress{{Settled: 5}, {Settled: 5, Committed: 5, Partition: "users/1"}, {Settled: 5}}, []Name{Stagnant}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := Lag{Limit: time.Minute}
			var found []Finding
			for i, p := range tt.samples {
				p.At = at(float64(i) * 40)
				found = append(found, l.Add(p)...)
			}
			check(t, found, tt.want...)
		})
	}
}

func TestBounds(t *testing.T) {
	d := Drain{Bound: 20 * time.Second}
	check(t, d.Check("a", at(0), at(20), at(99)))
	check(t, d.Check("a", at(0), time.Time{}, at(20)))
	check(t, d.Check("a", at(0), at(21), at(99)), SlowDrain)
	check(t, d.Check("a", at(0), time.Time{}, at(21)), SlowDrain)

	m := Memory{Limit: 100}
	check(t, m.Check(at(0), "a", "taptalk", 100))
	check(t, m.Check(at(0), "a", "taptalk", 101), Heap)

	i := Isolation{Limit: time.Second}
	check(t, i.Check(at(0), "taptalk", "haptik", time.Second))
	check(t, i.Check(at(0), "taptalk", "haptik", 2*time.Second), Shared)

	p := Privacy{Planted: []string{"Zq7", "Xk9"}}
	check(t, p.Scan("log", "nothing of the kind"))
	check(t, p.Scan("log", "user Zq7 has a key"), Private)
	check(t, p.Scan("log", "Zq7Xk9"), Private, Private)
}
