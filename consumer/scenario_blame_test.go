package consumer

import (
	"runtime"
	"strconv"
	"testing"
	"time"

	"usersync/sync/vendortest"
)

// full is n, or fewer where the tests are to be short: under the race detector the
// large ones take minutes.
func full(n, short int) int {
	if testing.Short() {
		return short
	}
	return n
}

// TestRejectsEverything is scenario d: both vendors reject everything for ten
// minutes, at a change a second.
func TestRejectsEverything(t *testing.T) {
	inBubble(t, 2, func(b *bubble) {
		w := b.start()
		b.hot()
		b.both(vendortest.Rule{Name: "rejects", Status: 400, Code: "40002", Field: "107", For: 10 * time.Minute})
		for i := range 600 {
			b.write(strconv.Itoa(i), name(i))
			time.Sleep(time.Second)
			if i == 300 {
				if got := w.metric("lane_state", "destination", destTaptalk, "reason", "rejected"); got != 1 {
					t.Errorf("the lane is not held after five minutes")
				}
				if n := b.tap.Calls(); n > 60 {
					t.Errorf("%d calls in five minutes to a vendor that rejects everything", n)
				}
			}
		}
		b.settles(10 * time.Minute)
		b.deadLetters(0)
	})
}

// TestOneUserFails is scenario e: a proxy forbids one user, or the vendor breaks on
// one, among good ones.
func TestOneUserFails(t *testing.T) {
	for _, c := range []struct {
		reason string
		rule   vendortest.Rule
	}{
		{"refused", vendortest.Rule{User: "13", Answer: vendortest.HTML, Status: 403}},
		{"retries_exhausted", vendortest.Rule{User: "13", Status: 500}},
	} {
		t.Run(c.reason, func(t *testing.T) {
			inBubble(t, 2, func(b *bubble) {
				b.start()
				b.hot()
				b.both(c.rule)
				b.write("13", name(13))
				for i := range 1800 { // half an hour
					if i%60 != 13 {
						b.write(strconv.Itoa(i%60), name(i))
					}
					time.Sleep(time.Second)
					before := i - 2 // written three seconds ago
					if before < 0 || before%60 == 13 {
						continue
					}
					for _, d := range both {
						if b.has(d, strconv.Itoa(before%60)) != name(before) {
							t.Errorf("%s: user %d was not delivered within 3 s", d, before%60)
						}
					}
				}
				b.commits(30*time.Minute, destTaptalk, destHaptik)
				b.right(destTaptalk, destHaptik)
				for _, d := range []string{destTaptalk, destHaptik} {
					letters, reasons := b.ledger.Letters(d), b.ledger.Reasons(d)
					if letters["13"] != 1 || reasons[c.reason] != 1 || b.ledger.letters(d) != 1 {
						t.Errorf("%s: letters of users %v, reasons %v", d, letters, reasons)
					}
				}
			})
		})
	}
}

// TestManyFailForAWhile is scenario g: 4,000 of 10,000 users get 503 for twenty
// minutes, the others flow.
func TestManyFailForAWhile(t *testing.T) {
	inBubble(t, 2, func(b *bubble) {
		b.start()
		b.hot()
		// The rule draws by user and call; a fixed set of users needs a field.
		b.tap.SetRules(vendortest.Rule{Latency: 20 * time.Millisecond},
			vendortest.Rule{Name: "bad shard", Where: map[string]string{"email": shardEmail}, Status: 503, For: 20 * time.Minute})
		users := numbers(1, full(10_000, 1_000))
		b.writeShard(users, func(i int) bool { return i%5 < 2 })
		time.Sleep(2 * time.Minute)
		missing := 0
		for i, u := range users {
			if i%5 >= 2 && b.has(destTaptalk, u) == "" {
				missing++
			}
		}
		if missing > 0 {
			t.Errorf("%d of the good users have not been delivered after two minutes", missing)
		}
		// The others go on changing: without them nobody would have contrast.
		for i := range 20 * 60 / 5 {
			b.write(users[2+i%2], name(i))
			time.Sleep(5 * time.Second)
		}
		b.settles(20 * time.Minute)
		b.deadLetters(0)
	})
}

// TestWrongKey is scenario m: a wrong TapTalk key for 10,000 changes.
func TestWrongKey(t *testing.T) {
	inBubble(t, 2, func(b *bubble) {
		w := b.start()
		b.hot()
		b.tap.SetKeys(vendortest.Key{ID: "new-" + secret, Secret: secret})
		users := numbers(1, full(10_000, 2_000))
		began := time.Now()
		b.writeAll(users...)
		b.commits(2*time.Minute, destHaptik)
		b.right(destHaptik)
		time.Sleep(10*time.Minute - time.Since(began))
		// Probes: now, and then at 0.2 s, 0.4 s, ... up to every 60 s, jittered by half.
		if n, limit := b.tap.Calls(), 2*16+10+20; n > limit {
			t.Errorf("%d calls with a wrong key in ten minutes, more than %d", n, limit)
		}
		if got := w.metric("lane_state", "destination", destTaptalk, "reason", "refused"); got != 1 {
			t.Error("the lane does not say that it is refused")
		}
		b.key("new-" + secret)
		b.settles(5 * time.Minute)
		b.deadLetters(0)
	})
}

// TestLongOutage is scenario o: Haptik is down for half an hour at 500 changes a
// second of 1,000 users.
func TestLongOutage(t *testing.T) {
	inBubble(t, 2, func(b *bubble) {
		w := b.start()
		b.hot()
		minutes := full(30, 3)
		users := numbers(1, full(1000, 80))
		aMinute := func() {
			for range 30 { // two seconds of changes at once
				b.writeAll(users...)
				time.Sleep(2 * time.Second)
			}
		}
		aMinute()
		well := heapNow()
		aMinute()
		well = heapNow() - well
		b.hap.SetRules(vendortest.Rule{Latency: 20 * time.Millisecond}, vendortest.Rule{Name: "down", Status: 503, For: time.Duration(minutes) * time.Minute})
		var early, late uint64
		for minute := range minutes {
			aMinute()
			if behind := b.behind(destTaptalk); behind > int64(2*len(users)) {
				t.Errorf("G5: taptalk is %d records behind in minute %d", behind, minute)
			}
			switch minute {
			case 0:
				early = heapNow()
			case minutes - 1:
				late = heapNow()
			}
		}
		// The broker and the ledger keep each change, the vendors each call. Both are no
		// more than while all was well, so what waits for Haptik makes the difference.
		down := (late - early) / uint64(minutes-1)
		t.Logf("heap of the whole bubble: %d MB a minute while all was well, %d MB while Haptik was down", well>>20, down>>20)
		if down > well {
			t.Errorf("G6: the heap grew by %d bytes a minute in the outage, by %d before", down, well)
		}
		if q := w.metric("queue_users", "destination", destHaptik); q > float64(len(users)) {
			t.Errorf("%v users wait, of %d", q, len(users))
		}
		if n := w.metric("queue_bytes", "destination", destHaptik); n > float64(len(users)*2<<10) {
			t.Errorf("G6: %v bytes wait for %d users", n, len(users))
		}
		before := b.hap.Calls()
		b.settles(5 * time.Minute)
		// One call for each user; probes, and all users once more if they change while
		// these are under way, come on top.
		if n := b.hap.Calls() - before; n > 2*(len(users)+100) {
			t.Errorf("%d requests after the outage for %d users", n, len(users))
		}
		b.deadLetters(0)
	})
}

func heapNow() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// lifetime is how long the vendor's load balancer lets a connection live: one that is
// never ended would stay with a good node for the whole hour.
const lifetime = time.Minute

// disconnect ends the connections to vendors that no call is using.
func (w *worker) disconnect() {
	for _, t := range w.vendors {
		t.CloseIdleConnections()
	}
}

// TestOneBadNode is scenario q: one of a vendor's four nodes rejects everything for
// an hour.
func TestOneBadNode(t *testing.T) {
	for _, c := range []struct {
		every   time.Duration
		minutes int
		// How a load balancer finds a node: anew for each call, or once for each
		// connection, which stays with it.
		balancer vendortest.Rule
	}{
		{200 * time.Millisecond, full(60, 3), vendortest.Rule{Name: "any", Probability: .25}},
		{20 * time.Second, full(60, 30), vendortest.Rule{Name: "any", Probability: .25}},
		{200 * time.Millisecond, full(60, 15), vendortest.Rule{Name: "sticky", Nodes: 4}},
		{20 * time.Second, full(60, 30), vendortest.Rule{Name: "sticky", Nodes: 4}},
	} {
		t.Run(c.balancer.Name+", a change every "+c.every.String(), func(t *testing.T) {
			inBubble(t, 2, func(b *bubble) {
				w := b.start()
				b.hot()
				length := time.Duration(c.minutes) * time.Minute
				bad := c.balancer
				bad.Status, bad.Code, bad.Field, bad.For = 400, "40002", "107", length
				b.both(bad)
				for i := range int(length / c.every) {
					b.write(strconv.Itoa(i%500), name(i))
					time.Sleep(c.every)
					if time.Duration(i)*c.every%lifetime == 0 {
						w.disconnect()
					}
				}
				for _, d := range both {
					if n := b.hits(d, bad.Name); n < 20 {
						t.Errorf("%s: the bad node had %d calls, too few to show anything", d, n)
					}
				}
				b.settles(10 * time.Minute)
				b.deadLetters(0)
			})
		})
	}
}

// hits is how many calls a rule decided.
func (b *bubble) hits(dest, rule string) int {
	n := 0
	for user := range b.rows {
		for _, v := range b.versions(dest, user) {
			if v.Rule == rule {
				n++
			}
		}
	}
	return n
}

// TestQuietNight is scenario r: the key is rotated, then there is a single change.
func TestQuietNight(t *testing.T) {
	inBubble(t, 2, func(b *bubble) {
		w := b.start()
		b.hot()
		b.write("1", name(1))
		b.settles(time.Minute)
		b.tap.SetKeys(vendortest.Key{ID: "new-" + secret, Secret: secret})
		time.Sleep(time.Duration(full(3, 1)) * time.Hour)
		b.write("2", name(2))
		time.Sleep(10 * time.Second)
		if got := w.metric("lane_state", "destination", destTaptalk, "reason", "refused"); got != 1 {
			t.Error("one refusal of a lone change does not hold the lane")
		}
		time.Sleep(time.Hour)
		b.key("new-" + secret)
		b.settles(3 * time.Minute)
		b.deadLetters(0)
	})
}
