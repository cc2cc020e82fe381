// Package ledger holds the guarantees against traces: those of workers in virtual
// time as they come, and those of real processes once they are merged.
//
// The ledger itself checks what can be said of every single event (G2, G3, G7).
// Beside it are probes for what takes a longer look, each a small type that takes
// events or samples and reports findings by name.
package ledger

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"usersync/consumer/trace"
)

// The kinds of event that a test adds to those of the workers, so that all of what
// happened is one trace.
const (
	// Wrote: a change of a user was written to the topic. Each partition's are noted
	// in the order of their offsets; At is before a worker can have read it.
	Wrote trace.Kind = "wrote"
	// Applied: a destination has saved what the change said. Worker is the caller if
	// that is known.
	Applied trace.Kind = "applied"
	// Killed: the worker is dead, and has said nothing since.
	Killed trace.Kind = "killed"
	// Frozen and Thawed: the worker was stopped, and goes on.
	Frozen trace.Kind = "frozen"
	Thawed trace.Kind = "thawed"
	// Terminated: the worker was told to stop. Exited: it has.
	Terminated trace.Kind = "terminated"
	Exited     trace.Kind = "exited"
)

// Deleted is the outcome of a Wrote that deletes the user, which needs no call.
const Deleted = "deleted"

// Name says what was found: the guarantee, and how it was broken.
type Name string

// The findings.
const (
	Unsettled     Name = "G2: committed beyond an unsettled change"
	Overlap       Name = "G3: two calls in flight for a user"
	TakenBack     Name = "G3: a user was taken back to an older version"
	Uncarried     Name = "G3: a destination has saved what no call carried"
	LeftBack      Name = "G1: a user was left at an older version"
	NotAtFault    Name = "G4: a dead letter for a user that was not at fault"
	Spared        Name = "G4: no dead letter for a change that is at fault"
	JudgedHeld    Name = "G4: a dead letter while the destination was at fault"
	CalledHeld    Name = "G4: calls at full rate while the destination was at fault"
	Shared        Name = "G5: one destination's trouble has reached the other"
	Heap          Name = "G6: too much memory"
	StrangerCall  Name = "G7: a call for a partition of another"
	StrangerWrote Name = "G7: a commit of a partition that was not assigned"
	CommitBack    Name = "G7: a commit went back"
	OldGeneration Name = "G7: an assignment by an older generation"
	Private       Name = "G8: personal data or a secret got out"
	Stalled       Name = "stall: work to do, and none done"
	Stagnant      Name = "lag: everything is settled, and not committed"
	SlowDrain     Name = "drain: it took too long to stop"
)

// Finding is something that must not be.
type Finding struct {
	Name        Name
	At          time.Time
	Destination string
	Worker      string // if one is to blame
	Text        string
	// Trace is what led to it, as far as that can be told from single events.
	Trace []trace.Event
}

// String is the finding on a line, and its trace on those that follow.
func (f Finding) String() string {
	var who strings.Builder
	for _, s := range []string{f.Destination, f.Worker} {
		if s != "" {
			who.WriteString(" " + s + ":")
		}
	}
	s := fmt.Sprintf("%s:%s %s", f.Name, who.String(), f.Text)
	if len(f.Trace) > 0 {
		s += "\n" + Lines(f.Trace)
	}
	return s
}

// Lines are events as a trace has them.
func Lines(events []trace.Event) string {
	var b strings.Builder
	for _, e := range events {
		line, err := json.Marshal(e)
		if err != nil {
			line = []byte(err.Error()) // cannot be: an event is text and numbers
		}
		b.Write(append(line, '\n'))
	}
	return strings.TrimSuffix(b.String(), "\n")
}
