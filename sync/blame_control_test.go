package sync

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"usersync/metrics"
)

// TestNobodyToCompareWith: a lonely record is not given up before something else
// has been delivered; what was delivered last is then sent again to compare (G4).
func TestNobodyToCompareWith(t *testing.T) {
	for _, err := range []*CallError{rejected, down} {
		t.Run(err.Verdict.String(), func(t *testing.T) {
			w := newWorld()
			calls := w.outage(err, "good")
			w.write("bad", "v")
			w.run(24 * time.Hour)
			if len(w.letters) > 0 {
				t.Fatal("given up although it was never shown whose fault it is")
			}
			w.write("good", "g")
			w.run(time.Second)
			*calls = nil
			w.run(12 * time.Hour)
			if len(w.letters) != 1 {
				t.Errorf("%d letters after a control call was possible", len(w.letters))
			}
			controls := 0
			for _, c := range *calls {
				if c.user.id == "good" {
					controls++
				}
			}
			if controls == 0 {
				t.Error("no control call")
			}
			w.settled(t)
		})
	}
}

// TestControlCallOnlyWhenNobodyIsFresh: a new arrival tells as much, and has to be
// sent anyway.
func TestControlCallOnlyWhenNobodyIsFresh(t *testing.T) {
	w := newWorld()
	w.write("old", "v")
	w.run(time.Second)
	calls := w.outage(down)
	w.write("a", "v")
	w.write("b", "v")
	w.run(10 * time.Minute)
	if state, _ := w.lane.State(w.now); state != "failed" {
		t.Fatalf("the lane is %s", state)
	}
	control := func(c *Call) bool { return c.pending.control }
	n := 0
	for _, c := range *calls {
		if control(c) {
			n++
		}
	}
	if n == 0 {
		t.Error("no control call while only those wait that have failed")
	}
	for i := range 10 {
		w.write(fmt.Sprint("new", i), "v")
	}
	*calls = nil
	for len(*calls) < 10 {
		w.run(time.Second)
	}
	for i, c := range *calls {
		if control(c) || c.user.id != fmt.Sprint("new", i) {
			t.Errorf("probe %d is of %s, want the new arrivals in turn", i, c.user.id)
		}
	}
}

// TestControlIsTheNewest: what is no longer the newest of its user is never sent
// to compare with (G3).
func TestControlIsTheNewest(t *testing.T) {
	for name, forget := range map[string]func(w *world){
		"a newer change": func(w *world) { w.write("old", "v2") },
		"a delete":       func(w *world) { w.write("old", nil) },
		"a revoke":       func(w *world) { w.lane.Drop(); w.owner++; w.write("bad", "again") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.write("old", "v1")
			w.run(time.Second)
			calls := w.outage(down)
			w.write("bad", "v")
			w.run(time.Second)
			forget(w)
			*calls = nil
			w.run(time.Hour)
			if len(*calls) == 0 {
				t.Fatal("no probes")
			}
			for _, c := range *calls {
				if string(c.Payload.Body) == "v1" {
					t.Fatal("the old payload was sent again")
				}
			}
		})
	}
}

// TestControlCallIsACall: it is throttled like any other, and waits for nobody.
func TestControlCallIsACall(t *testing.T) {
	registry := prometheus.NewRegistry()
	w := newWorld()
	w.lane.m = metrics.New(registry, "test").For("test")
	w.write("old", "v")
	w.run(time.Second)
	told := &CallError{Verdict: Failed, Code: "http_429", Throttled: true, RetryAfter: 4 * time.Minute}
	controls := 0
	w.answer = func(c *Call) reply {
		if c.pending.control {
			controls++
			return fails(told)
		}
		return fails(down)
	}
	w.write("bad", "v")
	for controls == 0 {
		w.run(time.Second)
	}
	var calls int
	w.answer = func(*Call) reply { calls++; return okay() }
	w.run(4*time.Minute - 2*time.Second)
	if calls > 0 {
		t.Errorf("%d calls although the destination asked for four minutes", calls)
	}
	w.run(2 * time.Minute)
	if calls == 0 {
		t.Error("no call after that")
	}
	if got := sumOf(t, registry, "queue_wait_seconds"); got > 3600 {
		t.Errorf("changes waited for %v s in all", got)
	}
	if got := sumOf(t, registry, "throttle_wait_seconds_total"); got < 200 || got > 300 {
		t.Errorf("calls waited for the limiter for %v s, want 4 minutes", got)
	}
}

// sumOf is the sum of a series' values or observations.
func sumOf(t *testing.T, r *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "usersync_"+name {
			sum := 0.0
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetHistogram().GetSampleSum()
			}
			return sum
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}
