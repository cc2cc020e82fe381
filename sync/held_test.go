package sync

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// TestNobodyIsJudgedWhileHeld: a letter that is due waits while the lane is held,
// and is written when the destination takes calls again, even if nobody is left
// that could be tried.
func TestNobodyIsJudgedWhileHeld(t *testing.T) {
	w := newWorld()
	all := false
	w.answer = func(c *Call) reply {
		if all || c.user.id == "bad" {
			return fails(rejected)
		}
		return okay()
	}
	w.write("bad", "v")
	for i := 0; w.lane.release.waiting == 0; i++ {
		w.write(fmt.Sprint("good", i), "v")
		w.run(100 * time.Millisecond)
	}
	all = true
	w.write("other", "v")
	w.run(5 * time.Minute)
	if state, _ := w.lane.State(w.now); state != "rejected" {
		t.Fatalf("the lane is %s, not held", state)
	}
	if len(w.letters) != 0 {
		t.Errorf("G4: a letter was written while everything is rejected")
	}
	all = false
	w.run(5 * time.Minute)
	if len(w.letters) != 1 {
		t.Errorf("%d letters after the destination was mended, want one", len(w.letters))
	}
	w.settled(t)
}

// TestLetterOfTheLastUser: nobody is left to be tried on a held lane, and the
// control call lets it go.
func TestLetterOfTheLastUser(t *testing.T) {
	w := newWorld()
	w.answer = func(c *Call) reply {
		if c.user.id == "bad" {
			return fails(rejected)
		}
		return okay()
	}
	w.write("good", "v")
	w.run(time.Second)
	w.write("bad", "v")
	w.run(time.Hour)
	if len(w.letters) != 1 {
		t.Errorf("%d letters of a user that is alone with a bad record", len(w.letters))
	}
	w.settled(t)
}

// TestDropKeepsTheTimeOfFailing: what a user has failed for is remembered over a
// rebalance, and nothing is made of the time between.
func TestDropKeepsTheTimeOfFailing(t *testing.T) {
	w := newWorld()
	w.answer = func(c *Call) reply {
		if c.user.id == "bad" {
			return fails(down)
		}
		return okay()
	}
	w.write("bad", "v")
	for i := range 600 {
		w.write(fmt.Sprint("good", i), "v")
		w.run(time.Second)
	}
	before := w.lane.users["bad"].fault.contrast
	w.lane.Drop()
	w.owner++
	w.floor = map[int]int{}
	w.read = 0
	for i := range 120 {
		w.write(fmt.Sprint("good", i), "w")
		w.run(time.Second)
	}
	after := w.lane.users["bad"].fault.contrast
	if before < 5*time.Minute || after < before || after > before+4*time.Minute {
		t.Errorf("failed for %v before a rebalance, and for %v two minutes after it", before, after)
	}
}

// TestLiftedSlowly: whoever waited for the end of an outage is not called all at once.
func TestLiftedSlowly(t *testing.T) {
	w := newWorld()
	calls := w.outage(down)
	for i := range 1000 {
		w.write(fmt.Sprint("user", i), "v")
	}
	w.run(time.Minute)
	if state, _ := w.lane.State(w.now); state != "failed" {
		t.Fatalf("the lane is %s, not held", state)
	}
	before := len(*calls)
	var lifted time.Time
	w.answer = func(c *Call) reply {
		if lifted.IsZero() {
			lifted = w.now
		}
		*calls = append(*calls, c)
		return okay()
	}
	w.run(2 * time.Minute)
	first := 0
	for _, c := range (*calls)[before:] {
		if c.Started.Sub(lifted) < time.Second {
			first++
		}
	}
	if first > 20 {
		t.Errorf("%d calls in the first second after an outage", first)
	}
	w.settled(t)
}

// TestLiftedWhileSomeFail: a destination that comes back, but fails two calls in three, is
// not held again and again for it. How soon a probe succeeds is a matter of luck.
func TestLiftedWhileSomeFail(t *testing.T) {
	const seeds, users = 20, 500
	waiting := 0
	for seed := range uint64(seeds) {
		w, random := newWorld(), rand.New(rand.NewPCG(seed, 0))
		w.outage(down)
		for i := range users {
			w.write(fmt.Sprint("user", i), "v")
		}
		w.run(time.Minute)
		w.answer = func(*Call) reply {
			if random.IntN(3) > 0 {
				return fails(down)
			}
			return okay()
		}
		w.run(5 * time.Minute)
		waiting += users - len(w.holds)
	}
	if waiting > seeds*users/5 {
		t.Errorf("%d of %d users wait after five minutes", waiting, seeds*users)
	}
}
