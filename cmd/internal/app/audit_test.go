package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	usync "usersync/sync"
	"usersync/sync/vendortest"
)

// desk returns one for commands that look at the deployment from outside.
func (b *bubble) desk(c *Config) *desk {
	b.t.Helper()
	d, err := newDesk(c, "test", &b.logs, b.outside())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(d.close)
	return d
}

// letters is how many dead letters there are.
func (b *bubble) letters(c *Config) int64 {
	b.t.Helper()
	extents, err := b.desk(c).extents(b.t.Context(), "dead")
	if err != nil {
		b.t.Fatal(err)
	}
	return length(extents)
}

// rejected makes TapTalk reject user 2 until the change is given up, while user 100
// changes all the time.
func (b *bubble) rejected(c *Config) {
	b.t.Helper()
	b.tap.AddRule(vendortest.Rule{User: "2", Code: "40002", Field: "fullName"})
	before := b.letters(c)
	b.change(2, "rejected")
	b.until(5*time.Minute, "a dead letter", func() bool {
		b.change(100, fmt.Sprint(time.Now().UnixNano()))
		return b.letters(c) > before
	})
}

// idle waits until the groups have committed everything.
func (b *bubble) idle(c *Config) {
	b.t.Helper()
	d := b.desk(c)
	b.until(5*time.Minute, "everything is committed", func() bool {
		extents, err := d.extents(b.t.Context(), c.Kafka.fetched()...)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, t := range d.targets {
			commits, err := d.committed(b.t.Context(), t.name, c.Kafka.fetched()...)
			if err != nil {
				b.t.Fatal(err)
			}
			for _, x := range extents {
				if x.end > 0 && commits[x.TopicPartition].Offset < x.end {
					return false
				}
			}
		}
		return true
	})
}

// audit returns what an audit of one destination says of users, as "1 pending", and the
// whole report.
func (b *bubble) audit(c *Config, o AuditOptions, destination string) (wrong []string, r auditReport, err error) {
	b.t.Helper()
	var out bytes.Buffer
	o.JSON, o.ShowIDs = true, true
	err = runAudit(b.t.Context(), c, o, &out, &b.logs, b.outside())
	if e := json.Unmarshal(out.Bytes(), &r); e != nil {
		b.t.Fatalf("%v, error %v", e, err)
	}
	for _, x := range r.Destinations {
		if x.Name == destination {
			for _, u := range x.Users {
				wrong = append(wrong, fmt.Sprintf("%s %s %s", u.User, u.Verdict, u.Cause))
			}
		}
	}
	slices.Sort(wrong)
	return wrong, r, err
}

// TestAuditWithoutState: what the offsets and the dead-letter topic tell.
func TestAuditWithoutState(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		c := b.config()
		p := b.start(c)
		p.ready()
		for user := range 5 {
			b.change(user, "first")
		}
		b.rejected(c)
		b.row(3, `bad`) // undecodable, and the key says whose it is
		b.row(4, "")
		b.until(5*time.Minute, "the letters of both for user 3", func() bool { b.change(100, "x"); return b.letters(c) == 3 })
		b.idle(c)
		wrong, r, err := b.audit(c, AuditOptions{}, taptalkName)
		if want := []string{"2 dead_lettered rejected", "3 dead_lettered undecodable"}; !slices.Equal(wrong, want) || err == nil {
			t.Errorf("taptalk: %q, error %v, want %q", wrong, err, want)
		}
		if got := r.Destinations[1].Counts; r.Users != 4 || r.Undecodable != 1 || !maps.Equal(got, map[verdict]int{settled: 4, deadLettered: 1, gone: 1}) {
			t.Errorf("%d users, %d undecodable, haptik %v", r.Users, r.Undecodable, got)
		}
		if !strings.Contains(strings.Join(r.Remarks, "\n"), "kafka.state_topic is not set") {
			t.Errorf("it does not say what it cannot know: %q", r.Remarks)
		}

		p.stop()
		b.change(1, "second")
		b.change(2, "second") // a letter about an older change says nothing any more
		if wrong, _, _ := b.audit(c, AuditOptions{}, taptalkName); !slices.Equal(wrong, []string{"1 pending ", "2 pending ", "3 dead_lettered undecodable"}) {
			t.Errorf("after the worker has ended: %q", wrong)
		}
		time.Sleep(time.Minute) // virtual time
		began := time.Now()
		for _, user := range []int{1, 2, 3, 100} {
			b.change(user, "third") // a snapshot, without user 0
		}
		if wrong, _, _ := b.audit(c, AuditOptions{Snapshot: began}, haptikName); !slices.Equal(wrong, []string{"0 orphaned ", "1 pending ", "100 pending ", "2 pending ", "3 pending "}) {
			t.Errorf("after a snapshot: %q", wrong)
		}
		var out bytes.Buffer
		err = runAudit(t.Context(), c, AuditOptions{Limit: 1}, &out, &b.logs, b.outside())
		if err == nil || err.Error() != "8 users are not in sync, or it cannot be told" {
			t.Errorf("error %v", err)
		}
		for _, want := range []string{"5 users have a row", "pending  4", "and 3 more; --limit 0 lists all", "privacy.hash_key is not set"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("no %q in\n%s", want, out.String())
			}
		}
	})
}

// TestJudge takes the rules one by one.
func TestJudge(t *testing.T) {
	mine, other := usync.Fingerprint{1}, usync.Fingerprint{2}
	held := func(offset int64, of usync.Fingerprint) usync.Version {
		return usync.Version{Status: usync.Held, Offset: offset, Print: of}
	}
	row := facts{op: usync.Upsert, offset: 10, end: 20, settled: true, kept: true, mapped: true, print: mine}
	with := func(edit func(*facts)) facts {
		f := row
		edit(&f)
		return f
	}
	unsettled := with(func(f *facts) { f.settled = false })
	deleted := with(func(f *facts) { f.op, f.mapped = usync.Delete, false })
	tests := []struct {
		name string
		f    facts
		v    usync.Version
		want verdict
	}{
		{"delivered", row, held(10, mine), inSync},
		{"the newest needed no call", row, held(5, mine), inSync},
		{"what is held may be about to be overwritten", unsettled, held(5, mine), pending},
		{"delivered, not committed", unsettled, held(10, mine), inSync},
		{"delivered with a letter of an earlier attempt", with(func(f *facts) { f.letter = true }), held(10, mine), inSync},
		{"given up", with(func(f *facts) { f.letter = true }), held(5, other), deadLettered},
		{"given up, not committed", with(func(f *facts) { f.letter, f.settled = true, false }), usync.Version{}, deadLettered},
		{"a newer one was delivered meanwhile", row, held(20, other), inSync},
		{"a newer one is under way", row, usync.Version{Status: usync.Unknown, Offset: 20}, pending},
		{"one of the log that was read is unknown", row, usync.Version{Status: usync.Unknown, Offset: 10}, unknownHeld},
		{"state lost", row, usync.Version{}, neverDelivered},
		{"another mapping", row, held(10, other), differing},
		{"another mapping, that has no payload for it", with(func(f *facts) { f.mapped = false }), held(10, usync.Fingerprint{}), differing},
		{"values were filled in", with(func(f *facts) { f.incomplete = true }), held(10, other), delivered},
		{"values were left out, and what is held has none", with(func(f *facts) { f.incomplete = true }), held(10, mine), inSync},
		{"values were left out of a row that is gone", with(func(f *facts) { f.incomplete, f.vanished = true, true }), held(10, other), orphaned},
		{"values may have been filled in, but it is an older one", with(func(f *facts) { f.incomplete = true }), held(9, other), differing},
		{"no state", with(func(f *facts) { f.kept = false }), usync.Version{}, settled},
		{"a delete that was seen", deleted, usync.Version{Status: usync.Deleted, Offset: 10}, gone},
		{"a delete of nobody", deleted, usync.Version{}, gone},
		{"a delete that was passed over", deleted, held(9, mine), orphaned},
		{"a delete that waits", with(func(f *facts) { f.op, f.settled = usync.Delete, false }), held(9, mine), pending},
		{"a delete that was sent", with(func(f *facts) { f.op = usync.Delete }), usync.Version{Status: usync.Deleted, Offset: 10, Print: mine}, gone},
		{"a delete that is to be sent", with(func(f *facts) { f.op, f.settled = usync.Delete, false }), usync.Version{Status: usync.Unknown}, pending},
		{"a delete that was rejected", with(func(f *facts) { f.op, f.letter = usync.Delete, true }), held(9, mine), deadLettered},
		{"a delete from before deletes were sent", with(func(f *facts) { f.op = usync.Delete }), usync.Version{Status: usync.Deleted, Offset: 10}, orphaned},
		{"a delete that may have been sent", with(func(f *facts) { f.op = usync.Delete }), usync.Version{Status: usync.Unknown, Offset: 10}, unknownHeld},
		{"a delete of which nothing is known", with(func(f *facts) { f.op = usync.Delete }), usync.Version{}, neverDelivered},
		{"held, and no row in the snapshot", with(func(f *facts) { f.vanished = true }), held(10, mine), orphaned},
		{"unknown, and no row in the snapshot", with(func(f *facts) { f.vanished = true }), usync.Version{Status: usync.Unknown, Offset: 10}, orphaned},
		{"nothing held, and no row in the snapshot", with(func(f *facts) { f.vanished = true }), usync.Version{}, gone},
		{"undecodable, its letter gone", with(func(f *facts) { f.op = unreadable }), held(9, mine), deadLettered},
		{"undecodable, not settled", with(func(f *facts) { f.op, f.settled = unreadable, false }), held(9, mine), pending},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.f.judge(tt.v); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}
