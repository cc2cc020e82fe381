package consumer

import (
	"math"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	usync "usersync/sync"
	"usersync/sync/vendortest"
)

// lostBehind: users 1 to 20 were delivered, and their worker has ended as end does. Then
// the changes of users 21 to 60 are written, half of which age removes, and somebody
// accepts that.
func (b *bubble) lostBehind(end func(w *worker)) {
	b.t.Helper()
	o := b.controlled()
	w := b.remembered(numbers(1, 20)...)
	end(w)
	for b.end0() < 25 {
		b.write("30", name(1))
	}
	b.writeAll(numbers(31, 60)...)
	if err := b.kafka.DeleteRecords("users", 0, 40); err != nil {
		b.t.Fatal(err)
	}
	w = b.start()
	b.halted(w, 2*time.Minute, "out_of_range_below")
	b.lose(users0, 40)
	o.accepts(40)
}

// TestLossKeepsWhatWasDelivered: what age has removed was not delivered, and what was is
// known still. So the snapshot that mends the loss costs the calls of those who changed.
func TestLossKeepsWhatWasDelivered(t *testing.T) {
	for what, loaded := range map[string]bool{"its state is loaded": true, "its state cannot be read yet": false} {
		t.Run(what, func(t *testing.T) {
			inBubble(t, 1, func(b *bubble) {
				var unread *kfake.FaultHandle
				b.lostBehind(func(w *worker) {
					w.stop()
					if !loaded {
						unread = b.unread("state")
					}
				})
				b.until(time.Minute, "it goes on", func() bool { return b.said("a halted partition goes on", "offset=40") })
				if !loaded {
					time.Sleep(time.Minute)
					unread.Remove()
				}
				b.settles(3 * time.Minute)
				for i, user := range numbers(1, 20) {
					b.rows[user] = name(i)
				}
				before := b.saved()
				b.again(numbers(1, 19)...)
				b.write("20", name(99)) // its change was among those that are lost
				b.settles(time.Minute)
				b.calledMore(before, 1)
			})
		})
	}
}

// TestLossOfWhatMayHaveBeenSent: a worker was killed with a change on the wire that age
// removes before anybody reads it again. Nothing tells that the user was sent it, so
// nothing is known of the partition's users any more (G1).
func TestLossOfWhatMayHaveBeenSent(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		b.lostBehind(func(w *worker) {
			b.both(vendortest.Rule{Answer: vendortest.Hang, Apply: true, User: "7", Last: 1})
			calls := b.tap.Calls() + b.hap.Calls()
			b.write("7", name(99))
			b.until(10*time.Second, "both calls are on the wire", func() bool { return b.tap.Calls()+b.hap.Calls() == calls+2 })
			// As it dies it may write that the calls have failed, or not: here it does not.
			unwritten := b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "state", Err: kerr.NotLeaderForPartition, Count: -1})
			w.kill()
			unwritten.Remove()
		})
		b.settles(3 * time.Minute)
		b.write("7", name(6)) // as it was delivered before
		b.settles(3 * time.Minute)
	})
}

// TestLossOfACorruptBatchOnceMore: whoever met it is to have the state that it kept, which
// it cannot regain, or is not to have read it yet. Its last commits do not take back that
// the batch was passed over (G7).
func TestLossOfACorruptBatchOnceMore(t *testing.T) {
	for what, loaded := range map[string]bool{"its state is kept": true, "its state cannot be read yet": false} {
		t.Run(what, func(t *testing.T) {
			inBubble(t, 1, func(b *bubble) {
				o := b.controlled()
				w := b.remembered(numbers(1, 20)...)
				b.rots(20, 25)
				b.writeAll(numbers(26, 50)...)
				var unread *kfake.FaultHandle
				if loaded {
					b.halted(w, time.Minute, "corrupt")
					b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Err: kerr.RebalanceInProgress, Count: 2})
				} else {
					w.kill()
					unread = b.unread("state")
					w = b.start()
				}
				if time.Sleep(time.Minute); loaded {
					b.haltedAgain(2, "corrupt")
				} else {
					b.halted(w, time.Minute, "corrupt")
				}
				o.accepts(25)
				b.until(time.Minute, "it goes on", func() bool { return b.said("a halted partition goes on", "offset=25") })
				if !loaded {
					time.Sleep(time.Minute)
					unread.Remove()
				}
				b.settles(3 * time.Minute)
				o.forgotten()
				if n := b.lines("a halted partition goes on"); n != len(both) {
					t.Errorf("it went on %d times", n)
				}
			})
		})
	}
}

// TestCorruptAfterAKill is TestLossOfWhatMayHaveBeenSent for a batch that rots before
// anybody reads again what was on the wire. Nor do the last commits of who has passed it
// say that its users are known.
func TestCorruptAfterAKill(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		o := b.controlled()
		w := b.remembered(numbers(1, 20)...)
		b.both(vendortest.Rule{Answer: vendortest.Hang, Apply: true, User: "7", Last: 1})
		calls, from := b.tap.Calls()+b.hap.Calls(), b.end0()
		b.write("7", name(99))
		b.until(10*time.Second, "both calls are on the wire", func() bool { return b.tap.Calls()+b.hap.Calls() == calls+2 })
		unwritten := b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "state", Err: kerr.NotLeaderForPartition, Count: -1})
		w.kill()
		unwritten.Remove()
		b.rots(from, from+5) // the change as well
		b.writeAll(numbers(26, 50)...)
		w = b.start()
		b.halted(w, 2*time.Minute, "corrupt")
		b.lose(users0, from+5)
		o.accepts(from + 5)
		b.settles(3 * time.Minute)
		b.write("7", name(6)) // as it was delivered before
		b.settles(3 * time.Minute)
	})
}

// TestLossOfALongerLog: the topic was made anew and is longer than it was. Its offsets say
// nothing of what was delivered from the old one, all of which lies above them.
func TestLossOfALongerLog(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		o := b.controlled()
		w := b.remembered(numbers(1, 20)...)
		deaf := b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch, kmsg.ListOffsets}, Topic: "users", Err: kerr.NotLeaderForPartition, Count: -1})
		time.AfterFunc(4*time.Second, deaf.Remove)
		b.anew()
		for i, user := range numbers(11, 20) { // each below the offset that is known of it
			b.write(user, name(100+i))
		}
		b.writeAll(numbers(31, 80)...)
		b.halted(w, 30*time.Second, "topic_recreated")
		o.accepts(0)
		b.settles(3 * time.Minute)
	})
}

// TestPassingNote: what was delivered is certified past a loss if nothing that is not known
// can have been sent, for a retry of the partition's changes either. Kept or not, the next
// owner reads up to where calls may have been made before it makes any.
func TestPassingNote(t *testing.T) {
	const unknown = math.MaxInt64
	for what, tc := range map[string]struct {
		edit func(p *owned)
		end  int64
	}{
		"nothing is on its way":             {func(*owned) {}, 40},
		"there is no retry topic":           {func(p *owned) { p.mate = nil }, 40},
		"calls were made behind the halt":   {func(p *owned) { p.reach = 500 }, 500},
		"all of these were read":            {func(p *owned) { p.reach = 20 }, 40},
		"they were, and nothing is loaded":  {func(p *owned) { p.reach, p.state, p.loading = 500, nil, true }, 500},
		"a change waits":                    {func(p *owned) { p.front.hold(20) }, unknown},
		"a former owner may have sent some": {func(p *owned) { p.doubtEnd = 21 }, unknown},
		"something is not written down":     {func(p *owned) { p.rests[0].queue[userKey{1}] = usync.Version{} }, unknown},
		"a retry waits":                     {func(p *owned) { p.mate.front.hold(0) }, unknown},
		"a retry may have been sent":        {func(p *owned) { p.mate.doubtEnd = 1 }, unknown},
		"it is another log":                 {func(p *owned) { p.halt.Reason, p.reach = string(haltRecreated), 500 }, unknown},
	} {
		s := &state{own: tenure{Epoch: 7, End: 9}, queue: map[userKey]usync.Version{}}
		p := &owned{
			halt: &Halt{Reason: string(haltBelow)}, loss: &Loss{Offset: 40}, mate: &owned{retry: true},
			state: s, rests: []*state{s}, suspects: buckets{1}, inherited: note{State: s.own}.String(),
		}
		p.front.advance(20)
		tc.edit(p)
		n := p.passingNote()
		if kept := n.State == s.own && n.Control == p.suspects; n.End != tc.end || kept != (tc.end < unknown) {
			t.Errorf("%s: the note says %q", what, n)
		}
		next := takenOver(40, n.String(), 600)
		if next.front.advance(min(tc.end, 600) - 1); tc.end > 40 && !next.behind() {
			t.Errorf("%s: the next owner calls at %d", what, next.front.position)
		}
		if next.front.advance(min(tc.end, 600)); next.behind() {
			t.Errorf("%s: the next owner waits for ever", what)
		}
	}
}

// TestPassingNoteOfNobodysCalls: who was halted where it began has called nobody, so what
// the last owner said of its calls holds past the loss as well.
func TestPassingNoteOfNobodysCalls(t *testing.T) {
	for what, tc := range map[string]struct {
		drained bool // by the last owner
		start   int64
		want    bool
	}{
		"all of them had ended":          {true, 20, true},
		"one of them may be applied yet": {false, 20, false},
		"this one has made some":         {true, 10, false},
	} {
		p := &owned{
			halt: &Halt{Reason: string(haltBelow)}, loss: &Loss{Offset: 40},
			start: tc.start, inherited: note{End: 500, Drained: tc.drained}.String(), reach: 500,
		}
		p.front.advance(20)
		if n := p.passingNote(); n.Drained != tc.want || n.End != 500 {
			t.Errorf("%s: the note says %q", what, n)
		}
	}
}
