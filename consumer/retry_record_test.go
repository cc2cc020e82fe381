package consumer

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"usersync/consumer/event"
	usync "usersync/sync"
)

// TestRetryRoundTrip: what is written is what is read, and the record's own headers stay.
func TestRetryRoundTrip(t *testing.T) {
	for _, want := range []Retry{
		{
			Destination: destHaptik, Command: Replay, Source: usync.Position{Topic: "users", Partition: 2, Offset: 40}, Searched: 41,
			SourceTime: time.Date(2026, 1, 31, 12, 0, 0, 5e6, time.UTC), Key: []byte("k"), Value: []byte("v"),
			Headers: []event.Header{{Key: "own", Value: []byte("h")}, {Key: "own", Value: nil}},
		},
		{Destination: destTaptalk, Command: Resync, Source: usync.Position{Topic: "users", Partition: 2}, Searched: 9000},
	} {
		r := want.record()
		r.Topic, r.Partition = "retry", 2
		if got, ok := ReadRetry(&r); !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("read %+v, %t, want %+v", got, ok, want)
		}
		r.Partition = 1
		if _, ok := ReadRetry(&r); ok {
			t.Error("it is taken from the partition of another user")
		}
	}
}

// TestDecodeRetry: a retry's change has the position of the original, and only a resync
// is sent although the destination may have it.
func TestDecodeRetry(t *testing.T) {
	d, err := event.New(event.Config{Format: "json", UserID: "id", Placeholder: "none", Columns: []string{"full_name"}})
	if err != nil {
		t.Fatal(err)
	}
	c := &Config{Destination: destTaptalk, Topics: []string{"users"}, RetryTopic: "retry", Decoder: d}
	for _, command := range []Command{Replay, Resync} {
		r := Retry{
			Destination: destTaptalk, Command: command, Source: usync.Position{Topic: "users", Partition: 1, Offset: 7}, Searched: 9,
			Key: []byte(`{"id":3}`), Value: []byte(`{"id":3,"full_name":"x"}`),
		}.record()
		r.Topic, r.Partition, r.Offset = "retry", 1, 100
		got := c.decodeRetry(&r)
		change := got.event.Change
		if got.offset != 100 || got.retry.skip != "" || got.retry.Searched != 9 || change.User != "3" ||
			change.Position != (usync.Position{Topic: "users", Partition: 1, Offset: 7}) || change.Force != (command == Resync) {
			t.Errorf("%s: decoded %+v", command, got)
		}
	}
}

// TestDone: a note says what is settled above the commit, whatever its owner has not come
// to yet, and never that something is which is not.
func TestDone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		settled := map[int64]bool{}
		p := &owned{retry: true}
		for range rapid.IntRange(1, 6).Draw(t, "owners") {
			offset := p.front.offset()
			note := p.settled(offset)
			if len(note) > 2000 {
				t.Fatalf("%d bytes; a broker takes 4096 for the whole note", len(note))
			}
			p = &owned{retry: true, done: parseDone(note, offset)}
			p.front.advance(offset)
			for n := rapid.IntRange(0, 300).Draw(t, "records"); n > 0; n-- {
				at := p.front.position
				if p.done.has(at) {
					if !settled[at] {
						t.Fatalf("%d is taken for settled by %q", at, note)
					}
					p.front.advance(at + 1)
					continue
				}
				if settled[at] && len(p.done.but) < mostPending && at < p.done.to {
					t.Fatalf("%d was settled, and %q does not say so", at, note)
				}
				if h := p.front.hold(at); rapid.IntRange(0, 5).Draw(t, "settles") > 0 {
					h.Release()
					settled[at] = true
				}
			}
		}
	})
	d := parseDone("100-5000/100,133", 100)
	for offset, want := range map[int64]bool{100: false, 101: true, 133: false, 4999: true, 5000: false} {
		if d.has(offset) != want {
			t.Errorf("%d is taken for settled: %t", offset, !want)
		}
	}
	for note, offset := range map[string]int64{"100-5000/100,133": 90, "100-5000/133,100": 100, "100-x/100": 100, "100": 100, "": 0, "100-5000/1e2": 100} {
		if d := parseDone(note, offset); d.has(101) || d.has(0) {
			t.Errorf("%q in a commit of %d is believed", note, offset)
		}
	}
}

// TestSettled: commands ask the same of a commit as the next owner does.
func TestSettled(t *testing.T) {
	n := note{End: 10, Done: "3-7/3,5"}
	c := Committed{Offset: 3, Metadata: n.String()}
	for offset, want := range map[int64]bool{2: true, 3: false, 4: true, 5: false, 6: true, 7: false} {
		if c.Settled(offset) != want {
			t.Errorf("the record at %d is settled: %t", offset, !want)
		}
	}
	if none := (Committed{Offset: -1}); none.Settled(0) {
		t.Error("without a commit something is settled")
	}
}

// TestDoneIsWritten: who was delivered is not settled before that is written down.
func TestDoneIsWritten(t *testing.T) {
	s := &state{queue: map[userKey]usync.Version{{1}: {}}}
	p := &owned{retry: true, rests: []*state{s}}
	p.front.hold(0)
	p.front.hold(1).Release()
	if note := p.settled(0); note != "" {
		t.Errorf("it is said too early: %q", note)
	}
	clear(s.queue)
	if note := p.settled(0); note != "0-2/0" {
		t.Errorf("the note is %q, want %q", note, "0-2/0")
	}
}
