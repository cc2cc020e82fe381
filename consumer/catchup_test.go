package consumer

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"usersync/metrics"
	usync "usersync/sync"
	"usersync/sync/vendortest"
)

// TestTakeoverReadsBeforeItCalls: one user's failures keep the frontier at the
// start while another user is delivered again and again. The next owner has to
// read it all anew, which takes several fetches, and must not begin with what the
// first of them holds.
//
// The five seconds without progress do not begin before more can be fetched at all: while
// what was read first waits for a commit to be accepted, nothing is.
func TestTakeoverReadsBeforeItCalls(t *testing.T) {
	for name, trouble := range map[string]func(b *bubble){
		"quick": func(*bubble) {},
		"the first commit takes long": func(b *bubble) {
			commits := b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.CoordinatorLoadInProgress, Count: -1})
			time.AfterFunc(4*time.Second, commits.Remove)
			more := b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "users", Err: kerr.NotLeaderForPartition, Count: -1, When: func(req kmsg.Request) bool {
				return req.(*kmsg.FetchRequest).Topics[0].Partitions[0].FetchOffset > 0
			}})
			time.AfterFunc(8*time.Second, more.Remove)
		},
		"what comes next takes long": func(b *bubble) {
			more := b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "users", Err: kerr.NotLeaderForPartition, Count: -1, When: func(req kmsg.Request) bool {
				return req.(*kmsg.FetchRequest).Topics[0].Partitions[0].FetchOffset > 0
			}})
			time.AfterFunc(time.Minute, more.Remove)
		},
	} {
		t.Run(name, func(t *testing.T) { takesOver(t, trouble) })
	}
}

func takesOver(t *testing.T, trouble func(b *bubble)) {
	inBubble(t, 1, func(b *bubble) {
		b.both(vendortest.Rule{User: "2", Status: 503})
		w := b.start()
		b.write("2", name(0))
		padding := fmt.Sprintf(`,"bio":%q`, strings.Repeat("x", 20_000))
		for i := range 200 {
			b.row("1", name(i), padding)
		}
		b.until(time.Minute, "user 1 is delivered", func() bool {
			return b.has(destTaptalk, "1") == name(199) && b.has(destHaptik, "1") == name(199)
		})
		w.stop()
		if size := 200 * len(padding); size < 3*fetchBytes {
			t.Fatalf("%d bytes are no backlog", size)
		}
		b.latency(20 * time.Millisecond)
		trouble(b)
		b.start()
		b.settles(3 * time.Minute)
		for _, dest := range both {
			newest := -1
			for _, v := range b.applied(dest, "1") {
				if n := number(v); n < newest {
					t.Errorf("G3: %s was taken back to %d after %d", dest, n, newest)
				}
				newest = max(newest, number(v))
			}
		}
	})
}

func TestBehind(t *testing.T) {
	for name, tc := range map[string]struct {
		p    owned
		at   int64
		want bool
	}{
		"nothing is committed":     {p: owned{}},
		"the log is not known yet": {p: owned{reach: 10}, at: 5, want: true},
		"there is more to read":    {p: owned{reach: 10, heard: true, progress: metrics.Progress{LogEnd: 9}}, at: 8, want: true},
		"the log ends here":        {p: owned{reach: 10, heard: true, progress: metrics.Progress{LogEnd: 8}}, at: 8},
		"the log is empty":         {p: owned{reach: 10, heard: true}},
		"all of it is read":        {p: owned{reach: 10, heard: true, progress: metrics.Progress{LogEnd: 99}}, at: 10},
		"halted":                   {p: owned{reach: 10, halt: &Halt{}}, at: 5},
		"added later":              {p: owned{reach: 10, added: true}, at: 5},
	} {
		t.Run(name, func(t *testing.T) {
			tc.p.front.advance(tc.at)
			if got := tc.p.behind(); got != tc.want {
				t.Errorf("behind: %v", got)
			}
		})
	}
}

// A partition that cannot be read keeps the calls for the others waiting, but not
// for long; and a window that is full not at all.
func TestCatchUpIsBounded(t *testing.T) {
	now := time.Now()
	p := &owned{reach: 10, heardAt: now}
	g := &generation{Config: &Config{Window: 1 << 20}, lane: usync.NewLane(usync.LaneConfig{}), parts: []*owned{p}}
	if !g.behind(now) || !g.behind(now.Add(catchUpLimit-1)) {
		t.Error("calls begin before anything was read")
	}
	if g.behind(now.Add(catchUpLimit)) {
		t.Error("calls wait for ever")
	}
	p.heardAt = now.Add(time.Second)
	if !g.behind(now.Add(catchUpLimit)) {
		t.Error("calls begin although more is being read")
	}
	g.Window = 0
	if g.behind(now) {
		t.Error("calls wait although nothing more can be read")
	}
}

// yielding is a generation whose window is full of users of partitions 1 to 3, two, three
// and one, whom these withhold; and of others of partition 0.
func yielding(t *testing.T, now time.Time, others ...string) *looping {
	t.Helper()
	l := newLooping(t, 4)
	l.Window = 1
	l.Lane.Retry = usync.Retry{Initial: 10 * time.Second, Multiplier: 2, Max: 30 * time.Second, GiveUpAfter: time.Hour, ConfirmAfter: time.Minute}
	l.lane = usync.NewLane(l.Lane)
	l.lane.Withhold(l.withholds)
	for i, users := range [][]string{{"11", "12"}, {"21", "22", "23"}, {"31"}, others} {
		p := l.parts[(i+1)%4]
		if p.Partition > 0 {
			p.reach = 100
		}
		for i, user := range users {
			at := p.at(int64(i))
			l.lane.Submit(now, usync.Change{User: user, Op: usync.Upsert, Position: at}, usync.Place{At: at, Hold: p.front.hold(at.Offset)}, usync.Sent{})
		}
	}
	if len(others) == 0 && l.lane.Next(now) != nil { // else the first call is the test's
		t.Fatal("somebody is called whom his partition withholds")
	}
	l.registered = now
	l.lease.renew(time.Now())
	return l
}

// who is which partitions have yielded after turns at these times.
func (l *looping) who(turns ...time.Time) (yielded []int) {
	for _, now := range turns {
		l.yield(now)
	}
	for _, p := range l.parts {
		if p.yields {
			yielded = append(yielded, p.Partition)
		}
	}
	return yielded
}

// TestYield: partitions yield one after the other, with the time in between that it takes
// to see what that gains, and only if it can gain anything.
func TestYield(t *testing.T) {
	now := time.Now()
	after := now.Add
	fails := func(l *looping, at time.Time) {
		t.Helper()
		c := l.lane.Next(at)
		if c == nil || c.Position.Partition != 0 {
			t.Fatalf("the call of nobody who may be called: %+v", c)
		}
		l.lane.Done(at, c, &usync.CallError{Verdict: usync.Failed, Code: "503"})
	}
	for what, tc := range map[string]struct {
		others []string
		before func(l *looping) // from now on
		at     []time.Time
		want   []int
	}{
		"nobody else is there":              {at: []time.Time{now}, want: []int{2}},
		"the next has to wait":              {at: []time.Time{now, after(1), after(catchUpLimit - 1)}, want: []int{2}},
		"it has waited":                     {at: []time.Time{now, after(catchUpLimit)}, want: []int{1, 2}},
		"there is room":                     {before: func(l *looping) { l.Window = 1 << 20 }, at: []time.Time{now, after(time.Hour)}},
		"the lease is not proven":           {before: func(l *looping) { l.lease.end() }, at: []time.Time{now, after(time.Hour)}},
		"a state is being loaded":           {before: func(l *looping) { l.lane.SetTrust(usync.Awaited) }, at: []time.Time{now, after(time.Hour)}},
		"an operator has paused":            {before: func(l *looping) { l.lane.Pause(true) }, at: []time.Time{now, after(time.Hour)}},
		"a user is being called":            {others: []string{"1"}, before: func(l *looping) { l.lane.Next(now) }, at: []time.Time{after(catchUpLimit - 1)}},
		"for a while":                       {others: []string{"1"}, before: func(l *looping) { l.lane.Next(now) }, at: []time.Time{after(catchUpLimit)}, want: []int{2}},
		"the rate is used up":               {others: []string{"1"}, before: func(l *looping) { l.lane.SetRate(now, 0.01); l.lane.Next(now) }, at: []time.Time{after(catchUpLimit)}},
		"a vendor is down, as far as known": {others: []string{"1", "2", "3"}, before: func(l *looping) { fails(l, now); fails(l, after(2*time.Second)) }, at: []time.Time{after(catchUpLimit), after(time.Hour)}},
		"all have failed who are there": {
			others: []string{"1", "2", "3"}, before: func(l *looping) {
				fails(l, now)
				fails(l, after(2*time.Second))
				fails(l, after(2*time.Second))
				l.lane.Next(after(30 * time.Second)) // one of them is tried again, the others are ready
			},
			at: []time.Time{after(31 * time.Second)}, want: []int{2},
		},
	} {
		t.Run(what, func(t *testing.T) {
			l := yielding(t, now, tc.others...)
			if tc.before != nil {
				tc.before(l)
			}
			if got := l.who(tc.at...); !slices.Equal(got, tc.want) {
				t.Errorf("partitions %v yield, want %v", got, tc.want)
			}
		})
	}
}
