package sync

import (
	"fmt"
	"testing"
	"time"
)

// TestNoPayloadNeedsALaterOne: as long as no later record of the topic has a
// payload, it is as likely that a column was renamed (G4).
func TestNoPayloadNeedsALaterOne(t *testing.T) {
	w := newWorld()
	w.lane.release.Budget = 0
	w.write("before", "v")
	w.run(time.Second)
	const bad = 600
	for i := range bad {
		w.write(fmt.Sprint("u", i), "bad")
		w.run(10 * time.Second)
	}
	for what, at := range map[string]evidence{
		"a record of another topic":    {Position{Topic: "another", Offset: 1e6}, w.now},
		"an earlier record":            {Position{Topic: "users", Offset: 0}, w.now},
		"a record written before":      {Position{Topic: "users", Partition: 2, Offset: 1e6}, w.now.Add(-10*time.Second - 1)},
		"a record before the last one": {Position{Topic: "users", Offset: bad - 1}, w.now},
	} {
		c := Change{User: what, Op: Upsert, Columns: ColumnsOf(map[string]any{"v": "v"}), Position: at.at, Written: at.written}
		w.lane.Submit(w.now, c, Place{c.Position, testHold{w, -1, 0}}, Sent{})
		w.run(time.Hour)
		if len(w.letters) > 0 {
			t.Fatalf("%s counts as proof: %d letters", what, len(w.letters))
		}
	}
	if w.frontier() != 1 {
		t.Errorf("frontier %d: the rows without a payload were passed", w.frontier())
	}
	if state, code := w.lane.State(w.now); state != "unmapped" || code != "missing (field v)" {
		t.Errorf("the lane is %s: %s", state, code)
	}
	w.write("after", "v")
	w.run(time.Minute)
	if len(w.letters) != bad {
		t.Errorf("%d letters, want %d", len(w.letters), bad)
	}
	for i, l := range w.letters {
		if l.Change.User != fmt.Sprint("u", i) || l.Reason != reasonInvalid || l.Code != "missing" || l.Field != "v" {
			t.Fatalf("letter %d is %+v", i, l)
		}
	}
	if state, _ := w.lane.State(w.now); state != "running" {
		t.Errorf("the lane is %s", state)
	}
	w.settled(t)
}

// TestAnotherPartitionProves: by its timestamp, be it read before or after.
func TestAnotherPartitionProves(t *testing.T) {
	for _, before := range []bool{true, false} {
		w := newWorld()
		proof := func(is bool) {
			if is {
				w.reads(1)
			}
		}
		proof(before)
		w.write("u", "bad")
		w.run(time.Second)
		proof(!before)
		w.run(time.Minute)
		if len(w.letters) != 1 {
			t.Errorf("%d letters of one row without a payload; proven before: %v", len(w.letters), before)
		}
		w.settled(t)
	}
}

// TestUnmappedIsReplaced: nothing is judged while nothing is proven, so what is
// newer takes the place of what waits, whatever is known of the user.
func TestUnmappedIsReplaced(t *testing.T) {
	for name, next := range map[string]any{"by a row with a payload": "v", "by a delete": nil} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.submitOne("u", "bad")
			w.quiet(t)
			w.lane.users["u"].fault = &fault{charged: strikes}
			for range 1000 { // which costs nothing (G6)
				w.submitOne("u", "bad")
				w.quiet(t)
			}
			if n := w.lane.unmapped.count; n != 1 {
				t.Errorf("%d unmapped users, want one", n)
			}
			w.write("u", next)
			w.run(time.Minute)
			if len(w.letters) > 0 {
				t.Errorf("%d letters", len(w.letters))
			}
			w.settled(t)
		})
	}
}

// TestUnmappedUserKeepsChanging: a user whose rows never have a payload is given
// up as soon as another's has one. A minute without any shows, also when the same
// user comes again and again.
func TestUnmappedUserKeepsChanging(t *testing.T) {
	w := newWorld()
	for range 60 {
		w.write("u", "bad")
		w.run(time.Second)
	}
	if state, _ := w.lane.State(w.now); state != "unmapped" {
		t.Errorf("the lane is %s", state)
	}
	for i := range 60 {
		w.write("u", "bad")
		w.write("good", fmt.Sprint(i))
		w.run(time.Second)
	}
	if state, _ := w.lane.State(w.now); state != "running" {
		t.Errorf("the lane is %s", state)
	}
	if len(w.letters) == 0 {
		t.Error("no letter")
	}
	w.run(time.Minute)
	w.settled(t)
}

// TestUnmappedIsDropped: what is read again, or never will be, is not counted.
func TestUnmappedIsDropped(t *testing.T) {
	for name, drop := range map[string]func(l *Lane){
		"a revoke": (*Lane).Drop,
		"a halt":   func(l *Lane) { l.Forget(Position{Topic: "users"}) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.write("good", "v")
			w.run(time.Second)
			w.submitOne("u", "bad")
			w.quiet(t)
			drop(w.lane)
			m := &w.lane.unmapped
			if m.count != 0 || len(m.groups) != 0 || len(m.newest) != 0 {
				t.Errorf("%d users in %d groups are left, and %d records", m.count, len(m.groups), len(m.newest))
			}
			w.forgotten(t)
		})
	}
}
