package consumer

import (
	"strconv"
	"testing"
	"time"

	"usersync/sync/vendortest"
)

// both sets the same script at both vendors.
func (b *bubble) both(rules ...vendortest.Rule) {
	rules = append([]vendortest.Rule{{Latency: 20 * time.Millisecond}}, rules...)
	b.tap.SetRules(rules...)
	b.hap.SetRules(rules...)
}

// hot waits until both groups are members and have proven it.
func (b *bubble) hot() {
	b.t.Helper()
	for _, w := range b.alive {
		for _, p := range w.pipelines {
			for p.Ready() != nil {
				time.Sleep(100 * time.Millisecond)
			}
		}
	}
	time.Sleep(2 * time.Second)
}

// TestAppliedLate is scenario a: v1 is applied 15 s after its client gave up, when
// v2 was delivered already; also with a rebalance in between.
func TestAppliedLate(t *testing.T) {
	for _, rebalance := range []bool{false, true} {
		t.Run("rebalance="+strconv.FormatBool(rebalance), func(t *testing.T) {
			inBubble(t, 2, func(b *bubble) {
				w := b.start()
				b.hot()
				b.write("1", name(0))
				b.commits(time.Minute, destTaptalk, destHaptik)
				b.both(vendortest.Rule{Name: "late", Answer: vendortest.Hang, ApplyAfter: 25 * time.Second, First: 1, Last: 1, User: "1"})
				b.write("1", name(1))
				time.Sleep(time.Second)
				b.write("1", name(2))
				if rebalance {
					time.Sleep(12 * time.Second)
					b.start()
					time.Sleep(3 * time.Second)
					w.stop()
				}
				time.Sleep(5 * time.Minute)
				b.settles(time.Minute)
				for _, d := range []string{destTaptalk, destHaptik} {
					order := b.applied(d, "1")
					if late := index(order, name(1)); late < 0 || late < index(order, name(2)) {
						t.Errorf("%s: v1 did not come late, the test is of no use: %v", d, order)
					}
				}
			})
		})
	}
}

// index is where v stands in list first, or -1.
func index(list []string, v string) int {
	for i, s := range list {
		if s == v {
			return i
		}
	}
	return -1
}

// applied lists the names that a vendor saved for a user, in that order.
func (b *bubble) applied(dest, user string) []string {
	field := "fullName"
	if dest == destHaptik {
		field = "name"
	}
	versions := b.versions(dest, user)
	names := make([]string, len(versions))
	byOrder := map[int]string{}
	last := 0
	for _, v := range versions {
		if v.Verdict == vendortest.Applied {
			byOrder[v.Order] = bodyField(v.Body, field)
			last = max(last, v.Order)
		}
	}
	names = names[:0]
	for i := range last + 1 {
		if s, ok := byOrder[i]; ok {
			names = append(names, s)
		}
	}
	return names
}

// TestBackToTheOldValue is scenario b: A is delivered, then B is applied but its
// reply is lost, then A is wanted again.
func TestBackToTheOldValue(t *testing.T) {
	for _, kill := range []bool{false, true} {
		t.Run("kill="+strconv.FormatBool(kill), func(t *testing.T) {
			inBubble(t, 2, func(b *bubble) {
				w := b.start()
				b.hot()
				b.write("1", name(1))
				b.commits(time.Minute, destTaptalk, destHaptik)
				b.both(vendortest.Rule{Name: "dropped", Answer: vendortest.Reset, Apply: true, User: "1", Last: 2, PerUser: true})
				b.write("1", name(2))
				time.Sleep(40 * time.Millisecond)
				b.write("1", name(1))
				if kill {
					time.Sleep(100 * time.Millisecond)
					w.kill()
					b.start()
				}
				time.Sleep(5 * time.Minute)
				b.settles(time.Minute)
				if got := b.applied(destTaptalk, "1"); index(got, name(2)) < 0 {
					t.Errorf("B was never applied, the test is of no use: %v", got)
				}
			})
		})
	}
}

// TestKilledWithNewerWaiting is scenario c: killed after v1 was settled, with v2
// waiting.
func TestKilledWithNewerWaiting(t *testing.T) {
	inBubble(t, 2, func(b *bubble) {
		w := b.start()
		b.hot()
		b.write("1", name(1))
		time.Sleep(10 * time.Millisecond) // v1 is in flight
		b.both(vendortest.Rule{Name: "down", Status: 503, For: time.Minute})
		b.write("1", name(2))
		time.Sleep(3 * time.Second)
		if got := b.has(destTaptalk, "1"); got != name(1) {
			t.Fatalf("v1 was not delivered first: %q", got)
		}
		w.kill()
		b.start()
		b.settles(10 * time.Minute)
	})
}

// TestDeleteWhileTheCreateFails is scenario p: the create is in flight and fails
// after the delete has come.
func TestDeleteWhileTheCreateFails(t *testing.T) {
	inBubble(t, 2, func(b *bubble) {
		b.start()
		b.hot()
		b.both(vendortest.Rule{Name: "slow and down", Latency: 2 * time.Second, Status: 503, For: 10 * time.Second})
		b.write("1", name(1))
		time.Sleep(time.Second)
		b.delete("1")
		time.Sleep(5 * time.Minute)
		b.commits(time.Minute, destTaptalk, destHaptik)
		for _, d := range []string{destTaptalk, destHaptik} {
			if got := b.applied(d, "1"); len(got) > 0 {
				t.Errorf("%s created a user that is deleted", d)
			}
			if n := len(b.versions(d, "1")); n == 0 || n > 2 { // Haptik's attempt may be a PUT and a POST
				t.Errorf("%s was called %d times for it, want once", d, n)
			}
		}
	})
}

// TestKilledOnTheWire is scenario s: the last call of a killed worker is applied
// 12 s after the new owner's newer one.
func TestKilledOnTheWire(t *testing.T) {
	inBubble(t, 2, func(b *bubble) {
		w := b.start()
		b.hot()
		b.write("1", name(0))
		b.commits(time.Minute, destTaptalk, destHaptik)
		// The session of the killed worker runs out after 45 s; the new owner's call
		// comes right then.
		b.both(vendortest.Rule{Name: "late", Answer: vendortest.Hang, ApplyAfter: 58 * time.Second, User: "1", Last: 1})
		b.write("1", name(1))
		time.Sleep(time.Second)
		w.kill()
		b.start()
		b.write("1", name(2))
		time.Sleep(5 * time.Minute)
		b.settles(time.Minute)
		for _, d := range []string{destTaptalk, destHaptik} {
			order := b.applied(d, "1")
			if late := index(order, name(1)); late < 1 || late < index(order, name(2)) {
				t.Errorf("%s: the killed worker's call did not come late: %v", d, order)
			}
		}
	})
}

// TestPartitionsAreAdded is scenario j: two partitions become four under load.
func TestPartitionsAreAdded(t *testing.T) {
	inBubble(t, 2, func(b *bubble) {
		b.start()
		b.start()
		b.hot()
		for i := range 200 {
			b.write(strconv.Itoa(i%40), name(i))
		}
		// A backlog that outlasts the look at the new partitions, which are another
		// worker's: only waiting keeps that one from overtaking.
		b.both(vendortest.Rule{Name: "down", Status: 503, For: 40 * time.Second}, vendortest.Rule{Name: "slow", Latency: 3 * time.Second, For: 2 * time.Minute})
		for i := range 200 {
			b.write(strconv.Itoa(i%40), name(1000+i))
		}
		b.grow(4)
		for i := range 400 {
			b.write(strconv.Itoa(i%40), name(2000+i))
		}
		b.settles(10 * time.Minute)
		for user := range b.rows {
			for _, d := range []string{destTaptalk, destHaptik} {
				newest := -1
				for _, v := range b.applied(d, user) {
					n := number(v)
					if n < newest {
						t.Errorf("G3: %s went back to %d after %d for user %s", d, n, newest, user)
					}
					newest = max(newest, n)
				}
			}
		}
		if got := len(b.ends); got != 4 {
			t.Errorf("%d partitions were written to, not 4", got)
		}
	})
}
