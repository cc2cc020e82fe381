package sync

import (
	"slices"
	"time"
)

// kill loses the lane with everything it knew. A call in flight is applied at
// land, if it is to be applied. A commit that was not answered counts if it is
// accepted. The new owner knows the last commit, and reads from there on.
func (w *world) kill(accepted bool, land func(*flight) time.Duration) {
	w.cut(land)
	if w.sent != nil && accepted {
		w.committed = *w.sent
	}
	until := w.now.Add(laneConfig.Retry.ConfirmAfter)
	if w.state != nil {
		w.state.kill(w.chance(len(w.state.log) - w.state.durable + 1))
		if w.chance(3) == 2 {
			w.land(w.now.Add(time.Hour)) // nobody was there, and all that was sent has landed
		}
	}
	w.inherit(until)
}

// drain ends the lane as a rebalance does: cleanly, when its calls have ended, or
// not waiting for them; then they are applied at land. The last commit tells the
// new owner of all doubts.
func (w *world) drain(clean bool, land func(*flight) time.Duration) {
	for clean && len(w.flights) > 0 {
		w.advance(w.now.Add(time.Second)) // the longest takes ten
	}
	for _, f := range w.cut(land) {
		w.lane.Done(w.now, f.call, &CallError{Verdict: Failed, Code: "cancelled", Ambiguous: true})
	}
	var until time.Time
	w.committed = w.note()
	if d := w.lane.Doubts(); d[Position{Topic: "users"}] || d[repeatsAt] || len(w.committed.suspects) > 0 {
		until = w.now.Add(laneConfig.Retry.ConfirmAfter)
	}
	if w.state != nil {
		w.state.flush()
		if w.chance(2) == 1 { // another process takes over
			w.state.kill(0)
		}
	}
	w.inherit(until)
}

// cut forgets the calls in flight, and returns them.
func (w *world) cut(land func(*flight) time.Duration) []*flight {
	cut := w.flights
	w.flights = nil
	for _, f := range cut {
		if d := land(f); d >= 0 && f.reply.lands == 0 {
			w.late = append(w.late, landing{at: f.call.Started.Add(d), user: f.call.user.id, body: string(f.call.Payload.Body)})
		}
	}
	return cut
}

// inherit starts a new lane, which knows the last commit and doubts until the
// given time.
func (w *world) inherit(until time.Time) {
	w.sent = nil
	end := w.read + 10_000
	w.suspects, w.suspected = slices.Concat(w.committed.controls, w.committed.suspects), until
	w.takeMapping(!until.IsZero())
	// A call takes a lease, and that an accepted commit: so before the first one the note
	// names the mapping that it is made with, also if nothing is settled before the next kill.
	w.committed.mapping = w.mapping.note(w.committed)
	w.newLane()
	w.read = w.committed.offset
	w.start = w.read
	w.repeats = repeats{log: w.repeats.log, read: w.committed.repeats, floor: map[int]int{}}
	w.submit(until, end)
	w.submitRepeats(until, len(w.repeats.log))
}

// mappings are those of the owners, each told by the mark that it leaves in a payload.
type mappings struct {
	inUse, next string
	unknown     bool // a former owner had another one
	until       commit
}

// mixed is no mapping's mark.
const mixed = "?"

// takeMapping puts the next mapping to use. If a former owner may have sent something
// by another one, a note that its successor reads must not name this one while what
// both may have sent is read again.
func (w *world) takeMapping(possibly bool) {
	m := &w.mapping
	m.inUse, m.unknown = m.next, w.committed.mapping != m.next
	m.until = commit{}
	if m.unknown && possibly {
		m.until = commit{offset: len(w.log), repeats: len(w.repeats.log)}
	}
}

// note is the mapping that the commit c names.
func (m *mappings) note(c commit) string {
	if c.offset < m.until.offset || c.repeats < m.until.repeats {
		return mixed
	}
	return m.inUse
}
