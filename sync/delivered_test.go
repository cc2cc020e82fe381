package sync

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// deliver writes v for u and lets a minute pass.
func (w *world) deliver(v any) {
	w.write("u", v)
	w.run(time.Minute)
}

// known is what is remembered of u.
func (w *world) known() Version { return w.state.Known("u", Position{Topic: "users"}) }

// says fails the test unless that is all that was ever sent to u, in that order.
func (w *world) says(t *testing.T, want ...string) {
	t.Helper()
	for i := range want {
		want[i] = "u=" + want[i]
	}
	if !slices.Equal(w.history, want) {
		t.Errorf("sent %v, want %v", w.history, want)
	}
	w.settled(t)
}

// TestUnchanged: what the destination has already costs no call, after a restart or
// on a held lane either (R2).
func TestUnchanged(t *testing.T) {
	w := newWorld()
	s := w.remember()
	w.deliver("v1")
	w.deliver("v1")
	w.drain(true, nil)
	s.kill(0)
	w.deliver("v1")
	w.lane.blame.held, w.lane.blame.probeAt = true, w.now.Add(time.Hour)
	w.deliver("v1")
	w.says(t, "v1")
	w.lane.blame.held = false
	if got := testutil.ToFloat64(w.lane.m.Lane.Deliveries.Unchanged); got != 2 {
		t.Errorf("this lane counted %v changes that needed no call, want 2", got)
	}
	if len(s.log) != 1 || w.known().Offset != 3 {
		t.Errorf("%d writes and %+v; want one, and offset 3 in memory", len(s.log), w.known())
	}
	w.deliver("v2")
	w.says(t, "v1", "v2")
}

// TestUnchangedInTheEnd: v2 only waited (R2).
func TestUnchangedInTheEnd(t *testing.T) {
	w := newWorld()
	w.remember()
	w.deliver("v1")
	w.lane.cfg.Concurrency = 0
	w.deliver("v2")
	w.lane.cfg.Concurrency = 1
	w.deliver("v1")
	w.says(t, "v1")
}

// TestUnchangedProvesTheMapping: what needs no call shows too that rows have payloads,
// so that the row before it which has none is at fault itself (G4).
func TestUnchangedProvesTheMapping(t *testing.T) {
	w := newWorld()
	w.remember()
	w.deliver("v1")
	w.write("other", "bad")
	w.run(time.Minute)
	w.deliver("v1")
	w.says(t, "v1")
	if len(w.letters) != 1 {
		t.Errorf("%d letters, want that of the row without a payload", len(w.letters))
	}
}

// TestUnchangedIsCompared: after a takeover nobody may have to be called but who is at
// fault. A user that needs no call is there to compare with all the same (G4).
func TestUnchangedIsCompared(t *testing.T) {
	w := newWorld()
	s := w.remember()
	w.deliver("v1")
	w.drain(true, nil)
	s.kill(0)
	if w.lane.control = nil; w.known().Status != Held {
		t.Fatal("nothing is known of the user")
	}
	w.deliver("v1")
	w.says(t, "v1")
	if len(w.lane.control) != 1 || w.lane.control[0].change.User != "u" || w.lane.control[0].body == nil {
		t.Errorf("%d payloads to compare with, want that of the user that was passed over", len(w.lane.control))
	}
}

// TestUnchangedInDoubt: a control call of the last owner may still take u to something
// else, so what it is known to hold is sent all the same (R2).
func TestUnchangedInDoubt(t *testing.T) {
	w := newWorld()
	w.remember()
	w.deliver("v1")
	w.lane.Suspect("u", w.now.Add(30*time.Second))
	w.write("u", "v1")
	w.run(20 * time.Millisecond)
	if w.frontier() != 1 {
		t.Error("its place was given up, and with it the doubt")
	}
	w.run(time.Minute)
	w.says(t, "v1", "v1", "v1") // and confirmed
}

// TestStale: an old change that is read again is dropped, whoever may have sent it:
// a version that is Held outlived all doubts (R1).
func TestStale(t *testing.T) {
	w := newWorld()
	s := w.remember()
	w.deliver("v1")
	w.deliver("v2")
	s.flush()
	w.committed.offset = 0
	w.inherit(w.now.Add(time.Minute))
	if len(w.floor) != 1 || w.floor[1] != 1 {
		t.Errorf("holds %v, want the newest only, which is in doubt", w.floor)
	}
	w.run(time.Hour)
	w.says(t, "v1", "v2")
	if got := testutil.ToFloat64(w.lane.m.Lane.Deliveries.Stale); got != 1 {
		t.Errorf("counted %v stale changes, want 1", got)
	}
}

// TestRepeatedLetter: a replay is sent, unless something newer was delivered or given
// up. That need not have been in a record that was sent (R1, R6).
func TestRepeatedLetter(t *testing.T) {
	for name, test := range map[string]struct {
		before func(w *world)
		want   []string
	}{
		"nothing newer":   {func(*world) {}, []string{"v1", "v2"}},
		"a newer one":     {func(w *world) { w.deliver("v3") }, []string{"v1", "v3"}},
		"another letter":  {func(w *world) { w.lane.givenUp("u", Position{Topic: "users", Offset: 7}) }, []string{"v1"}},
		"an older letter": {func(w *world) { w.lane.givenUp("u", Position{Topic: "users", Offset: 0}) }, []string{"v1", "v2"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			s := w.remember()
			w.deliver("v1")
			w.giveUp("v2")
			w.lane.cfg.Release.Settle = 0
			test.before(w)
			w.drain(true, nil)
			s.kill(0)
			w.repeat(1, false)
			w.run(time.Minute)
			w.says(t, test.want...)
		})
	}
}

// giveUp writes v for u and has it rejected until it is a dead letter.
func (w *world) giveUp(v any) {
	answer, n := w.answer, len(w.letters)
	w.answer = func(c *Call) reply {
		if c.user.id == "u" {
			return fails(rejected)
		}
		return okay()
	}
	w.write("u", v)
	for len(w.letters) == n {
		w.write("other", w.now.String()) // somebody to compare with
		w.run(time.Second)
	}
	w.answer = answer
	w.history = slices.DeleteFunc(w.history, func(s string) bool { return s[0] == 'o' })
}

// TestLetterIsUnknown: v2 was given up, and v1 is what comes next (R6).
func TestLetterIsUnknown(t *testing.T) {
	w := newWorld()
	w.remember()
	w.deliver("v1")
	w.giveUp("bad")
	if v := w.known(); v.Status != Unknown || v.Offset != 1 {
		t.Errorf("%+v is known after a letter", v)
	}
	w.deliver("v1")
	if got := w.history[len(w.history)-1]; len(w.history) != 2 || got != "u=v1" {
		t.Errorf("sent %v", w.history)
	}
}

// TestDeleted: a create after a delete is sent, an older change is not (R7).
func TestDeleted(t *testing.T) {
	for name, anonymize := range map[string]bool{"skip": false, "anonymize": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			s := w.remember()
			w.anonymize = anonymize
			w.deliver("v1")
			w.deliver(nil)
			w.deliver(nil) // its tombstone
			writes := len(s.log)
			w.drain(true, nil)
			s.kill(0)
			w.deliver(nil)
			w.repeat(0, false)
			w.run(time.Minute)
			if v := w.known(); v.Status != Deleted || len(s.log) != writes || writes != 2 {
				t.Errorf("%+v after %d and %d writes", v, writes, len(s.log)-writes)
			}
			w.deliver("v1")
			if anonymize {
				w.says(t, "v1", anonymous, "v1")
			} else {
				w.says(t, "v1", "v1")
			}
		})
	}
}

// TestForced: an operator has u sent again, also while a call is in flight that brings
// the same, since that may have begun before whatever is to be mended (R8).
func TestForced(t *testing.T) {
	w := newWorld()
	w.remember()
	w.deliver("v1")
	w.repeat(0, true)
	w.run(time.Minute)
	w.says(t, "v1", "v1")
	w.write("u", "v2")
	w.turn()
	w.repeat(1, true)
	w.turn()
	w.write("u", "v2")
	w.run(time.Minute)
	w.says(t, "v1", "v1", "v2", "v2")
	w.repeat(1, true) // newer: nothing to mend
	w.run(time.Minute)
	w.says(t, "v1", "v1", "v2", "v2")
}

// TestRepeatKeepsItsPlace: a newer change stands for the one that an operator wants
// sent, and each has its own record's place until then (G2).
func TestRepeatKeepsItsPlace(t *testing.T) {
	w := newWorld()
	w.remember()
	w.deliver("v1")
	w.lane.cfg.Concurrency = 0
	w.repeat(0, true)
	w.run(time.Second)
	w.write("u", "v2")
	w.run(time.Second)
	if w.frontier() != 1 || w.repeats.frontier() != 0 {
		t.Errorf("%d and %d may be committed, want 1 and 0", w.frontier(), w.repeats.frontier())
	}
	w.lane.cfg.Concurrency = 1
	w.run(time.Minute)
	w.says(t, "v1", "v2")
}

// resyncing is a world in which so many users wait to be sent again, and no call begins.
func resyncing(users int) *world {
	w := newWorld()
	w.remember()
	for i := range users {
		w.write(strconv.Itoa(i), "v1")
	}
	w.run(time.Minute)
	w.lane.cfg.Concurrency = 0
	for i := range users {
		w.repeat(i, true)
	}
	w.run(time.Second)
	return w
}

// TestRepeatsLetOthersPass: a new change does not wait until all users are sent again
// (G5), not even that of a user who waits for it.
func TestRepeatsLetOthersPass(t *testing.T) {
	const users = 20
	w := resyncing(users)
	w.write("new", "v1")
	w.write(strconv.Itoa(users-1), "v2")
	w.run(time.Second)
	w.lane.cfg.Concurrency = 1
	w.run(time.Minute)
	sent := w.history[users:]
	for _, want := range []string{"new=v1", "19=v2"} {
		if i := slices.Index(sent, want); i < 0 || i > 3 {
			t.Errorf("%s is sent as number %d, want among the first four of %v", want, i, sent)
		}
	}
	if len(sent) != users+1 {
		t.Errorf("%d calls, want one for each user and the new one: %v", len(sent), sent)
	}
}

// TestRepeatsLetFailuresPass: nor does a change wait for them that has failed once (G5).
func TestRepeatsLetFailuresPass(t *testing.T) {
	const users = 20
	w := resyncing(users)
	w.write("new", "v1")
	w.run(time.Second)
	w.lane.cfg.Concurrency = 1
	tried, calls := []int{}, 0
	w.answer = func(c *Call) reply {
		calls++
		if c.Payload.User != "new" {
			return reply{takes: time.Second, applied: true}
		}
		if tried = append(tried, calls); len(tried) == 1 {
			return fails(&CallError{Verdict: Failed, Code: "http_503"})
		}
		return okay()
	}
	w.run(time.Minute)
	if len(tried) != 2 || tried[1] > tried[0]+4 {
		t.Errorf("the new change is called as number %v, want twice, and soon again", tried)
	}
	if calls != users+2 {
		t.Errorf("%d calls, want one for each user, and two for the new one", calls)
	}
}

// TestRepeatThatLandsLate: the last owner may have sent it, and what is newer is sent by
// this one. It is stale, and still in doubt.
func TestRepeatThatLandsLate(t *testing.T) {
	w := newWorld()
	s := w.remember()
	w.deliver("v1")
	w.repeat(0, true)
	w.answer = func(*Call) reply { return reply{takes: time.Hour} }
	w.turn()
	w.write("u", "v2")
	w.turn()
	w.answer = func(*Call) reply { return okay() }
	s.flush()
	w.kill(true, func(*flight) time.Duration { return 30 * time.Second })
	w.run(5 * time.Minute)
	w.says(t, "v1", "v2", "v1", "v2")
}

// TestOneWriteForAStreak: a user that fails for hours is written once (R4).
func TestOneWriteForAStreak(t *testing.T) {
	w := newWorld()
	s := w.remember()
	w.deliver("v1")
	w.answer = func(*Call) reply { return fails(down) }
	w.write("u", "v2")
	w.run(time.Hour)
	if len(s.log) != 2 || w.known().Status != Unknown || s.log[1].Cause != CauseAttempted {
		t.Errorf("%d writes, %+v", len(s.log), w.known())
	}
}

// TestOtherTarget: another account, or one that was emptied, has none of the users.
func TestOtherTarget(t *testing.T) {
	w := newWorld()
	s := w.remember()
	w.deliver("v1")
	s.epoch = "2"
	w.deliver("v1")
	w.says(t, "v1", "v1")
}

// TestMovedUser: nothing is believed of a user whose changes come from two partitions,
// for the order of these is not known.
func TestMovedUser(t *testing.T) {
	w := newWorld()
	s := w.remember()
	w.deliver("v1")
	w.lane.cfg.Concurrency = 0
	w.write("u", "v2")
	w.turn()
	other := Position{Topic: "users", Partition: 7, Offset: 3}
	s.Learn("u", other, Version{Status: Held, Offset: 2, Print: s.Fingerprint([]byte("v1"))})
	w.lane.Submit(w.now, Change{User: "u", Op: Upsert, Columns: ColumnsOf(map[string]any{"v": "v1"}), Position: other}, Place{other, testHold{w, -1, 0}}, Sent{})
	for _, at := range []Position{{Topic: "users"}, other} {
		if v := s.Known("u", at); v.Status != Unknown {
			t.Errorf("%+v of %v", v, at)
		}
	}
}
