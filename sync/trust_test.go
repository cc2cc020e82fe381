package sync

import (
	"testing"
	"time"
)

// trusting returns a world in which "v1" was delivered to "u", with a lane that has t of it.
func trusting(trust Trust) *world {
	w := newWorld()
	w.remember()
	w.deliver("v1")
	w.lane.SetTrust(trust)
	return w
}

// TestTrust: what seems to be held is passed over, waits, or is sent; what waits does so
// without a call, and does not end by itself.
func TestTrust(t *testing.T) {
	for name, tc := range map[string]struct {
		trust, then Trust
		before      []string
		settled     int // of the log
		after       []string
	}{
		"trusted":              {Trusted, Trusted, []string{"u=v1"}, 2, []string{"v1"}},
		"awaited, and trusted": {Awaited, Trusted, []string{"u=v1"}, 1, []string{"v1"}},
		"awaited, and doubted": {Awaited, Doubted, []string{"u=v1"}, 1, []string{"v1", "v1"}},
		"doubted":              {Doubted, Trusted, []string{"u=v1", "u=v1"}, 2, []string{"v1", "v1"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := trusting(tc.trust)
			w.deliver("v1")
			if len(w.history) != len(tc.before) || w.frontier() != tc.settled {
				t.Errorf("sent %v, and settled %d of 2 changes; want %v and %d", w.history, w.frontier(), tc.before, tc.settled)
			}
			if w.lane.Busy() {
				t.Error("who waits is active")
			}
			if got, want := gaugeValue(t, w.lane.m.Lane.AwaitingUsers), float64(2-tc.settled); tc.trust == Awaited && got != want {
				t.Errorf("%v users are shown to wait, want %v", got, want)
			}
			w.lane.SetTrust(tc.then)
			w.run(time.Minute)
			if got := gaugeValue(t, w.lane.m.Lane.AwaitingUsers); got != 0 {
				t.Errorf("%v users are shown to wait still", got)
			}
			w.says(t, tc.after...)
		})
	}
}

// TestAwaitedChanges: who waits goes on with a change that needs a call, and others do not
// wait for them.
func TestAwaitedChanges(t *testing.T) {
	w := trusting(Awaited)
	w.deliver("v1")
	w.write("other", "v1")
	w.run(time.Minute)
	w.deliver("v2")
	if got := len(w.history); got != 3 {
		t.Errorf("sent %v, want v1, that of the other one, and v2", w.history)
	}
	w.settled(t)
}

// TestAwaitedWhatIsLearned: what waited is sent if nothing is known any more when it is
// trusted again, but not if it is known to have been overtaken (G1).
func TestAwaitedWhatIsLearned(t *testing.T) {
	for name, tc := range map[string]struct {
		settled int64
		want    []string
	}{
		"nothing":                   {-1, []string{"v1", "v1"}},
		"that it was overtaken":     {1, []string{"v1"}},
		"that an older one was":     {0, []string{"v1", "v1"}},
		"that something newer came": {2, []string{"v1"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := trusting(Awaited)
			w.deliver("v1")
			w.state.Learn("u", w.log[0].Position, Version{Status: Unknown, Cause: CauseConflict, Offset: max(0, tc.settled), Settled: tc.settled >= 0})
			w.lane.SetTrust(Trusted)
			w.run(time.Minute)
			w.says(t, tc.want...)
		})
	}
}

// TestAwaitedIsDropped: another owner reads again what waited, and this one sends nothing
// of it.
func TestAwaitedIsDropped(t *testing.T) {
	w := trusting(Awaited)
	w.deliver("v1")
	if w.lane.Bytes() == 0 {
		t.Error("who waits is not counted")
	}
	w.lane.Drop()
	w.lane.SetTrust(Doubted)
	if c := w.lane.Next(w.now); c != nil || w.lane.Busy() {
		t.Errorf("%+v is to be sent of what was dropped", c)
	}
}

// TestSameRowIsDoubted: a row that is known is not passed over unmapped either.
func TestSameRowIsDoubted(t *testing.T) {
	w := trusting(Doubted)
	w.compared()
	w.deliver("v1")
	w.says(t, "v1") // once more: compared forgets the first
}
