package consumer

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"usersync/consumer/event"
	usync "usersync/sync"
)

// resync asks for a record of the source again, as a command does that has searched up to
// the offset searched.
func (b *bubble) resync(dest, user string, offset, searched int64) {
	b.t.Helper()
	b.askFor(Resync, dest, user, offset, searched)
}

// TestResyncOfARowThatComesAgain: after the command has looked, the user's row is read
// once more, unchanged, as in a snapshot. That is skipped, and what the operator wants
// sent is sent all the same (G1).
func TestResyncOfARowThatComesAgain(t *testing.T) {
	inRetries(t, func(b *bubble) {
		b.keeping()
		w := b.start()
		b.hot()
		b.write("2", name(1))
		b.settles(time.Minute)
		searched := b.end0()
		before := len(b.versions(destTaptalk, "2"))
		b.again("2")
		b.commits(time.Minute, both...)
		b.resync(destTaptalk, "2", searched-1, searched)
		b.settles(time.Minute)
		if n := len(b.versions(destTaptalk, "2")) - before; n != 1 {
			t.Errorf("the resync made %d calls, want 1", n)
		}
		w.retried(destTaptalk, retryMended, 1)
	})
}

// TestResyncOfADeletedUser: nobody is sent again who was deleted meanwhile.
func TestResyncOfADeletedUser(t *testing.T) {
	inRetries(t, func(b *bubble) {
		b.keeping()
		b.start()
		b.hot()
		b.write("2", name(1))
		b.settles(time.Minute)
		searched := b.end0()
		before := len(b.versions(destTaptalk, "2"))
		b.delete("2")
		b.commits(time.Minute, both...)
		b.resync(destTaptalk, "2", searched-1, searched)
		b.commits(time.Minute, both...)
		if n := len(b.versions(destTaptalk, "2")) - before; n != 0 {
			t.Errorf("%d calls for a deleted user", n)
		}
	})
}

// TestResyncBesideLiveChanges: all users are sent again, which takes half a minute. A
// change that comes meanwhile does not wait for that, however large the window is.
func TestResyncBesideLiveChanges(t *testing.T) {
	for what, window := range map[string]int{"worth half a second of calls": 20_000, "that has room for all": 64 << 20} {
		t.Run("a window "+what, func(t *testing.T) {
			inBubble(t, 1, func(b *bubble) {
				b.configure = func(c *Config) { c.RetryTopic = "retry" }
				users := numbers(1000, 1599)
				b.writeAll(users...)
				w := b.start()
				b.commits(time.Minute, both...)
				w.stop()
				b.resyncAll(users)
				b.start(func(c *Config) { c.RateLimit, c.Window = 40, window })
				time.Sleep(5 * time.Second)
				began := time.Now()
				b.write("1", name(1))
				for _, dest := range both {
					b.until(time.Minute, "the change is delivered", func() bool { return b.has(dest, "1") == name(1) })
					if waited := time.Since(began); waited > 3*time.Second {
						t.Errorf("%s: it waited for %v", dest, waited)
					}
				}
				b.settles(2 * time.Minute)
			}, kfake.SeedTopics(1, "retry"))
		})
	}
}

// resyncAll asks for users again, whose rows are the first of partition 0, as a command
// does that goes through all of them.
func (b *bubble) resyncAll(users []string) {
	b.t.Helper()
	var records []*kgo.Record
	for _, dest := range both {
		for i, original := range b.records("users", users...) {
			records = append(records, asRecord("retry", 0, Retry{
				Destination: dest, Command: Resync, Searched: b.end0(),
				Source: usync.Position{Topic: "users", Offset: int64(i)}, Key: original.Key, Value: original.Value,
			}.record()))
		}
	}
	b.raw(records...)
}

// TestResyncIsNotLate: that a row changed an hour ago does not make the worker late that
// is asked to send it again now.
func TestResyncIsNotLate(t *testing.T) {
	inRetries(t, func(b *bubble) {
		w := b.start()
		b.hot()
		b.write("2", name(1))
		b.settles(time.Minute)
		delivered := w.observed("event_delivery_seconds")
		time.Sleep(time.Hour)
		b.latency(5 * time.Second)
		b.resync(destTaptalk, "2", b.end0()-1, b.end0())
		b.until(10*time.Second, "it is sent", func() bool { return w.metric("inflight_users", "destination", destTaptalk) == 1 })
		if at := w.metric("oldest_pending_event_timestamp_seconds", "destination", destTaptalk); at != 0 {
			t.Errorf("the worker says that it is %v late", time.Since(time.UnixMilli(int64(at*1000))))
		}
		b.settles(time.Minute)
		if n := w.observed("event_delivery_seconds") - delivered; n != 0 {
			t.Errorf("%d deliveries more are said to have taken long", n)
		}
	})
}

// observed is how many observations the histograms of a name have.
func (w *worker) observed(name string) (n uint64) {
	w.b.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.b.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "usersync_"+name {
				n += m.GetHistogram().GetSampleCount()
			}
		}
	}
	return n
}

// TestRecentIsBounded: who is registered while retries are there is not noted for ever.
func TestRecentIsBounded(t *testing.T) {
	p := &owned{recent: &recent{from: 7, newest: map[string]int64{}}}
	at := func(offset int64) *decoded {
		return &decoded{offset: offset, event: event.Event{Change: usync.Change{User: "u"}}}
	}
	p.notes(at(7))
	p.notes(at(6 + searchAtMost))
	if p.recent == nil || p.recent.newest["u"] != 6+searchAtMost {
		t.Errorf("what may be searched is not noted: %+v", p.recent)
	}
	if p.notes(at(7 + searchAtMost)); p.recent != nil {
		t.Error("more is noted than may be searched")
	}
}
