package consumer

import (
	"testing"
	"time"

	"usersync/consumer/event"
	usync "usersync/sync"
)

// TestRetriesAreRegisteredLast: whichever partition's turn it is to be first, a change gets
// the room that a retry would take.
func TestRetriesAreRegisteredLast(t *testing.T) {
	for turn := range 2 {
		l := newLooping(t, 1)
		l.Window, l.round = 2, turn // room for one
		now := time.Now()
		source, retry := l.parts[0], part(0, 0, 0, headroom)
		retry.Topic, retry.retry, retry.metrics = "retry", true, source.metrics
		l.parts = append(l.parts, retry)
		source.end = headroom
		at := usync.Position{Topic: "users"}
		source.inbox = &portion{fetched: fetched{Next: 1}, events: []decoded{{event: event.Event{Op: "update", Change: usync.Change{User: "1", Op: usync.Upsert, Position: at}}}}}
		retry.inbox = &portion{fetched: fetched{Next: 1}, events: []decoded{{retry: &retried{skip: retryElsewhere}}}}
		if l.register(now); source.inbox != nil || retry.inbox == nil {
			t.Errorf("in turn %d the change waits: %t, the retry: %t", turn, source.inbox != nil, retry.inbox != nil)
		}
	}
}
