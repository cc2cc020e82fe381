package consumer

import (
	"slices"
	"time"

	usync "usersync/sync"
)

// A user belongs to one partition, until partitions are added or the key changes. Then
// several states say something of the user, each by its own offsets, which do not compare.
// At most one of them may be believed, and that is the one that was told last. Who owns
// all of the partitions knows which it is, and has the others say so.

// holding reports whether v says what the destination holds.
func holding(v usync.Version) bool { return v.Status == usync.Held || v.Status == usync.Deleted }

// claims reports whether v may be the last word on its user: that another partition has it
// is all that a moved one says.
func claims(v usync.Version) bool { return v.Status != usync.Absent && v.Cause != usync.CauseMoved }

// moved has p alone say something of a user, since it was told just now:
//
//	A in partition 1   delivered, and held as of there
//	B in partition 0   delivered when nothing of the user is in the lane
//	A in partition 1   is not what the destination holds, and must be sent
//
// If all that was told is that nothing is known, the others do not say that p has the last
// word, but that nobody knows it. A kill may leave the log of p without what it was told:
//
//	A in partition 1   delivered, and partition 0 has moved, which can't be written there
//	B in partition 0   was held before A, and is tried again; partition 1 is written
//	killed             held, says partition 0 as it is read; that must not be all
func (s *states) moved(p *state, user userKey) {
	if !s.severalHave(user) {
		return
	}
	why := usync.CauseConflict
	if holding(p.table.get(user)) {
		why = usync.CauseMoved
	}
	for _, other := range s.parts {
		if was := other.table.get(user); other != p && claims(was) && was.Cause != why {
			s.learn(other, user, unsaid(was, why))
		}
	}
}

// unsaid is what is left of a version when it is not known any more what the destination
// holds: which calls there still may be has not changed.
func unsaid(was usync.Version, why usync.Cause) usync.Version {
	return usync.Version{Status: usync.Unknown, Cause: why, Offset: was.Offset, Settled: was.Settled || holding(was)}
}

// conflict has nothing said of a user of whom several partitions say something. Whoever has
// told one of them did not have the other: it had another owner, or was not loaded yet, or
// moved was not written there before its owner was killed.
//
// The cause is not that of moved. The partitions have a log each, and of two writes a kill
// may leave one. Then the other partition still holds the user, and must not be believed
// because this one has given in:
//
//	A in partition 1, B in partition 0    held as of both: nobody knows which is there
//	written to 1, not to 0, killed        the next owner reads "conflict" and B, and begins anew
func (s *states) conflict(user userKey) {
	if !s.severalHave(user) {
		return
	}
	said := 0
	for _, p := range s.parts {
		if claims(p.table.get(user)) {
			said++
		}
	}
	if said < 2 {
		return
	}
	for _, p := range s.parts {
		if was := p.table.get(user); holding(was) {
			s.learn(p, user, unsaid(was, usync.CauseConflict))
		}
	}
}

// loadLimit bounds how long a change that seems to need no call waits for the states of
// other partitions.
const loadLimit = 30 * time.Second

// trust says whether a user may be passed over who is held as of a partition, while the
// state of another one is not loaded yet:
//
//	A in partition 1, B in partition 0    B was delivered last, and both owners are gone
//	partition 1 is loaded                 and A comes once more: it is held, says partition 1
//	partition 0 is loaded                 it was not
//
// Nothing comes after that A, so to find out then would be too late. It waits, and its
// offset with it, while changes that need a call go on: they are right whatever is loaded,
// see conflict. If a state cannot be read, it is sent in the end. A halted partition may have
// what is newest as well, and its state is loaded like others; but where its topic is gone
// that may never end, and each change would cost a call until then.
func (g *generation) trust(now time.Time) usync.Trust {
	switch {
	case !slices.ContainsFunc(g.parts, (*owned).loads):
		return usync.Trusted
	case now.Sub(g.taken) < loadLimit:
		return usync.Awaited
	case slices.ContainsFunc(g.parts, func(p *owned) bool { return p.loads() && !p.halted() }):
		return usync.Doubted
	default: // of a topic that is gone, which may be for good
		return usync.Trusted
	}
}

// loads reports whether the state of p is being loaded. One that is kept is known, also
// while it is not used yet.
func (p *owned) loads() bool { return p.loading && p.kept == nil }
