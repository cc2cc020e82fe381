package sync

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"pgregory.net/rapid"
)

// TestControlCallsConverge is TestLaneConverges for what a control call can do
// wrong: outages in which one is lost, and its user changes while workers come and
// go (G1).
func TestControlCallsConverge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		draw := func(name string, n int) int { return rapid.IntRange(0, n-1).Draw(t, name) }
		pass := func(n int) { w.run(time.Duration(draw("half seconds", n)) * time.Second / 2) }
		land := func(*flight) time.Duration { return time.Duration(draw("landing", 60)) * time.Second }
		out := false
		w.answer = func(c *Call) reply {
			switch {
			case c.pending.control && draw("lost", 2) == 0:
				return reply{err: timeout, takes: 10 * time.Second, lands: time.Duration(1+draw("lands", 59)) * time.Second}
			case out:
				return fails(down)
			default:
				return okay()
			}
		}
		w.accepts = time.Duration(draw("accepts", 3)) * time.Second
		for i := range rapid.IntRange(1, 3).Draw(t, "outages") {
			w.write(fmt.Sprint("u", draw("user", 2)), fmt.Sprint("v", i))
			pass(20)
			out = true
			w.write("other", fmt.Sprint("v", i))
			for n := range rapid.IntRange(1, 8).Draw(t, "steps") {
				pass(40)
				switch draw("step", 6) {
				case 0:
					w.kill(draw("accepted", 2) == 0, land)
				case 1:
					w.drain(draw("clean", 2) == 0, land)
				case 2:
					w.write(fmt.Sprint("u", draw("user", 2)), fmt.Sprint("v", i, "-", n))
				case 3:
					out = !out
				}
			}
			out = false
		}
		w.run(time.Hour)
		w.settled(t)
	})
}

// held returns a world whose lane is held: "old" was delivered before, and "new"
// is not.
func held(t *testing.T) *world {
	t.Helper()
	w := newWorld()
	w.submitOne("old", "v1")
	w.end(w.call(t, "old", "v1"), nil)
	w.submitOne("new", "v")
	w.end(w.call(t, "new", "v"), refused)
	if state, _ := w.lane.State(w.now); state != "refused" {
		t.Fatalf("the lane is %s", state)
	}
	return w
}

// probes returns the users of the next n probes, all of which fail.
func (w *world) probes(t *testing.T, n int) []string {
	t.Helper()
	var users []string
	for range 10_000 {
		if c := w.lane.Next(w.now); c != nil {
			users = append(users, c.user.id)
			w.end(c, down)
		}
		if len(users) == n {
			return users
		}
		w.pass(100 * time.Millisecond)
	}
	t.Fatalf("probes of %v only", users)
	return nil
}

// TestControlCallIsAnnounced: nobody gets a control call whom no commit of this
// time of trouble has named (G1).
func TestControlCallIsAnnounced(t *testing.T) {
	w := held(t)
	at := Position{Topic: "users"}
	users, announced := w.lane.Controls(at)
	if !slices.Equal(users, []string{"old"}) || announced {
		t.Fatalf("to announce: %v, already announced: %v", users, announced)
	}
	if other, announced := w.lane.Controls(Position{Topic: "users", Partition: 1}); len(other) > 0 || !announced {
		t.Errorf("to announce in another partition: %v, %v", other, announced)
	}
	if got := w.probes(t, 4); slices.Contains(got, "old") {
		t.Errorf("probes of %v before it was announced", got)
	}
	w.lane.Announced(users)
	if _, announced := w.lane.Controls(at); !announced {
		t.Error("it is to be announced again")
	}
	if got := w.probes(t, 4); !slices.Contains(got, "old") {
		t.Errorf("probes of %v although it was announced", got)
	}

	w.pass(time.Minute)
	w.end(w.call(t, "new", "v"), nil) // which lifts the hold
	if users, _ := w.lane.Controls(at); len(users) > 0 {
		t.Errorf("%v are still named", users)
	}
	w.lane.Announced([]string{"old"}) // by a commit from before
	w.submitOne("third", "v")
	w.end(w.call(t, "third", "v"), refused)
	w.lane.Announced([]string{"new"})
	if users, announced := w.lane.Controls(at); len(users) != 2 || announced {
		t.Errorf("in the next outage: %v, announced: %v", users, announced)
	}
	if got := w.probes(t, 4); slices.Contains(got, "old") || !slices.Contains(got, "new") {
		t.Errorf("probes of %v, when new alone is announced again", got)
	}
}

// TestControlCallIsNamedWhileItMayLand: in flight, and as long as it is in doubt,
// also when the lane is not held any more (G1).
func TestControlCallIsNamedWhileItMayLand(t *testing.T) {
	w := held(t)
	at := Position{Topic: "users"}
	w.lane.Announced([]string{"old"})
	var c *Call
	for c == nil || c.user.id != "old" {
		if c = w.lane.Next(w.now); c != nil && c.user.id == "new" {
			w.end(c, down)
		}
		w.pass(100 * time.Millisecond)
	}
	w.submitOne("old", "v2")
	if users, _ := w.lane.Controls(at); !slices.Equal(users, []string{"old"}) {
		t.Errorf("in flight, %v are named", users)
	}
	w.end(c, timeout)
	lost := w.now
	w.pass(30 * time.Second)
	w.end(w.call(t, "old", "v2"), nil)
	if state, _ := w.lane.State(w.now); state != "running" {
		t.Fatalf("the lane is %s", state)
	}
	if users, _ := w.lane.Controls(at); !slices.Equal(users, []string{"old"}) {
		t.Errorf("in doubt, %v are named", users)
	}
	w.pass(laneConfig.Retry.ConfirmAfter - w.now.Sub(lost))
	w.end(w.call(t, "new", "v"), nil)
	w.end(w.call(t, "old", "v2"), nil) // which confirms
	if users, _ := w.lane.Controls(at); len(users) > 0 {
		t.Errorf("%v are named when the doubt is over", users)
	}
}

// TestControlDoubtIsHandedOn: the reply to a control call is lost, all calls end and
// the worker drains. What the call repeats holds no place, so the last note has to
// say that the user is in doubt, and the next owner confirms what it delivers (G1).
func TestControlDoubtIsHandedOn(t *testing.T) {
	w := newWorld()
	w.write("u", "v1")
	w.run(time.Second)
	w.answer = func(c *Call) reply {
		if c.pending.control {
			return reply{err: timeout, takes: 10 * time.Second, lands: 55 * time.Second}
		}
		return fails(down)
	}
	w.write("other", "v")
	for !slices.ContainsFunc(w.late, func(l landing) bool { return l.user == "u" }) {
		w.step(w.now.Add(time.Second))
	}
	w.run(11 * time.Second) // now the reply is lost
	w.drain(true, nil)
	w.answer = func(*Call) reply { return okay() }
	w.run(time.Second)
	w.write("u", "v2")
	w.run(time.Hour)
	if want := []string{"u=v1", "other=v", "u=v2", "u=v1", "u=v2"}; !slices.Equal(w.history, want) {
		t.Errorf("applied %v, want %v", w.history, want)
	}
	w.settled(t)
}

// TestControlCallDoesNotCountAsWaiting: neither as the wait of the change after it,
// nor as a change that this one stands for.
func TestControlCallDoesNotCountAsWaiting(t *testing.T) {
	w := newWorld()
	w.write("u", "v1")
	w.run(time.Second)
	gateway := &CallError{Verdict: Failed, Code: "http_502", Ambiguous: true}
	w.answer = func(*Call) reply { return fails(gateway) }
	w.write("other", "v")
	w.run(20 * time.Second)
	if c := w.lane.m.Lane.ControlCalls; value(t, c) < 2 {
		t.Fatalf("%v control calls, the test is of no use", value(t, c))
	}
	w.write("u", "v2")
	w.answer = func(*Call) reply { return okay() }
	w.run(time.Hour)
	if s := value(t, w.lane.m.Lane.QueueWait.(prometheus.Metric)); s > 60 {
		t.Errorf("changes waited %v s in all", s)
	}
	if n := value(t, w.lane.m.Events.Coalesced); n != 0 {
		t.Errorf("%v changes were superseded, want none", n)
	}
	w.settled(t)
}

// value is a counter's value or the sum of a histogram.
func value(t *testing.T, m prometheus.Metric) float64 {
	t.Helper()
	var d dto.Metric
	if err := m.Write(&d); err != nil {
		t.Fatal(err)
	}
	return d.GetCounter().GetValue() + d.GetHistogram().GetSampleSum()
}

// TestSuspect: of whom the former owner may have left a control call is sent once
// more when that can no longer land, and its place is held until then; a user that
// does not change costs nothing (G1, G2).
func TestSuspect(t *testing.T) {
	w := newWorld()
	w.suspects, w.suspected = []string{"u", "late"}, w.now.Add(time.Minute)
	w.late = append(w.late, landing{w.now.Add(30 * time.Second), "u", "v0"})
	w.write("u", "v1")
	w.write("other", "v")
	w.run(59 * time.Second)
	if w.frontier() != 0 {
		t.Errorf("the frontier is at %d while a call may land", w.frontier())
	}
	w.run(2 * time.Second)
	w.write("late", "v")
	w.run(time.Minute)
	if want := []string{"u=v1", "other=v", "u=v0", "u=v1", "late=v"}; !slices.Equal(w.history, want) {
		t.Errorf("applied %v, want %v", w.history, want)
	}
	w.settled(t)
}

// TestLostControlCallIsRepeated: as soon as the lost one has had its time, and not
// before, even if nobody else is left to be tried.
func TestLostControlCallIsRepeated(t *testing.T) {
	w := newWorld()
	var began []time.Time
	w.answer = func(c *Call) reply {
		switch {
		case c.pending.control:
			if began = append(began, w.now); len(began) == 1 {
				return reply{err: timeout, takes: laneConfig.Timeout}
			}
		case c.user.id == "bad":
			return fails(rejected)
		}
		return okay()
	}
	w.write("good", "v")
	w.run(time.Second)
	w.write("bad", "v")
	w.run(10 * time.Minute)
	if len(began) < 2 {
		t.Fatalf("%d control calls", len(began))
	}
	if d := began[1].Sub(began[0]); d != 2*laneConfig.Timeout {
		t.Errorf("repeated after %v, want %v", d, 2*laneConfig.Timeout)
	}
	w.settled(t)
}
