package consumer

import (
	"fmt"
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
