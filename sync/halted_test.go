package sync

import (
	"slices"
	"testing"
	"time"
)

// forgotten checks that nothing is called or written any more, and nothing counted.
func (w *world) forgotten(t *testing.T) {
	t.Helper()
	for range 200 {
		w.quiet(t)
		if l := w.lane.Letter(w.now); l != nil {
			t.Fatalf("letter %+v", l)
		}
		w.pass(time.Second)
	}
	if slices.ContainsFunc(w.lane.control, func(p *pending) bool { return p.change.Position.Partition == 0 }) {
		t.Error("a control call may repeat a change of the partition")
	}
	if w.lane.active != 0 || w.lane.inflight != 0 || w.lane.Bytes() != 0 || w.lane.open != 0 || w.lane.release.waiting != 0 || len(w.lane.users) != 0 {
		t.Errorf("counts left: active %d, in flight %d, bytes %d, open %d, letters %d, users %d",
			w.lane.active, w.lane.inflight, w.lane.Bytes(), w.lane.open, w.lane.release.waiting, len(w.lane.users))
	}
}

// TestHaltedPartitionIsForgotten: nothing that waited of a partition is called
// any more, not even to confirm, and none of it is counted.
func TestHaltedPartitionIsForgotten(t *testing.T) {
	w := newWorld()
	w.submitOne("u", "v1")
	w.end(w.call(t, "u", "v1"), timeout)
	w.submitOne("u", "v2")
	w.pass(laneConfig.Timeout)
	w.end(w.call(t, "u", "v2"), nil) // and v1 is in doubt
	w.givenUp(t, "given up")
	w.submitOne("waits", "v1")
	w.garbage(0)
	w.reads(0)
	w.garbage(0)
	w.garbage(1)
	w.lane.Forget(Position{Topic: "users"})
	w.forgotten(t)
	if w.lane.bad.records != 1 {
		t.Errorf("%d undecodable records, want the other partition's", w.lane.bad.records)
	}
}

// TestHaltedInFlight: however a call of a halted partition ends, neither its change
// nor what waited behind it is called; a change of the same user from another
// partition is.
func TestHaltedInFlight(t *testing.T) {
	for name, err := range map[string]error{
		"ok": nil, "failed": down, "rejected": rejected, "lost": timeout, "throttled": busy,
		"unsent": &CallError{Verdict: Failed, Code: "lease", Unsent: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.submitOne("u", "v1")
			c := w.call(t, "u", "v1")
			w.submitOne("u", "v2")
			w.lane.Forget(Position{Topic: "users"})
			w.end(c, err)
			w.forgotten(t)

			w.submitOne("moved", "v1")
			c = w.call(t, "moved", "v1")
			w.lane.Forget(Position{Topic: "users"})
			elsewhere := Change{User: "moved", Op: Upsert, Columns: ColumnsOf(map[string]any{"v": "v2"}), Position: Position{Topic: "users", Partition: 1}}
			w.lane.Submit(w.now, elsewhere, Place{elsewhere.Position, testHold{w, -1, 0}}, Sent{})
			w.quiet(t) // one call at a time
			w.end(c, err)
			w.pass(laneConfig.Timeout)
			w.end(w.call(t, "moved", "v2"), nil)
			w.pass(2 * laneConfig.Retry.ConfirmAfter)
			for c := w.lane.Next(w.now); c != nil; c = w.lane.Next(w.now) {
				w.end(c, nil) // which confirms
			}
			w.forgotten(t)
		})
	}
}

// TestHaltedWhileALetterIsWritten: a letter of a halted partition that could not be
// written is not begun again: its record would be read by its position, where another
// user's may be by now (G8).
func TestHaltedWhileALetterIsWritten(t *testing.T) {
	begin := map[string]func(w *world){
		"user":        func(w *world) { w.givenUp(t, "u") },
		"undecodable": func(w *world) { w.garbage(0) },
	}
	for of, begin := range begin {
		for _, ok := range []bool{false, true} {
			t.Run(of, func(t *testing.T) {
				w := newWorld()
				begin(w)
				w.reads(0)
				w.pass(laneConfig.Release.Settle)
				l := w.lane.Letter(w.now)
				if l == nil {
					t.Fatal("no letter")
				}
				w.lane.Forget(Position{Topic: "users"})
				w.wrote(l, ok)
				w.forgotten(t)
				if w.lane.bad.records != 0 {
					t.Errorf("%d undecodable records are left", w.lane.bad.records)
				}
			})
		}
	}
}
