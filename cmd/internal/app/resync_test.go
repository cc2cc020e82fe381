package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// resynced runs a resync.
func (b *bubble) resynced(c *Config, o ResyncOptions) (r resyncReport, err error) {
	b.t.Helper()
	var out bytes.Buffer
	o.JSON = true
	if err = runResync(b.t.Context(), c, o, &out, &b.logs, b.outside()); out.Len() > 0 {
		if err := json.Unmarshal(out.Bytes(), &r); err != nil {
			b.t.Fatal(err)
		}
	}
	return r, err
}

// retryTopic makes one whose records are kept for so long.
func (b *bubble) retryTopic(name string, kept time.Duration) func(*Config) {
	b.t.Helper()
	err := b.kafka.CreateTopic(name, 2, map[string]string{"cleanup.policy": "delete", "retention.ms": fmt.Sprint(kept.Milliseconds())})
	if err != nil {
		b.t.Fatal(err)
	}
	return func(c *Config) { c.Kafka.RetryTopic = name }
}

// TestResync: what is asked for is sent once more, to the destination that is named, and
// a resync of all goes on where it stopped.
func TestResync(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		with := b.retryTopic("retry", time.Hour)
		c := b.config(with)
		p := b.start(c)
		p.ready()
		for user := range 4 {
			b.change(user, "first")
		}
		b.change(1, "second")
		b.row(3, "")
		b.idle(c)
		calls := func() (int, int) { return b.tap.Calls(), b.hap.Calls() }
		tap, hap := calls()

		only := b.config(with, func(c *Config) { c.Haptik = nil })
		r, err := b.resynced(only, ResyncOptions{DryRun: true})
		if y := r.Destinations[0]; err != nil || y.Users != 3 || y.Asked != 0 || y.Nothing != 1 || y.Effort != "3 calls, 1s at 20 a second" {
			t.Errorf("dry run: %+v, error %v", y, err)
		}
		if _, err := b.resynced(c, ResyncOptions{User: "1"}); err != nil {
			t.Fatal(err)
		}
		b.until(time.Minute, "user 1 is sent to both again", func() bool { x, y := calls(); return x == tap+1 && y == hap+1 })
		began := time.Now().Truncate(time.Second).Add(time.Second)
		time.Sleep(2 * time.Second) // virtual time: the user alone was asked for before
		r, err = b.resynced(only, ResyncOptions{Resume: began, DryRun: true})
		if y := r.Destinations[0]; err != nil || y.Users != 3 || y.Before != 0 {
			t.Errorf("one that has not begun: %+v, error %v", y, err)
		}
		if _, err := b.resynced(only, ResyncOptions{}); err != nil {
			t.Fatal(err)
		}
		b.until(time.Minute, "all of TapTalk's", func() bool { x, _ := calls(); return x == tap+4 })
		r, err = b.resynced(only, ResyncOptions{Resume: began})
		if y := r.Destinations[0]; err != nil || y.Users != 0 || y.Before != 3 {
			t.Errorf("a second one: %+v, error %v", y, err)
		}
		b.change(2, "second")
		r, err = b.resynced(only, ResyncOptions{Resume: began})
		if y := r.Destinations[0]; err != nil || y.Asked != 1 || y.Before != 2 {
			t.Errorf("after user 2 has changed: %+v, error %v", y, err)
		}
		b.holds(time.Minute, 1, "second")
		b.holds(time.Minute, 2, "second")
		time.Sleep(time.Minute) // virtual time
		if x, y := calls(); x > tap+6 || y > hap+2 {
			t.Errorf("%d and %d calls more, want at most 6 and 2", x-tap, y-hap)
		}
	})
}

// TestResyncRefuses what cannot come to an end as it was meant.
func TestResyncRefuses(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		with := b.retryTopic("retry", time.Hour)
		b.change(1, "first")
		b.row(2, "")
		b.row(3, `bad`)
		for i := range 30 {
			b.change(100+i, "x")
		}
		short := b.retryTopic("short", time.Second)
		only := func(c *Config) { c.Haptik = nil }
		tests := []struct {
			name string
			c    *Config
			o    ResyncOptions
			want string
		}{
			{"no retry topic", b.config(), ResyncOptions{User: "1"}, "kafka.retry_topic: is not set"},
			{"not a retry topic", b.config(func(c *Config) { c.Kafka.RetryTopic = "compacted" }), ResyncOptions{User: "1"}, "kafka.retry_topic: topic compacted: it has 1 partitions"},
			{"nobody", b.config(with), ResyncOptions{User: "4711"}, "no record of users is about this user"},
			{"deleted", b.config(with), ResyncOptions{User: "2"}, "taptalk: the newest change is a delete"},
			{"undecodable", b.config(with), ResyncOptions{User: "3"}, "the newest record of the user cannot be decoded"},
			{"both at a time", b.config(with), ResyncOptions{}, "name it with --destination"},
			{"removed before it is read", b.config(short, only), ResyncOptions{DryRun: true}, "topic short keeps records for 1s, and at the rate limit these calls take 2s"},
		}
		for _, tt := range tests {
			_, err := b.resynced(tt.c, tt.o)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "4711") {
				t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
			}
		}
	})
}
