package main

import (
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"usersync/sync/vendortest"
)

func TestJudge(t *testing.T) {
	began := time.Unix(1_767_225_600, 0)
	at := func(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }
	call := func(order, user, version, from, to int) vendortest.Version {
		c := change{user, version}
		return vendortest.Version{
			User: strconv.Itoa(user), Order: order,
			Body: json.RawMessage(payload(c)), Received: at(from), Ended: at(to),
		}
	}
	newest := map[int]int{1: 3, 2: 1, 3: 2, 4: 1}
	// The vendor saves in the order of Order, whatever the order in which calls came.
	calls := []vendortest.Version{
		call(2, 1, 3, 20, 60),
		call(1, 1, 1, 10, 30),
		call(3, 1, 2, 15, 70), // older than what is there: stale, and user 1 is wrong now
		call(4, 2, 1, 30, 50),
		call(6, 3, 2, 40, 90), // stale writes before it do no harm in the end
		call(5, 3, 1, 41, 55),
		call(0, 4, 1, 80, 120), // never saved: user 4 is wrong
	}
	want := verdict{calls: 7, first: at(10), wall: 110 * time.Millisecond, stale: 1, wrong: 2}
	if got := judge(calls, newest); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	// Back and forth: each older write counts, the same version again does not.
	calls = []vendortest.Version{call(1, 2, 1, 0, 1), call(2, 3, 2, 0, 1), call(3, 3, 1, 0, 1), call(4, 3, 1, 0, 1), call(5, 3, 2, 0, 1)}
	want = verdict{calls: 5, first: at(0), wall: time.Millisecond, stale: 2}
	if got := judge(calls, map[int]int{2: 1, 3: 2}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	// The right version, but not what the row says.
	calls[0].Body = json.RawMessage(`{"xcUserID":"2","fullName":"Version 1"}`)
	if got := judge(calls, map[int]int{2: 1, 3: 2}); got.wrong != 1 {
		t.Errorf("got %+v for a payload without its email", got)
	}
	if got := judge(nil, map[int]int{1: 1}); got != (verdict{wrong: 1}) {
		t.Errorf("got %+v without calls", got)
	}
}
