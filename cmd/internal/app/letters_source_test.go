package app

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"usersync/consumer"
	"usersync/consumer/event"
	"usersync/sync/vendortest"
)

// inPeople is like inLetterOffice, but the source is the topic "people", of one partition
// and with its own settings, and TapTalk has rejected the change "old" of user 1 alone,
// which is at offset 2.
func inPeople(t *testing.T, configs map[string]string, edit func(*Config), test func(t *testing.T, o *letterOffice)) {
	t.Helper()
	inBubble(t, func(t *testing.T, b *bubble) {
		for topic, configs := range map[string]map[string]string{"people": configs, "again": nil} {
			if err := b.kafka.CreateTopic(topic, 1, configs); err != nil {
				t.Fatal(err)
			}
		}
		c := b.config(b.controlled(), func(c *Config) { c.Kafka.Topics, c.Kafka.RetryTopic = []string{"people"}, "again" }, edit)
		o := &letterOffice{bubble: b, c: c, p: b.start(c)}
		o.p.ready()
		b.tap.AddRule(vendortest.Rule{User: "1", Code: "40002", Field: "fullName"})
		b.changeIn("people", 8, "first")
		b.changeIn("people", 9, "first")
		b.changeIn("people", 1, "old")
		for i := range 60 {
			b.changeIn("people", 3, fmt.Sprint("other ", i)) // someone to compare with
			time.Sleep(time.Second)
		}
		o.p.shows(time.Minute, `usersync_dead_letters_total{destination="taptalk",reason="rejected"} 1`)
		b.tap.SetRules()
		b.idle(c)
		test(t, o)
	})
}

// stopped ends the worker, and returns what starts it again.
func (o *letterOffice) stopped() (start func()) {
	o.t.Helper()
	o.p.stop()
	return func() { o.p = o.start(o.c); o.p.ready() }
}

// refusesGone replays the letter of user 1, whose record is gone, and checks that list,
// show and replay say so, and that TapTalk still holds want.
func (o *letterOffice) refusesGone(want string) {
	o.t.Helper()
	const gone = "the source no longer has the record at people/0@2: a newer one may have been removed; change the row, or resync"
	letters := o.list(LetterFilter{User: "1"})
	if len(letters) != 1 || !letters[0].Gone || letters[0].Superseded {
		o.t.Errorf("listed %+v, want one whose record is gone", letters)
	}
	var shown strings.Builder
	if err := showLetter(o.t.Context(), o.c, letters[0].ID, false, false, &shown, &o.logs, o.outside()); err != nil || !strings.Contains(shown.String(), gone) {
		o.t.Errorf("shown is %s, error %v", shown.String(), err)
	}
	out, err := o.replay(LetterFilter{User: "1"}, false)
	if fmt.Sprint(err) != "1 dead letters could not be replayed" || !strings.Contains(out, gone) {
		o.t.Errorf("printed %s, error %v", out, err)
	}
	time.Sleep(5 * time.Minute) // virtual time
	if got := o.tap.Current("1")["fullName"]; got != want {
		o.t.Errorf("TapTalk holds %q, want %q", got, want)
	}
}

// TestReplayOfADeletedUser: compaction has removed the delete of a user, and the row
// before it. A letter with that row does not bring the user back.
func TestReplayOfADeletedUser(t *testing.T) {
	for name, keep := range map[string]func(*Config){"remembers": remembers, "not remembers": func(*Config) {}} {
		t.Run(name, func(t *testing.T) {
			compacted := map[string]string{"cleanup.policy": "compact", "delete.retention.ms": "3600000"}
			edit := func(c *Config) { c.TapTalk.Deletes = "anonymize"; keep(c) }
			inPeople(t, compacted, edit, func(t *testing.T, o *letterOffice) {
				if err := o.out.ProduceSync(t.Context(), &kgo.Record{Topic: "people", Key: []byte(`{"id":1}`)}).FirstErr(); err != nil {
					t.Fatal(err)
				}
				o.until(time.Minute, "the user is anonymized", func() bool { return o.tap.Current("1")["fullName"] == "Deleted User" })
				o.idle(o.c)
				start := o.stopped()
				for range 2 { // the first removes the row, the second the delete
					time.Sleep(2 * time.Hour) // virtual time
					o.changeIn("people", 3, "later")
					o.changeIn("people", 3, "last")
					o.kafka.Compact()
				}
				start()
				o.refusesGone("Deleted User")
			})
		})
	}
}

// TestReplayFromAnotherLog: the source was made anew, and has another record where that
// of the letter was. The user's newest row lies before it.
func TestReplayFromAnotherLog(t *testing.T) {
	inPeople(t, nil, remembers, func(t *testing.T, o *letterOffice) {
		start := o.stopped()
		if err := o.kafka.DeleteTopic("people"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // virtual time
		if err := o.kafka.CreateTopic("people", 1, nil); err != nil {
			t.Fatal(err)
		}
		o.reconnect()
		o.changeIn("people", 1, "new") // a new snapshot
		for i := range 100 {
			o.changeIn("people", 3, fmt.Sprint("snapshot ", i))
		}
		start()
		time.Sleep(time.Minute) // virtual time: the log is known to be another one
		for _, d := range []string{taptalkName, haptikName} {
			if err := acceptLoss(t.Context(), o.c, d, "", true, false, &o.logs, o.outside()); err != nil {
				t.Fatal(err)
			}
		}
		o.holds(5*time.Minute, 1, "new")
		o.idle(o.c)
		o.refusesGone(planted + " new")
	})
}

// reconnect lets the database's side forget what it knows of topics.
func (b *bubble) reconnect() {
	b.t.Helper()
	out, err := kgo.NewClient(kgo.SeedBrokers(b.kafka.ListenAddrs()...), kgo.Dialer(b.net.DialContext))
	if err != nil {
		b.t.Fatal(err)
	}
	b.out.Close()
	b.out = out
	b.t.Cleanup(out.Close)
}

// grown gives topics more partitions, with no worker looking: users move.
func (o *letterOffice) grown(partitions int32, topics ...string) {
	o.t.Helper()
	start := o.stopped()
	for _, topic := range topics {
		r := kmsg.NewPtrCreatePartitionsRequest()
		x := kmsg.NewCreatePartitionsRequestTopic()
		x.Topic, x.Count = topic, partitions
		r.Topics, r.TimeoutMillis = append(r.Topics, x), 1000
		if res, err := r.RequestWith(o.t.Context(), o.out); err != nil || res.Topics[0].ErrorCode != 0 {
			o.t.Fatal(err, res)
		}
	}
	o.reconnect()
	start()
}

// TestReplayAfterPartitionsWereAdded: what is newer may be in another partition, and what
// is in another partition may be older.
func TestReplayAfterPartitionsWereAdded(t *testing.T) {
	inPeople(t, nil, remembers, func(t *testing.T, o *letterOffice) {
		o.changeIn("people", 9, "later than the letter of user 1")
		o.idle(o.c)
		o.grown(7, "people", "again", "state")
		moved := func(user int) {
			t.Helper()
			if !o.explained(o.c, user).Several {
				t.Fatalf("user %d has not moved to another partition", user)
			}
		}
		o.changeIn("people", 1, "new")
		o.holds(5*time.Minute, 1, "new")
		o.idle(o.c)
		moved(1)
		if l := o.list(LetterFilter{User: "1"})[0]; !l.Superseded || l.Gone {
			t.Errorf("listed %+v, want it superseded by what is in another partition", l)
		}
		if out, err := o.replay(LetterFilter{User: "1"}, false); err == nil || !strings.Contains(out, "superseded: a newer change") {
			t.Errorf("printed %s, error %v", out, err)
		}
		time.Sleep(5 * time.Minute) // virtual time
		if got := o.tap.Current("1")["fullName"]; got != planted+" new" {
			t.Errorf("TapTalk holds %q", got)
		}

		o.tap.AddRule(vendortest.Rule{User: "9", Code: "40002", Field: "fullName"})
		o.changeIn("people", 9, "moved")
		for i := range 60 {
			o.changeIn("people", 3, fmt.Sprint("other ", i)) // someone to compare with
			time.Sleep(time.Second)
		}
		o.tap.SetRules()
		o.idle(o.c)
		moved(9)
		if out, _ := o.replay(LetterFilter{}, false); !strings.Contains(out, "1 replayed, 0 done before, 1 refused") {
			t.Errorf("what is older in another partition: printed %s", out)
		}
		o.holds(time.Minute, 9, "moved")
	})
}

// TestLettersAreSearchedOnce: to know what becomes of many letters takes no more fetches
// of the source than of one.
func TestLettersAreSearchedOnce(t *testing.T) {
	inPeople(t, nil, func(*Config) {}, func(t *testing.T, o *letterOffice) {
		o.stopped()
		fetches := func(letters int) int {
			t.Helper()
			seen := o.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "people", Observe: true, Count: -1})
			defer seen.Remove()
			if got := o.list(LetterFilter{}); len(got) != letters {
				t.Fatalf("%d letters, want %d", len(got), letters)
			}
			return seen.Hits()
		}
		one := fetches(1)
		for offset := range 40 {
			r := &kgo.Record{Topic: "dead", Key: []byte(`{"id":3}`), Value: []byte(`{}`)}
			for name, text := range map[string]string{
				"destination": taptalkName, "reason": "r", "source.topic": "people", "source.partition": "0", "source.offset": fmt.Sprint(offset),
			} {
				r.Headers = append(r.Headers, kgo.RecordHeader{Key: "usersync." + name, Value: []byte(text)})
			}
			if err := o.out.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		// A fetch that brings nothing, or is lost, is repeated.
		if many := fetches(41); one == 0 || many > one+5 {
			t.Errorf("%d fetches for 41 letters, and %d for one", many, one)
		}
	})
}

// TestLetterIsOfItsRecord: a record at the place of a letter's may be another one.
func TestLetterIsOfItsRecord(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		keys, err := b.desk(b.config()).decoder()
		if err != nil {
			t.Fatal(err)
		}
		f := &letterFile{keys: keys}
		at := time.UnixMilli(1_800_000_000_123)
		r := &event.Record{
			Key: []byte(`{"id":1}`), Time: at.Add(time.Second),
			Value: fmt.Appendf(nil, `{"before":null,"after":{"id":1},"source":{"schema":"public","table":"users","ts_ms":%d},"op":"u"}`, at.UnixMilli()),
		}
		original := func(key, value string) *deadLetter {
			return &deadLetter{user: "1", sum: sumOf([]byte(key), []byte(value)), letter: consumer.DeadLetter{Original: true}}
		}
		reference := func(user string, at time.Time) *deadLetter {
			return &deadLetter{user: user, letter: consumer.DeadLetter{SourceTime: at}}
		}
		for name, tc := range map[string]struct {
			letter *deadLetter
			want   bool
		}{
			"as it was":                         {original(string(r.Key), string(r.Value)), true},
			"another value":                     {original(string(r.Key), string(r.Value)+" "), false},
			"another key":                       {original(`{"id":2}`, string(r.Value)), false},
			"a reference, of the source's time": {reference("1", at), true},
			"a reference, of Kafka's time":      {reference("1", r.Time), true},
			"a reference, of another time":      {reference("1", at.Add(time.Millisecond)), false},
			"a reference, of no time":           {reference("1", time.Time{}), false},
			"a reference, of somebody else":     {reference("2", at), false},
		} {
			if got := f.isOf(tc.letter, r); got != tc.want {
				t.Errorf("%s: %t, want %t", name, got, tc.want)
			}
		}
		r.Value = []byte(`{"id":1}`) // which does not say when it was
		if f.isOf(reference("1", time.Time{}), r) {
			t.Error("a letter that never saw its record is taken for one of it")
		}
	})
}
