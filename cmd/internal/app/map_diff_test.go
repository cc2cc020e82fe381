package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// row writes one row of users; a partition below 0 is chosen by the key.
func (b *bubble) row(user int, row string) {
	b.t.Helper()
	r := &kgo.Record{Topic: "users", Key: fmt.Appendf(nil, `{"id":%d}`, user)}
	if row != "" {
		r.Value = fmt.Appendf(nil, `{"id":%d,%s}`, user, row)
	}
	if err := b.out.ProduceSync(b.t.Context(), r).FirstErr(); err != nil {
		b.t.Fatal(err)
	}
}

// outside is the network of a command.
func (b *bubble) outside() network { return network{dial: b.net.DialContext} }

func TestMapDiff(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.row(1, `"full_name":"Old name","email":"x@example.com"`)
		b.row(1, `"full_name":"`+planted+`","email":"__debezium_unavailable_value"`) // differs nowhere: the mapping of email does
		b.row(2, `"full_name":"`+planted+`","email":"a@example.com"`)                // differs
		b.row(3, `"full_name":"`+planted+`","email":"b@example.com"`)
		b.row(3, "")                                                         // is no user any more
		b.row(4, `"full_name":"","first_name":"","last_name":"","nick":"x"`) // has a payload only now
		b.row(5, `"full_name":"`+planted+`","email":"c@example.com"`)        // differs
		last := b.config(func(c *Config) {
			c.TapTalk.Mapping = map[string]any{"fullName": "full_name", "email": "email"}
			c.Haptik.Mapping = map[string]any{"name": "full_name"}
		})
		next := b.config(func(c *Config) {
			c.TapTalk.Mapping = map[string]any{"fullName": "first(full_name, nick)"}
			c.TapTalk.RateLimit = 2
			c.Haptik.Mapping = map[string]any{"name": "full_name"}
		})
		// What is left out of a payload on both sides is the same.
		for _, c := range []*Config{last, next} {
			c.TapTalk.OnNull, c.Haptik.OnNull = "omit", "omit"
		}
		var out, said bytes.Buffer
		if err := mapDiff(t.Context(), last, next, true, &out, &said, b.outside()); err != nil {
			t.Fatal(err)
		}
		var got diffReport
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		want := destinationDiff{Name: "taptalk", Same: 1, Differ: 3, Gained: 1, Hours: 3.0 / 2 / 3600}
		if tap := got.Destinations[0]; got.Users != 4 || tap != want {
			t.Errorf("%d users, taptalk %+v, want 4 and %+v", got.Users, tap, want)
		}
		if got.Incomplete != 1 { // that rows have no column nick is no value left out
			t.Errorf("%d rows leave values out, want 1", got.Incomplete)
		}
		if hap := got.Destinations[1]; hap.Differ != 0 || hap.Same != 4 {
			t.Errorf("haptik %+v, want nobody to differ", hap)
		}

		// The other way round one user is lost, and there is a text for people.
		out.Reset()
		if err := mapDiff(t.Context(), next, last, false, &out, &said, b.outside()); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"4 users\n", "taptalk      1     2", "2 calls, 1s at 20 a second", "taptalk: 1 users that have a payload now would have none"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("no %q in\n%s", want, out.String())
			}
		}
		if strings.Contains(out.String()+said.String(), planted) {
			t.Errorf("personal data in\n%s%s", out.String(), said.String())
		}
	})
}

// TestMapDiffOfOthers: a destination that is new or was moved has nobody yet, and the
// users of different events sections cannot be compared.
func TestMapDiffOfOthers(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.row(1, `"full_name":"`+planted+`"`)
		last, next := b.config(), b.config()
		last.TapTalk = nil
		next.Haptik.BaseURL = "http://localhost:8003"
		var out, said bytes.Buffer
		if err := mapDiff(t.Context(), last, next, false, &out, &said, b.outside()); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"taptalk      0     1       1", "haptik       0     1       0", "taptalk: the destination is new", "haptik: base_url differs"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("no %q in\n%s", want, out.String())
			}
		}
		next.Events.UserID = "other"
		if err := mapDiff(t.Context(), last, next, false, &out, &said, b.outside()); err == nil || !strings.Contains(err.Error(), "events section") {
			t.Errorf("error %v", err)
		}
		next = b.config(func(c *Config) { c.Kafka.Topics = []string{"nowhere"} })
		if err := mapDiff(t.Context(), b.config(), next, false, &out, &said, b.outside()); err == nil || !strings.Contains(err.Error(), "topic nowhere: it does not exist") {
			t.Errorf("error %v", err)
		}
	})
}
