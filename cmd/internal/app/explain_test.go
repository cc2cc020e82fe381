package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"usersync/consumer"
	"usersync/sync/vendortest"
)

// explained is what an explanation says of a user.
func (b *bubble) explained(c *Config, user int, edit ...func(*ExplainOptions)) (r explainReport) {
	b.t.Helper()
	o := ExplainOptions{User: fmt.Sprint(user), JSON: true}
	for _, f := range edit {
		f(&o)
	}
	var out bytes.Buffer
	if err := explain(b.t.Context(), c, o, &out, &b.logs, b.outside()); err != nil {
		b.t.Fatal(err)
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		b.t.Fatal(err)
	}
	return r
}

// because checks the verdict and the cause that TapTalk has.
func (b *bubble) because(r explainReport, want verdict, cause string) {
	b.t.Helper()
	got := r.Destinations[0]
	if got.Verdict != want || !strings.Contains(got.Because, cause) {
		b.t.Errorf("%s because %q, want %s because %q", got.Verdict, got.Because, want, cause)
	}
}

// TestExplain: the cause of each kind.
func TestExplain(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		if err := b.kafka.CreateTopic("control", 1, map[string]string{"cleanup.policy": "compact"}); err != nil {
			t.Fatal(err)
		}
		c := b.config(func(c *Config) { c.Kafka.ControlTopic = "control" })
		b.change(1, "first")
		b.because(b.explained(c, 1), pending, "no worker is a member of the group usersync.taptalk")

		p := b.start(c)
		p.ready()
		for user := range 5 {
			b.change(user, "second")
		}
		b.rejected(c)
		b.row(3, `bad`)
		b.row(4, "")
		b.until(5*time.Minute, "the letters of both for user 3", func() bool { b.change(100, "x"); return b.letters(c) == 3 })
		b.idle(c)
		r := b.explained(c, 1)
		b.because(r, settled, "it is not kept what was")
		if r.Records != 2 || r.Newest.Op != "update" || !slices.Contains(r.Newest.Fields, "full_name") || r.Newest.Source == nil {
			t.Errorf("newest change %+v", r.Newest)
		}
		if got := r.Destinations[0]; !slices.Contains(got.Fields, "fullName") || got.Values != nil || got.Members != 1 || got.Committed == 0 {
			t.Errorf("taptalk %+v", got)
		}
		r = b.explained(c, 2)
		b.because(r, deadLettered, "the destination rejected this user three times, and accepted others in between: 40002")
		if got := r.Destinations[0].Letters; len(got) != 1 || !got[0].Newest || got[0].Status != "open" || got[0].Attempts != 3 {
			t.Errorf("letters %+v", got)
		}
		b.because(b.explained(c, 3), deadLettered, "the record cannot be read, while later ones can")
		b.because(b.explained(c, 4), gone, "the newest change is a delete")

		url := "http://" + c.HTTP.Listen + "/metrics"
		ask := func(o *ExplainOptions) { o.Metrics = []string{url} }
		b.tap.SetRules(vendortest.Rule{Status: 503})
		b.change(1, "third")
		b.change(2, "third")
		p.shows(time.Minute, `usersync_lane_state{destination="taptalk",reason="failed"} 1`)
		b.because(b.explained(c, 1), pending, "Kafka alone does not tell which; give --metrics")
		b.because(b.explained(c, 1, ask), pending, "held: the destination fails for everyone ("+url+")")
		control := consumer.NewControlTopic(b.desk(c).client, "control")
		if err := control.Put(t.Context(), consumer.Pause{Destination: taptalkName, At: time.Now()}); err != nil {
			t.Fatal(err)
		}
		b.because(b.explained(c, 1, ask), pending, "the destination is paused since")
		tp := consumer.TopicPartition{Topic: "users", Partition: partitionIn(b.explained(c, 1).Newest.At)}
		halt := consumer.Halt{Destination: taptalkName, TopicPartition: tp, At: time.Now(), Reason: "corrupt"}
		if err := control.Put(t.Context(), halt); err != nil {
			t.Fatal(err)
		}
		b.because(b.explained(c, 1, ask), pending, "is not read any further since")
	})
}

// partitionIn reads that of a place.
func partitionIn(at string) (n int) {
	_, _ = fmt.Sscanf(strings.ReplaceAll(at, "/", " "), "users %d", &n)
	return n
}

// TestExplainShows: values are shown only to who asks, and of whom there is nothing the
// ID is not repeated.
func TestExplainShows(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		c := b.config()
		b.change(1, "first")
		var out bytes.Buffer
		if err := explain(t.Context(), c, ExplainOptions{User: "1"}, &out, &b.logs, b.outside()); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(out.String(), planted) {
			t.Errorf("personal data in\n%s", out.String())
		}
		for _, want := range []string{"1 records, the newest is users/", "would be sent now  fullName, xcUserID", "taptalk: pending", "with no value for  email (no_column)"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("no %q in\n%s", want, out.String())
			}
		}
		out.Reset()
		if err := explain(t.Context(), c, ExplainOptions{User: "1", ShowValues: true}, &out, &b.logs, b.outside()); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(out.String(), planted); n != 3 { // in the row, and in two payloads
			t.Errorf("%d times the value in\n%s", n, out.String())
		}
		err := explain(t.Context(), c, ExplainOptions{User: "4711"}, &out, &b.logs, b.outside())
		if err == nil || strings.Contains(err.Error(), "4711") || !strings.HasPrefix(err.Error(), "no record of users is about this user") {
			t.Errorf("error %v", err)
		}
		err = explain(t.Context(), c, ExplainOptions{User: "1", Metrics: []string{"http://localhost:1/metrics"}}, &out, &b.logs, b.outside())
		if err == nil || !strings.Contains(err.Error(), "check the URL") {
			t.Errorf("error %v", err)
		}
	})
}
