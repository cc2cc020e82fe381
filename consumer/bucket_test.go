package consumer

import (
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"usersync/metrics"
	usync "usersync/sync"
	"usersync/sync/taptalk"
)

// TestBucketsSuspectFew: users whose IDs are alike are in different buckets.
func TestBucketsSuspectFew(t *testing.T) {
	users := map[byte]int{}
	for n := range 25_600 {
		users[bucketOf(strconv.Itoa(100_000+n))]++
	}
	for bucket, n := range users {
		if n < 50 || n > 200 {
			t.Errorf("%d users in bucket %02x, want about 100", n, bucket)
		}
	}
	if len(users) != 256 {
		t.Errorf("%d buckets are used, want all 256", len(users))
	}
}

// TestSuspectsAreInherited: a new owner suspects whom the last one named, for as
// long as it doubts, and names them to the next (G1).
func TestSuspectsAreInherited(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	var named buckets
	named.add(bucketOf("u"))
	until := now.Add(time.Minute)
	var p owned
	p.inherit(now, Committed{Offset: 40, Metadata: note{End: 500, Control: named}.String()}, time.Minute)
	p.front.advance(20_000) // whatever was possibly sent is read
	before := until.Add(-1)
	if p.suspected(before) != named || p.note(before).Control != named {
		t.Errorf("%v are suspect, and %v named, before the doubt is over", p.suspected(before), p.note(before).Control)
	}
	if n := p.lastNote(before, false); n.Control != named || n.Drained {
		t.Errorf("last note %v, want one that says to doubt", n)
	}
	if p.suspected(until) != (buckets{}) || p.note(until).Control != (buckets{}) {
		t.Errorf("%v are suspect, and %v named, when it is over", p.suspected(until), p.note(until).Control)
	}
	if n := p.lastNote(until, false); n.Control != (buckets{}) || !n.Drained {
		t.Errorf("last note %v when all is over", n)
	}

	// Nothing of an owner that drained may be applied; it may have named users all
	// the same, of whom it would have made control calls.
	var q owned
	q.inherit(now, Committed{Offset: 40, Metadata: note{End: 500, Drained: true, Control: named}.String()}, time.Minute)
	if q.suspected(now) != (buckets{}) {
		t.Errorf("%v are suspect after a drain", q.suspected(now))
	}
}

// TestControlCallsAreAnnounced: a commit that names its user goes out as soon as a
// control call is wanted, and one that failed does not count (G1).
func TestControlCallsAreAnnounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := requests{err: errors.New("connection lost")}
		p := part(0, 20, 20, 20+headroom)
		halted := part(1, 20, 20, 20+headroom)
		halted.halt = &Halt{}
		g := proving(t, &r, p, halted)
		g.lane = heldLane(t, p.at(18), halted.at(7))
		g.commit.lastAll, g.commit.lastSent = time.Now(), time.Now()
		g.lease.renew(time.Now())
		names := func() buckets {
			n, _ := parseNote(r.sent[len(r.sent)-1].Partitions[0].Metadata)
			return n.Control
		}
		var want buckets
		want.add(bucketOf("18"))
		if !g.turn() || names() != want {
			t.Fatalf("%d commits, want one at once that names %v", len(r.sent), want)
		}
		if _, announced := g.lane.Controls(p.at(0)); announced {
			t.Error("it counts although it failed")
		}
		time.Sleep(retryCommit)
		r.err = nil
		if !g.turn() {
			t.Fatal("not tried again")
		}
		if _, announced := g.lane.Controls(p.at(0)); !announced || names() != want {
			t.Errorf("announced: %v; named: %v, want %v", announced, names(), want)
		}
		if g.turn() {
			t.Error("there was nothing left to announce")
		}
	})
}

// heldLane is a lane that has delivered a user of each position, and is held.
func heldLane(t *testing.T, delivered ...usync.Position) *usync.Lane {
	t.Helper()
	mapper := mapping(t, taptalk.Fields, map[string]any{"fullName": "full_name", "email": "email"})
	l := usync.NewLane(usync.LaneConfig{
		Mapper: mapper, Concurrency: 1, Timeout: time.Second, Metrics: metrics.New(nil, "test").For("test"),
		Retry: usync.Retry{Initial: time.Second, Multiplier: 2, Max: time.Minute, GiveUpAfter: time.Hour, ConfirmAfter: time.Minute},
	})
	now := time.Now()
	call := func(at usync.Position, err error) {
		user := strconv.FormatInt(at.Offset, 10)
		l.Submit(now, usync.Change{User: user, Op: usync.Upsert, Columns: usync.ColumnsOf(map[string]any{"full_name": name(1), "email": nil}), Position: at}, usync.Place{At: at, Hold: &place{}}, usync.Sent{})
		l.Done(now, l.Next(now), err)
	}
	for _, at := range delivered {
		call(at, nil)
	}
	call(usync.Position{Topic: "users", Offset: 99}, &usync.CallError{Verdict: usync.Refused, Code: "http_401"})
	if state, _ := l.State(now); state != "refused" {
		t.Fatalf("the lane is %s", state)
	}
	return l
}
