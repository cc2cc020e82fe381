package sync

import (
	"fmt"
	"testing"
	"time"
)

// TestFailuresAreNoted: whoever asks why learns the code and the field of what failed
// last, and when; a call that nobody answered because the process gave it up itself is
// no failure of anybody.
func TestFailuresAreNoted(t *testing.T) {
	w := newWorld()
	for _, err := range []*CallError{down, rejected, busy, {Verdict: Failed, Code: "lease", Unsent: true}, refused, down} {
		w.submitOne("u", "v")
		c := w.lane.Next(w.now)
		if c == nil {
			t.Fatalf("no call before %v", err)
		}
		w.end(c, err)
		w.now = w.now.Add(10 * time.Minute) // a backoff, a probe and a Retry-After are over
	}
	at := func(call int) string {
		return time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(call) * 10 * time.Minute).Format(time.TimeOnly)
	}
	want := []string{
		"failed http_503  2 " + at(5), "refused http_401  1 " + at(4), "throttled http_429  1 " + at(2), "rejected 40002 107 1 " + at(1),
	}
	var got []string
	for _, f := range w.lane.m.Failures.Newest() {
		got = append(got, fmt.Sprintf("%s %s %s %d %s", f.What, f.Code, f.Field, f.Count, f.Last.Format(time.TimeOnly)))
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	w = newWorld()
	w.write("u", "bad")
	w.run(time.Second)
	if f := w.lane.m.Failures.Newest(); len(f) != 1 || f[0].What != "invalid_payload" || f[0].Code != "missing" || f[0].Field != "v" {
		t.Errorf("of a row without a payload: %v", f)
	}
}
