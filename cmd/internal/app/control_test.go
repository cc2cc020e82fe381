package app

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// controlled gives a deployment a control topic.
func (b *bubble) controlled() func(*Config) {
	b.t.Helper()
	if err := b.kafka.CreateTopic("control", 1, map[string]string{"cleanup.policy": "compact"}); err != nil {
		b.t.Fatal(err)
	}
	return func(c *Config) { c.Kafka.ControlTopic = "control" }
}

// say runs a command that tells the workers something, and returns what it printed.
func (b *bubble) say(c *Config, destination string, asJSON bool, what func(context.Context, *counter) (told, error)) (string, error) {
	var out bytes.Buffer
	err := tell(b.t.Context(), c, destination, asJSON, &out, b.outside(), what)
	return out.String(), err
}

// TestPauseAndResume pauses a running worker by command and resumes it: only that
// destination waits meanwhile.
func TestPauseAndResume(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		c := b.config(b.controlled())
		p := b.start(c)
		p.ready()
		said := func(destination string, asJSON bool, what func(context.Context, *counter) (told, error), want string) {
			t.Helper()
			out, err := b.say(c, destination, asJSON, what)
			if err != nil || !strings.Contains(out, want) {
				t.Errorf("printed %q (%v), want %q", out, err, want)
			}
		}
		said(taptalkName, false, pause, "taptalk: paused; calls in flight end")
		said(taptalkName, false, pause, "taptalk: is paused already, since ")
		p.shows(10*time.Second, `usersync_lane_state{destination="taptalk",reason="paused"} 1`)
		b.change(1, "Ann")
		b.holds(time.Minute, 1, "Ann", haptikName)
		time.Sleep(time.Minute)
		if got := b.tap.Current("1"); got != nil {
			t.Errorf("taptalk was called: %v", got)
		}
		if status, body := p.get("/readyz"); status != 200 {
			t.Errorf("a pause is no failure: %s", body)
		}
		said(haptikName, false, resume, "haptik: is not paused")
		out, err := b.say(c, taptalkName, true, resume)
		var got told
		if bad := json.Unmarshal([]byte(out), &got); err != nil || bad != nil || got.State != "running" || !got.Changed || got.Destination != taptalkName {
			t.Errorf("printed %s (%v, %v)", out, err, bad)
		}
		b.holds(time.Minute, 1, "Ann")
	})
}

// TestAcceptLettersIsTold: the workers can read what the command writes.
func TestAcceptLettersIsTold(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		c := b.config(b.controlled())
		before := time.Now()
		time.Sleep(time.Second)
		if out, err := b.say(c, haptikName, false, accept); err != nil || !strings.HasPrefix(out, "haptik: accepted; ") {
			t.Fatalf("printed %q (%v)", out, err)
		}
		o, err := openCounter(t.Context(), c, haptikName, b.outside())
		if err != nil {
			t.Fatal(err)
		}
		defer o.client.Close()
		if a, ok := o.known.Accepted(haptikName); !ok || !a.At.After(before) {
			t.Errorf("accepted: %v, %v", ok, a)
		}
		if a, ok := o.known.Accepted(taptalkName); ok {
			t.Errorf("accepted for the other destination: %v", a)
		}
	})
}

// TestTellCannot: what keeps a command from telling the workers is said, with the remedy.
func TestTellCannot(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		for name, tc := range map[string]struct {
			destination string
			edit        func(*Config)
			want        string
		}{
			"no control topic":       {taptalkName, func(*Config) {}, "kafka.control_topic: is not set, and it is how the workers are told; name a topic"},
			"unknown destination":    {"whatsapp", func(c *Config) { c.Kafka.ControlTopic = "control" }, "destinations.whatsapp: is not in the configuration"},
			"topic does not exist":   {taptalkName, func(c *Config) { c.Kafka.ControlTopic = "contorl" }, "kafka.control_topic: topic contorl: it does not exist"},
			"topic of another shape": {taptalkName, func(c *Config) { c.Kafka.ControlTopic = "users" }, "kafka.control_topic: topic users: it has 2 partitions"},
		} {
			if out, err := b.say(b.config(tc.edit), tc.destination, false, pause); err == nil || !strings.HasPrefix(err.Error(), tc.want) || out != "" {
				t.Errorf("%s: printed %q, error %v, want %q", name, out, err, tc.want)
			}
		}
	})
}
