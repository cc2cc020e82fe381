package sync

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"usersync/sync/sabotage"
)

// judge weighs the user's last failure, now that its next attempt would begin,
// and returns the reason to give its change up, or "".
func (l *Lane) judge(now time.Time, u *user) string {
	f, p := u.fault, u.cur
	if f == nil || sabotage.On(sabotage.BlameNobody) {
		return ""
	}
	believed := l.blame.believes(now, f.verdict)
	if !f.weighed && (l.blame.contrast(u.id, f.failed) || sabotage.On(sabotage.NoContrast)) {
		if believed {
			f.charged++
			if p.attempts > 0 {
				p.charged++
			}
		} else {
			// Its backoff, and not what it waited beyond that, behind others or for the
			// end of an outage: that is no time in which it failed.
			f.contrast += f.backoff
		}
	}
	f.weighed = true
	if p.retrial && p.attempts == 0 {
		return "" // one more attempt, whatever was known before
	}
	p.retrial = false
	switch {
	case believed && p.charged >= strikes:
		return f.verdict.String()
	case f.contrast >= l.cfg.Retry.GiveUpAfter && p.attempts >= strikes:
		return reasonExhausted
	default:
		return ""
	}
}

// tookBack reports whether the delivery of p shows that the destination accepts
// now what it rejected or refused before.
func tookBack(f *fault, p *pending) bool {
	return f != nil && f.body != nil && bytes.Equal(f.body, p.body)
}

// frozen says that the user has failed for so long that its change must be
// judged before another may take its place: else a user that changes faster
// than it is retried would never be given up, and hold the frontier for ever.
func (l *Lane) frozen(u *user) bool {
	return u.fault != nil && (u.fault.charged >= strikes || u.fault.contrast >= l.cfg.Retry.GiveUpAfter)
}

// forgive forgets that u has failed.
func (l *Lane) forgive(u *user) {
	if u.failures() >= strikes {
		l.release.failing--
	}
	u.fault = nil
}

// giveUp makes u's change eligible for the dead-letter topic.
func (l *Lane) giveUp(now time.Time, u *user, reason, code, field string) {
	p := u.cur
	l.withdraw(u)
	u.letter = &Letter{
		From: p.change.Position, To: p.change.Position, Reason: reason, Code: code, Field: field,
		Attempts: u.failures(), Change: &p.change, Failed: now, count: 1, user: u,
	}
	l.become(u, eligible)
	l.release.add(now, u.letter)
}

// withdraw forgets the letter of u, if there is one.
func (l *Lane) withdraw(u *user) {
	if u.letter != nil {
		l.release.remove(u.letter)
		u.letter = nil
	}
}

// pardon gives the change of a letter another chance.
func (l *Lane) pardon(letter *Letter) {
	u := letter.user
	l.release.pardon(letter)
	l.overtake(u)
	u.cur.retrial, u.cur.attempts = true, 0
	l.enqueue(u)
}

// retry gives one of many another chance while the latch is closed, and all that
// are left when it opens: that happens when others succeed, so what stood in the
// way of these may be gone as well.
func (l *Lane) retry(now time.Time) {
	if l.release.check(now) {
		l.reprieve((*Letter).retriable)
	}
	if l.paused {
		return // another chance needs a call
	}
	if letter := l.release.trial(now, l.cfg.Retry.Max); letter != nil {
		l.pardon(letter)
	}
}

// reprieve pardons all letters that match: their ground has gone.
func (l *Lane) reprieve(match func(*Letter) bool) {
	for _, letter := range slices.Clone(l.release.letters) {
		if letter.retriable() && match(letter) {
			l.pardon(letter)
		}
	}
}

// Letter returns a letter to write now, or nil. The caller brings it back with
// Written; until then there is no other.
func (l *Lane) Letter(now time.Time) *Letter {
	l.retry(now)
	if l.blame.held && !sabotage.On(sabotage.LettersWhileHeld) {
		return nil // while the destination is suspected, nobody else is judged
	}
	for {
		letter := l.release.next(now)
		if letter == nil || letter.user == nil {
			return letter
		}
		if f := letter.user.fault; letter.disguised() && !f.final && !letter.accepted {
			// An outage of a part of the destination ends for its users one by one.
			// The last of them must not be given up for what was true before.
			f.final, letter.writing = true, false
			l.pardon(letter)
			l.release.check(now)
			continue
		}
		l.become(letter.user, writing)
		return letter
	}
}

// Written brings a letter back; ok says that the dead-letter topic has it.
func (l *Lane) Written(now time.Time, letter *Letter, ok bool) {
	u := letter.user
	letter.writing = false
	if !ok {
		l.m.DeadLetters.WriteFailures.Inc()
		l.unwritten(now, letter)
		return
	}
	l.release.remove(letter)
	if letter.disguised() && !letter.accepted {
		l.release.written = append(l.release.written, now)
	}
	l.m.DeadLetters.Written.Of(letter.Reason).Add(float64(letter.count))
	if u == nil {
		l.bad.written(letter)
		return
	}
	l.m.Lane.Deliveries.DeadLetter.Inc()
	u.letter = nil
	l.givenUp(u.id, u.cur.change.Position)
	if u.cur == u.ambiguity.newest() {
		u.ambiguity.last = nil // a confirm call is given up only once
	}
	l.forgive(u)
	l.settle(now, u)
}

// unwritten puts a letter off that could not be written, unless its partition was
// forgotten meanwhile.
func (l *Lane) unwritten(now time.Time, letter *Letter) {
	u := letter.user
	switch {
	case letter.dropped && u == nil:
		l.release.remove(letter)
		l.bad.drop(letter.run)
		return
	case letter.dropped:
		l.abandon(u)
		l.promote(now, u)
		return
	}
	l.release.postpone(now, letter)
	if u != nil {
		l.become(u, eligible)
	}
}

// invalid reads a mapper's error.
func invalid(err error) (code, field string) {
	if e, ok := errors.AsType[*InvalidError](err); ok {
		return e.Code, e.Field
	}
	return "mapping", ""
}
