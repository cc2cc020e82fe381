package consumer

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"usersync/consumer/trace"
	usync "usersync/sync"
)

// TestStateTopicIsRemade: the state topic is deleted while a worker writes to it, and made
// anew. Calls go on, no offset is passed without it, and the next owner knows of those
// alone who were delivered since.
func TestStateTopicIsRemade(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		w := b.remembered("1", "2", "3")
		if err := b.kafka.DeleteTopic("state"); err != nil {
			t.Fatal(err)
		}
		passed := b.ends[users0]
		b.write("1", name(100))
		w.unready("the state of users/0 cannot be written")
		b.right(both...)
		b.holds(users0, passed)
		b.stateTopic(1, "compact")
		b.settles(2 * time.Minute)
		time.Sleep(time.Second) // it commits, and then says that it is ready
		w.ready()
		before := b.saved()
		w.kill()
		b.start()
		b.write("1", name(0)) // as the old one had it
		b.again("2", "3")
		b.settles(2 * time.Minute)
		b.calledMore(before, 3)
	})
}

// TestAnotherTargetAndBack: what was delivered elsewhere meanwhile is not known here.
func TestAnotherTargetAndBack(t *testing.T) {
	inBubble(t, 2, func(b *bubble) {
		w := b.remembered("1", "2", "3")
		w.stop()
		w = b.start(func(c *Config) { c.State.BaseURL = "http://other" })
		b.write("1", name(100))
		b.again("3")
		b.settles(time.Minute)
		w.stop()
		before := b.saved()
		b.start()
		b.write("1", name(0)) // as the state had it before
		b.again("3")          // as it was sent elsewhere
		b.again("2")          // as it was sent here, and nothing since
		b.settles(time.Minute)
		b.calledMore(before, 2)
	})
}

// TestStateOfARecreatedTopic: offsets begin anew, so those that were delivered say nothing
// of what is older, whichever way the offset was set.
func TestStateOfARecreatedTopic(t *testing.T) {
	for how, accept := range map[string]func(b *bubble, o *operator){
		"accepted": func(_ *bubble, o *operator) { o.accepts(0) },
		"with another tool": func(b *bubble, _ *operator) {
			b.alive[0].stop()
			for _, dest := range both {
				b.setOffset(dest, users0, 0)
			}
			b.start()
		},
	} {
		t.Run(how, func(t *testing.T) {
			inBubble(t, 1, func(b *bubble) {
				o := b.controlled()
				b.keeping()
				w := b.start()
				b.hot()
				b.writeAll(numbers(1, 20)...)
				b.settles(time.Minute)
				deaf := b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch, kmsg.ListOffsets}, Topic: "users", Err: kerr.NotLeaderForPartition, Count: -1})
				time.AfterFunc(4*time.Second, deaf.Remove)
				if err := b.kafka.DeleteTopic("users"); err != nil {
					t.Fatal(err)
				}
				b.remake(users0)
				b.ledger.Suspend(trace.TopicPartition(users0))
				for i, user := range numbers(11, 20) { // each one below the offset that is known of it
					b.write(user, name(100+i))
				}
				b.halted(w, 30*time.Second, "out_of_range_above")
				o.halt(destTaptalk)
				o.halt(destHaptik)
				accept(b, o)
				time.Sleep(time.Minute) // until then the commit of the old topic is above it all
				b.settles(3 * time.Minute)
				b.deadLetters(0)
			})
		})
	}
}

// otherAccount is that of another deployment at the same vendor.
type otherAccount struct{ calls atomic.Int64 }

func (o *otherAccount) Deliver(context.Context, usync.Payload) error { o.calls.Add(1); return nil }
func (o *otherAccount) Reload() error                                { return nil }

// TestStateTopicOfTwoGroups: two deployments, each with a group and an account of its own,
// share a state topic, and neither believes what the other has delivered.
func TestStateTopicOfTwoGroups(t *testing.T) {
	inBubble(t, 2, func(b *bubble) {
		b.remembered("1", "2", "3").stop()
		before := b.saved()
		o := new(otherAccount)
		other := b.start(func(c *Config) {
			c.Group, c.Target, c.Trace = "other."+c.Destination, o, func(trace.Event) {}
		})
		b.hot()
		b.write("1", name(100))
		time.Sleep(time.Minute)
		other.stop()
		if o.calls.Load() != 2*4 {
			t.Errorf("the other deployment made %d calls, want one for each user and destination", o.calls.Load())
		}
		b.start()
		b.hot()
		b.settles(2 * time.Minute)
		b.calledMore(before, 1)
	})
}
