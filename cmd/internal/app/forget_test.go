package app

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"usersync/consumer"
	usync "usersync/sync"
)

// TestForget: what can be removed is gone, and what remains is named.
func TestForget(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		if err := b.kafka.CreateTopic("control", 1, map[string]string{"cleanup.policy": "compact"}); err != nil {
			t.Fatal(err)
		}
		c := b.config(func(c *Config) {
			c.Kafka.StateTopic, c.Kafka.StateTopicCreate, c.Kafka.ControlTopic = "state", true, "control"
			c.Privacy.HashKey = usync.Secret{Value: strings.Repeat("k", 32)}
		}, b.retryTopic("retry", time.Hour))
		p := b.start(c)
		p.ready()
		b.change(2, "first")
		b.holds(time.Minute, 2, "first")
		b.rejected(c)
		b.tap.SetRules()
		asked := time.Now()
		for _, user := range []string{"2", "100"} {
			if _, err := b.resynced(c, ResyncOptions{User: user}); err != nil {
				t.Fatal(err)
			}
		}
		b.holds(time.Minute, 2, "rejected")
		b.idle(c)
		if held := b.explained(c, 2).Destinations[1].Held; !strings.HasPrefix(held, "what would be sent now") {
			t.Errorf("before: %q", held)
		}
		var out bytes.Buffer
		err := forget(t.Context(), c, "2", true, &out, &b.logs, b.outside())
		if err == nil || !strings.HasPrefix(err.Error(), "Kafka still holds records of the user in 3 places") {
			t.Errorf("error %v", err)
		}
		var r forgetReport
		if err := json.Unmarshal(out.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		if r.Forgotten != 4 || len(r.Letters) != 1 || r.Discarded != 1 || r.Remains[0].Topic != "users" || r.Remains[1].Topic != "dead" || r.Remains[1].Until == nil {
			t.Errorf("%+v", r)
		}
		if x := r.Remains[2]; x.Topic != "retry" || x.Records != 2 || x.Until == nil || x.Until.Before(asked.Add(time.Hour).Truncate(time.Millisecond)) || x.Until.After(time.Now().Add(time.Hour)) {
			t.Errorf("of the retry topic remains %+v, want the records for both destinations, an hour from %v", x, asked)
		}
		after := b.explained(c, 2)
		if held := after.Destinations[1].Held; held != "nothing is known" {
			t.Errorf("after: %q", held)
		}
		if l := after.Destinations[0].Letters; len(l) != 1 || l[0].Status != consumer.HandledDiscarded {
			t.Errorf("letters %+v", l)
		}
	})
}

// TestForgetNamesEachSource: each source topic keeps what it has in its own way, and for
// its own time.
func TestForgetNamesEachSource(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		day := strconv.Itoa(int((24 * time.Hour).Milliseconds()))
		if err := b.kafka.CreateTopic("moved", 1, map[string]string{"retention.ms": day}); err != nil {
			t.Fatal(err)
		}
		c := b.config(func(c *Config) { c.Kafka.Topics = []string{"users", "moved"} })
		b.start(c).ready()
		b.changeIn("moved", 2, "old")
		b.changeIn("moved", 2, "older")
		b.change(2, "new")
		b.idle(c)
		var out bytes.Buffer
		if err := forget(t.Context(), c, "2", true, &out, &b.logs, b.outside()); err == nil || !strings.HasPrefix(err.Error(), "Kafka still holds records of the user in 2 places") {
			t.Errorf("error %v", err)
		}
		var r forgetReport
		if err := json.Unmarshal(out.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		if len(r.Remains) != 2 {
			t.Fatalf("%+v", r.Remains)
		}
		if x := r.Remains[0]; x.Topic != "users" || x.Records != 1 {
			t.Errorf("the first is %+v", x)
		}
		if x := r.Remains[1]; x.Topic != "moved" || x.Records != 2 || x.Until == nil || x.Until.After(time.Now().Add(24*time.Hour)) {
			t.Errorf("the second is %+v", x)
		}
	})
}

// TestForgetWaitsForTheWorkers: while a worker has yet to deliver something of the user,
// it would note the user again. So nothing is removed, and that is said.
func TestForgetWaitsForTheWorkers(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		c := b.config(func(c *Config) {
			remembers(c)
		}, b.controlled(), b.retryTopic("retry", time.Hour))
		b.start(c).ready()
		b.change(1, "first")
		b.idle(c)
		if _, err := b.say(c, taptalkName, false, pause); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second) // virtual time: it is heard
		forgotten := func() (r forgetReport, err error) {
			var out bytes.Buffer
			if err = forget(t.Context(), c, "1", true, &out, &b.logs, b.outside()); out.Len() > 0 {
				if err := json.Unmarshal(out.Bytes(), &r); err != nil {
					t.Fatal(err)
				}
			}
			return r, err
		}
		held := func() string { return b.explained(c, 1).Destinations[0].Held }
		waits := func(topic string) {
			t.Helper()
			time.Sleep(10 * time.Second) // virtual time: Haptik is called
			r, err := forgotten()
			if err == nil || !strings.HasPrefix(err.Error(), "taptalk: the workers have yet to deal with "+topic+"/") || r.Forgotten != 0 {
				t.Errorf("%+v, error %v, want that a record of %s waits", r, err, topic)
			}
			if held() == "nothing is known" {
				t.Error("something was removed all the same")
			}
		}
		b.change(1, "second")
		waits("users")
		if _, err := b.resynced(c, ResyncOptions{User: "1"}); err != nil {
			t.Fatal(err)
		}
		b.row(1, "")   // deleted in the database
		waits("retry") // which comes first, by name
		if _, err := b.say(c, taptalkName, false, resume); err != nil {
			t.Fatal(err)
		}
		b.idle(c)
		if r, err := forgotten(); r.Forgotten != 4 || err == nil || !strings.HasPrefix(err.Error(), "Kafka still holds records") {
			t.Errorf("afterwards: %+v, error %v", r, err)
		}
		time.Sleep(time.Minute) // virtual time
		if got := held(); got != "nothing is known" {
			t.Errorf("after it was forgotten: %q", got)
		}
	})
}

// TestForgetAsksFirst: whoever may not ask all that is to be said has removed nothing.
func TestForgetAsksFirst(t *testing.T) {
	for _, denied := range []struct {
		key  kmsg.Key
		code *kerr.Error
		want string
	}{
		{kmsg.DescribeConfigs, kerr.TopicAuthorizationFailed, "DescribeConfigs"},
		{kmsg.OffsetFetch, kerr.GroupAuthorizationFailed, "group"},
	} {
		inBubble(t, func(t *testing.T, b *bubble) {
			c := b.config(func(c *Config) {
				remembers(c)
			})
			p := b.start(c)
			p.ready()
			b.change(1, "first")
			b.idle(c)
			p.stop()
			f := b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{denied.key}, Err: denied.code, Count: -1})
			err := forget(t.Context(), c, "1", true, io.Discard, &b.logs, b.outside())
			f.Remove()
			if err == nil || !strings.Contains(err.Error(), denied.want) {
				t.Errorf("%s denied: error %v", denied.key.Name(), err)
			}
			if held := b.explained(c, 1).Destinations[0].Held; !strings.HasPrefix(held, "what would be sent now") {
				t.Errorf("%s denied: %q is left", denied.key.Name(), held)
			}
		})
	}
}
