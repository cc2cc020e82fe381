package sync

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// withheldAndHeld returns a world whose lane is held by user "new", and where the newest payload
// that is remembered, that of "old" at offset 1, is of a partition that withholds; that of
// "other", at offset 0, is not. It says what the destination does.
func withheldAndHeld(t *testing.T) (w *world, mode *string, behind *bool, calls *[]string) {
	t.Helper()
	w, mode, behind, calls = newWorld(), new(string), new(bool), new([]string)
	*mode, *behind = "ok", true
	w.answer = func(c *Call) reply {
		what := c.user.id
		if c.pending.control {
			what += " control"
		}
		*calls = append(*calls, what)
		switch {
		case c.pending.control && c.user.id == "old":
			return reply{err: timeout, takes: 10 * time.Second, lands: 55 * time.Second}
		case *mode == "ok" || *mode == c.user.id:
			return okay()
		default:
			return fails(down)
		}
	}
	w.write("other", "v1")
	w.run(time.Second)
	w.write("old", "v1")
	w.run(time.Second)
	w.lane.Withhold(func(at Position) bool { return *behind && at.Offset == 1 })
	*mode = "down"
	w.write("new", "v")
	w.run(30 * time.Second)
	if state, _ := w.lane.State(w.now); state != "failed" {
		t.Fatalf("the lane is %s", state)
	}
	return w, mode, behind, calls
}

// A control call that was exposed and then withheld is forgotten by Controls when another
// control call ends, and is sent later without any commit that names its user (G1).
func TestWithheldControlCallIsNamed(t *testing.T) {
	w, mode, behind, calls := withheldAndHeld(t)
	*mode = "other"
	w.write("other", "v2") // which lifts the hold, and is what is remembered first now
	w.run(5 * time.Second)
	w.write("third", "v")
	w.run(2 * time.Minute) // held again, and probed with other's
	*mode = "ok"
	w.run(2 * time.Minute)
	if state, _ := w.lane.State(w.now); state != "running" || w.frontier() != len(w.log) {
		t.Fatalf("the lane is %s, the frontier at %d of %d", state, w.frontier(), len(w.log))
	}
	before := len(*calls)
	*behind = false // the partition is read on
	for range 100 {
		w.step(w.now.Add(100 * time.Millisecond))
	}
	if slices.Contains((*calls)[before:], "old control") {
		t.Errorf("a control call on a lane that runs; commits name %v", w.note().controls)
	}
	w.kill(true, func(*flight) time.Duration { return -1 })
	w.write("old", "v2")
	w.run(time.Hour)
	w.settled(t)
}

// As [TestControlCallDoesNotCountAsWaiting], for one that is withheld.
func TestWithheldControlCallDoesNotCount(t *testing.T) {
	w, mode, behind, calls := withheldAndHeld(t)
	w.run(10 * time.Minute)
	made := 0
	for _, c := range *calls {
		if c == "old control" || c == "other control" {
			made++
		}
	}
	if n := value(t, w.lane.m.Lane.ControlCalls); int(n) != made {
		t.Errorf("%v control calls are counted, %d were made", n, made)
	}
	if n := len(w.lane.exposed); n > made {
		t.Errorf("%d control calls are noted as under way", n)
	}
	w.write("old", "v2")
	w.run(time.Second)
	*behind, *mode = false, "ok"
	w.run(time.Hour)
	if s := value(t, w.lane.m.Lane.QueueWait.(prometheus.Metric)); s > 3600 {
		t.Errorf("changes waited %v s in all", s)
	}
	if n := value(t, w.lane.m.Events.Coalesced); n != 0 {
		t.Errorf("%v changes were superseded, want none", n)
	}
	w.settled(t)
}

// A control call that must wait does not keep another one from being made, which would
// lift the hold.
func TestAnotherControlCallIsMade(t *testing.T) {
	w, mode, _, calls := withheldAndHeld(t)
	*mode = "other"
	w.run(10 * time.Minute)
	if !slices.Contains(*calls, "other control") {
		t.Errorf("in ten minutes nobody was compared with: %d calls, all of new", len(*calls))
	}
}

// Who is withheld cannot be called, so it is nobody to compare with: one user alone that
// is refused holds the lane, and has the credentials read again.
func TestWithheldUserIsNobodyToCompareWith(t *testing.T) {
	w := newWorld()
	w.lane.Withhold(func(at Position) bool { return at.Offset == 0 })
	w.submitOne("a", "v")
	w.quiet(t)
	w.submitOne("b", "v")
	w.end(w.call(t, "b", "v"), refused)
	if state, _ := w.lane.State(w.now); state != "refused" {
		t.Errorf("the lane is %s", state)
	}
	w.lane.Observe(w.now)
	for range 600 {
		if c := w.lane.Next(w.now); c != nil {
			if !c.Probe {
				t.Fatal("a call that is no probe: the credentials are not read again")
			}
			w.end(c, refused)
		}
		w.pass(100 * time.Millisecond)
	}
}

// Nobody has failed who is withheld.
func TestWithheldUserIsNotInBackoff(t *testing.T) {
	w := newWorld()
	w.lane.Withhold(func(Position) bool { return true })
	w.submitOne("a", "v")
	w.quiet(t)
	w.lane.Observe(w.now)
	if n := gaugeValue(t, w.lane.m.Lane.BackoffUsers); n != 0 {
		t.Errorf("%v users wait for their next attempt, and none was made", n)
	}
}

// Users that are withheld keep their order, and come back at once.
func TestWithheldKeepTheirOrder(t *testing.T) {
	w := newWorld()
	behind := true
	w.lane.Withhold(func(Position) bool { return behind })
	for i := range 50 {
		w.submitOne(fmt.Sprint("u", i), "v")
	}
	for range 35 {
		w.quiet(t)
		w.pass(100 * time.Millisecond)
	}
	behind = false
	var got []string
	for range 50 {
		if c := w.lane.Next(w.now); c != nil {
			got = append(got, c.user.id)
			w.end(c, nil)
		}
	}
	if len(got) != 50 {
		t.Errorf("%d of 50 are called at once", len(got))
	}
	if !slices.IsSortedFunc(got, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	}) {
		t.Errorf("called in the order %v", got)
	}
}

// BenchmarkWithheld is a look at the queue while so many users are withheld.
func BenchmarkWithheld(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w := newWorld()
			w.lane.Withhold(func(Position) bool { return true })
			for i := range n {
				w.write(fmt.Sprint("u", i), "v")
			}
			w.submit(time.Time{}, 0)
			w.lane.Next(w.now)
			for b.Loop() {
				w.pass(time.Second)
				w.lane.Next(w.now)
			}
		})
	}
}

func gaugeValue(t *testing.T, g prometheus.Gauge) float64 {
	t.Helper()
	var d dto.Metric
	if err := g.Write(&d); err != nil {
		t.Fatal(err)
	}
	return d.GetGauge().GetValue()
}
