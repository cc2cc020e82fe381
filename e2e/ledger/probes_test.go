package ledger

import (
	"testing"
	"time"

	"usersync/consumer/trace"
)

func applied(seconds float64, offset int64, more ...func(*trace.Event)) trace.Event {
	return event(seconds, Applied, append(more, on(offset))...)
}

// saved is a call of a worker that delivers at once.
func saved(seconds float64, offset int64, worker string) []trace.Event {
	return []trace.Event{
		event(seconds, trace.Call, on(offset), by(worker)), event(seconds, Applied, on(offset), by(worker)),
		event(seconds+.1, trace.Called, on(offset), by(worker), said(trace.OK)),
	}
}

func TestRegression(t *testing.T) {
	called := func(offset int64) trace.Event { return event(1, trace.Call, on(offset)) }
	ended := func(offset int64, outcome string) trace.Event {
		return event(2, trace.Called, on(offset), said(outcome))
	}
	// What a called for at 1 is applied at 10, after a newer one of b, which b repeats.
	late := join(saved(9, 1, "b"), applied(10, 0), saved(70, 1, "b"))
	tests := []struct {
		name         string
		events       []trace.Event
		killed, lost int
		want         []Name
	}{
		{"forward", join(saved(1, 0, "a"), saved(2, 1, "a"), saved(3, 1, "a")), 0, 0, nil},
		{"back", join(saved(1, 1, "a"), saved(2, 0, "a"), saved(3, 1, "a")), 0, 0, []Name{TakenBack}},
		{"back for good", join(saved(1, 1, "a"), saved(2, 0, "a")), 0, 0, []Name{TakenBack, LeftBack}},
		{"back in steps", join(saved(1, 2, "a"), saved(2, 1, "a"), saved(3, 0, "a"), saved(4, 2, "a")), 0, 0, []Name{TakenBack, TakenBack}},
		{"by a killed worker", join(called(0), event(2, Killed), late), 1, 0, nil},
		{"and left there", join(called(0), event(2, Killed), saved(9, 1, "b"), applied(10, 0)), 1, 0, []Name{LeftBack}},
		{"half the way", join(called(0), event(2, Killed), saved(9, 2, "b"), applied(10, 0), saved(11, 1, "b")), 1, 0, []Name{LeftBack}},
		{"left there, and deleted", join(called(0), event(2, Killed), saved(9, 1, "b"), applied(10, 0), event(11, Wrote, on(2), said(Deleted))), 1, 0, nil},
		{"deleted, and written again", join(called(0), event(2, Killed), saved(9, 1, "b"), applied(10, 0), event(11, Wrote, on(2), said(Deleted)), event(11, Wrote, on(3))), 1, 0, []Name{LeftBack}},
		{"the kill came later", join(called(0), ended(0, trace.OK), applied(2, 0), event(2, Killed), late), 0, 0, []Name{TakenBack}},
		{"another was killed", join(called(0), event(2, Killed, by("c")), late), 0, 0, []Name{TakenBack}},
		{"by a lost reply", join(called(0), ended(0, "unsure: timeout"), late), 0, 1, nil},
		{"by a frozen worker", join(called(0), event(2, Frozen), saved(9, 1, "b"), applied(10, 0), event(11, trace.Called, on(0), said(trace.OK)), saved(70, 1, "b")), 0, 1, nil},
		{"another was frozen", join(called(0), event(2, Frozen, by("c")), late), 0, 0, []Name{TakenBack}},
		{"killed, and another of its name", join(event(1, Killed), called(0), late), 0, 0, []Name{TakenBack}},
		{"the wrong worker", join(called(0), event(2, Killed), saved(9, 1, "b"), applied(10, 0, by("b")), saved(70, 1, "b")), 0, 0, []Name{TakenBack}},
		{"by whomever", join(called(0), event(2, Killed), saved(9, 1, "b"), applied(10, 0, by("")), saved(70, 1, "b")), 1, 0, nil},
		{"each destination by itself", join(saved(1, 1, "a"), event(1, trace.Call, on(0), to("haptik")), applied(2, 0, to("haptik"))), 0, 0, nil},

		{"one excuse for each lost reply", join(called(0), ended(0, "unsure: timeout"), late, applied(71, 0), saved(72, 1, "b")), 0, 1, []Name{TakenBack}},
		{"two of them", join(called(0), ended(0, "unsure: timeout"), called(0), ended(0, "unsure: timeout"), late, applied(20, 0), saved(72, 1, "b")), 0, 2, nil},
		{"it was applied at once", join(called(0), applied(1, 0), ended(0, "unsure: timeout"), late), 0, 0, []Name{TakenBack}},
		{"the repeated call was the other one", join(called(0), ended(0, "unsure: timeout"), saved(3, 0, "a"), late), 0, 1, nil},
		{"a failure takes the excuse of the call before it", join(called(0), ended(0, "unsure: timeout"), called(0), applied(2, 0), ended(0, "failed: http_503"), late), 0, 0, []Name{TakenBack}},
		{"too late for any call", join(called(0), event(2, Killed), saved(9, 1, "b"), applied(60, 0), saved(70, 1, "b")), 0, 0, []Name{TakenBack}},

		{"no call at all", join(applied(1, 1), applied(2, 0), applied(3, 1)), 0, 0, []Name{Uncarried, TakenBack, Uncarried}},
		{"more often than called for", join(saved(1, 0, "a"), applied(2, 0)), 0, 0, []Name{Uncarried}},
		{"by a call that was not sent", join(called(0), applied(1, 0), ended(0, "unsent: lease")), 0, 0, []Name{Uncarried}},
		{"after a call that was not sent", join(called(0), ended(0, "unsent: lease"), applied(3, 0)), 0, 0, []Name{Uncarried}},
		{"after a failure that was answered", join(called(0), ended(0, "failed: http_500"), late), 0, 0, []Name{TakenBack}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := regressionOf(t, tt.events, tt.want...)
			if r.Killed != tt.killed || r.Lost != tt.lost {
				t.Errorf("%d by a killed worker and %d by lost replies, want %d and %d", r.Killed, r.Lost, tt.killed, tt.lost)
			}
		})
	}
}

// regressionOf is what was watched of events, in which it must find what is wanted.
func regressionOf(t *testing.T, events []trace.Event, want ...Name) *Regression {
	t.Helper()
	var found []Finding
	r := NewRegression(40*time.Second, func(f Finding) { found = append(found, f) })
	for _, e := range events {
		r.Note(e)
	}
	r.End()
	check(t, found, want...)
	return r
}

// A worker frozen between its last look at the lease and the first byte sends that call
// when it thaws, however late that is.
func TestRegressionByThawedWorker(t *testing.T) {
	frozen := join(event(1, trace.Call, on(0)), event(2, Frozen), saved(9, 1, "b"))
	for _, tt := range []struct {
		name   string
		events []trace.Event
		thawed int
		want   []Name
	}{
		{"when it thawed", join(frozen, event(60, Thawed), applied(61, 0), event(61, trace.Called, on(0), said(trace.OK))), 1, nil},
		{"when another thawed", join(frozen, event(60, Thawed, by("c")), applied(61, 0)), 0, []Name{TakenBack, LeftBack}},
		{"long after", join(frozen, event(60, Thawed), applied(101, 0)), 0, []Name{TakenBack, LeftBack}},
		{"by a call that had ended", join(event(1, trace.Call, on(0)), event(1, trace.Called, on(0), said("unsure: timeout")), event(2, Frozen), saved(9, 1, "b"), event(60, Thawed), applied(61, 0)), 0, []Name{TakenBack, LeftBack}},
		{"by a call begun after it", join(event(2, Frozen), saved(9, 1, "b"), event(60, Thawed), event(60, trace.Call, on(0)), applied(61, 0), event(61, trace.Called, on(0), said(trace.OK))), 0, []Name{TakenBack, LeftBack}},
		{"and was taken back again by another", join(frozen, event(60, Thawed), applied(61, 0), saved(62, 1, "b"), saved(63, 0, "b")), 1, []Name{TakenBack, LeftBack}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := regressionOf(t, tt.events, tt.want...)
			if r.Thawed != tt.thawed || r.Lost != 0 || r.Killed != 0 {
				t.Errorf("%d by thawed workers, %d and %d by others, want %d", r.Thawed, r.Lost, r.Killed, tt.thawed)
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
		{"within a second, and written later", join(failed(1, 2, "1", "failed: x"), failed(2.1, 3.01, "2", "failed: x"), event(4, trace.Call, of("3")), event(5, trace.Call, of("4"))), nil},
		{"a success between", join(failed(1, 2, "1", "failed: x"), failed(2, 2.1, "3", trace.OK), failed(2.5, 3.5, "2", "failed: x"), event(4, trace.Call, of("3")), event(5, trace.Call, of("4"))), nil},
		{"a success begun before", join(event(1, trace.Call, of("3")), failed(1, 2, "1", "failed: x"), event(2, trace.Called, of("3"), said(trace.OK)),
			failed(1.5, 2.1, "2", "failed: x"), failed(2.5, 3.5, "1", "failed: x"), event(4, trace.Call, of("3")), event(5, trace.Call, of("4"))), nil},
		{"a success begun before, at the same time", join(event(1, trace.Call, of("1")), event(2, trace.Call, of("3")), event(2, trace.Called, of("1"), said("failed: x")),
			event(3, trace.Called, of("3"), said(trace.OK)), failed(3, 4, "4", "failed: x"), event(4.5, trace.Call, of("3")), event(5, trace.Call, of("5"))), []Name{CalledHeld}},
		{"a success since", join(down, failed(4, 5, "3", trace.OK), event(6, trace.Call, of("3")), event(6, trace.Call, of("4"))), nil},
		{"throttled", join(failed(1, 2, "1", "throttled: http_429"), failed(2.5, 3.5, "2", "throttled: http_429"), event(4, trace.Call, of("3")), event(5, trace.Call, of("4"))), nil},
		{"unsent", join(failed(1, 2, "1", "unsent: lease"), failed(2.5, 3.5, "2", "unsent: lease"), event(4, trace.Call, of("3")), event(5, trace.Call, of("4"))), nil},
		{"another worker", join(down, event(4, trace.Call, of("3")), event(5, trace.Call, of("4"), by("b"))), nil},
		{"a letter while all is well", join(event(4, trace.Letter, of("poison"))), nil},
		{"judged while held", join(down, event(30, trace.Letter, of("poison"))), []Name{JudgedHeld}},
		{"judged before", join(down, event(5, trace.Letter, of("poison"))), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var found []Finding
			b := NewBlame(func(f Finding) { found = append(found, f) })
			for _, e := range tt.events {
				b.Note(e)
			}
			check(t, found, tt.want...)
		})
	}
}

func TestLetters(t *testing.T) {
	poison := func(offset int64) trace.Event { return event(0, Wrote, on(offset), said("poison")) }
	letter := func(offset int64, more ...func(*trace.Event)) trace.Event {
		return event(9, trace.Letter, append(more, on(offset))...)
	}
	tests := []struct {
		name   string
		events []trace.Event
		want   []Name
	}{
		{"for poison", join(poison(0), letter(0)), nil},
		{"twice for the same", join(poison(0), letter(0), letter(0)), nil},
		{"none for poison", join(poison(0)), []Name{Spared}},
		{"none for older poison", join(poison(0), wrote(1, "7")), nil},
		{"for older poison too", join(poison(0), letter(0), wrote(1, "7")), nil},
		{"only for older poison", join(poison(0), letter(0), poison(1)), []Name{Spared}},
		{"only another user's", join(poison(0), event(0, Wrote, on(1), of("8"), said("poison")), letter(1, of("8"))), []Name{Spared}},
		{"another user writes", join(poison(0), wrote(1, "8"), letter(0)), nil},
		{"for another's", join(wrote(0, "7"), letter(0)), []Name{NotAtFault}},
		{"for the change before", join(wrote(0, "7"), poison(1), letter(0), letter(1)), []Name{NotAtFault}},
		{"for a record that could not be read", join(letter(0, of(""))), nil},
		{"of the other destination", join(poison(0), letter(0, to("haptik"))), []Name{NotAtFault, Spared}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var found []Finding
			l := NewLetters(func(f Finding) { found = append(found, f) }, func(e trace.Event) []string {
				if e.Outcome == "poison" {
					return []string{"taptalk"}
				}
				return nil
			})
			for _, e := range tt.events {
				l.Note(e)
			}
			check(t, append(found, l.Due()...), tt.want...)
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
		{"held for a while", []Work{{Waiting: 9}, {Waiting: 9}, {Waiting: 9, Held: true}, {Waiting: 9}}, []Name{Stalled}},
		{"held for most of the time", []Work{{Waiting: 9}, {Waiting: 9, Held: true}, {Waiting: 9, Held: true}, {Waiting: 9}}, nil},
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
		{"held for a while", []Progress{{Settled: 5}, {Settled: 5}, {Settled: 5, Held: true}, {Settled: 5}}, []Name{Stagnant}},
		{"held for most of the time", []Progress{{Settled: 5}, {Settled: 5, Held: true}, {Settled: 5, Held: true}, {Settled: 5}}, nil},
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
