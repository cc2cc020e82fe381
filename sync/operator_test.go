package sync

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"usersync/metrics"
)

// TestPause: while an operator wants no calls there are none, whatever comes in and
// whatever time passes; what was in flight ends, and nothing is forgotten.
func TestPause(t *testing.T) {
	w := newWorld()
	w.submitOne("a", "1")
	w.submitOne("b", "1")
	flying := w.call(t, "a", "1")
	w.lane.Pause(true)
	w.quiet(t)
	w.submitOne("c", "1")
	if state, _ := w.lane.State(w.now); state != metrics.StatePaused {
		t.Errorf("the lane is %s", state)
	}
	w.end(flying, &CallError{Verdict: Failed, Code: "http_500"})
	for range 10 {
		w.pass(time.Hour)
		w.quiet(t)
		if wake := w.lane.Wake(w.now); !wake.IsZero() && !wake.After(w.now) {
			t.Fatal("the lane has work to do that it does not do: its loop would spin")
		}
	}
	w.lane.Pause(false)
	if wake := w.lane.Wake(w.now); wake.After(w.now) || wake.IsZero() {
		t.Errorf("after the pause the lane wakes at %v", wake)
	}
	var called []string
	for c := w.lane.Next(w.now); c != nil; c = w.lane.Next(w.now) {
		called = append(called, c.Payload.User)
		w.holds[c.Payload.User] = "1,"
		w.end(c, nil)
	}
	if slices.Sort(called); fmt.Sprint(called) != "[a b c]" {
		t.Errorf("after the pause %v are called", called)
	}
	w.settled(t)
}

// TestPauseOutlivesDrop: a rebalance is no reason to call again.
func TestPauseOutlivesDrop(t *testing.T) {
	w := newWorld()
	w.lane.Pause(true)
	w.submitOne("a", "1")
	w.lane.Drop()
	w.submitOne("a", "2")
	w.quiet(t)
}

// TestPauseKeepsLettersBack: another chance needs a call, so a pause gives none, and
// what an operator accepts meanwhile is still all that was given up.
func TestPauseKeepsLettersBack(t *testing.T) {
	w := newWorld()
	w.lane.release.Budget = 2
	w.exhausted(t, "a", "b", "c", "d")
	w.lane.release.retryAt = w.now
	w.lane.Pause(true)
	for range 10 {
		w.pass(time.Hour)
		w.quiet(t)
		if l := w.lane.Letter(w.now); l != nil {
			t.Fatalf("written although the latch is closed: %+v", l)
		}
	}
	if n := w.lane.Accept(w.now); n != 4 {
		t.Errorf("%d records are accepted, want 4", n)
	}
}

// exhausted makes users fail until they are given up.
func (w *world) exhausted(t *testing.T, users ...string) {
	t.Helper()
	for _, user := range users {
		w.submitOne(user, "1")
		c := w.call(t, user, "1")
		w.end(c, &CallError{Verdict: Failed, Code: "http_500"})
		w.lane.blame.held = false // that is not what this is about
	}
	for i, user := range users {
		u := w.lane.users[user]
		u.fault.failures = strikes
		w.lane.release.failing++
		if u.state != resting {
			t.Fatalf("user %d is %v", i, u.state)
		}
		w.lane.giveUp(w.now, u, reasonExhausted, "http_500", "")
	}
	w.lane.release.check(w.now)
	w.lane.release.retryAt = w.now.Add(100 * time.Hour) // nobody has another chance just now
}

// takes writes all letters that may be written now, and returns their users.
func (w *world) takes() []string {
	var users []string
	for l := w.lane.Letter(w.now); l != nil; l = w.lane.Letter(w.now) {
		users = append(users, l.Change.User)
		w.wrote(l, true)
	}
	slices.Sort(users)
	return users
}

// TestAccept: what was given up before an operator looked is written, although there
// are more than the budget; what comes later is not.
func TestAccept(t *testing.T) {
	for name, giveUp := range map[string]func(w *world, t *testing.T, users ...string){
		"without a payload":                 (*world).givenUp,
		"maybe an outage of a part of them": (*world).exhausted,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.lane.release.Budget = 2
			giveUp(w, t, "a", "b", "c", "d")
			looked := w.now.Add(time.Second)
			w.pass(2 * time.Second)
			if n := w.lane.Accept(looked.Add(-time.Hour)); n != 0 || len(w.takes()) != 0 {
				t.Fatalf("%d records are accepted that nobody had seen", n)
			}
			if n := w.lane.Accept(looked); n != 4 {
				t.Fatalf("%d records are accepted, want 4", n)
			}
			if n := w.lane.Accept(looked); n != 0 {
				t.Errorf("%d records are accepted a second time", n)
			}
			if wake := w.lane.Wake(w.now); wake.After(w.now) {
				t.Errorf("the lane wakes at %v", wake)
			}
			if got := w.takes(); fmt.Sprint(got) != "[a b c d]" {
				t.Fatalf("letters of %v are written", got)
			}
			if state, _ := w.lane.State(w.now); state == metrics.StateLatched {
				t.Error("the latch is closed with nothing behind it")
			}
			giveUp(w, t, "e")
			if state, _ := w.lane.State(w.now); state == metrics.StateLatched {
				t.Error("what was accepted and written counts on against the budget")
			}
			giveUp(w, t, "f", "g")
			w.lane.Accept(looked)
			w.pass(time.Minute)
			if got := w.takes(); len(got) > 0 {
				t.Errorf("letters of %v are written, which were given up after the operator looked", got)
			}
		})
	}
}

// TestAcceptWhileOneIsWritten: a letter on its way stays the only one.
func TestAcceptWhileOneIsWritten(t *testing.T) {
	w := newWorld()
	w.lane.release.Budget = 3
	w.givenUp(t, "a")
	w.pass(time.Second)
	w.givenUp(t, "b")
	w.pass(9 * time.Second)
	w.wrote(w.lane.Letter(w.now), false) // a is put off, behind b
	w.pass(patience)
	writing := w.lane.Letter(w.now)
	if writing.Change.User != "b" {
		t.Fatalf("letter of %s", writing.Change.User)
	}
	w.givenUp(t, "c", "d", "e")
	w.lane.Accept(w.now.Add(time.Second))
	w.lane.release.retryAt = w.now.Add(time.Hour)
	if l := w.lane.Letter(w.now); l != nil {
		t.Errorf("%s is written while b is", l.Change.User)
	}
	if wake := w.lane.Wake(w.now); !wake.IsZero() && !wake.After(w.now) {
		t.Error("the lane has nothing to do, and its loop would spin")
	}
	w.wrote(writing, true)
	if got := w.takes(); fmt.Sprint(got) != "[a c d e]" {
		t.Errorf("letters of %v are written", got)
	}
}
