package consumer

import (
	"cmp"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"usersync/consumer/trace"
	"usersync/e2e/ledger"
	"usersync/sync/vendortest"
)

// steps counts what the workers of a bubble do that outlives them, and kills the worker
// that is alive at some of it. A dead worker is no more than what it has left behind, so
// these are all the moments at which it can be killed: whatever it does between two of
// them goes with it.
type steps struct {
	*bubble
	kills map[int]bool // at these steps
	dead  chan struct{}

	mu      sync.Mutex
	down    bool // nobody is alive
	n       int
	at      trace.Kind // of the first kill
	commits map[string]int64
}

// written is a step that no trace has: what was delivered is about to be written down,
// and will be, whatever becomes of the worker.
const written trace.Kind = "state written"

func (b *bubble) stepping(kills ...int) *steps {
	s := &steps{bubble: b, kills: map[int]bool{}, dead: make(chan struct{}, 1), commits: map[string]int64{}}
	for _, n := range kills {
		s.kills[n] = true
	}
	b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "state", Count: -1, When: func(kmsg.Request) bool {
		s.step(trace.Event{Kind: written})
		return false
	}})
	before := b.configure
	b.configure = func(c *Config) {
		before(c)
		tell := c.Trace
		c.Trace = func(e trace.Event) {
			tell(e)
			s.step(e)
		}
	}
	return s
}

// next starts a worker.
func (s *steps) next() {
	s.mu.Lock() // it takes no step before all know of it
	defer s.mu.Unlock()
	s.start()
	s.down = false
}

// step counts e, and cuts the worker off right there if it is to be killed.
func (s *steps) step(e trace.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down { // whoever still has something to say is dead
		return
	}
	switch e.Kind {
	case trace.Call, trace.Called, trace.Unchanged, written:
	case trace.Commit: // those that only keep the session leave nothing behind
		at := fmt.Sprint(e.Destination, e.Partition)
		if was, ok := s.commits[at]; !e.OK() || ok && was == e.Offset {
			return
		}
		s.commits[at] = e.Offset
	default:
		return
	}
	if s.n++; s.kills[s.n] {
		w := s.alive[0]
		w.tell(trace.Event{At: time.Now(), Kind: ledger.Killed})
		w.net.cut()
		s.at, s.down = cmp.Or(s.at, e.Kind), true
		s.dead <- struct{}{}
	}
}

// pass lets time pass; in place of who was killed another worker comes, after a pause.
func (s *steps) pass(d, pause time.Duration) {
	for end := time.After(d); ; {
		select {
		case <-s.dead:
			s.alive[0].kill()
			time.Sleep(pause)
			s.next()
		case <-end:
			return
		}
	}
}

// TestKilledAtEachStep is scenario b with the state on: A is delivered, then B is sent and
// its reply lost, then A is wanted again. The worker is killed at each step of that, and
// in some stories the next one as well, a few steps later. Whatever is known of the user
// then, it is right in the end, and who takes it for unchanged is right too.
func TestKilledAtEachStep(t *testing.T) {
	for name, tt := range map[string]struct {
		lost  vendortest.Rule
		pause time.Duration // until the next worker comes
		again int           // how many steps later that one is killed; 0: never
	}{
		"applied":            {lost: vendortest.Rule{Answer: vendortest.Reset, Apply: true}},
		"applied, and later": {lost: vendortest.Rule{Answer: vendortest.Reset, Apply: true}, pause: 2 * time.Minute},
		"late":               {lost: vendortest.Rule{Answer: vendortest.Hang, ApplyAfter: 50 * time.Second}},
		"late, killed again": {lost: vendortest.Rule{Answer: vendortest.Hang, ApplyAfter: 50 * time.Second}, again: 3},
	} {
		if testing.Short() && name != "late" {
			continue // the race detector sees as much in one of them
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			killed := map[trace.Kind]int{}
			for n := 1; ; n += full(1, 5) {
				var at trace.Kind
				kills := []int{n}
				if tt.again > 0 {
					kills = append(kills, n+tt.again)
				}
				if !t.Run(fmt.Sprint("step=", n), func(t *testing.T) {
					inBubble(t, 1, func(b *bubble) { at = backAndForth(b, tt.lost, tt.pause, kills...) })
				}) || at == "" { // it has failed, or there were fewer steps
					break
				}
				killed[at]++
			}
			t.Log(killed)
			if len(killed) == 0 {
				t.Error("nobody was killed")
			}
			for _, kind := range []trace.Kind{trace.Call, trace.Called, trace.Commit, written} {
				if killed[kind] == 0 && full(1, 5) == 1 { // of every fifth step none may be of a kind
					t.Errorf("nobody was killed at %q", kind)
				}
			}
		})
	}
}

// backAndForth returns at what kind of step a worker was killed first, "" if none was.
func backAndForth(b *bubble, lost vendortest.Rule, pause time.Duration, kills ...int) trace.Kind {
	const a, other = 1, 2
	b.keeping()
	defer b.expire()() // a worker may be killed while it joins
	s := b.stepping(kills...)
	s.next()
	s.pass(30*time.Second, pause)
	b.write("1", name(a))
	s.pass(30*time.Second, pause)
	lost.Name, lost.User, lost.Last = "lost", "1", 1
	b.both(lost)
	b.write("1", name(other))
	s.pass(40*time.Millisecond, pause)
	b.write("1", name(a))
	s.pass(5*time.Minute, pause)
	b.settles(time.Minute)
	// What is known now is what the vendor holds: both what needs no call and what does.
	b.write("1", name(a))
	s.pass(5*time.Second, pause)
	b.write("1", name(other))
	s.pass(3*time.Minute, pause)
	b.settles(time.Minute)
	for _, dest := range both {
		if got := b.applied(dest, "1"); index(got, name(a)) < 0 || index(got, name(other)) < 0 {
			b.t.Errorf("%s: A or B was never applied, the test is of no use: %v", dest, got)
		}
	}
	return s.at
}
