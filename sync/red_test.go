//go:build faults

package sync

import (
	"testing"
	"time"

	"usersync/sync/sabotage"
)

// TestRed leaves out each rule about what is remembered of users, and sees that users
// are left wrong then, and only then. It needs the build tag "faults": make red.
func TestRed(t *testing.T) {
	for hook, schedule := range map[sabotage.Hook]func(w *world){
		sabotage.TrustAttempted:    tried,
		sabotage.TrustPossiblySent: killed,
	} {
		t.Run(string(hook), func(t *testing.T) {
			whole, broken := newWorld(), newWorld()
			schedule(whole)
			t.Setenv(sabotage.Variable, string(hook))
			schedule(broken)
			if wrong := whole.wrong(); len(wrong) > 0 {
				t.Errorf("with all rules in place: %v", wrong)
			}
			if len(broken.wrong()) == 0 {
				t.Errorf("nobody was left wrong without the rule; history %v", broken.history)
			}
		})
	}
}

// tried: v2 fails, and is at the destination nevertheless, when v1 comes again.
func tried(w *world) {
	w.remember()
	w.untold = true
	w.deliver("v1")
	w.answer = func(*Call) reply { return reply{err: down, applied: true} }
	w.write("u", "v2")
	w.turn()
	w.advance(w.now)
	w.answer = func(*Call) reply { return okay() }
	w.deliver("v1")
}

// killed: v2 is on its way when the worker is killed, and has landed long before the
// next one reads it, and v1 behind it.
func killed(w *world) {
	w.remember()
	w.untold = true
	w.deliver("v1")
	w.answer = func(*Call) reply { return reply{takes: time.Minute} }
	w.write("u", "v2")
	w.turn()
	w.write("u", "v1")
	w.answer = func(*Call) reply { return okay() }
	w.chance = func(n int) int { return n - 1 } // an hour passes
	w.kill(true, func(*flight) time.Duration { return time.Second })
	w.run(time.Hour)
}
