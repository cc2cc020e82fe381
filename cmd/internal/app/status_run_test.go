package app

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"usersync/sync/vendortest"
)

// says waits until the headline of a destination begins like that, and returns the page.
func (p *process) says(within time.Duration, destination, headline string) string {
	p.b.t.Helper()
	status, page := p.get("/")
	for deadline := time.Now().Add(within); !strings.HasPrefix(headlineOf(page, destination), headline); status, page = p.get("/") {
		if time.Now().After(deadline) {
			p.b.t.Fatalf("not within %v: %s: %s\nits page (%d):\n%s\n%s", within, destination, headline, status, page, p.b.logs.String())
		}
		time.Sleep(100 * time.Millisecond) // virtual time
	}
	if status != http.StatusOK {
		p.b.t.Errorf("the status page: %d", status)
	}
	if strings.Contains(page, planted) {
		p.b.t.Errorf("the status page holds personal data or a secret:\n%s", page)
	}
	return page
}

const allInSync = "Every user of these 2 partitions is in sync"

// TestStatusOfTrouble: the page of a real worker says what is wrong while it is, and
// that it is not any more afterwards; the other destination's part stays as it is.
func TestStatusOfTrouble(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		c := b.config(b.controlled(), func(c *Config) { c.DeadLetters.Budget = 1 })
		p := b.start(c)
		p.says(time.Minute, taptalkName, allInSync) // also with nothing in the topic at all
		b.change(1, "first")
		b.holds(time.Minute, 1, "first")
		p.says(time.Minute, taptalkName, allInSync)

		// The vendor is down, and up again.
		b.tap.SetRules(vendortest.Rule{Status: 503})
		since := clock(time.Now())
		b.change(1, "second")
		b.change(2, "second")
		page := p.says(time.Minute, taptalkName, "Not every user is in sync, since "+since+" (")
		for _, want := range []string{
			"held: the destination fails for everyone (last: 503xx).", "<td>failed</td><td>503xx</td>", "<title>trouble · usersync</title>",
		} {
			if !strings.Contains(page, want) {
				t.Errorf("no %q in\n%s", want, page)
			}
		}
		p.says(time.Minute, haptikName, allInSync)
		b.tap.SetRules()
		b.holds(3*time.Minute, 2, "second")
		page = p.says(time.Minute, taptalkName, allInSync)
		if !strings.Contains(page, "<td>failed</td><td>503xx</td>") {
			t.Error("the last errors are forgotten with the trouble")
		}

		// A wrong key.
		b.secret("wrong")
		b.tap.SetKeys(vendortest.Key{ID: "id", Secret: "new"})
		b.change(1, "third")
		p.says(time.Minute, taptalkName, "Not every user is in sync, since "+clock(time.Now())+" (")
		if got := headlineOf(p.says(time.Minute, taptalkName, "Not every user"), taptalkName); !strings.Contains(got, "held: the destination refuses the credentials") {
			t.Errorf("a wrong key is said to be: %s", got)
		}
		b.secret("new")
		p.says(3*time.Minute, taptalkName, allInSync)

		// An operator pauses it and resumes it.
		if _, err := b.say(c, taptalkName, false, pause); err != nil {
			t.Fatal(err)
		}
		page = p.says(time.Minute, taptalkName, "Nothing waits at the moment, but: an operator has paused the destination.")
		if want := "<code>usersync resume taptalk -c FILE</code>"; !strings.Contains(page, want) {
			t.Errorf("no %q", want)
		}
		b.change(1, "fourth")
		p.says(time.Minute, taptalkName, "Not every user is in sync, since ")
		if _, err := b.say(c, taptalkName, false, resume); err != nil {
			t.Fatal(err)
		}
		b.holds(time.Minute, 1, "fourth")
		p.says(time.Minute, taptalkName, allInSync)
	})
}

// TestStatusOfLatch: users at fault, more than the budget, and what the page says when
// they are right again.
func TestStatusOfLatch(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		p := b.start(b.config(func(c *Config) { c.DeadLetters.Budget = 1 }))
		p.ready()
		for user := range 3 {
			b.tap.AddRule(vendortest.Rule{User: fmt.Sprint(user + 1), Code: "40002", Field: "fullName"})
			b.change(user+1, "bad")
		}
		for i := range 60 {
			b.change(9, fmt.Sprint("other ", i)) // someone to compare with
			time.Sleep(time.Second)
		}
		page := p.says(time.Minute, taptalkName, "Not every user is in sync, since ")
		for _, want := range []string{
			"latched: more records are at fault than dead_letters.budget (1), so none is given up.",
			"<code>usersync dead-letters accept taptalk -c FILE</code>",
			"<td>rejected</td><td>40002</td><td>fullName</td>",
			"0 written; 3 waiting for release, with a budget of 1;",
		} {
			if !strings.Contains(page, want) {
				t.Errorf("no %q in\n%s", want, page)
			}
		}
		b.tap.SetRules()
		page = p.says(5*time.Minute, taptalkName, allInSync)
		if strings.Contains(page, "latched") {
			t.Error("it still speaks of the latch")
		}
	})
}

// TestStatusOfPartitions: who owns what, from the page of each of two workers.
func TestStatusOfPartitions(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		first, second := b.start(b.config()), b.start(b.config())
		for _, p := range []*process{first, second} {
			page := sectionOf(p.says(2*time.Minute, taptalkName, "Every user of this partition is in sync."), taptalkName)
			if !regexp.MustCompile(`<dd>usersync\.taptalk, joined \d+ times?; member \S+</dd>`).MatchString(page) {
				t.Errorf("it does not say as what member Kafka knows it:\n%s", page)
			}
			if want := "This worker owns 1 of 2 partitions, with a lag of 0 records. The rest (1) belongs to other members"; !strings.Contains(page, want) {
				t.Errorf("no %q in\n%s", want, page)
			}
		}
		second.end()
		if err := second.wait(time.Minute); err != nil {
			t.Error(err)
		}
		// The other destination has a group of its own, which may have a member more for a moment.
		page := sectionOf(first.says(2*time.Minute, taptalkName, allInSync), taptalkName)
		if want := "This worker owns 2 of 2 partitions, with a lag of 0 records."; !strings.Contains(page, want) || strings.Contains(page, "The rest") {
			t.Errorf("no %q, or there is a rest, in\n%s", want, page)
		}
	})
}

// TestStatusOfHalt: retention wins against workers that are down; an operator accepts it.
func TestStatusOfHalt(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		c := b.config(b.controlled(), func(c *Config) { c.Kafka.Topics = []string{"people"} })
		if err := b.kafka.CreateTopic("people", 1, nil); err != nil {
			t.Fatal(err)
		}
		p := b.start(c)
		p.ready()
		b.changeIn("people", 1, "Ann")
		b.holds(time.Minute, 1, "Ann")
		p.says(time.Minute, taptalkName, "Every user of this partition is in sync.")
		time.Sleep(10 * time.Second) // until it is committed
		p.stop()
		for user := range 4 {
			b.changeIn("people", 2+user, "Bob")
		}
		if err := b.kafka.DeleteRecords("people", 0, 3); err != nil {
			t.Fatal(err)
		}
		p = b.start(c)
		page := p.says(time.Minute, taptalkName, "Not every user is in sync, as far as is known: 1 partition is not read any further (out_of_range_below).")
		for _, want := range []string{"<td>halted: out_of_range_below</td>", "<code>usersync offsets accept-loss taptalk -c FILE</code>"} {
			if !strings.Contains(page, want) {
				t.Errorf("no %q in\n%s", want, page)
			}
		}
		// What is halted is not committed, and needs no lease.
		time.Sleep(2 * time.Minute)
		if _, page := p.get("/"); strings.Contains(page, "no call may start") {
			t.Errorf("a lease is asked for, for nothing, in\n%s", page)
		}
		if _, err := b.acceptLoss(c, "", true); err != nil {
			t.Fatal(err)
		}
		p.says(time.Minute, taptalkName, "Every user of this partition is in sync.")
	})
}

// TestStatusOfSilence: a partition that cannot be fetched has no lag that grows, but what
// it holds by now nobody knows.
func TestStatusOfSilence(t *testing.T) {
	inBubble(t, func(_ *testing.T, b *bubble) {
		p := b.start(b.config())
		p.says(time.Minute, taptalkName, allInSync)
		fault := b.kafka.Fault(kfake.Fault{
			Keys: []kmsg.Key{kmsg.Fetch}, Topic: "users", Partitions: []int32{1}, Err: kerr.NotLeaderForPartition, Count: -1,
		})
		page := p.says(time.Minute, taptalkName, "Not every user is in sync, as far as is known: 1 partition is not read (fetch): ")
		if want := "<td>waits: fetch</td><td class=\"n\">0</td>"; !strings.Contains(page, want) {
			b.t.Errorf("no %q in\n%s", want, page)
		}
		fault.Remove()
		p.says(time.Minute, taptalkName, allInSync)
	})
}

// TestStatusBeforeJoining: a worker that waits for its topics says for what.
func TestStatusBeforeJoining(t *testing.T) {
	inBubble(t, func(_ *testing.T, b *bubble) {
		p := b.start(b.config(func(c *Config) { c.Kafka.Topics = []string{"later"} }))
		page := p.says(time.Minute, haptikName, "This worker brings no user up to date: no such topic: [later]; create it or check kafka.topics.")
		if want := "joined 0 times; no member at the moment"; !strings.Contains(page, want) {
			b.t.Errorf("no %q in\n%s", want, page)
		}
	})
}
