package sync

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// submitOne gives the lane one change without running it, and returns its place.
func (w *world) submitOne(user string, v any) {
	w.write(user, v)
	w.submit(time.Time{}, 0)
}

// call takes the next call, which must be one of user with value; end brings it back.
func (w *world) call(t *testing.T, user, value string) *Call {
	t.Helper()
	c := w.lane.Next(w.now)
	switch {
	case c == nil:
		t.Fatalf("no call, want %s=%s", user, value)
	case c.Payload.User != user || string(c.Payload.Body) != value:
		t.Fatalf("call of %s=%s, want %s=%s", c.Payload.User, c.Payload.Body, user, value)
	}
	return c
}

func (w *world) end(c *Call, err error) { w.lane.Done(w.now, c, err) }

// quiet checks that there is nothing to call.
func (w *world) quiet(t *testing.T) {
	t.Helper()
	if c := w.lane.Next(w.now); c != nil {
		t.Fatalf("call of %s=%s, want none", c.Payload.User, c.Payload.Body)
	}
}

// givenUp submits changes that have no payload, and then one that has.
func (w *world) givenUp(t *testing.T, users ...string) {
	t.Helper()
	for _, u := range users {
		w.submitOne(u, "bad")
	}
	w.quiet(t)
	w.reads(0)
}

// wrote brings a letter back.
func (w *world) wrote(l *Letter, ok bool) {
	if ok {
		w.letters = append(w.letters, l)
	}
	w.lane.Written(w.now, l, ok)
}

func (w *world) pass(d time.Duration) { w.now = w.now.Add(d) }

// TestLetterWaitsForOthers: what is given up is written only after a while, and
// the offset passes only once it is written (G2).
func TestLetterWaitsForOthers(t *testing.T) {
	w := newWorld()
	w.givenUp(t, "a")
	if l := w.lane.Letter(w.now); l != nil {
		t.Fatal("written at once")
	}
	if wake := w.lane.Wake(w.now); !wake.Equal(w.now.Add(10 * time.Second)) {
		t.Errorf("the lane wakes at %v", wake)
	}
	w.pass(10*time.Second - 1)
	if l := w.lane.Letter(w.now); l != nil {
		t.Fatal("written too early")
	}
	w.pass(1)
	l := w.lane.Letter(w.now)
	if l == nil || l.Reason != reasonInvalid || l.Code != "missing" || l.Field != "v" || l.Change.User != "a" {
		t.Fatalf("letter %+v", l)
	}
	if again := w.lane.Letter(w.now); again != nil {
		t.Error("two at a time")
	}
	if w.frontier() != 0 {
		t.Error("the offset passed before the letter was written")
	}
	w.wrote(l, true)
	w.settled(t)
}

// TestLettersDoNotHoldUpOthers: a letter that cannot be written (its record's
// partition has no leader, say) keeps its place; the others are written (G4, G5).
func TestLettersDoNotHoldUpOthers(t *testing.T) {
	w := newWorld()
	w.givenUp(t, "a", "b")
	w.pass(10 * time.Second)
	first := w.lane.Letter(w.now)
	w.wrote(first, false)
	if w.frontier() != 0 {
		t.Fatal("the offset passed although its letter was not written")
	}
	if l := w.lane.Letter(w.now); l != nil {
		t.Error("tried again at once: it may be the topic that cannot be written to")
	}
	if wake := w.lane.Wake(w.now); !wake.Equal(w.now.Add(patience)) {
		t.Errorf("the lane wakes at %v", wake)
	}
	w.pass(patience)
	second := w.lane.Letter(w.now)
	if second == nil || second.Change.User != "b" {
		t.Fatalf("letter %+v, want that of b", second)
	}
	w.wrote(second, true)
	again := w.lane.Letter(w.now)
	if again != first {
		t.Fatalf("letter %+v, want the first once more", again)
	}
	w.wrote(again, true)
	w.settled(t)
}

// TestBudget: more than the budget are no coincidence, so none is written; it is
// less again as users are mended (G4).
func TestBudget(t *testing.T) {
	w := newWorld()
	w.lane.release.Budget = 2
	w.givenUp(t, "a", "b", "c")
	w.pass(time.Hour)
	w.quiet(t)
	if l := w.lane.Letter(w.now); l != nil {
		t.Fatal("written although there are more than the budget")
	}
	if state, _ := w.lane.State(w.now); state != "latched" {
		t.Errorf("the lane is %s", state)
	}
	w.submitOne("c", nil)
	w.quiet(t)
	for _, user := range []string{"a", "b"} {
		l := w.lane.Letter(w.now)
		if l == nil || l.Change.User != user {
			t.Fatalf("letter %+v, want that of %s", l, user)
		}
		w.wrote(l, true)
	}
	w.settled(t)
}

// TestNoBudgetIsNoLimit: an operator accepts them all.
func TestNoBudgetIsNoLimit(t *testing.T) {
	w := newWorld()
	w.lane.release.Budget = 0
	for i := range 200 {
		w.givenUp(t, fmt.Sprint("u", i))
	}
	w.run(time.Minute)
	if len(w.letters) != 200 {
		t.Errorf("%d letters", len(w.letters))
	}
}

// TestBudgetRemembersAnHour: letters whose cause can be an outage of a part of
// the destination come one by one, so those of the last hour count too. A record
// that the destination judged, or that has no payload, is not of that kind.
func TestBudgetRemembersAnHour(t *testing.T) {
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	next := func(r *release, now time.Time) *Letter {
		r.check(now)
		return r.next(now)
	}
	write := func(r *release, now time.Time, reason string) bool {
		r.add(now, &Letter{Reason: reason, count: 1})
		l := next(r, now.Add(r.Settle))
		if l == nil {
			return false
		}
		r.written = append(r.written, now.Add(r.Settle))
		if !l.disguised() {
			r.written = r.written[:len(r.written)-1]
		}
		r.remove(l)
		return true
	}
	for reason, counts := range map[string]bool{
		reasonExhausted: true, reasonRefused: true, reasonRejected: false, reasonInvalid: false, reasonUndecodable: false,
	} {
		t.Run(reason, func(t *testing.T) {
			r := &release{Release: Release{Budget: 2, Settle: time.Second}}
			now := start
			for range 2 {
				if !write(r, now, reason) {
					t.Fatal("not written within the budget")
				}
				now = now.Add(10 * time.Minute)
			}
			if write(r, now, reason) == counts {
				t.Errorf("the third within an hour: written %v", !counts)
			}
			if !counts {
				return
			}
			if !write(&release{Release: r.Release, written: slices.Clone(r.written)}, now, reasonRejected) {
				t.Error("a record that the destination judged is held for their sake")
			}
			if l := next(r, start.Add(time.Hour)); l != nil {
				t.Error("written before an hour has passed since the first")
			}
			if l := next(r, start.Add(time.Hour+time.Second)); l == nil {
				t.Error("not written an hour after the first")
			}
		})
	}
}

// TestWrittenLettersCount is the same through the lane: refused users.
func TestWrittenLettersCount(t *testing.T) {
	w := newWorld()
	w.lane.release.Budget = 1
	bad := map[string]bool{"a": true, "b": true}
	w.answer = func(c *Call) reply {
		if bad[c.user.id] {
			return fails(refused)
		}
		return okay()
	}
	give := func(user string) {
		w.write(user, "v")
		for i := range 300 {
			w.write("good", fmt.Sprint(i))
			w.run(100 * time.Millisecond)
		}
	}
	give("a")
	if len(w.letters) != 1 || w.letters[0].Reason != reasonRefused {
		t.Fatalf("%d letters, want that of a", len(w.letters))
	}
	give("b")
	if len(w.letters) != 1 {
		t.Fatalf("%d letters: the budget has forgotten the first", len(w.letters))
	}
	w.run(2 * time.Hour)
	if len(w.letters) != 2 {
		t.Errorf("%d letters long after an hour", len(w.letters))
	}
}

// TestLatchedAreTriedInTurn: while the latch is closed each gets another chance,
// one by one, and when one is accepted the others get theirs at once.
func TestLatchedAreTriedInTurn(t *testing.T) {
	for _, test := range []struct {
		err   *CallError
		after time.Duration // it takes to be given up
		late  int           // whose chance was taken just before the destination was mended
	}{
		{rejected, 20 * time.Second, 0},
		{down, 20 * time.Minute, 1},
	} {
		t.Run(test.err.Code, func(t *testing.T) {
			w := newWorld()
			w.lane.release.Budget = 2
			mended := false
			var tried []string
			w.answer = func(c *Call) reply {
				if c.user.id == "good" || mended {
					return okay()
				}
				tried = append(tried, c.user.id)
				return fails(test.err)
			}
			traffic := func(d time.Duration) {
				for until := w.now.Add(d); w.now.Before(until); {
					w.write("good", fmt.Sprint(len(w.log)))
					w.run(100 * time.Millisecond)
				}
			}
			for _, u := range []string{"a", "b", "c"} {
				w.write(u, "v")
			}
			traffic(test.after)
			if !w.lane.release.latched {
				t.Fatal("the latch is open")
			}
			tried = nil
			traffic(3 * laneConfig.Retry.Max)
			slices.Sort(tried)
			if !slices.Equal(slices.Compact(tried), []string{"a", "b", "c"}) || !w.lane.release.latched {
				t.Errorf("tried %v in three intervals, want each; latched %v", tried, w.lane.release.latched)
			}
			mended = true
			traffic(laneConfig.Retry.Max + time.Second)
			if w.lane.release.latched {
				t.Error("latched after the destination was mended")
			}
			w.run(time.Minute)
			if len(w.letters) > test.late {
				t.Errorf("%d letters after the destination was mended", len(w.letters))
			}
			w.history = nil
			w.settled(t)
		})
	}
}

// TestLatchedMemory: what is tried again and again must not pile up (G6).
func TestLatchedMemory(t *testing.T) {
	w := newWorld()
	w.lane.release.Budget = 1
	w.givenUp(t, "a", "b")
	w.lane.Letter(w.now)
	for range 5000 {
		w.givenUp(t, "b") // once more: the newer change got another chance
	}
	if n := len(w.lane.release.letters); n > 100 {
		t.Errorf("%d letters are kept for two users", n)
	}
}

// TestNewestWins: whatever state a user's change is in, a newer one is never
// followed by one that is older (G3).
func TestNewestWins(t *testing.T) {
	t.Run("a delete after a change that waited behind a letter", func(t *testing.T) {
		w := newWorld()
		w.givenUp(t, "a")
		w.submitOne("a", "v2")
		w.submitOne("a", nil)
		w.quiet(t)
		w.run(time.Minute)
		if len(w.history) > 0 || len(w.letters) > 0 {
			t.Errorf("a deleted user was sent: %v, %d letters", w.history, len(w.letters))
		}
		w.settled(t)
	})
	t.Run("a change after the latch closed", func(t *testing.T) {
		w := newWorld()
		w.lane.release.Budget = 1
		w.givenUp(t, "a")
		w.submitOne("a", "v2")
		w.givenUp(t, "b")
		w.lane.Letter(w.now) // looks at the budget
		w.submitOne("a", "v3")
		w.run(time.Minute)
		if fmt.Sprint(w.history) != "[a=v3]" {
			t.Errorf("a was sent %v, want v3 only", w.history)
		}
	})
	t.Run("a change before the latch closed", func(t *testing.T) {
		w := newWorld()
		w.lane.release.Budget = 1
		w.givenUp(t, "a", "c")
		w.submitOne("a", "v2")
		w.run(time.Minute)
		if fmt.Sprint(w.history) != "[a=v2]" {
			t.Errorf("a was sent %v: the row was mended, and nobody tried", w.history)
		}
	})
	t.Run("a delete of a user that must be judged first", func(t *testing.T) {
		w := newWorld()
		w.submitOne("a", "v1")
		w.call(t, "a", "v1")
		u := w.lane.users["a"]
		w.lane.Done(w.now, &Call{user: u, pending: u.cur, start: 1}, rejected)
		u.fault.charged = strikes
		w.submitOne("a", "v2")
		w.submitOne("a", nil)
		w.run(time.Minute)
		if len(w.history) > 0 {
			t.Errorf("a deleted user was sent: %v", w.history)
		}
		w.settled(t)
	})
	t.Run("what a new generation reads again of a user that must be judged first", func(t *testing.T) {
		w := newWorld()
		w.submitOne("a", "v1")
		w.end(w.call(t, "a", "v1"), rejected)
		w.lane.users["a"].fault.charged = strikes
		w.submitOne("a", "v2")
		w.lane.Drop()
		w.owner++
		w.floor, w.read = map[int]int{}, 0
		w.submit(time.Time{}, 0) // both
		w.call(t, "a", "v2")
	})
}
