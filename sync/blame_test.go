package sync

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestContrast holds the two remembered successes against a list of all of them.
func TestContrast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b blame
		var all []success
		users := rapid.SampledFrom([]string{"a", "b", "c"})
		start := func(t *rapid.T) moment { return moment(rapid.IntRange(1, 30).Draw(t, "start")) }
		for range rapid.IntRange(0, 12).Draw(t, "successes") {
			s := success{users.Draw(t, "user"), start(t)}
			all = append(all, s)
			b.succeeded(s.user, s.start)
		}
		user, when := users.Draw(t, "who failed"), start(t)
		want := false
		for _, s := range all {
			want = want || s.user != user && s.start > when
		}
		if got := b.contrast(user, when); got != want {
			t.Fatalf("contrast for %s since %d: %v, want %v, after %v", user, when, got, want, all)
		}
	})
}

// TestHold is who is at fault when calls fail: the destination, or not proven.
func TestHold(t *testing.T) {
	type event struct {
		user       string
		start, end moment
		after      time.Duration // since the first event
		err        *CallError    // nil: it succeeded
		alone      bool
	}
	for name, test := range map[string]struct {
		events []event
		held   bool
	}{
		"two users, one after the other":           {[]event{{"a", 1, 2, 0, down, false}, {"b", 3, 4, time.Second, down, false}}, true},
		"the second began before the first failed": {[]event{{"a", 1, 3, 0, down, false}, {"b", 2, 4, time.Second, down, false}}, false},
		"within a second":                          {[]event{{"a", 1, 2, 0, down, false}, {"b", 3, 4, time.Second - 1, down, false}}, false},
		"refused within a second":                  {[]event{{"a", 1, 2, 0, refused, false}, {"b", 3, 4, 0, refused, false}}, true},
		"rejected, two users":                      {[]event{{"a", 1, 2, 0, rejected, false}, {"b", 3, 4, time.Second, rejected, false}}, true},
		"the same user twice while others wait":    {[]event{{"a", 1, 2, 0, down, false}, {"a", 3, 4, time.Minute, down, false}}, false},
		"alone, twice":                             {[]event{{"a", 1, 2, 0, down, true}, {"a", 3, 4, time.Millisecond, down, true}}, true},
		"alone, once":                              {[]event{{"a", 1, 2, 0, down, true}}, false},
		"alone, refused once":                      {[]event{{"a", 1, 2, 0, refused, true}}, true},
		"one that began between them succeeded":    {[]event{{"a", 1, 2, 0, down, false}, {"c", 3, 4, 0, nil, false}, {"b", 5, 6, time.Second, down, false}}, false},
		"one that began before them succeeded":     {[]event{{"a", 2, 3, 0, down, false}, {"c", 1, 4, 0, nil, false}, {"b", 5, 6, time.Second, down, false}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := blame{newPace: func() func() time.Duration { return func() time.Duration { return time.Second } }}
			began := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
			failures := map[string]int{}
			for _, e := range test.events {
				if e.err == nil {
					b.succeeded(e.user, e.start)
					continue
				}
				b.failed(began.Add(e.after), e.user, e.start, e.end, e.err, e.alone, failures[e.user] > 0)
				failures[e.user]++
			}
			if b.held != test.held {
				t.Fatalf("held %v, want %v", b.held, test.held)
			}
			if last := test.events[len(test.events)-1].err; b.held && (b.reason != last.Verdict || b.code != last.Code) {
				t.Errorf("held for %v %s, want %v", b.reason, b.code, last)
			}
		})
	}
}

// TestLift: a call that was sent before the trouble began says nothing of now.
func TestLift(t *testing.T) {
	for start, lifts := range map[moment]bool{4: false, 6: true, 9: true} {
		b := blame{held: true}
		b.suspect.user, b.suspect.when = "a", 5
		if got := b.succeeded("b", start); got != lifts || b.held == lifts {
			t.Errorf("started at %d: lifts %v, held %v, want %v", start, got, b.held, lifts)
		}
	}
}

// outage makes the destination answer err to everybody but those.
func (w *world) outage(err *CallError, but ...string) *[]*Call {
	var calls []*Call
	w.answer = func(c *Call) reply {
		calls = append(calls, c)
		if slices.Contains(but, c.user.id) {
			return okay()
		}
		return fails(err)
	}
	return &calls
}

// traffic lets d pass while a good user is written every interval.
func (w *world) traffic(interval, d time.Duration) {
	for until := w.now.Add(d); w.now.Before(until); w.run(interval) {
		w.write("good", fmt.Sprint(len(w.log)))
	}
}

// TestPoison: a record that is rejected three times while others are accepted is
// given up, and holds nobody up.
func TestPoison(t *testing.T) {
	for _, err := range []*CallError{rejected, refused} {
		t.Run(err.Verdict.String(), func(t *testing.T) {
			w := newWorld()
			calls := w.outage(err, "good")
			w.write("bad", "v")
			w.traffic(100*time.Millisecond, 30*time.Second)
			w.run(time.Minute)
			if len(w.letters) != 1 || w.letters[0].Reason != err.Verdict.String() || w.letters[0].Code != err.Code || w.letters[0].Field != err.Field {
				t.Fatalf("letters %+v", w.letters)
			}
			tried := 0
			for _, c := range *calls {
				if c.user.id == "bad" {
					tried++
				}
			}
			if tried < 3 || tried > 5 {
				t.Errorf("tried %d times, want three, and a last one", tried)
			}
			w.settled(t)
		})
	}
}

// TestOutage: nobody is given up, however long it lasts, and it is asked about
// seldom (G4).
func TestOutage(t *testing.T) {
	for _, err := range []*CallError{down, rejected, refused} {
		t.Run(err.Verdict.String(), func(t *testing.T) {
			w := newWorld()
			w.write("before", "v")
			w.run(time.Second)
			calls := w.outage(err)
			for i := range 100 {
				w.write(fmt.Sprint("u", i), "v")
			}
			w.run(time.Hour)
			if state, code := w.lane.State(w.now); state != err.Verdict.String() || code != err.Code {
				t.Errorf("the lane is %s %s", state, code)
			}
			*calls = nil
			w.run(23 * time.Hour)
			if len(w.letters) > 0 || w.frontier() != 1 {
				t.Fatalf("%d letters, frontier %d", len(w.letters), w.frontier())
			}
			if n := len(*calls); n < 23*60-10 || n > 23*60*2 {
				t.Errorf("%d probes in 23 hours, want one a minute or so", n)
			}
			for _, c := range *calls {
				if !c.Probe {
					t.Fatal("a call of a held lane that is no probe: the credentials would not be read again")
				}
			}
			w.answer = func(*Call) reply { return okay() }
			w.run(10 * time.Minute)
			if len(w.letters) > 0 {
				t.Errorf("%d letters", len(w.letters))
			}
			w.settled(t)
		})
	}
}

// TestExhausted: a user's failures count only for as long as others succeed, and
// a change that comes faster than the retries does not start it all over.
func TestExhausted(t *testing.T) {
	w := newWorld()
	w.outage(down, "good")
	w.write("bad", "v")
	w.traffic(time.Second, 10*time.Minute)
	calls := w.outage(down)
	w.traffic(time.Minute, time.Hour)
	if len(*calls) == 0 || len(w.letters) > 0 {
		t.Fatalf("%d calls, %d letters in an outage", len(*calls), len(w.letters))
	}
	w.outage(down, "good")
	w.traffic(time.Second, 4*time.Minute)
	if len(w.letters) > 0 {
		t.Fatal("given up although others succeeded for less than 15 minutes")
	}
	for range 10 * 60 {
		w.write("bad", fmt.Sprint(len(w.log)))
		w.write("good", fmt.Sprint(len(w.log)))
		w.run(time.Second)
	}
	if len(w.letters) == 0 || w.letters[0].Reason != reasonExhausted {
		t.Errorf("letters %+v, want one although the user changes every second", w.letters)
	}
}

// TestTakenBack: a destination that accepts what it has just rejected, unchanged,
// has not judged the record: its rejections are failures for an hour.
func TestTakenBack(t *testing.T) {
	w := newWorld()
	flaky := 1
	w.answer = func(c *Call) reply {
		switch {
		case c.user.id == "flaky" && flaky > 0:
			flaky--
			return fails(rejected)
		case c.user.id == "bad":
			return fails(rejected)
		}
		return okay()
	}
	w.write("flaky", "v")
	w.traffic(100*time.Millisecond, time.Second)
	if !w.lane.blame.believed[Rejected].After(w.now) {
		t.Fatal("its rejections are still believed")
	}
	w.write("bad", "v")
	w.traffic(time.Second, 14*time.Minute)
	if len(w.letters) > 0 {
		t.Fatal("given up on the word of a destination that takes its word back")
	}
	w.traffic(time.Second, 3*time.Minute)
	if len(w.letters) != 1 || w.letters[0].Reason != reasonExhausted {
		t.Errorf("letters %+v, want one: time goes on", w.letters)
	}
	w.write("bad", "v2")
	w.traffic(time.Second, time.Hour)
	if len(w.letters) != 2 || w.letters[1].Reason != reasonExhausted && w.letters[1].Reason != reasonRejected {
		t.Errorf("%d letters", len(w.letters))
	}
}
