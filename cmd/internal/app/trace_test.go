package app

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"usersync/consumer/trace"
	usync "usersync/sync"
)

// A trace says what was done for which user, by the hash that logs have.
func TestRunTraces(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		var out buffer
		b.traces = &out
		p := b.start(b.config(func(c *Config) { c.Privacy.HashKey = usync.Secret{Value: planted} }))
		p.ready()
		b.change(7, "first")
		b.holds(time.Minute, 7, "first")
		p.end()
		if err := p.wait(time.Minute); err != nil {
			t.Error(err)
		}
		events, err := trace.Read(strings.NewReader(out.String()))
		if err != nil {
			t.Fatal(err)
		}
		for _, destination := range []string{"taptalk", "haptik"} {
			var kinds []trace.Kind
			for _, e := range events {
				if e.Destination != destination || e.Kind == trace.Commit {
					continue
				}
				kinds = append(kinds, e.Kind)
				if want := newUserHash(planted)("7"); e.User != "" && e.User != want {
					t.Errorf("%s: %s of user %q, want %q", destination, e.Kind, e.User, want)
				}
			}
			if want := []trace.Kind{trace.Assigned, trace.Call, trace.Called, trace.Revoked}; !slices.Equal(kinds, want) {
				t.Errorf("%s: the trace has %v, want %v", destination, kinds, want)
			}
			if !slices.ContainsFunc(events, func(e trace.Event) bool {
				return e.Destination == destination && e.Kind == trace.Commit && e.OK() && e.Offset == 1
			}) {
				t.Errorf("%s: the trace lacks the commit", destination)
			}
		}
		if strings.Contains(out.String(), planted) || !strings.Contains(out.String(), `"worker":`) {
			t.Errorf("the trace holds personal data, or does not say whose it is:\n%s", out.String())
		}
	})
}

// full is a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestTraceOnAFullDisk(t *testing.T) {
	var logs bytes.Buffer
	tell := tracer(full{}, newUserHash(""), newLogger(&logs, 0, "text"))
	for range 3 {
		tell(trace.Event{Kind: trace.Call, User: "7"})
	}
	if got := strings.Count(logs.String(), "the trace is incomplete from here on"); got != 1 {
		t.Errorf("it was said %d times:\n%s", got, logs.String())
	}
	if tracer(nil, nil, nil) != nil {
		t.Error("without a writer events are made and thrown away")
	}
}
