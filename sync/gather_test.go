package sync

import (
	"testing"
	"time"
)

// atUsers is the partition of a world's changes.
var atUsers = Position{Topic: "users"}

// gather has the changes of the partition wait that come in from now on, or lets them go.
func (w *world) gather(wait bool) {
	if wait {
		w.lane.Gather(atUsers)
	} else {
		w.lane.Gathered(atUsers)
	}
}

// emptied checks that nothing is left to call for, and all may be committed.
func (w *world) emptied(t *testing.T) {
	t.Helper()
	w.quiet(t)
	if w.frontier() != len(w.log) || w.lane.Bytes() != 0 || w.lane.active != 0 {
		t.Errorf("frontier at %d of %d, %d bytes and %d users left", w.frontier(), len(w.log), w.lane.Bytes(), w.lane.active)
	}
}

// TestGather: what comes in of a partition while more of it is read waits, and is one
// call for each user. What waited before keeps its turn, also with a newer change, and
// changes of other partitions are called for at once.
func TestGather(t *testing.T) {
	w := newWorld()
	w.submitOne("first", "v1")
	w.lane.Gather(atUsers)
	w.submitOne("a", "v1")
	w.submitOne("b", "v1")
	w.submitOne("a", "v2")
	w.submitOne("first", "v2")
	elsewhere := Change{User: "else", Op: Upsert, Columns: ColumnsOf(map[string]any{"v": "v1"}), Position: Position{Topic: "users", Partition: 1}}
	w.lane.Submit(w.now, elsewhere, Place{elsewhere.Position, testHold{w, -1, 0}}, Sent{})
	w.end(w.call(t, "first", "v2"), nil)
	w.end(w.call(t, "else", "v1"), nil)
	w.quiet(t)
	if wake := w.lane.Wake(w.now); !wake.IsZero() {
		t.Errorf("the lane wakes at %v for changes that wait for more to be read", wake)
	}
	if n := w.lane.gathers(); n != 2 {
		t.Errorf("%d users wait for more to be read, want 2", n)
	}
	w.lane.Gather(atUsers) // a second time
	w.lane.Gathered(Position{Topic: "users", Partition: 1})
	w.quiet(t)
	w.lane.Gathered(atUsers)
	w.end(w.call(t, "a", "v2"), nil)
	w.end(w.call(t, "b", "v1"), nil)
	w.quiet(t)
	w.submitOne("c", "v1")
	w.end(w.call(t, "c", "v1"), nil)
	w.emptied(t)
}

// TestGatherBehindACall: a change that comes in behind a call of its user waits for more
// to be read as well.
func TestGatherBehindACall(t *testing.T) {
	w := newWorld()
	w.submitOne("u", "v1")
	c := w.call(t, "u", "v1")
	w.lane.Gather(atUsers)
	w.submitOne("u", "v2")
	w.end(c, nil)
	w.quiet(t)
	w.submitOne("u", "v3")
	w.lane.Gathered(atUsers)
	w.end(w.call(t, "u", "v3"), nil)
	w.quiet(t)
	w.emptied(t)
}

// TestGatherHoldsNoRetries: whoever failed is called again when its time has come.
func TestGatherHoldsNoRetries(t *testing.T) {
	w := newWorld()
	w.submitOne("u", "v1")
	c := w.call(t, "u", "v1")
	w.lane.Gather(atUsers)
	w.end(c, down)
	w.pass(time.Minute)
	w.end(w.call(t, "u", "v1"), nil)
	w.emptied(t)
}

// TestDropForgetsWhatGathers: the next owner of the partition decides anew.
func TestDropForgetsWhatGathers(t *testing.T) {
	w := newWorld()
	w.lane.Gather(atUsers)
	w.submitOne("u", "v1")
	w.lane.Drop()
	w.owner++
	w.floor, w.read = map[int]int{}, 0
	w.submit(time.Time{}, 0)
	w.end(w.call(t, "u", "v1"), nil)
	w.emptied(t)
}
