package sync

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"
)

// slow answers the first call of value not at all, and applies it lands later;
// the others at once.
func (w *world) slow(value string, lands time.Duration) {
	w.answer = func(c *Call) reply {
		if string(c.Payload.Body) != value {
			return okay()
		}
		value = ""
		return reply{err: timeout, takes: 10 * time.Second, lands: lands}
	}
}

// TestConfirm is the race in the comment of doubt: what was delivered is sent once
// more when an earlier call can no longer land (G1).
func TestConfirm(t *testing.T) {
	for name, test := range map[string]struct {
		then []any // what is written while v1 is on its way
		want []string
	}{
		"the late call lands on a newer value": {[]any{"v2"}, []string{"u=v2", "u=v1", "u=v2"}},
		"it changed back meanwhile":            {[]any{"v2", "v1"}, []string{"u=v1", "u=v1"}},
		"the user was deleted":                 {[]any{"v2", nil}, []string{"u=v1"}},
		"nothing newer":                        {nil, []string{"u=v1", "u=v1"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.slow("v1", 25*time.Second)
			w.write("u", "v1")
			w.run(time.Second)
			for _, v := range test.then {
				w.write("u", v)
			}
			w.run(5 * time.Minute)
			if !slices.Equal(w.history, test.want) {
				t.Errorf("applied %v, want %v", w.history, test.want)
			}
			w.settled(t)
			if len(w.lane.users) > 0 {
				t.Errorf("%d users are remembered", len(w.lane.users))
			}
		})
	}
}

// TestNoConfirmAfterADelete: nothing is wanted of a deleted user, not even what
// was delivered before.
func TestNoConfirmAfterADelete(t *testing.T) {
	w := newWorld()
	w.slow("v1", 0)
	w.write("u", "v1")
	w.run(time.Second)
	w.write("u", "v2")
	w.run(30 * time.Second)
	w.write("u", nil)
	w.run(5 * time.Minute)
	if want := []string{"u=v2"}; !slices.Equal(w.history, want) {
		t.Errorf("applied %v, want %v", w.history, want)
	}
	w.settled(t)
}

// TestNewerWaitsForALostCall: a newer change starts at the earliest one call's
// length after an attempt whose outcome is unknown, so that a destination that is
// merely slow has done with the first.
func TestNewerWaitsForALostCall(t *testing.T) {
	w := newWorld()
	w.submitOne("u", "v1")
	c := w.call(t, "u", "v1")
	w.submitOne("u", "v2")
	lost := &CallError{Verdict: Failed, Code: "connection", Ambiguous: true}
	w.end(c, lost)
	for w.pass(laneConfig.Timeout - 1); w.lane.Next(w.now) != nil; {
		t.Fatal("v2 is sent before v1 had its time")
	}
	w.pass(1)
	w.call(t, "u", "v2")
}

// TestSameAgainNeedsNotWait: the same payload may be repeated as soon as its
// backoff says.
func TestSameAgainNeedsNotWait(t *testing.T) {
	w := newWorld()
	w.submitOne("u", "v1")
	w.end(w.call(t, "u", "v1"), timeout)
	w.pass(time.Second)
	w.end(w.call(t, "u", "v1"), nil)
}

// TestConfirmWhenTheNewestIsGivenUp: a change that is never delivered does not stand
// for the confirm call, whether it is given up before the doubt is over or after, or
// finds the confirm call waiting for the end of an outage (G3).
func TestConfirmWhenTheNewestIsGivenUp(t *testing.T) {
	for name, test := range map[string]struct {
		newest time.Duration
		outage bool // from 60 s to 120 s
	}{
		"in doubt":                       {30 * time.Second, false},
		"its letter is over the end":     {62 * time.Second, false},
		"the confirm call waits already": {75 * time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			began := w.now
			w.slow("v1", 25*time.Second)
			slow := w.answer
			w.answer = func(c *Call) reply {
				if at := w.now.Sub(began); test.outage && at >= time.Minute && at < 2*time.Minute {
					return fails(down)
				}
				return slow(c)
			}
			w.write("u", "v1")
			w.run(time.Second)
			w.write("u", "v2") // delivered at 20 s
			w.run(test.newest - time.Second)
			w.write("u", "bad")
			w.run(3 * time.Minute)
			w.write("other", "v") // ends the hold of the lane
			w.run(time.Hour)
			if len(w.letters) != 1 || w.holds["u"] != "v2" {
				t.Errorf("u has %q, want v2, which was delivered; %d letters; applied %v", w.holds["u"], len(w.letters), w.history)
			}
			w.settled(t)
		})
	}
}

// TestConfirmIsGivenUpOnce: a confirm call that is rejected, although the same was
// accepted before, is given up like any other.
func TestConfirmIsGivenUpOnce(t *testing.T) {
	w := newWorld()
	w.slow("v1", 25*time.Second)
	w.write("u", "v1")
	w.run(time.Second)
	w.write("u", "v2")
	w.run(59 * time.Second)
	w.answer = func(c *Call) reply {
		if c.user.id == "u" {
			return fails(rejected)
		}
		return okay()
	}
	w.traffic(time.Second, 2*time.Minute)
	w.run(time.Hour)
	if len(w.letters) != 1 {
		t.Errorf("%d letters, want 1", len(w.letters))
	}
	w.settled(t)
}

// TestBusyUserLeavesItsDoubt: a user that always has a newer change waiting is
// confirmed by each delivery, and must not hold the place for ever (G2).
func TestBusyUserLeavesItsDoubt(t *testing.T) {
	w := newWorld()
	w.slow("v1", 25*time.Second)
	slow := w.answer
	w.answer = func(c *Call) reply {
		r := slow(c)
		r.takes = max(r.takes, 120*time.Millisecond)
		return r
	}
	w.write("u", "v1")
	w.run(time.Second)
	for i := range 3000 {
		w.write("u", fmt.Sprint("v2-", i))
		w.run(50 * time.Millisecond)
	}
	if w.frontier() < len(w.log)-100 {
		t.Errorf("the frontier is at %d of %d", w.frontier(), len(w.log))
	}
}

// TestDoubtHoldsThePlace: until a lost call can no longer land, a new owner has to
// read its change again, delivered or not, to have the same doubt (G1).
func TestDoubtHoldsThePlace(t *testing.T) {
	w := newWorld()
	w.slow("v1", 0)
	w.write("u", "v1")
	w.run(time.Second)
	w.write("u", "v2")
	at := Position{Topic: "users"}
	w.run(30*time.Second - 1)
	if w.holds["u"] != "v2" {
		t.Fatalf("u has %q", w.holds["u"])
	}
	if w.frontier() != 0 {
		t.Errorf("the frontier is at %d while v1 may land", w.frontier())
	}
	if got, want := w.lane.Doubts(), map[Position]bool{at: true}; !maps.Equal(got, want) {
		t.Errorf("in doubt: %v, want %v", got, want)
	}
	w.run(laneConfig.Retry.ConfirmAfter)
	if got := w.lane.Doubts(); len(got) > 0 {
		t.Errorf("in doubt after the end: %v", got)
	}
	w.settled(t)
}

// TestDoubtBeforeDelivery: the places of a change that has not been delivered yet
// count as well, of each partition that they are in.
func TestDoubtBeforeDelivery(t *testing.T) {
	w := newWorld()
	w.submitOne("u", "v1")
	w.end(w.call(t, "u", "v1"), timeout)
	other := Position{Topic: "users", Partition: 7}
	w.lane.Submit(w.now, Change{User: "u", Op: Upsert, Columns: ColumnsOf(map[string]any{"v": "v2"}), Position: other}, Place{other, testHold{w, -1, 0}}, Sent{})
	for _, at := range []Position{{Topic: "users"}, other} {
		if !w.lane.Doubts()[at] {
			t.Errorf("partition %d is not in doubt", at.Partition)
		}
	}
}

// TestSeveralDoubts: each ends by itself, and a place is held until the last that
// it stands for has ended.
func TestSeveralDoubts(t *testing.T) {
	w := newWorld()
	lost := map[string]bool{"v1": true, "v2": true}
	w.answer = func(c *Call) reply {
		if v := string(c.Payload.Body); lost[v] {
			delete(lost, v)
			return reply{err: timeout, takes: 10 * time.Second, lands: 55 * time.Second}
		}
		return okay()
	}
	w.write("u", "v1") // lost at 10 s, lands at 55 s
	w.run(time.Second)
	w.write("u", "v2") // sent at 20 s, lost at 30 s, lands at 75 s
	w.run(24 * time.Second)
	w.write("u", "v3") // delivered at 40 s; confirmed at 70 s and at 90 s
	w.run(60 * time.Second)
	if w.frontier() != 0 {
		t.Errorf("the frontier is at %d while v2 may land", w.frontier())
	}
	w.run(10 * time.Minute)
	if want := []string{"u=v3", "u=v1", "u=v3", "u=v2", "u=v3"}; !slices.Equal(w.history, want) {
		t.Errorf("applied %v, want %v", w.history, want)
	}
	w.settled(t)
}

// TestInheritedDoubt: what a former owner may have sent is doubted by whoever
// reads it again; only users with two different payloads cost a confirm call.
func TestInheritedDoubt(t *testing.T) {
	w := newWorld()
	for i, v := range []string{"v1", "v1", "v2"} {
		w.write(fmt.Sprint("u", i%2), v)
	}
	w.write("u2", "v9") // at the end ahead: nobody can have sent it
	var calls []string
	w.answer = func(c *Call) reply {
		calls = append(calls, c.user.id+"="+string(c.Payload.Body))
		return okay()
	}
	until := w.now.Add(30 * time.Second)
	w.submit(until, 3)
	w.late = append(w.late, landing{w.now.Add(20 * time.Second), "u0", "v1"})
	w.run(25 * time.Second)
	if w.frontier() != 0 {
		t.Errorf("the frontier is at %d while a former owner's call may land", w.frontier())
	}
	w.run(time.Minute)
	if want := []string{"u0=v2", "u1=v1", "u2=v9", "u0=v2"}; !slices.Equal(calls, want) {
		t.Errorf("calls %v, want %v", calls, want)
	}
	w.settled(t)
}

// TestLongerDoubtHolds: a change that stands for one that was lost just now, and
// may have been sent by a former owner too, holds the place until both are over.
func TestLongerDoubtHolds(t *testing.T) {
	w := newWorld()
	w.submitOne("u", "v1")
	w.end(w.call(t, "u", "v1"), timeout)
	w.write("u", "v2")
	w.submit(w.now.Add(30*time.Second), len(w.log))
	w.run(59 * time.Second)
	if w.holds["u"] != "v2" || w.frontier() != 0 {
		t.Errorf("u has %q, frontier %d; v1 may land any moment", w.holds["u"], w.frontier())
	}
	w.run(time.Minute)
	w.settled(t)
}

// TestConfirmKeepsThePlace: as long as a confirm call has to wait, the places of the
// doubts stay held, also of those that end meanwhile: a new owner must find what is
// to be confirmed (G2).
func TestConfirmKeepsThePlace(t *testing.T) {
	w := newWorld()
	lost, fail := map[string]bool{"v1": true, "v2": true}, false
	w.answer = func(c *Call) reply {
		if v := string(c.Payload.Body); lost[v] {
			delete(lost, v)
			return reply{err: timeout, takes: 10 * time.Second, lands: 55 * time.Second}
		}
		if fail {
			return fails(down)
		}
		return okay()
	}
	w.write("u", "v1") // in doubt until 70 s
	w.run(time.Second)
	w.write("u", "v2") // in doubt until 90 s, with the place of both
	w.run(24 * time.Second)
	w.write("u", "v3") // delivered at 40 s
	w.run(40 * time.Second)
	fail = true
	w.run(30 * time.Second)
	if w.holds["u"] != "v2" {
		t.Fatalf("u has %q, the test is of no use", w.holds["u"])
	}
	if w.frontier() != 0 {
		t.Errorf("the frontier is at %d, and v3 is not confirmed", w.frontier())
	}
	fail = false
	w.run(10 * time.Minute)
	w.settled(t)
}
