package sync

import (
	"testing"
	"time"
)

// TestUnavailableIsFilledIn: what a change leaves out is taken from the change
// before it, whatever became of that one, but not from before a delete (G1).
func TestUnavailableIsFilledIn(t *testing.T) {
	for name, test := range map[string]struct {
		run  func(w *world)
		want string // the last payload
	}{
		"it waited": {func(w *world) {
			w.row("u", "v1", "new")
		}, "u=v2,new"},
		"it failed": {func(w *world) {
			w.answer = failsAt("v1,new")
			w.row("u", "v1", "new")
			w.run(100 * time.Millisecond)
		}, "u=v2,new"},
		"it was being sent": {func(w *world) {
			w.row("u", "v1", "new")
			w.turn()
		}, "u=v2,new"},
		"it waits to be given up": {func(w *world) {
			w.row("u", "bad", "new")
			w.run(5 * time.Second)
		}, "u=v2,new"},
		"it was delivered, and may be overwritten": {func(w *world) {
			w.slow("v0,old", 25*time.Second) // lost at 10 s, lands at 25 s
			w.row("u", "v0", "old")
			w.run(time.Second)
			w.row("u", "v1", "new") // delivered at 20 s
			w.run(20 * time.Second)
		}, "u=v2,new"},
		"it was delivered for good": {func(w *world) {
			w.row("u", "v1", "new")
			w.run(time.Minute)
		}, "u=v2"},
		"it was deleted": {func(w *world) {
			w.row("u", "v1", "old")
			w.write("u", nil)
		}, "u=v2"},
		"it failed, and was deleted meanwhile": {func(w *world) {
			w.answer = failsAt("v1,old")
			w.row("u", "v1", "old")
			w.turn()
			w.write("u", nil)
			w.turn() // and its call has not ended when v2 comes
		}, "u=v2"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			test.run(w)
			w.row("u", "v2", Unavailable{})
			w.run(5 * time.Minute)
			if got := w.history[len(w.history)-1]; got != test.want {
				t.Errorf("%q was sent last, want %q; applied %v", got, test.want, w.history)
			}
			if w.holds["u"] != "v2,new" && test.want != "u=v2" {
				t.Errorf("u has %q", w.holds["u"])
			}
			w.settled(t)
		})
	}
}

// failsAt answers all but one payload with success.
func failsAt(body string) func(*Call) reply {
	return func(c *Call) reply {
		if string(c.Payload.Body) == body {
			return fails(down)
		}
		return okay()
	}
}

// TestInheritedDoubtOfAnIncompleteChange: a former owner may have known what a change
// leaves out, so what it sent is not known, and no payload is the same (G1).
func TestInheritedDoubtOfAnIncompleteChange(t *testing.T) {
	for name, test := range map[string]struct {
		strict bool
		rows   [][2]any
		sent   string
	}{
		"filled in by both":                   {true, [][2]any{{"a", "x"}, {"b", Unavailable{}}, {"a", "x"}}, "b,x"},
		"filled in by the former owner":       {false, [][2]any{{"b", Unavailable{}}, {"b", "y"}}, "b,x"},
		"filled in as the column was dropped": {true, [][2]any{{"b", Unavailable{NoColumn: true}}, {"a", "x"}}, "b,x"},
		"no payload without what is missing":  {true, [][2]any{{"b", Unavailable{}}, {"a", "x"}}, "b,x"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.strict = test.strict
			for _, r := range test.rows {
				w.row("u", r[0], r[1])
			}
			w.late = append(w.late, landing{w.now.Add(30 * time.Second), "u", test.sent})
			w.submit(w.now.Add(time.Minute), len(w.log))
			w.run(59 * time.Second)
			if w.frontier() != 0 {
				t.Errorf("the frontier is at %d while a former owner's call may land", w.frontier())
			}
			w.run(time.Hour)
			w.settled(t)
		})
	}
}

// TestInheritedChangeIsKnown: a column that is missing and that no payload needs, such as
// one that the mapping names and the table has not, does not make it unknown what a
// former owner has sent. So that costs no confirm call (G9).
func TestInheritedChangeIsKnown(t *testing.T) {
	w := newWorld()
	w.write("u", "v1")
	w.log[0].Columns = w.log[0].Columns.plus("z", Unavailable{})
	w.submit(w.now.Add(time.Minute), len(w.log))
	w.run(time.Hour)
	if len(w.history) != 1 {
		t.Errorf("%v was applied, want one call", w.history)
	}
	w.settled(t)
}
