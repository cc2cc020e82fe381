package consumer

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	usync "usersync/sync"
)

// backlog changes users, over and over. A fetch brings a hundred of these changes at most.
func (b *bubble) backlog(rounds int, users ...string) {
	b.t.Helper()
	padding := strings.Repeat("x", fetchBytes/100)
	records := make([]*kgo.Record, 0, rounds*len(users))
	for round := range rounds {
		for _, user := range users {
			value := fmt.Sprintf(`{"before":null,"after":{"id":%s,"full_name":%q,"bio":%q},"op":"u"}`, user, name(round), padding)
			records = append(records, &kgo.Record{Partition: b.partitionOf(user), Key: []byte(keyOf(user)), Value: []byte(value)})
		}
	}
	for i, c := range b.raw(records...) {
		user, says := users[i%len(users)], name(i/len(users))
		b.rows[user] = says
		b.ledger.wrote(c, user, says)
	}
}

// slowly is a worker for whom each fetch from a broker takes that long.
func (b *bubble) slowly(each time.Duration, broker string) func(*Config) {
	return func(c *Config) {
		client, err := NewClient(ClientConfig{
			Brokers: b.kafka.ListenAddrs(), Topics: []string{"users", "dead"},
			Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := b.kafka.dial(ctx, network, address)
				if err != nil || address != broker {
					return conn, err
				}
				return &slowConn{conn, each}, nil
			},
		})
		if err != nil {
			b.t.Fatal(err)
		}
		b.t.Cleanup(func() { client.Close(); time.Sleep(each) }) // what is put off ends
		c.Client = client
	}
}

// slowConn puts off each request to fetch.
type slowConn struct {
	net.Conn
	each time.Duration
}

func (s *slowConn) Write(p []byte) (int, error) {
	if len(p) > 6 && kmsg.Key(binary.BigEndian.Uint16(p[4:])) == kmsg.Fetch {
		time.Sleep(s.each) // virtual time
	}
	return s.Conn.Write(p)
}

// leads has each partition led by another broker, and returns that of the first.
func (b *bubble) leads() string {
	b.t.Helper()
	for p := range int32(b.parts) {
		if err := b.kafka.MoveTopicPartition("users", p, p); err != nil {
			b.t.Fatal(err)
		}
	}
	return b.kafka.ListenAddrs()[0]
}

// sips has each fetch bring no more than one batch: all that is not read at once lags.
func (b *bubble) sips() {
	b.kafka.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.kafka.KeepControl()
		if f := req.(*kmsg.FetchRequest); slices.ContainsFunc(f.Topics, func(t kmsg.FetchRequestTopic) bool { return t.Topic == "users" }) {
			f.MaxBytes = 1
		}
		return nil, nil, false
	})
}

// calls is how many calls a destination has had, a PUT with a POST being one.
func (w *worker) calls(dest string) float64 {
	return w.metric("attempts_total", "destination", dest) + w.metric("inflight_users", "destination", dest)
}

// takes waits until a series of each destination is above zero, for so long at most.
func (w *worker) takes(within time.Duration, series string) {
	w.b.t.Helper()
	began := time.Now()
	for _, dest := range both {
		for !w.exposes(series) || w.metric(series, "destination", dest) == 0 {
			if time.Since(began) > within {
				w.b.t.Fatalf("%s: no %s within %v", dest, series, within)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// TestBacklogIsReadFirst: of a backlog each user is called for once, be it there when a
// worker starts or be it a burst later. Of a burst only what is read before there is more
// of it is called for at once.
func TestBacklogIsReadFirst(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		users := numbers(1, 40)
		slow := b.slowly(100*time.Millisecond, b.leads())
		b.backlog(10, users...)
		w := b.start(slow)
		b.settles(time.Minute)
		costs := func(want float64) {
			t.Helper()
			for _, dest := range both {
				if got := w.metric("attempts_total", "destination", dest); got != want {
					t.Errorf("%s: %v calls for %d users, want %v", dest, got, len(users), want)
				}
			}
		}
		costs(40)
		b.write("1", name(1000))
		b.backlog(10, users...)
		b.settles(time.Minute)
		costs(40 + 1 + 40)
	})
}

// TestFreshChangeIsCalledAtOnce: a change that is at the end of its partition is called
// for in the instant in which it was written, also while the changes of another partition
// are gathered.
func TestFreshChangeIsCalledAtOnce(t *testing.T) {
	inBubble(t, 2, func(b *bubble) {
		delayed := func(user string) {
			t.Helper()
			written := time.Now()
			b.write(user, name(1))
			time.Sleep(100 * time.Millisecond)
			for _, dest := range both {
				if calls := b.versions(dest, user); len(calls) == 0 {
					t.Errorf("%s: user %s was not called for", dest, user)
				} else if d := calls[0].Received.Sub(written); d != 0 {
					t.Errorf("%s: user %s was called for after %v", dest, user, d)
				}
			}
		}
		slow := b.slowly(time.Second, b.leads())
		lagging := []string{"2", "4", "6", "8"}
		b.backlog(100, lagging...)
		w := b.start(slow)
		w.takes(time.Minute, "gathering_users")
		delayed("1")
		for _, dest := range both {
			for _, user := range lagging {
				if calls := b.versions(dest, user); len(calls) > 0 {
					t.Errorf("%s: user %s was called for while more was read", dest, user)
				}
			}
		}
		b.settles(time.Minute)
		delayed("3")
		b.settles(time.Minute)
	})
}

// TestBacklogAboveTheWindow: calls begin as soon as the window is full, and it stays as
// large as it may be.
func TestBacklogAboveTheWindow(t *testing.T) {
	const window = 50_000
	inBubble(t, 1, func(b *bubble) {
		slow := b.slowly(time.Second, b.leads())
		b.backlog(2, numbers(1, 300)...)
		w := b.start(slow, func(c *Config) { c.Window = window })
		w.takes(time.Minute, "consumer_records_total")
		time.Sleep(50 * time.Millisecond)
		for _, dest := range both {
			if w.calls(dest) == 0 {
				t.Errorf("%s: no call although the window is full", dest)
			}
		}
		for range 10 {
			time.Sleep(500 * time.Millisecond)
			for _, dest := range both {
				if n := w.metric("queue_bytes", "destination", dest); n > window+2*fetchBytes/100 {
					t.Errorf("G6: %s: %v bytes wait in a window of %d", dest, n, window)
				}
			}
		}
		b.settles(time.Minute)
	})
}

// TestLogThatGrowsAsItIsRead: where the end of the log is never reached, calls begin when
// the first changes have waited for as long as they may, and go on.
func TestLogThatGrowsAsItIsRead(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		const each = 400 * time.Millisecond // of a fetch, of a hundred changes
		users := numbers(1, 30)
		slow := b.slowly(each, b.leads())
		b.backlog(30, users...)
		w := b.start(slow)
		w.takes(time.Minute, "consumer_records_total")
		read, called := time.Now(), map[string]time.Time{}
		for before := map[string]float64{}; time.Since(read) < 8*time.Second; {
			b.backlog(10, users...)
			for next := time.Now().Add(2 * each); time.Now().Before(next); time.Sleep(10 * time.Millisecond) {
				for _, dest := range both {
					if called[dest].IsZero() && w.calls(dest) > 0 {
						called[dest] = time.Now()
					}
				}
			}
			for _, dest := range both {
				calls := w.calls(dest)
				if before[dest] > 0 && calls == before[dest] {
					t.Errorf("%s: no call after %v", dest, calls)
				}
				before[dest] = calls
			}
		}
		if w.metric("consumer_lag_records") == 0 {
			t.Error("all was read, the test is of no use")
		}
		for _, dest := range both {
			if waited := called[dest].Sub(read); waited < gatherLimit-each || waited > gatherLimit+each {
				t.Errorf("%s: calls began %v after the first change was read, want %v", dest, waited, gatherLimit)
			}
		}
		b.settles(time.Minute)
	})
}

// What was read of a partition is called for when enough was, and when no more can be.
func TestGathered(t *testing.T) {
	now := time.Now()
	for name, tc := range map[string]struct {
		edit func(g *generation, p *owned)
		at   time.Time
		want bool // it goes on
	}{
		"more is to come":     {func(*generation, *owned) {}, now.Add(gatherLimit - 1), true},
		"for long enough":     {func(*generation, *owned) {}, now.Add(gatherLimit), false},
		"not quite the end":   {func(_ *generation, p *owned) { p.front.advance(19) }, now, true},
		"the end as it was":   {func(_ *generation, p *owned) { p.front.advance(20) }, now, false},
		"the window is full":  {func(g *generation, _ *owned) { g.Window = 0 }, now, false},
		"nothing can be read": {func(_ *generation, p *owned) { p.halt = &Halt{Reason: string(haltCorrupt)} }, now, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := &owned{end: headroom, inbox: &portion{fetched: fetched{Next: 10, LastStable: 20}}}
			g := &generation{Config: &Config{Window: 1 << 20}, lane: usync.NewLane(usync.LaneConfig{}), parts: []*owned{p}}
			g.gather(now, p)
			if until := g.gathersUntil(); !until.Equal(now.Add(gatherLimit)) {
				t.Fatalf("gathered until %v", until)
			}
			p.inbox.LastStable = 30 // the log grows
			tc.edit(g, p)
			g.gathered(tc.at)
			if got := !g.gathersUntil().IsZero(); got != tc.want {
				t.Errorf("it goes on: %v", got)
			}
		})
	}
}

// A backlog is gathered once, and another one is when the end of the log was reached.
func TestGatherOnce(t *testing.T) {
	now := time.Now()
	p := &owned{end: headroom}
	g := &generation{Config: &Config{Window: 1 << 20}, lane: usync.NewLane(usync.LaneConfig{}), parts: []*owned{p}}
	for i, tc := range []struct {
		next, end int64
		want      bool
	}{{10, 10, false}, {20, 30, true}, {30, 50, false}, {40, 60, false}, {60, 60, false}, {70, 71, true}} {
		now = now.Add(2 * gatherLimit)
		p.inbox = &portion{fetched: fetched{Next: tc.next, LastStable: tc.end}}
		g.gather(now, p)
		if got := !g.gathersUntil().IsZero(); got != tc.want {
			t.Errorf("fetch %d: gathered: %v", i, got)
		}
		g.gathered(now.Add(gatherLimit))
	}
}
