package app

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"usersync/consumer"
	usync "usersync/sync"
)

// TestAuditFindsDamage: exactly the users whose state is lost, who were given up or whose
// row is gone; and each with its cause.
func TestAuditFindsDamage(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		c := b.config(remembers, func(c *Config) {
			c.TapTalk.Mapping = map[string]any{"fullName": "first(full_name, nickname)"} // that the table has no nickname makes no difference
		})
		p := b.start(c)
		p.ready()
		for user := range 6 {
			b.change(user, "first")
		}
		b.rejected(c)
		b.change(5, "last") // so that no damaged user is the last in the state
		b.change(100, "last")
		b.idle(c)
		if wrong, r, _ := b.audit(c, AuditOptions{}, taptalkName); !slices.Equal(wrong, []string{"2 dead_lettered rejected"}) || len(r.Remarks) != 0 {
			t.Errorf("before: %q, %q", wrong, r.Remarks)
		}
		if wrong, r, err := b.audit(c, AuditOptions{}, haptikName); len(wrong) != 0 || r.Destinations[1].Counts[inSync] != 7 || err == nil {
			t.Errorf("haptik: %q, %v", wrong, r.Destinations[1].Counts)
		}
		b.because(b.explained(c, 1), inSync, "holds what the newest row gives")
		if held := b.explained(c, 1).Destinations[0].Held; !strings.HasPrefix(held, "what would be sent now, as of offset") {
			t.Errorf("held: %q", held)
		}
		p.stop()
		d := b.desk(c)
		user := d.user("3")
		lost := &kgo.Record{Topic: "state", Key: append([]byte("usersync.taptalk/users/"), user[:]...), Partition: int32(partitionIn(b.explained(c, 3).Newest.At))}
		out, err := kgo.NewClient(kgo.SeedBrokers(b.kafka.ListenAddrs()...), kgo.Dialer(b.net.DialContext), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		if err := out.ProduceSync(t.Context(), lost).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if wrong, _, _ := b.audit(c, AuditOptions{}, taptalkName); !slices.Equal(wrong, []string{"2 dead_lettered rejected", "3 never_delivered "}) {
			t.Errorf("damaged: %q", wrong)
		}
		b.because(b.explained(c, 3), neverDelivered, "nothing is known to be held")
		other := b.config(func(o *Config) { *o = *c; o.TapTalk = &TapTalk{}; *o.TapTalk = *c.TapTalk; o.TapTalk.StateEpoch = "2" })
		wrong, _, _ := b.audit(other, AuditOptions{}, taptalkName)
		if !slices.Contains(wrong, "1 differs ") || len(wrong) != 7 {
			t.Errorf("another epoch: %q", wrong)
		}
		b.because(b.explained(other, 1), differing, "")
		k, proven, err := d.state(0).Find(t.Context(), consumer.TopicPartition{Topic: "users"}, "", "1")
		if proven || err != nil || k.Version.Status != usync.Absent {
			t.Errorf("without a certificate: %+v, %v, %v", k, proven, err)
		}
	})
}

// remembers is a configuration with which it is kept what was delivered.
func remembers(c *Config) {
	c.Kafka.StateTopic, c.Kafka.StateTopicCreate = "state", true
	c.Privacy.HashKey = usync.Secret{Value: strings.Repeat("k", 32)}
}

// TestAuditOfATableWithoutAColumn: that the table has not all columns of the default
// mapping hides no user of whom something else is held.
func TestAuditOfATableWithoutAColumn(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		c := b.config(remembers)
		p := b.start(c)
		p.ready()
		for user := range 6 {
			b.change(user, "first")
		}
		b.idle(c)
		for _, destination := range []string{taptalkName, haptikName} {
			if wrong, r, err := b.audit(c, AuditOptions{}, destination); len(wrong) != 0 || r.Destinations[0].Counts[inSync] != 6 || err != nil {
				t.Errorf("%s: %q, %v, error %v", destination, wrong, r.Destinations[0].Counts, err)
			}
		}
		for what, edit := range map[string]func(*Config){
			"another epoch": func(o *Config) { o.TapTalk.StateEpoch, o.Haptik.StateEpoch = "2", "2" },
			"another URL": func(o *Config) {
				o.TapTalk.BaseURL, o.Haptik.BaseURL = "http://localhost:9001", "http://localhost:9002"
			},
			"another mapping": func(o *Config) {
				o.TapTalk.Mapping, o.Haptik.Mapping = maps.Clone(o.TapTalk.Mapping), maps.Clone(o.Haptik.Mapping)
				o.TapTalk.Mapping["fullName"] = `full_name + " II"`
				o.Haptik.Mapping["name"] = `full_name + " II"`
			},
		} {
			other := b.config(remembers, edit)
			for _, destination := range []string{taptalkName, haptikName} {
				if wrong, r, err := b.audit(other, AuditOptions{}, destination); len(wrong) != 6 || wrong[0] != "0 differs " || err == nil {
					t.Errorf("%s, %s: %q, %v, error %v", what, destination, wrong, r.Destinations[0].Counts, err)
				}
			}
			b.because(b.explained(other, 1), differing, "")
		}
	})
}

// TestAuditOfValuesLeftOut: where the source has left a value out of the newest row, an
// older one may have filled it in. That this row was delivered is then all that can be
// told, and it is told apart.
func TestAuditOfValuesLeftOut(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		c := b.config(remembers)
		p := b.start(c)
		p.ready()
		b.change(1, "first")
		b.idle(c)
		p.stop()
		b.row(2, `"full_name":"`+planted+`","avatar_url":"https://a.example/2"`)
		b.row(2, `"full_name":"`+planted+` II","avatar_url":"`+c.Events.UnavailablePlaceholder+`"`) // filled in: both wait together
		b.start(c).ready()
		b.idle(c)
		wrong, r, err := b.audit(c, AuditOptions{}, taptalkName)
		if got := r.Destinations[0].Counts; len(wrong) != 0 || err != nil || !maps.Equal(got, map[verdict]int{inSync: 1, delivered: 1}) {
			t.Errorf("%q, %v, error %v", wrong, got, err)
		}
		b.because(b.explained(c, 2), delivered, "its row leaves values out")
		if held := b.explained(c, 2).Destinations[0].Held; !strings.HasPrefix(held, "the newest change, as of offset") {
			t.Errorf("held: %q", held)
		}
	})
}

// TestColumnOfOneDestination: a row with a column that only one destination uses, and
// nobody can decode, is as good as any other to the other one.
func TestColumnOfOneDestination(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		with := b.retryTopic("retry", time.Hour)
		c := b.config(remembers, with, func(c *Config) {
			c.TapTalk.Mapping = map[string]any{"fullName": "full_name"}
			c.Haptik.Mapping = map[string]any{"name": "full_name", "custom_data": map[string]any{"born": "born"}}
		})
		b.start(c).ready()
		b.change(1, "first")
		r := &kgo.Record{Topic: "users", Key: []byte(`{"id":5}`), Value: fmt.Appendf(nil, `{"schema":{"type":"struct","fields":[`+
			`{"type":"int32","field":"id"},{"type":"string","field":"full_name"},{"type":"int32","optional":true,"name":"io.debezium.time.Date","field":"born"}`+
			`]},"payload":{"id":5,"full_name":"%s five","born":"today"}}`, planted)}
		if err := b.out.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		b.until(5*time.Minute, "the letter of Haptik", func() bool { b.change(100, "x"); return b.letters(c) == 1 })
		b.holds(time.Minute, 5, "five", taptalkName)
		b.idle(c)

		wrong, report, err := b.audit(c, AuditOptions{}, taptalkName)
		if len(wrong) != 0 || report.Users != 3 || report.Undecodable != 1 || err == nil {
			t.Errorf("taptalk: %q, %d users, %d undecodable, error %v", wrong, report.Users, report.Undecodable, err)
		}
		if wrong, _, _ := b.audit(c, AuditOptions{}, haptikName); !slices.Equal(wrong, []string{"5 dead_lettered undecodable"}) {
			t.Errorf("haptik: %q", wrong)
		}
		x := b.explained(c, 5)
		b.because(x, inSync, "holds what the newest row gives")
		if x.Newest.Undecodable != "" || !slices.Equal(x.Newest.Fields, []string{"full_name"}) {
			t.Errorf("the newest change: %+v", x.Newest)
		}
		if y := x.Destinations[1]; y.Verdict != deadLettered || y.Invalid != "undecodable: bad_column (born)" {
			t.Errorf("haptik: %s because %q, no payload: %q", y.Verdict, y.Because, y.Invalid)
		}

		calls := b.tap.Calls()
		asked, err := b.resynced(c, ResyncOptions{User: "5"})
		if err == nil || !strings.HasPrefix(err.Error(), "haptik: the newest record of the user cannot be decoded") {
			t.Errorf("resync: error %v", err)
		}
		if got := asked.Destinations; len(got) != 1 || got[0].Name != taptalkName || got[0].Asked != 1 {
			t.Errorf("resync: %+v", got)
		}
		b.until(time.Minute, "TapTalk is sent the user again", func() bool { return b.tap.Calls() == calls+1 })
	})
}

// TestAuditAfterAnotherKey: what the state topic has of users with another key is about
// nobody, and is gone as soon as a worker has the new key.
func TestAuditAfterAnotherKey(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		p := b.start(b.config(remembers))
		p.ready()
		for user := range 6 {
			b.change(user, "first")
		}
		b.idle(p.config)
		p.stop()
		c := b.config(remembers, func(c *Config) { c.Privacy.HashKey = usync.Secret{Value: strings.Repeat("n", 32)} })
		wrong, r, _ := b.audit(c, AuditOptions{}, taptalkName)
		if got := r.Destinations[0].Counts; len(wrong) != 6 || got[neverDelivered] != 6 || !strings.Contains(strings.Join(r.Remarks, "\n"), "another privacy.hash_key") {
			t.Errorf("before: %q, %v, %q", wrong, got, r.Remarks)
		}
		p = b.start(c)
		p.ready()
		for user := range 6 {
			b.change(user, "first") // a snapshot
		}
		b.idle(c)
		for _, destination := range []string{taptalkName, haptikName} {
			if wrong, r, err := b.audit(c, AuditOptions{}, destination); len(wrong) != 0 || err != nil || len(r.Remarks) != 0 {
				t.Errorf("%s: %q, %q, error %v", destination, wrong, r.Remarks, err)
			}
		}
		p.shows(time.Minute, `usersync_state_entries{destination="taptalk"} 6`)
		if !strings.Contains(b.logs.String(), "hashes of another privacy.hash_key: they are removed") {
			t.Error("the log does not say why each user costs a call")
		}
	})
}
