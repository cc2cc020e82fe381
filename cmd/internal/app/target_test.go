package app

import (
	"log/slog"
	"strings"
	"testing"

	"usersync/consumer"
	usync "usersync/sync"
)

// TestSends: a pipeline's word for what it sends is another one when any of that is
// decided otherwise, and no other when something else is.
func TestSends(t *testing.T) {
	word := func(edit func(c *Config, d *Delivery, program *string)) string {
		c, program := defaults(), "one"
		d := c.TapTalk.Delivery
		d.BaseURL = "https://taptalk.example.com"
		edit(c, &d, &program)
		t := target{name: taptalkName, Delivery: &d}
		return c.pipeline(t, consumer.Config{State: c.state(t, "", program), Log: slog.New(slog.DiscardHandler)}).Sends
	}
	ever := word(func(*Config, *Delivery, *string) {})
	if len(ever) != 16 || strings.ContainsAny(ever, " \t=") {
		t.Errorf("%q is no word for a commit", ever)
	}
	for name, edit := range map[string]func(c *Config, d *Delivery, program *string){
		"mapping":        func(_ *Config, d *Delivery, _ *string) { d.Mapping = map[string]any{"fullName": "name"} },
		"custom data":    func(_ *Config, d *Delivery, _ *string) { d.Mapping = map[string]any{"x": map[string]any{"a": "b"}} },
		"base_url":       func(_ *Config, d *Delivery, _ *string) { d.BaseURL = "https://other.example.com" },
		"deletes":        func(_ *Config, d *Delivery, _ *string) { d.Deletes = "anonymize" },
		"anonymize":      func(_ *Config, d *Delivery, _ *string) { d.Anonymize = map[string]any{"fullName": "'gone'"} },
		"on_null":        func(_ *Config, d *Delivery, _ *string) { d.OnNull = usync.NullOmit },
		"on_unavailable": func(_ *Config, d *Delivery, _ *string) { d.OnUnavailable = usync.UnavailableFail },
		"phone_region":   func(_ *Config, d *Delivery, _ *string) { d.PhoneRegion = "ID" },
		"user_id":        func(c *Config, _ *Delivery, _ *string) { c.Events.UserID = "uid" },
		"placeholder":    func(c *Config, _ *Delivery, _ *string) { c.Events.UnavailablePlaceholder = "?" },
		"program":        func(_ *Config, _ *Delivery, p *string) { *p = "another" },
	} {
		if word(edit) == ever {
			t.Errorf("%s: the word is the same", name)
		}
	}
	if got := word(func(c *Config, d *Delivery, _ *string) { d.RateLimit, d.Concurrency, c.Kafka.GroupID = 7, 3, "other" }); got != ever {
		t.Error("the word is another one, and the same is sent")
	}
}
