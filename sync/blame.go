package sync

import (
	"time"

	"usersync/sync/sabotage"
)

// strikes is how many failures of a change must be shown to be its own before a
// rejection or a refusal is believed.
const strikes = 3

// moment orders what a lane sees: every start and every outcome of a call has a
// later one than all before. A clock would do less: it may be set, and it can
// give two events the same time.
type moment uint64

// fault is a user's memory of failing. It ends with a success.
type fault struct {
	failed   moment // of the newest failure
	verdict  Verdict
	code     string
	field    string
	body     []byte        // what was rejected or refused, to notice when the same is accepted later
	judged   Verdict       // which of the two it was
	failures int           // in a row
	weighed  bool          // the newest failure is counted below
	charged  int           // rejections and refusals with contrast
	contrast time.Duration // total of the intervals with contrast after a failed call
	final    bool          // the last chance before the dead-letter topic was given
	backoff  time.Duration // after the newest failure
	pace     func() time.Duration
}

// success is the newest start of a call that succeeded.
type success struct {
	user  string
	start moment
}

// blame decides whose fault a failure is: the user's, or the destination's.
//
// Contrast makes it the user's: another user's call, started after the failure,
// succeeded before the user's next attempt. The destination is at fault when
// two users fail in a row, the second having started after the first failed,
// with no success between: then the lane is held and probed.
type blame struct {
	best, other success // of two different users, best the newer

	suspect struct { // the first failure since anyone succeeded
		user string
		when moment
		at   time.Time
	}

	held     bool
	reason   Verdict
	code     string
	since    time.Time
	probeAt  time.Time
	probing  bool
	turn     bool // whose turn among the probes: true for the control call
	pace     func() time.Duration
	newPace  func() func() time.Duration
	believed [Refused + 1]time.Time // by verdict: such answers count as proof from then on
}

// contrast reports whether a call of somebody else, started after when, has succeeded.
func (b *blame) contrast(user string, when moment) bool {
	if b.best.user != user {
		return b.best.start > when
	}
	return b.other.start > when
}

// succeeded notes a call of user that was started at start, and reports whether
// that lifts a hold.
func (b *blame) succeeded(user string, start moment) bool {
	switch {
	case b.best.user == user:
		b.best.start = max(b.best.start, start)
	case start > b.best.start:
		b.best, b.other = success{user, start}, b.best
	case b.other.user == user || start > b.other.start:
		b.other = success{user, max(start, b.other.start)}
	}
	if start < b.suspect.when {
		return false // sent before the trouble began: it says nothing of now
	}
	b.suspect.user, b.suspect.when = "", 0
	lifted := b.held
	b.held = false
	return lifted
}

// failed notes a failed call of user, which may make the lane held. alone says
// that no other user waits or is in flight; again, that this user's attempt before
// failed too.
func (b *blame) failed(now time.Time, user string, start, end moment, e *CallError, alone, again bool) {
	if b.held || sabotage.On(sabotage.NoHold) {
		return
	}
	second := b.suspect.when != 0 && (b.suspect.user == user && again || b.suspect.user != user && start > b.suspect.when)
	if b.suspect.when == 0 {
		b.suspect.user, b.suspect.when, b.suspect.at = user, end, now
	}
	refused := e.Verdict == Refused
	switch {
	case alone && (refused || second):
	case second && b.suspect.user != user && (refused || now.Sub(b.suspect.at) >= time.Second):
	default:
		return
	}
	b.held, b.reason, b.code, b.since = true, e.Verdict, e.Code, now
	b.probeAt, b.turn, b.pace = now, false, b.newPace()
}

// probed notes the end of a probe that did not lift the hold.
func (b *blame) probed(now time.Time) { b.probeAt = now.Add(b.pace()) }

// believes reports whether an answer with this verdict is proof against a record.
// It is not while the destination takes back its own: what it rejects now and
// accepts, unchanged, a moment later is no judgement of the record (one node of
// four with a bad configuration looks like that). Such answers are treated as
// failures, which are given up by time. Refusals are taken back by every change of
// a key, so each verdict stands for itself.
func (b *blame) believes(now time.Time, v Verdict) bool {
	return v != Failed && !now.Before(b.believed[v])
}

// doubted is how long one answer that was taken back keeps its like from being believed.
const doubted = time.Hour
