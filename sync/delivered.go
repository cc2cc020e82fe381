package sync

import (
	"time"

	"usersync/sync/sabotage"
)

// Fingerprint stands for a payload and for whom it is sent to.
type Fingerprint [16]byte

// Status is what is known of one user at a destination.
type Status uint8

// The statuses.
const (
	Absent  Status = iota // nothing is known
	Unknown               // something else than what is known may have been sent since
	Held                  // the payload is there
	Deleted               // the user is deleted, and what a delete sends is there
)

// Cause says why a version is Unknown. Whoever implements [Delivered] may have others.
type Cause string

// The causes that a lane knows.
const (
	CauseAttempted    Cause = "attempted"     // a call with another payload did not end well
	CausePossiblySent Cause = "possibly_sent" // a former owner may have sent another payload
	CauseDoubt        Cause = "doubt"         // a payload that differs may still be applied
	CauseDeadLetter   Cause = "dead_letter"   // a change was given up
	CauseConflict     Cause = "conflict"      // another partition has changes of the user
	CauseResync       Cause = "resync"        // an operator wants the user sent again
	CauseMoved        Cause = "moved"         // another partition has the last word on the user
)

// Version is what a destination is known to hold of a user.
//
// Held and Deleted say more than that it was delivered: no other call for a change
// of the user at or below Offset can come to be applied any more. So such a change
// needs neither a call nor a doubt.
type Version struct {
	Status Status
	Cause  Cause // of Unknown; it may be lost
	// Offset is of the newest change that was delivered or, when Unknown, may have been
	// sent or was given up.
	Offset int64
	// Print is that of the payload: of Held, and of a Deleted that sent one.
	Print Fingerprint
	// Row is that of a row with that payload, of Held. It is zero if none is known.
	Row RowHash
	// Settled is true of an Unknown that was Held or Deleted as of Offset until another
	// partition had changes of the user: then what Held says of calls is still so, and only
	// what the destination holds is not known.
	Settled bool
}

// Delivered remembers what a destination holds of each user, for longer than a lane
// lives. What it has lost costs calls, never a user.
//
// It keeps a version for each user and partition of changes: at is that of a change,
// and of it only topic and partition matter, except to Move. Versions of a partition
// that is not owned any more are its own business; what it is told of one is void.
// Only the lane calls it, so its methods need not be safe for concurrent use.
type Delivered interface {
	// Known returns the version of a user, and one that is Absent if nothing is known,
	// or nothing that can be compared with at.
	Known(user string, at Position) Version
	// Learn replaces it. No commit may be made that depends on it before it is durable.
	Learn(user string, at Position, v Version)
	// Move says that a newer change, at at, has what is held already: Offset is at's from
	// now on, and Row is row. It need not be durable: a new snapshot must not cost a write
	// for each user.
	Move(user string, at Position, row RowHash)
	// Fingerprint returns that of a payload's body. Two destinations, or one that was
	// emptied, give the same body different ones.
	Fingerprint(body []byte) Fingerprint
	// Row returns the hash of a row, as [AppendRow] writes it. Another program, mapping or
	// destination gives the same row another one. It is zero if that can't be told.
	Row(user string, columns Columns) RowHash
}

// nothingDelivered remembers nothing.
type nothingDelivered struct{}

func (nothingDelivered) Known(string, Position) Version  { return Version{} }
func (nothingDelivered) Learn(string, Position, Version) {}
func (nothingDelivered) Move(string, Position, RowHash)  {}
func (nothingDelivered) Fingerprint([]byte) Fingerprint  { return Fingerprint{} }
func (nothingDelivered) Row(string, Columns) RowHash     { return RowHash{} }

// proof is what is known of a user once its doubts are over, if nothing else is sent
// until then.
type proof struct {
	at Position
	Version
}

// distrust makes the version of a user Unknown, durably, as of the change at at.
func (l *Lane) distrust(user string, at Position, why Cause) {
	if u := l.users[user]; u != nil {
		u.ambiguity.disprove()
	}
	v := l.cfg.Delivered.Known(user, at)
	settled := v.Settled && at.Offset <= v.Offset
	if v.Status == Unknown && v.Cause != CauseMoved && v.Settled == settled {
		return // a user that fails again and again costs one write
	}
	l.cfg.Delivered.Learn(user, at, Version{Status: Unknown, Cause: why, Offset: max(v.Offset, at.Offset), Settled: settled})
}

// givenUp notes that a change is in the dead-letter topic; its place is still held. Of
// an undecodable record nobody does: whoever retries an older change of its user searches
// the source for what came since.
func (l *Lane) givenUp(user string, at Position) {
	v := l.cfg.Delivered.Known(user, at)
	if v.Offset <= at.Offset {
		if u := l.users[user]; u != nil {
			u.ambiguity.disprove()
		}
		v = Version{Status: Unknown, Cause: CauseDeadLetter, Offset: at.Offset}
	}
	// Else a change that needed no call may have moved it up to there. After a restart
	// this must still keep the letter, or an older one, from being sent again.
	l.cfg.Delivered.Learn(user, at, v)
}

// stale reports whether something newer than c was delivered, so that c must not be.
//
// Of an Unknown version something newer may have been sent as well, but then that is
// read again after c, and c may have to be doubted. Not so if c is repeated by an
// operator: the newer one may be settled long ago, by a dead letter too.
//
// Of a Settled one not even c's own version may be sent: see overtook.
func (l *Lane) stale(c *Change, at Place) bool {
	v := l.cfg.Delivered.Known(c.User, c.Position)
	newer := v.Status == Held || v.Status == Deleted || v.Status == Unknown && at.repeats(c)
	return v.overtook(c) || newer && c.Position.Offset < v.Offset
}

// overtaken reports whether c was overtaken by what is known of its user.
func (l *Lane) overtaken(c *Change) bool {
	return l.cfg.Delivered.Known(c.User, c.Position).overtook(c)
}

// overtook reports whether c was delivered, or something newer in its partition, before its
// user had changes in another one. It may be the newest that was, and read again since
// another user's change keeps the offset below it. To send it would take the user back:
//
//	A in partition 1   delivered; the frontier is below it
//	B in partition 0   delivered by another owner
//	A in partition 1   once more: it was the destination's, and is not any more
func (v Version) overtook(c *Change) bool {
	return v.Settled && (c.Position.Offset < v.Offset || c.Position.Offset == v.Offset && !c.Force)
}

// repeats reports whether the record at p is not c's own.
func (p Place) repeats(c *Change) bool { return !p.At.SamePartition(c.Position) }

// holds reports whether the destination is known to hold body as of a change before
// c, or of c, which sends it; nil for a delete that sends nothing.
func (l *Lane) holds(c *Change, body []byte) bool {
	v := l.cfg.Delivered.Known(c.User, c.Position)
	return v.Status == c.Op.status() && v.Print == l.print(body)
}

// status is that of the version after a change that was delivered.
func (o Op) status() Status {
	if o == Delete {
		return Deleted
	}
	return Held
}

func (l *Lane) print(body []byte) Fingerprint {
	if body == nil {
		return Fingerprint{}
	}
	return l.cfg.Delivered.Fingerprint(body)
}

// needless reports whether p, which sends body, needs no call since the destination holds
// that already. Until now it may have been sent something else, of which nothing is known
// to have gone wrong: then it is not Held.
func (l *Lane) needless(u *user, p *pending, body []byte) bool {
	if p.attempts > 0 || p.confirm || p.control || p.retrial || p.change.Force {
		return false
	}
	return l.holds(&p.change, body) && !u.doubtsOther(body)
}

// skip reports whether p, which sends body, is needless, and passes it over then.
func (l *Lane) skip(u *user, p *pending, body []byte) bool {
	if !l.needless(u, p, body) {
		return false
	}
	if body == nil {
		l.m.Lane.Deliveries.Nothing.Inc()
	} else {
		l.m.Lane.Deliveries.Unchanged.Inc()
	}
	l.cfg.Delivered.Move(u.id, p.change.Position, l.row(&p.change))
	l.forgive(u)
	if body != nil && len(l.control) < remembered {
		// It is as good as delivered to compare with. After a takeover it may be all there
		// is: whoever is at fault would otherwise wait until somebody else changes.
		l.remember(u, &pending{change: p.change, body: body})
	}
	return true
}

// skipsAtOnce reports the same of a change that just came in, of a user with nothing
// else on its way. So it costs no turn, also while the lane is held.
func (l *Lane) skipsAtOnce(now time.Time, u *user, p *pending) bool {
	if l.trust != Trusted || u.cur != nil || l.cfg.Delivered.Known(u.id, p.change.Position).Status != p.change.Op.status() {
		return false
	}
	payload, _, err := l.cfg.Mapper.Payload(&p.change)
	if err != nil || !l.skip(u, p, payload.Body) {
		return false
	}
	l.mapped(now, &p.change)
	return true
}

// reached notes that p was delivered, or is a delete that needs no call.
func (l *Lane) reached(u *user, p *pending) {
	at := p.change.Position
	v := Version{Status: p.change.Op.status(), Offset: at.Offset, Print: l.print(p.body), Row: l.row(&p.change)}
	u.ambiguity.disprove()
	if u.doubtsOther(p.body) {
		u.ambiguity.proof = &proof{at, v}
		v = Version{Status: Unknown, Cause: CauseDoubt, Offset: at.Offset}
	}
	l.cfg.Delivered.Learn(u.id, at, v)
}

// attempted notes that a call of p did not end well: the destination may hold what
// it sent, or still what it held. A confirm call says what is there already.
func (l *Lane) attempted(u *user, p *pending) {
	body := p.body
	a := u.ambiguity
	if l.holds(&p.change, body) || a != nil && a.proof != nil && a.proof.Print == l.print(body) {
		return
	}
	if !sabotage.On(sabotage.TrustAttempted) {
		l.distrust(u.id, p.change.Position, CauseAttempted)
	}
}

// proven notes that the doubts of u are over, and nothing was sent since what was
// delivered last.
func (l *Lane) proven(u *user) {
	if a := u.ambiguity; a.proof != nil {
		l.cfg.Delivered.Learn(u.id, a.proof.at, a.proof.Version)
		a.proof = nil
	}
}
