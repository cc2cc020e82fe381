package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"usersync/consumer"
	"usersync/sync/vendortest"
)

// letterOffice is a deployment whose TapTalk has rejected users 1 and 2, whose changes
// are in the dead-letter topic, and accepts everybody now. User 2 has changed since.
type letterOffice struct {
	*bubble
	c *Config
	p *process
}

func inLetterOffice(t *testing.T, test func(t *testing.T, o *letterOffice)) {
	t.Helper()
	inBubble(t, func(t *testing.T, b *bubble) {
		control := b.controlled()
		if err := b.kafka.CreateTopic("retry", 2, map[string]string{"cleanup.policy": "delete"}); err != nil {
			t.Fatal(err)
		}
		c := b.config(control, func(c *Config) { c.Kafka.RetryTopic = "retry"; c.Privacy.HashKey.Value = "key" })
		o := &letterOffice{bubble: b, c: c, p: b.start(c)}
		o.p.ready()
		for _, user := range []string{"1", "2"} {
			b.tap.AddRule(vendortest.Rule{User: user, Code: "40002", Field: "fullName"})
		}
		b.change(1, "old")
		b.change(2, "old")
		for i := range 60 {
			b.change(3, fmt.Sprint("other ", i)) // someone to compare with
			time.Sleep(time.Second)
		}
		o.p.shows(time.Minute, `usersync_dead_letters_total{destination="taptalk",reason="rejected"} 2`)
		b.tap.SetRules()
		b.change(2, "new")
		b.holds(time.Minute, 2, "new")
		test(t, o)
	})
}

// list returns the letters, as JSON has them, and checks that nothing personal is said.
func (o *letterOffice) list(filter LetterFilter) []deadLetter {
	o.t.Helper()
	var human, machine bytes.Buffer
	for _, asJSON := range []bool{false, true} {
		out := map[bool]*bytes.Buffer{false: &human, true: &machine}[asJSON]
		if err := listLetters(o.t.Context(), o.c, filter, asJSON, out, io.Discard, o.outside()); err != nil {
			o.t.Fatal(err)
		}
		if strings.Contains(out.String(), planted) {
			o.t.Errorf("a list has personal data: %s", out)
		}
	}
	var got struct{ Letters []deadLetter }
	if err := json.Unmarshal(machine.Bytes(), &got); err != nil {
		o.t.Fatal(err)
	}
	if lines := strings.Count(human.String(), "\n"); lines != len(got.Letters)+1 {
		o.t.Errorf("%d lines for %d letters:\n%s", lines, len(got.Letters), &human)
	}
	return got.Letters
}

// statuses are those of the letters of users 1 and 2.
func (o *letterOffice) statuses(want ...string) {
	o.t.Helper()
	for i, user := range []string{"1", "2"} {
		got := o.list(LetterFilter{User: user})
		if len(got) != 1 || got[0].Status != want[i] || got[0].Superseded != (user == "2") {
			o.t.Errorf("user %s has %+v, want one letter that is %s", user, got, want[i])
		}
	}
}

func TestListLetters(t *testing.T) {
	inLetterOffice(t, func(t *testing.T, o *letterOffice) {
		all := o.list(LetterFilter{})
		if len(all) != 2 || all[0].Destination != taptalkName || all[0].Reason != "rejected" || all[0].Topic != "users" ||
			all[0].User == all[1].User || all[0].Attempts == 0 || !strings.Contains(all[0].Error, "40002") {
			t.Errorf("listed %+v", all)
		}
		o.statuses(letterOpen, letterOpen)
		for name, tc := range map[string]struct {
			filter LetterFilter
			want   int
		}{
			"destination":       {LetterFilter{Destination: taptalkName}, 2},
			"other destination": {LetterFilter{Destination: haptikName}, 0},
			"reason":            {LetterFilter{Reason: "rejected"}, 2},
			"other reason":      {LetterFilter{Reason: "undecodable"}, 0},
			"status":            {LetterFilter{Status: letterReplayed}, 0},
			"since":             {LetterFilter{Since: time.Now()}, 0},
			"until":             {LetterFilter{Until: time.Now()}, 2},
			"user":              {LetterFilter{User: "3"}, 0},
			"id":                {LetterFilter{IDs: []string{"dead/" + all[1].ID}}, 1},
		} {
			if got := o.list(tc.filter); len(got) != tc.want {
				t.Errorf("by %s: %d letters, want %d", name, len(got), tc.want)
			}
		}
	})
}

func TestShowLetter(t *testing.T) {
	inLetterOffice(t, func(t *testing.T, o *letterOffice) {
		id := o.list(LetterFilter{User: "1"})[0].ID
		for _, values := range []bool{false, true} {
			for _, asJSON := range []bool{false, true} {
				var out bytes.Buffer
				if err := showLetter(t.Context(), o.c, id, values, asJSON, &out, io.Discard, o.outside()); err != nil {
					t.Fatal(err)
				}
				if strings.Contains(out.String(), planted) != values || !strings.Contains(out.String(), "rejected") {
					t.Errorf("with values %t: %s", values, &out)
				}
			}
		}
		for id, want := range map[string]string{
			"0/99": "is not in topic dead", "7/0": "has no partition 7", "x": "is no dead letter", "users/0/0": "is no dead letter",
		} {
			err := showLetter(t.Context(), o.c, id, false, false, io.Discard, io.Discard, o.outside())
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v, want %q", id, err, want)
			}
		}
	})
}

// replay runs the command and returns what it printed.
func (o *letterOffice) replay(filter LetterFilter, dry bool) (string, error) {
	var out bytes.Buffer
	err := replayLetters(o.t.Context(), o.c, filter, dry, false, &out, &out, o.outside())
	return out.String(), err
}

func TestReplayLetters(t *testing.T) {
	inLetterOffice(t, func(t *testing.T, o *letterOffice) {
		said := func(filter LetterFilter, dry bool, failure string, want ...string) {
			t.Helper()
			out, err := o.replay(filter, dry)
			if fmt.Sprint(err) != failure {
				t.Errorf("error %v, want %s", err, failure)
			}
			for _, part := range want {
				if !strings.Contains(out, part) {
					t.Errorf("printed %q, want %q in it", out, part)
				}
			}
		}
		const refused = "1 dead letters could not be replayed"
		said(LetterFilter{}, true, refused, "taptalk: 1 calls, 1s at 20 a second", "superseded: a newer change", "1 would be replayed, 0 done before, 1 refused")
		time.Sleep(time.Minute)
		o.statuses(letterOpen, letterOpen)
		if got := o.tap.Current("1"); got != nil {
			t.Errorf("a dry run had an effect: %v", got)
		}
		calls := o.hap.Calls()
		said(LetterFilter{}, false, refused, "1 replayed, 0 done before, 1 refused")
		o.holds(time.Minute, 1, "old", taptalkName)
		o.statuses(letterReplayed, letterOpen)
		said(LetterFilter{User: "1"}, false, "<nil>", "was replayed before", "0 replayed, 1 done before, 0 refused")
		if n := o.hap.Calls(); n != calls {
			t.Errorf("the other destination had %d calls", n-calls)
		}
		out := new(bytes.Buffer)
		if err := discardLetters(t.Context(), o.c, LetterFilter{User: "2"}, false, true, out, io.Discard, o.outside()); err != nil || !strings.Contains(out.String(), `"done": 1`) {
			t.Errorf("discarded: %s, %v", out, err)
		}
		o.statuses(letterReplayed, letterDiscarded)
		said(LetterFilter{}, false, "<nil>", "was discarded before", "0 replayed, 2 done before, 0 refused")
		o.holds(time.Minute, 2, "new")
	})
}

// TestReplayGoesOn: a replay that could not record what it did is repeated, and one of a
// letter that was already asked for does no harm.
func TestReplayGoesOn(t *testing.T) {
	inLetterOffice(t, func(t *testing.T, o *letterOffice) {
		o.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "control", Err: kerr.NotEnoughReplicas, Count: 1})
		out, err := o.replay(LetterFilter{User: "1"}, false)
		if err == nil || !strings.Contains(err.Error(), "0 were replayed before that, and the same command goes on from here") {
			t.Errorf("printed %s, error %v", out, err)
		}
		o.statuses(letterOpen, letterOpen)
		if out, err := o.replay(LetterFilter{User: "1"}, false); err != nil {
			t.Errorf("printed %s, error %v", out, err)
		}
		o.statuses(letterReplayed, letterOpen)
		o.holds(time.Minute, 1, "old", taptalkName)
	})
}

// TestNamedLetters: a letter that is named is dealt with, or the command fails and says
// which one could not be.
func TestNamedLetters(t *testing.T) {
	inLetterOffice(t, func(t *testing.T, o *letterOffice) {
		r := &kgo.Record{Topic: "dead", Key: []byte("x"), Value: []byte("not a letter")}
		if err := o.out.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		none := fmt.Sprintf("%d/%d", r.Partition, r.Offset)
		discard := func(filter LetterFilter) error {
			return discardLetters(t.Context(), o.c, filter, true, false, io.Discard, io.Discard, o.outside())
		}
		for name, tc := range map[string]struct {
			err     error
			missing string
		}{
			"one of the other destination": {discard(LetterFilter{IDs: []string{"0/0"}, Destination: haptikName}), "0/0"},
			"no letter":                    {discard(LetterFilter{IDs: []string{"0/0", none, "0/0"}}), none},
			"no letter, shown":             {showLetter(t.Context(), o.c, none, false, false, io.Discard, io.Discard, o.outside()), none},
		} {
			if tc.err == nil || !strings.HasPrefix(tc.err.Error(), "dead letter "+tc.missing+": the topic has no dead letter there any more, or") {
				t.Errorf("%s: error %v, want one about %s", name, tc.err, tc.missing)
			}
		}
		if err := discard(LetterFilter{IDs: []string{"0/0", "dead/0/0"}}); err != nil {
			t.Errorf("the same letter named twice: error %v", err)
		}
	})
}

// TestReplayAgain: what the workers have passed over can be replayed once more, if it is
// named and that is said; what was discarded stays so.
func TestReplayAgain(t *testing.T) {
	inLetterOffice(t, func(t *testing.T, o *letterOffice) {
		ids := []string{o.list(LetterFilter{User: "1"})[0].ID}
		if out, err := o.replay(LetterFilter{IDs: ids}, false); err != nil {
			t.Fatal(out, err)
		}
		o.holds(time.Minute, 1, "old", taptalkName)
		calls := o.tap.Calls()
		if out, err := o.replay(LetterFilter{IDs: ids}, false); err != nil || !strings.Contains(out, "was replayed before") {
			t.Errorf("a second time: printed %s, error %v", out, err)
		}
		time.Sleep(time.Minute) // virtual time
		if n := o.tap.Calls(); n != calls {
			t.Errorf("%d calls for a letter that was replayed before", n-calls)
		}
		if out, err := o.replay(LetterFilter{IDs: ids, Again: true}, false); err != nil || !strings.Contains(out, "1 replayed, 0 done before") {
			t.Errorf("again: printed %s, error %v", out, err)
		}
		o.until(time.Minute, "a call", func() bool { return o.tap.Calls() == calls+1 })
		if err := discardLetters(t.Context(), o.c, LetterFilter{User: "2"}, false, false, io.Discard, io.Discard, o.outside()); err != nil {
			t.Fatal(err)
		}
		if out, err := o.replay(LetterFilter{IDs: []string{o.list(LetterFilter{User: "2"})[0].ID}, Again: true}, false); err != nil || !strings.Contains(out, "was discarded before") {
			t.Errorf("a discarded one again: printed %s, error %v", out, err)
		}
	})
}

// TestLettersUser: a letter of a record that was gone has the ID in place of the key.
func TestLettersUser(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		keys, err := b.desk(b.config()).decoder()
		if err != nil {
			t.Fatal(err)
		}
		for _, tc := range []struct {
			letter consumer.DeadLetter
			want   string
		}{
			{consumer.DeadLetter{Key: []byte(`{"id":7}`), Original: true}, "7"},
			{consumer.DeadLetter{Key: []byte(`{"id":7}`)}, "7"},
			{consumer.DeadLetter{Key: []byte("ab-c")}, "ab-c"},
			{consumer.DeadLetter{Key: []byte("ab-c"), Original: true}, ""},
		} {
			if got := userOf(keys, &tc.letter); got != tc.want {
				t.Errorf("%q, original %t: %q, want %q", tc.letter.Key, tc.letter.Original, got, tc.want)
			}
		}
	})
}

// TestHandledIsForgotten: what was done with a letter is not kept for longer than the
// letter. A letter of a topic that was made anew would be taken for the old one.
func TestHandledIsForgotten(t *testing.T) {
	inLetterOffice(t, func(t *testing.T, o *letterOffice) {
		control := consumer.NewControlTopic(o.desk(o.c).client, "control")
		handled := func() (offsets []int64) {
			t.Helper()
			c, err := control.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range c.HandledIn("dead") {
				offsets = append(offsets, h.Offset)
			}
			slices.Sort(offsets)
			return offsets
		}
		dead := consumer.TopicPartition{Topic: "dead"}
		other := consumer.Handled{TopicPartition: consumer.TopicPartition{Topic: "others"}, How: letterDiscarded}
		beyond := consumer.Handled{TopicPartition: dead, Offset: 1000, How: letterDiscarded}
		if err := control.Put(t.Context(), other, beyond, consumer.Pause{Destination: haptikName}); err != nil {
			t.Fatal(err)
		}
		discard := func(dry bool) {
			t.Helper()
			if err := discardLetters(t.Context(), o.c, LetterFilter{}, dry, false, io.Discard, io.Discard, o.outside()); err != nil {
				t.Fatal(err)
			}
		}
		discard(false)
		if got := handled(); !slices.Equal(got, []int64{0, 1}) {
			t.Errorf("handled are %v, want both letters and nothing beyond the end of the topic", got)
		}
		if err := o.kafka.DeleteRecords("dead", 0, 1); err != nil {
			t.Fatal(err)
		}
		discard(true)
		if got := handled(); !slices.Equal(got, []int64{0, 1}) {
			t.Errorf("a dry run has removed some: %v are left", got)
		}
		discard(false)
		if got := handled(); !slices.Equal(got, []int64{1}) {
			t.Errorf("handled are %v, want the letter that is there", got)
		}
		c, err := control.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, paused := c.Paused(haptikName); !paused || len(c.HandledIn("others")) != 1 {
			t.Error("something else was removed too")
		}
	})
}

// TestReplayRefuses: what cannot be replayed is said, with what to do instead.
func TestReplayRefuses(t *testing.T) {
	inLetterOffice(t, func(t *testing.T, o *letterOffice) {
		letter := func(value string, edit ...string) *kgo.Record {
			r := &kgo.Record{Topic: "dead", Key: []byte(`{"id":3}`), Value: []byte(value)}
			fields := map[string]string{
				"destination": taptalkName, "reason": "r", "source.topic": "users", "source.partition": "0", "source.offset": "0",
			}
			for i := 0; i < len(edit); i += 2 {
				fields[edit[i]] = edit[i+1]
			}
			for name, text := range fields {
				r.Headers = append(r.Headers, kgo.RecordHeader{Key: "usersync." + name, Value: []byte(text)})
			}
			return r
		}
		const row = `{"id":3,"full_name":"x"}`
		for want, r := range map[string]*kgo.Record{
			"its destination is not in the configuration":      letter(row, "destination", "whatsapp"),
			"its source topic is not one of kafka.topics":      letter(row, "source.topic", "others"),
			"its source partition does not exist any more":     letter(row, "source.partition", "9"),
			"still undecodable: bad_json (value)":              letter("<bad>"),
			"no longer has the record at users/0@100000: a ne": letter(row, "source.offset", "100000"),
			"no longer has the record at users/0@0: a newer o": letter(row, "source.offset", "0"),
		} {
			if err := o.out.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
			id := fmt.Sprintf("%d/%d", r.Partition, r.Offset)
			out, err := o.replay(LetterFilter{IDs: []string{id}}, false)
			if err == nil || !strings.Contains(out, want) {
				t.Errorf("printed %q, error %v, want %q", out, err, want)
			}
		}
		for want, edit := range map[string]func(*Config){
			"kafka.retry_topic: is not set":                        func(c *Config) { c.Kafka.RetryTopic = "" },
			"kafka.control_topic: is not set":                      func(c *Config) { c.Kafka.ControlTopic = "" },
			"kafka.retry_topic: topic retyr: it does not exist":    func(c *Config) { c.Kafka.RetryTopic = "retyr" },
			"topic deda: it does not exist":                        func(c *Config) { c.Kafka.DeadLetterTopic = "deda" },
			"kafka.retry_topic: topic compacted: it has 1 partiti": func(c *Config) { c.Kafka.RetryTopic = "compacted" },
		} {
			c := *o.c
			edit(&c)
			err := replayLetters(t.Context(), &c, LetterFilter{}, false, false, io.Discard, io.Discard, o.outside())
			if err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("error %v, want %q", err, want)
			}
		}
	})
}
