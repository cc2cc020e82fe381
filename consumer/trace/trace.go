// Package trace is the record of what the guarantees are about: which partitions
// a worker owned, which calls it made, what it committed and what it gave up. A
// worker writes it for the analysis of an incident, and every test's oracle reads
// it, of made-up and of real processes alike.
//
// An event is one line of JSON. A field that is missing is zero:
//
//	{"at":1767225600000000000,"worker":"host-1","destination":"taptalk","kind":"call","topic":"users","offset":17,"user":"6ed4c8d1f0a2"}
package trace

import (
	"encoding/json"
	"strings"
	"time"
)

// Event is one thing that happened.
type Event struct {
	// At is when, in whole nanoseconds.
	At time.Time `json:"-"`
	// Worker is the process: what is unique among all that write traces.
	Worker      string `json:"worker,omitempty"`
	Destination string `json:"destination,omitempty"`
	Kind        Kind   `json:"kind"`
	// Topic, Partition and Offset say of which change; of a commit Offset is what
	// was committed, of a halt what had been.
	Topic     string `json:"topic,omitempty"`
	Partition int    `json:"partition,omitempty"`
	Offset    int64  `json:"offset,omitempty"`
	// User is whose change was called for or given up; empty for a letter about a
	// record that could not be read.
	User    string `json:"user,omitempty"`
	Outcome string `json:"outcome,omitempty"`
	// Generation and Member say under which membership, of assigned, revoked and
	// commit.
	Generation int    `json:"generation,omitempty"`
	Member     string `json:"member,omitempty"`
	// Partitions are those of a new generation.
	Partitions []TopicPartition `json:"partitions,omitempty"`
}

// TopicPartition names a partition.
type TopicPartition struct {
	Topic     string `json:"topic"`
	Partition int    `json:"partition"`
}

// TopicPartition is the partition that the event is about.
func (e Event) TopicPartition() TopicPartition { return TopicPartition{e.Topic, e.Partition} }

// Kind says what happened.
type Kind string

// The kinds of event that a worker writes, each before what it says begins or
// after it was answered, so that a process that dies has said enough.
const (
	Assigned Kind = "assigned" // a generation begins, before its first call and commit
	Revoked  Kind = "revoked"  // it has ended: nothing more is done for its partitions
	Call     Kind = "call"     // a call is about to begin
	Called   Kind = "called"   // it has ended, with an outcome
	// Unchanged is of a change that needs no call: what it would send is there already.
	Unchanged Kind = "unchanged"
	Commit    Kind = "commit" // a commit was answered; the outcome is OK or the coordinator's error
	Letter    Kind = "letter" // the dead-letter topic has acknowledged; the outcome is the reason
	Halt      Kind = "halt"   // a partition is not read any more; the outcome is the reason
	Passed    Kind = "passed" // an operator has accepted what that loses: the partition goes on from the offset
)

// Outcomes begin with one of these or name what was answered.
const (
	OK     = "ok"
	Unsure = "unsure" // of a call: it may have been applied, or may still be
	Unsent = "unsent" // of a call: not one byte of it has left the process
	// Throttled, of a call: the destination asked for fewer.
	Throttled = "throttled"
)

// OK reports whether what the event is about succeeded.
func (e Event) OK() bool { return e.Outcome == OK }

// Unsure reports whether the destination may have applied the call all the same.
func (e Event) Unsure() bool { return strings.HasPrefix(e.Outcome, Unsure) }

// Unsent reports whether nothing of the call has left the process.
func (e Event) Unsent() bool { return strings.HasPrefix(e.Outcome, Unsent) }

// Throttled reports whether the destination asked for fewer calls.
func (e Event) Throttled() bool { return strings.HasPrefix(e.Outcome, Throttled) }

// plain is an Event without methods, for encoding/json.
type plain Event

type line struct {
	At int64 `json:"at"` // nanoseconds since 1970: no time zone, and nothing rounded
	plain
}

// MarshalJSON encodes the event.
func (e Event) MarshalJSON() ([]byte, error) {
	return json.Marshal(line{e.At.UnixNano(), plain(e)})
}

// UnmarshalJSON decodes an event.
func (e *Event) UnmarshalJSON(b []byte) error {
	var l line
	if err := json.Unmarshal(b, &l); err != nil {
		return err
	}
	*e = Event(l.plain)
	e.At = time.Unix(0, l.At)
	return nil
}
