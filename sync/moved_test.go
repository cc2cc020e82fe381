package sync

import (
	"testing"
	"time"
)

// TestSettledElsewhere: a change that was the destination's before the user had changes in
// another partition is not sent when it is read again, nor one before it; unlike a newer
// one, one that nobody knows to be settled, and one that an operator wants sent (G1).
func TestSettledElsewhere(t *testing.T) {
	for name, tc := range map[string]struct {
		settled bool
		offset  int64
		force   bool
		sent    bool
	}{
		"that one":               {true, 9, false, false},
		"an older one":           {true, 7, false, false},
		"a newer one":            {true, 10, false, true},
		"wanted once more":       {true, 9, true, true},
		"an older one is wanted": {true, 7, true, false},
		"not settled":            {false, 9, false, true},
		"older, and not settled": {false, 7, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.remember()
			at := Position{Topic: "users", Offset: tc.offset}
			w.state.Learn("u", at, Version{Status: Unknown, Cause: CauseMoved, Offset: 9, Settled: tc.settled})
			passed := &seenHold{}
			w.lane.Submit(w.now, Change{User: "u", Op: Upsert, Position: at, Columns: ColumnsOf(map[string]any{"v": "v1"}), Force: tc.force}, Place{At: at, Hold: passed}, Sent{})
			w.run(time.Minute)
			if got := len(w.history) == 1; got != tc.sent || !passed.released {
				t.Errorf("sent %v, want it sent: %v; settled: %v", w.history, tc.sent, passed.released)
			}
		})
	}
}

// TestSettledElsewhereInDoubt: an attempt of that change, before the one that succeeded, may
// still be applied. So what is delivered until then is confirmed; and who takes over next
// knows as well that the change is settled (G1).
func TestSettledElsewhereInDoubt(t *testing.T) {
	w := newWorld()
	w.remember()
	at := Position{Topic: "users", Partition: 1, Offset: 9}
	w.state.Learn("u", at, Version{Status: Unknown, Cause: CauseConflict, Offset: 9, Settled: true})
	submit := func(offset int64) *seenHold {
		at.Offset = offset
		place := &seenHold{}
		w.lane.Submit(w.now, Change{User: "u", Op: Upsert, Position: at, Columns: ColumnsOf(map[string]any{"v": "v1"})}, Place{At: at, Hold: place}, Sent{Possibly: true, Until: w.now.Add(30 * time.Second)})
		return place
	}
	if !submit(8).released {
		t.Error("no call of an older one can come to be applied, and yet it is in doubt")
	}
	place := submit(9)
	if place.released || len(w.history) > 0 {
		t.Fatalf("sent %v; released: %v", w.history, place.released)
	}
	if v := w.state.Known("u", at); !v.Settled || v.Offset != 9 {
		t.Errorf("%+v is known, want it settled at 9", v)
	}
	w.deliver("v2")
	w.says(t, "v2", "v2")
	if !place.released {
		t.Error("the place is not released")
	}
}

// TestSettledElsewhereMeanwhile: a call that failed, or one that confirms, is made although its
// change is found to have been overtaken: it is known to come to something then (G1).
func TestSettledElsewhereMeanwhile(t *testing.T) {
	for name, fails := range map[string]error{
		"confirmed": nil,
		"failed":    &CallError{Verdict: Failed, Code: "http_500", Ambiguous: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.remember()
			w.lane.Suspect("u", w.now.Add(30*time.Second))
			at := Position{Topic: "users"}
			place := &seenHold{}
			w.lane.Submit(w.now, Change{User: "u", Op: Upsert, Position: at, Columns: ColumnsOf(map[string]any{"v": "v1"})}, Place{At: at, Hold: place}, Sent{})
			w.lane.Done(w.now, w.lane.Next(w.now), fails)
			w.state.Learn("u", at, Version{Status: Unknown, Cause: CauseMoved, Settled: true})
			w.now = w.now.Add(time.Minute)
			again := w.lane.Next(w.now)
			if again == nil || place.released {
				t.Fatalf("%+v is to be sent, released: %v", again, place.released)
			}
			w.lane.Done(w.now, again, nil)
			if !place.released {
				t.Error("the place is not released")
			}
		})
	}
}

// TestControlOfWhatHasMoved: what was overtaken elsewhere is not sent once more to compare
// with (G1).
func TestControlOfWhatHasMoved(t *testing.T) {
	w := newWorld()
	w.remember()
	w.deliver("v1")
	w.lane.blame.held, w.lane.release.waiting = true, 1
	w.lane.control[0].announced = true
	if w.lane.nextControl(w.now) == nil {
		t.Fatal("nobody is there to compare with, the test is of no use")
	}
	w.state.Learn("u", w.log[0].Position, Version{Status: Unknown, Cause: CauseMoved, Settled: true})
	if p := w.lane.nextControl(w.now); p != nil {
		t.Errorf("%+v is sent once more", p.change)
	}
}

// TestDistrustOfWhatHasMoved: what is tried as of a partition that has not the last word is
// learned there, so that the partition which has it loses it. It is learned once.
func TestDistrustOfWhatHasMoved(t *testing.T) {
	for name, tc := range map[string]struct {
		before Version
		learns int
	}{
		"moved":                {Version{Status: Unknown, Cause: CauseMoved, Offset: 9}, 1},
		"moved, and settled":   {Version{Status: Unknown, Cause: CauseMoved, Offset: 9, Settled: true}, 1},
		"settled in conflict":  {Version{Status: Unknown, Cause: CauseConflict, Offset: 9, Settled: true}, 1},
		"moved, settled there": {Version{Status: Unknown, Cause: CauseMoved, Offset: 12, Settled: true}, 1},
		"settled up to there":  {Version{Status: Unknown, Cause: CauseConflict, Offset: 12, Settled: true}, 0},
		"held":                 {Version{Status: Held, Offset: 9}, 1},
		"attempted before":     {Version{Status: Unknown, Cause: CauseAttempted, Offset: 9}, 0},
		"a conflict in a lane": {Version{Status: Unknown, Cause: CauseConflict, Offset: 9}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			said := &saying{v: tc.before}
			w.lane.cfg.Delivered = said
			at := Position{Topic: "users", Offset: 12}
			w.lane.distrust("u", at, CauseAttempted)
			w.lane.distrust("u", at, CauseAttempted)
			if len(said.learned) != tc.learns {
				t.Errorf("learned %+v, want %d times", said.learned, tc.learns)
			}
			want := Version{Status: Unknown, Cause: CauseAttempted, Offset: 12, Settled: tc.before.Offset == 12}
			if tc.learns > 0 && said.v != want {
				t.Errorf("learned %+v, want %+v", said.v, want)
			}
		})
	}
}

// saying is a Delivered that knows one user.
type saying struct {
	nothingDelivered
	v       Version
	learned []Version
}

func (s *saying) Known(string, Position) Version { return s.v }

func (s *saying) Learn(_ string, _ Position, v Version) {
	s.v = v
	s.learned = append(s.learned, v)
}

type seenHold struct{ released bool }

func (h *seenHold) Release() { h.released = true }
