package consumer

import (
	"context"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"usersync/sync/vendortest"
)

// TestCutOffFromKafka holds a worker that has lost Kafka but not the vendors: it
// stops calling before another one can own its partitions, and when it is back it
// starts nothing before it has proven its membership (G7).
func TestCutOffFromKafka(t *testing.T) {
	inBubble(t, 2, func(b *bubble) {
		// Half a second a call: with 600 users there is always something to call.
		b.both(vendortest.Rule{Latency: 480 * time.Millisecond})
		w := b.start(func(c *Config) { c.Lane.Concurrency = 2 })
		b.hot()
		b.writeAll(numbers(1, 600)...)
		time.Sleep(5 * time.Second)
		cut := time.Now()
		w.net.hole(true)
		other := b.start()
		time.Sleep(3 * time.Minute)
		last, taken := b.ledger.span(w, other)
		if last.Before(cut) {
			t.Error("the worker had nothing to call when it was cut off")
		}
		if d := last.Sub(cut); d > 45*time.Second/2+time.Second {
			t.Errorf("G7: the last call began %v after the worker was cut off", d)
		}
		if !taken.After(last) {
			t.Errorf("the other took over at %v, before the last call at %v", taken, last)
		}
		w.net.hole(false)
		b.settles(5 * time.Minute)
	})
}

// TestNoCallWithoutProof holds a coordinator that answers heartbeats and no
// commits: the membership looks alive, but nothing proves it, so calls end within
// half a session and go on with the first commit that is accepted (G7).
func TestNoCallWithoutProof(t *testing.T) {
	inBubble(t, 2, func(b *bubble) {
		b.both(vendortest.Rule{Latency: 480 * time.Millisecond})
		w := b.start(func(c *Config) { c.Lane.Concurrency = 2 })
		b.hot()
		b.writeAll(numbers(1, 600)...)
		time.Sleep(5 * time.Second)
		cut := time.Now()
		var deaf atomic.Bool
		deaf.Store(true)
		b.kafka.ControlKey(int16(kmsg.OffsetCommit), func(kmsg.Request) (kmsg.Response, error, bool) {
			b.kafka.KeepControl()
			return nil, nil, deaf.Load()
		})
		time.Sleep(40 * time.Second)
		last, _ := b.ledger.span(w, nil)
		if d := last.Sub(cut); d < 10*time.Second || d > 45*time.Second/2 {
			t.Errorf("G7: the last call began %v after the last commit could be accepted", d)
		}
		deaf.Store(false)
		b.settles(5 * time.Minute)
	})
}

// hole makes the connections to brokers swallow everything, or new ones work again.
func (n *ownNetwork) hole(on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.swallow = on
	for _, c := range n.open {
		if h, ok := c.(*holed); ok && on {
			h.cut.Store(true)
		}
	}
}

// holed is a connection to a broker.
type holed struct{ severable }

// dialBroker is dialContext for what hole is about.
func (n *ownNetwork) dialBroker(ctx context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	swallow := n.swallow
	n.mu.Unlock()
	if swallow {
		<-ctx.Done() // a connection attempt into nothing
		return nil, ctx.Err()
	}
	c, err := n.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	h := &holed{severable{Conn: c}}
	return h, n.add(h)
}

// TestWindowBoundsWhatWaits holds a vendor that is down against a window that is
// much smaller than the backlog: reading stops, and nothing is dropped (G6).
func TestWindowBoundsWhatWaits(t *testing.T) {
	const window = 200_000
	inBubble(t, 2, func(b *bubble) {
		w := b.start(of(destHaptik, func(c *Config) { c.Window = window }))
		b.hot()
		b.hap.SetRules(vendortest.Rule{Name: "down", Status: 503, For: 5 * time.Minute})
		b.writeAll(numbers(1, 5_000)...)
		b.commits(2*time.Minute, destTaptalk)
		for range 60 {
			time.Sleep(3 * time.Second)
			if n := w.metric("queue_bytes", "destination", destHaptik); n > window+2_000 {
				t.Fatalf("G6: %v bytes wait in a window of %d", n, window)
			}
		}
		if n := w.metric("queue_users", "destination", destHaptik); n < 100 || n > 1_000 {
			t.Errorf("%v users wait: the window is not what bounds them", n)
		}
		b.settles(10 * time.Minute)
	})
}

// TestDrain holds a worker that is stopped with calls in flight: they end, their
// changes are committed, and the next owner calls for none of them again.
func TestDrain(t *testing.T) {
	inBubble(t, 2, func(b *bubble) {
		b.both(vendortest.Rule{Latency: 8 * time.Second})
		// A session shorter than the calls: only commits while draining keep it.
		w := b.start(func(c *Config) { c.SessionTimeout = 6 * time.Second })
		b.hot()
		b.writeAll(numbers(1, 10)...)
		time.Sleep(2 * time.Second)
		began := time.Now()
		w.end()
		other := b.start()
		w.stop()
		if d := time.Since(began); d < 5*time.Second || d > 10*time.Second {
			t.Errorf("the drain took %v, with calls that had 6 s to go", d)
		}
		b.settles(time.Minute)
		for user := range b.rows {
			if n := len(b.applied(destTaptalk, user)); n != 1 {
				t.Errorf("user %s was delivered %d times", user, n)
			}
		}
		if n := other.metric("confirm_calls_total"); n != 0 {
			t.Errorf("%v confirm calls after a clean drain", n)
		}
	})
}

// TestDrainIsBounded holds a vendor that never answers: the worker is gone soon
// after the drain's time, and what it had in flight is delivered by the next.
func TestDrainIsBounded(t *testing.T) {
	inBubble(t, 2, func(b *bubble) {
		w := b.start(func(c *Config) { c.DrainTimeout = 3 * time.Second })
		b.hot()
		b.both(vendortest.Rule{Name: "hang", Answer: vendortest.Hang, For: 30 * time.Second})
		for i := range 10 {
			b.write(strconv.Itoa(i+1), name(i))
		}
		time.Sleep(time.Second)
		began := time.Now()
		w.stop()
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("stopping took %v with a drain of 3 s", d)
		}
		if !strings.Contains(b.logs.String(), "the drain took too long") {
			t.Error("nobody was told that calls were cut")
		}
		b.start()
		b.settles(5 * time.Minute)
	})
}
