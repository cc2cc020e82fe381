//go:build faults

package consumer

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"usersync/e2e/ledger"
	"usersync/sync/sabotage"
)

// The tables of the ledger's own tests say what a detector makes of events that
// somebody made up. Here each rule of the real code is left out in turn, and the
// detector that is there for it has to say so, by name; with all rules in place it
// has to find nothing in the same schedule.

// TestRed needs the build tag "faults": make red.
func TestRed(t *testing.T) {
	type broken struct {
		hook sabotage.Hook
		want ledger.Name
	}
	tests := []struct {
		name     string
		schedule func(r *red)
		broken   []broken
	}{
		{"a day", day, []broken{
			{sabotage.CommitUnsettled, ledger.Unsettled},
			{sabotage.ReleaseEarly, ledger.Unsettled},
			{sabotage.DrainCommitsAll, ledger.Unsettled},
			{sabotage.OlderWins, ledger.Unsettled},
			{sabotage.TwoInFlight, ledger.Overlap},
			{sabotage.CommitBack, ledger.CommitBack},
			{sabotage.LeakPlaces, ledger.Stagnant},
			{sabotage.StalledLoop, ledger.Stalled},
			{sabotage.EndlessDrain, ledger.SlowDrain},
			{sabotage.LogRow, ledger.Private},
		}},
		{"the first call is slow", firstIsSlow, []broken{{sabotage.TwoInFlight, ledger.TakenBack}}},
		{"one destination is down", oneIsDown, []broken{
			{sabotage.NoHold, ledger.CalledHeld},
			{sabotage.NoWindow, ledger.Heap},
			{sabotage.StalledLoop, ledger.Shared},
		}},
		{"a zombie", zombie, []broken{{sabotage.NoLease, ledger.StrangerCall}}},
		{"applied late", appliedLate, []broken{{sabotage.NoConfirm, ledger.LeftBack}}},
		{"killed on the wire", killedOnTheWire, []broken{{sabotage.ForgetDoubts, ledger.LeftBack}}},
		{"everything is rejected", rejectsAll, []broken{{sabotage.NoContrast, ledger.NotAtFault}}},
		{"poison and an outage", poisonAndOutage, []broken{
			{sabotage.LettersWhileHeld, ledger.JudgedHeld},
			{sabotage.BlameNobody, ledger.Spared},
		}},
		{"a zombie's state", func(r *red) { thaw(r.bubble, false) }, []broken{{sabotage.TrustZombie, ledger.LeftBack}}},
		{"a state without its tail", func(r *red) { loseTail(r.bubble) }, []broken{{sabotage.TrustLostTail, ledger.LeftBack}}},
	}
	tried := map[sabotage.Hook]bool{
		// Of what is remembered of users: see TestRed of the lane.
		sabotage.TrustAttempted: true, sabotage.TrustPossiblySent: true,
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Run("whole", func(t *testing.T) { inRed(t, false, tt.schedule) })
			for _, b := range tt.broken {
				tried[b.hook] = true
				t.Run(string(b.hook), func(t *testing.T) {
					t.Setenv(sabotage.Variable, string(b.hook))
					found := inRed(t, true, tt.schedule)
					if !slices.ContainsFunc(found, func(f ledger.Finding) bool { return f.Name == b.want }) {
						t.Errorf("%q was not found, only %v", b.want, found)
					}
				})
			}
		})
	}
	for _, hook := range sabotage.All {
		if !tried[hook] {
			t.Errorf("nothing looks for %s", hook)
		}
	}
}

// red is a bubble that every probe looks at.
type red struct {
	*bubble
	stall ledger.Stall
	lag   ledger.Lag
	down  string // the destination that is in trouble
}

// inRed runs a schedule under all probes and returns what they have found. Unless
// broken is true, that fails the test.
func inRed(t *testing.T, broken bool, schedule func(r *red)) (found []ledger.Finding) {
	t.Helper()
	inBubble(t, 2, func(b *bubble) {
		r := &red{
			bubble: b,
			stall:  ledger.Stall{Limit: 45*time.Second + 15*time.Second},
			lag:    ledger.Lag{Limit: 90 * time.Second}, // a doubt, and time to confirm
		}
		b.ledger.tolerant = broken
		b.configure = func(c *Config) { c.Window, c.Lane.Concurrency = window, 4 }
		schedule(r)
		for _, w := range slices.Clone(b.alive) {
			r.terminate(w)
		}
		b.private()
		b.ledger.regressed()
		if b.ledger.poison != nil {
			b.ledger.report(b.ledger.judged.Due()...)
		}
		if !broken && (b.ledger.Calls(destTaptalk) == 0 || b.ledger.Calls(destHaptik) == 0) {
			t.Error("there was nothing to find anything in")
		}
		found = b.ledger.all()
	})
	return found
}

// window is small enough to be filled by a few hundred users.
const window = 100_000

// tell changes a user; its name is unique, so that a vendor's history tells the
// versions apart.
func (r *red) tell(user string, n int) { r.write(user, name(n)) }

// watch lets time pass under the eyes of the probes.
func (r *red) watch(d time.Duration) {
	for range int(d / time.Second) {
		time.Sleep(time.Second)
		for _, dest := range both {
			r.sample(dest)
		}
	}
}

func (r *red) sample(dest string) {
	now, held := time.Now(), dest == r.down
	r.ledger.report(r.stall.Add(ledger.Work{
		At: now, Destination: dest, Waiting: r.behind(dest), Settled: int64(r.ledger.Done(dest)), Held: held,
	})...)
	for _, tp := range r.ledger.Partitions() {
		r.ledger.report(r.lag.Add(ledger.Progress{
			At: now, Destination: dest, Partition: fmt.Sprint(tp), Held: held,
			Settled: r.ledger.Settled(dest, tp), Committed: r.ledger.Committed(dest, tp),
		})...)
	}
	if r.down != "" && !held {
		r.isolated(r.down, dest, 30*time.Second)
	}
	r.bounded(dest)
}

// terminate stops a worker as an orchestrator does, whose patience ends.
func (r *red) terminate(w *worker) {
	told := time.Now()
	w.end()
	var exited time.Time
	for exited.IsZero() && time.Since(told) < time.Minute {
		select {
		case <-w.done:
			exited = time.Now()
		case <-time.After(time.Second):
		}
	}
	const bound = 20*time.Second + commitLimit + leaveLimit
	r.ledger.report(ledger.Drain{Bound: bound}.Check(w.name(), told, exited, time.Now())...)
	w.hard()
	if exited.IsZero() {
		<-w.done
	}
	w.gone()
}

// all is what was found so far.
func (l *books) all() []ledger.Finding {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.found)
}
