package sync

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	timeout  = &CallError{Verdict: Failed, Code: "timeout", Ambiguous: true}
	down     = &CallError{Verdict: Failed, Code: "http_503"}
	rejected = &CallError{Verdict: Rejected, Code: "40002", Field: "107"}
	refused  = &CallError{Verdict: Refused, Code: "http_401"}
	busy     = &CallError{Verdict: Failed, Code: "http_429", Throttled: true, RetryAfter: 2 * time.Second}
)

func okay() reply { return reply{takes: 20 * time.Millisecond, applied: true} }

func fails(err *CallError) reply { return reply{err: err, takes: 20 * time.Millisecond} }

func (w *world) settled(t rapid.TB) {
	t.Helper()
	if wrong := w.wrong(); len(wrong) > 0 {
		t.Errorf("G1: users left wrong: %v\nhistory: %v", wrong, w.history)
	}
	if w.frontier() != len(w.log) {
		t.Errorf("G2: frontier at %d of %d, held %v", w.frontier(), len(w.log), w.floor)
	}
	if w.state != nil && w.repeats.frontier() != len(w.repeats.log) {
		t.Errorf("G2: repeats at %d of %d, held %v", w.repeats.frontier(), len(w.repeats.log), w.repeats.floor)
	}
	if n := w.lane.Bytes(); n != 0 {
		t.Errorf("G6: %d bytes left of nothing", n)
	}
	if w.lane.active != 0 || w.lane.inflight != 0 || w.lane.open != 0 || w.lane.release.waiting != 0 || w.lane.release.failing != 0 || w.lane.bad.records != 0 || w.lane.unmapped.count != 0 {
		t.Errorf("counts left: active %d, in flight %d, open %d, letters %d, undecodable %d, unmapped %d",
			w.lane.active, w.lane.inflight, w.lane.open, w.lane.release.waiting, w.lane.bad.records, w.lane.unmapped.count)
	}
}

// TestLaneConverges is the lane against a naive model: whatever the destination
// does, however often the worker is killed or hands over, and whatever changes leave
// out or are given up for, once all is quiet it holds the newest values of each user,
// or a letter says why not; and everything may be committed. What is remembered of
// users is right at all times, or Unknown; and an operator who has changes sent once
// more takes nobody back, unless what is remembered was lost.
func TestLaneConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		draw := func(name string, n int) int { return rapid.IntRange(0, n-1).Draw(t, name) }
		w.strict = draw("strict", 2) == 0
		w.anonymize = draw("anonymize", 2) == 0
		w.chance = func(n int) int { return draw("chance", n) }
		if draw("remember", 4) > 0 {
			w.remember()
			w.lossy = draw("lossy", 3) == 0
		}
		versions := 1 + 3*draw("versions", 2)
		mode := 0
		w.answer = func(c *Call) reply { return moody(draw, mode, c) }
		land := func(*flight) time.Duration { return time.Duration(draw("landing", 61)-1) * time.Second }
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			user := func() string { return fmt.Sprint("u", draw("user", 5)) }
			switch draw("step", 17) {
			case 0:
				mode = draw("mode", 8)
			case 1:
				w.run(time.Duration(draw("seconds", 90)) * time.Second)
			case 2:
				if draw("mapping", 3) == 0 {
					w.mapping.next = []string{"", "'"}[draw("next", 2)]
				}
				switch draw("owner", 4) {
				case 0:
					w.kill(draw("accepted", 2) == 0, land)
				case 1:
					w.drain(draw("clean", 2) == 0, land)
				}
			case 3:
				w.write(user(), nil)
			case 4:
				w.run(time.Duration(draw("ms", 900)) * time.Millisecond)
			case 5:
				w.run(time.Duration(draw("short seconds", 15)) * time.Second)
			case 6:
				w.row(user(), "bad", fmt.Sprint("e", i))
			case 7, 8:
				if u := user(); len(w.versions(u)) > 0 { // an insert leaves nothing out
					w.row(u, fmt.Sprint("v", draw("value", 3), "-", i%versions), Unavailable{})
				}
			case 9, 11:
				w.operate(draw)
			case 10:
				w.snapshot()
			case 16:
				w.putOff(draw)
			default:
				w.row(user(), fmt.Sprint("v", draw("value", 3), "-", i%versions), fmt.Sprint("e", draw("e", 3)))
			}
		}
		mode = 0
		w.putOffNothing()
		w.run(time.Hour)
		w.write("last", "v") // which ends a hold, and shows that rows have payloads
		w.run(time.Hour)
		w.settled(t)
	})
}

// putOff has changes wait, or not any more, until more is read or known.
func (w *world) putOff(draw func(string, int) int) {
	if draw("until", 2) == 0 {
		w.gather(draw("gather", 2) == 0)
	} else {
		w.lane.SetTrust(Trust(draw("trust", 3)))
	}
}

func (w *world) putOffNothing() {
	w.gather(false)
	w.lane.SetTrust(Trusted)
}

// operate does what an operator may do to what is remembered: have changes sent once
// more, or lose it.
func (w *world) operate(draw func(string, int) int) {
	switch {
	case w.state == nil:
	case !w.lossy && len(w.log) > 0:
		w.repeat(draw("repeat", len(w.log)), draw("force", 3) == 0)
	case draw("how", 2) == 0:
		// There was no room for one.
		delete(w.state.table, ofUser(fmt.Sprint("u", draw("user", 5)), Position{Topic: "users"}))
	default:
		w.drain(true, nil)
		w.state.loseTail(draw("left", len(w.state.log)+1))
	}
}

// snapshot writes the newest change of each user again.
func (w *world) snapshot() {
	newest := map[string]Change{}
	var users []string
	for _, c := range w.log {
		if _, ok := newest[c.User]; !ok {
			users = append(users, c.User)
		}
		newest[c.User] = c
	}
	for _, user := range users {
		if c := newest[user]; c.Op == Upsert {
			w.row(user, c.Columns.at("v"), c.Columns.at("e"))
		}
	}
}

// moody is what a destination in one of eight moods does with a call; 0 is good.
func moody(draw func(string, int) int, mode int, c *Call) reply {
	d := time.Duration(draw("ms", 400)) * time.Millisecond
	switch {
	case mode == 1:
		return reply{err: down, takes: d}
	case mode == 2:
		return reply{err: rejected, takes: d}
	case mode == 3:
		return reply{err: refused, takes: d}
	case mode == 4 && draw("throttle", 2) == 0:
		return reply{err: busy, takes: d}
	case mode == 5 && draw("lost", 3) == 0:
		return reply{err: timeout, takes: 10 * time.Second}
	case mode == 5 && draw("late", 2) == 0:
		return reply{err: timeout, takes: 10 * time.Second, lands: time.Duration(1+draw("lands", 59)) * time.Second}
	case mode == 5 && draw("reset", 2) == 0:
		return reply{err: timeout, takes: d, applied: draw("applied", 2) == 0}
	case mode == 6 && c.user.id == "u0":
		return reply{err: rejected, takes: d}
	case mode == 7 && draw("flaky", 3) == 0:
		return reply{err: []*CallError{down, rejected, refused}[draw("how", 3)], takes: d}
	default:
		return reply{takes: d, applied: true}
	}
}
