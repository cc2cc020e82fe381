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

// TestMendedTwice: two retries of a user that are superseded by the same change do not share
// its columns. The lane fills in what the change lacks, while a letter with the columns of
// the first may be being written.
func TestMendedTwice(t *testing.T) {
	l := newLooping(t, 1)
	l.p.states = newStates(StateConfig{Users: 1}, "sends", nil, "g", l.Metrics.State)
	now := time.Now()
	source, retry := l.parts[0], part(0, 0, 0, headroom)
	retry.Topic, retry.retry, retry.metrics = "retry", true, source.metrics
	source.front.advance(3)
	source.recent = &recent{newest: map[string]int64{"1": 2}}
	change := func(offset int64, bio any) usync.Change {
		return usync.Change{User: "1", Op: usync.Upsert, Position: source.at(offset), Columns: usync.ColumnsOf(map[string]any{"bio": bio})}
	}
	lacks := change(2, usync.Unavailable{})
	retry.retries.againAt, retry.retries.again = source.at(2), &decoded{event: event.Event{Change: lacks}}
	l.lane.Submit(now, change(1, "known"), usync.Place{At: source.at(1), Hold: source.front.hold(1)}, usync.Sent{})
	for offset := range int64(2) {
		asks := &decoded{offset: offset, retry: &retried{Retry: Retry{Command: Resync, Source: source.at(0)}}, event: event.Event{Change: change(0, "old")}}
		if !l.resubmit(now, retry, asks) {
			t.Fatal("it waits")
		}
		if got, _ := lacks.Columns.Get("bio"); got != (usync.Unavailable{}) {
			t.Errorf("after %d retries the change that was read has %v", offset+1, got)
		}
	}
	if c := l.lane.Next(now); c == nil || c.Position != source.at(2) {
		t.Errorf("called: %+v", c)
	}
}
