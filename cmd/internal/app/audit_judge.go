package app

import usync "usersync/sync"

// verdict is what an audit says of one user at one destination.
type verdict string

// The verdicts. Only inSync and gone are as things should be, and delivered and settled
// where nothing better can be known.
const (
	inSync         verdict = "in_sync"         // what the newest row gives is held
	delivered      verdict = "delivered"       // the newest change was; its row does not tell all of what is held
	settled        verdict = "settled"         // its offset is passed; without a state topic nothing more is known
	gone           verdict = "deleted"         // and nothing else is known to be held
	pending        verdict = "pending"         // the newest change is not settled yet
	deadLettered   verdict = "dead_lettered"   // the newest change was given up
	neverDelivered verdict = "never_delivered" // settled, and nothing is known to be held
	unknownHeld    verdict = "unknown"         // settled, and what is held is not known
	differing      verdict = "differs"         // settled, and something else is held
	orphaned       verdict = "orphaned"        // held, and there is no row any more
	aged           verdict = "aged"            // held, and its record was removed by age: nothing can be compared
)

// verdicts in the order in which they are told, with what they mean.
var verdicts = []struct {
	verdict verdict
	fine    bool
	means   string
}{
	{inSync, true, "held as the newest row says"},
	{delivered, true, "the newest change was delivered; its row leaves values out, so that what is held is not compared"},
	{settled, true, "delivered, or needed no call, as far as the offsets tell"},
	{gone, true, "deleted, and nothing else is known to be held"},
	{pending, false, "the newest change is not dealt with yet"},
	{deadLettered, false, "the newest change was given up; see dead-letters"},
	{neverDelivered, false, "nothing is known to be held; resync sends it"},
	{unknownHeld, false, "something else may have been sent since; resync makes it certain"},
	{differing, false, "held as an older row or another mapping said; resync sends it"},
	{orphaned, false, "held, and there is no row any more: deleted while nobody saw it, or while deletes were skipped"},
	{aged, false, "held, and the row's record was removed by age: nothing to compare with; a snapshot brings it back"},
}

// fine reports whether nobody has to do anything about v.
func (v verdict) fine() bool {
	for _, x := range verdicts {
		if x.verdict == v {
			return x.fine
		}
	}
	return false
}

// facts are what is known of one user at one destination, beside what is held.
type facts struct {
	op       usync.Op // of the newest change, or unreadable
	offset   int64    // of it
	end      int64    // of the log that was read
	settled  bool     // it is below the group's commit
	letter   bool     // the dead-letter topic has it
	vanished bool     // a snapshot of the whole table was taken since, and had no such row
	kept     bool     // it is kept what was delivered
	mapped   bool     // the row has a payload, whose fingerprint is print
	print    usync.Fingerprint
	// incomplete says that the source has left a value out of the row, which may have been
	// filled in from an older one: the payload is then not known here.
	incomplete bool
}

// judge says how a user is who has a row, or the news that it is gone. v is what the
// state says. It was read after everything else, so it may be ahead of what was found
// before: a user who changed meanwhile is no wrong one.
func (f facts) judge(v usync.Version) verdict {
	known := v.Status == usync.Held || v.Status == usync.Deleted
	switch {
	case known && v.Offset > f.offset && v.Offset >= f.end:
		return inSync
	case v.Status == usync.Unknown && v.Offset >= f.end:
		return pending
	case f.op == usync.Delete:
		return f.judgeDeleted(v)
	case f.holds(v):
		return f.unlessVanished(inSync)
	case f.filled(v):
		return f.unlessVanished(delivered)
	case f.letter, f.op == unreadable && f.settled: // by a letter, which may have been removed by age
		return deadLettered
	case !f.settled:
		return pending
	case !f.kept:
		return f.unlessVanished(settled)
	case v.Status == usync.Held:
		return f.unlessVanished(differing)
	case v.Status == usync.Unknown:
		return f.unlessVanished(unknownHeld)
	case f.vanished:
		return gone
	default:
		return neverDelivered
	}
}

// holds reports whether v is what the newest row gives. Below the commit the version may
// be of an older row with the same payload: that a newer one needed no call is not
// written down.
func (f facts) holds(v usync.Version) bool {
	ofRow := v.Status == usync.Held && f.op == usync.Upsert
	return ofRow && (f.settled || v.Offset >= f.offset) && f.mapped && v.Print == f.print
}

// filled reports whether v is of the newest row itself, which leaves values out: an older
// row may have filled them in.
func (f facts) filled(v usync.Version) bool {
	return v.Status == usync.Held && f.op == usync.Upsert && v.Offset >= f.offset && f.incomplete
}

// judgeDeleted is judge for a newest change that is a delete. It is mapped if the
// destination is told, with deletes: anonymize.
func (f facts) judgeDeleted(v usync.Version) verdict {
	exact := v.Offset >= f.offset
	switch {
	case v.Status == usync.Deleted && f.mapped && v.Print == f.print && (exact || f.settled):
		return gone
	case f.letter:
		return deadLettered
	case !f.settled && (f.mapped || v.Status == usync.Held && !exact):
		return pending
	case v.Status == usync.Held && !exact, f.mapped && (v.Status == usync.Held || v.Status == usync.Deleted):
		return orphaned
	case f.mapped && f.kept && v.Status == usync.Unknown:
		return unknownHeld
	case f.mapped && f.kept:
		return neverDelivered
	default:
		return gone
	}
}

// unlessVanished returns v, unless the row is none any more.
func (f facts) unlessVanished(v verdict) verdict {
	if f.vanished {
		return orphaned
	}
	return v
}
