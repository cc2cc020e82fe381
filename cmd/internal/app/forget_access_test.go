package app

import (
	"bytes"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestForgetIsForbidden: whoever may not write all that forget does has removed nothing.
func TestForgetIsForbidden(t *testing.T) {
	for _, topic := range []string{"state", "control"} {
		t.Run(topic, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bubble) {
				if err := b.kafka.CreateTopic("control", 1, map[string]string{"cleanup.policy": "compact"}); err != nil {
					t.Fatal(err)
				}
				c := b.config(remembers, func(c *Config) { c.Kafka.ControlTopic = "control" })
				b.start(c).ready()
				b.rejected(c) // so that there is a letter to be discarded
				b.idle(c)
				f := b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Err: kerr.TopicAuthorizationFailed, Count: -1})
				defer f.Remove()
				var out bytes.Buffer
				err := forget(t.Context(), c, "2", true, &out, &b.logs, b.outside())
				if err == nil || !strings.Contains(err.Error(), "topic "+topic+": access denied: this user needs Write") {
					t.Errorf("error %v", err)
				}
				if held := b.explained(c, 2).Destinations[1].Held; !strings.HasPrefix(held, "what would be sent now") || out.Len() > 0 {
					t.Errorf("held: %q, printed %q", held, &out)
				}
			})
		})
	}
}
