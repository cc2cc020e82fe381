package consumer

import (
	"math"
	"time"

	"usersync/metrics"
	usync "usersync/sync"
	"usersync/sync/sabotage"
)

// owned is a partition of the current generation.
type owned struct {
	TopicPartition
	front     frontier
	committed int64 // accepted last
	end       int64 // announced by an accepted commit: no call is made at or above it
	born      int
	start     int64
	added     bool // after the group began: it waits for the older ones
	unlisted  bool // it has no commit, and its leader has not said where it starts
	halted    bool

	// A former owner may have sent the changes below doubtEnd, and they may be
	// applied until doubtUntil.
	doubtEnd   int64
	doubtUntil time.Time
	// Until then, one of its control calls may be applied to a user of these.
	suspects buckets

	// The last owner made no call for a change at or above reach.
	reach   int64
	heard   bool      // the leader has said how long the log is
	heardAt time.Time // when something was read last, or could first have been

	inbox    *portion // what was read and not yet registered
	waited   bool     // for end, with the record at hand
	progress metrics.Progress
	metrics  *metrics.Partition
}

// aside reports whether p is neither read nor committed in this generation: see admit.
func (p *owned) aside() bool { return p.added || p.unlisted }

// inherit takes over what the last owner left in its commit.
func (p *owned) inherit(now time.Time, c Committed, confirmAfter time.Duration) {
	p.committed, p.start = c.Offset, c.Offset
	p.front.advance(c.Offset)
	p.doubtUntil = now.Add(confirmAfter)
	n, ok := parseNote(c.Metadata)
	p.reach = n.End
	switch {
	case !ok: // written by another tool: nothing is known of the last owner
		p.doubtEnd, p.reach = math.MaxInt64, math.MaxInt64
	case !n.Drained:
		p.doubtEnd, p.suspects = n.End, n.Control
	}
	p.born = n.Born
}

// note is what the next owner has to know if this one does not come to an end of
// its own.
func (p *owned) note(now time.Time) note {
	n := note{End: p.front.position + headroom, Born: p.born, Control: p.suspected(now)}
	if p.inDoubt(now) {
		n.End = max(n.End, p.doubtEnd)
	}
	return n
}

// lastNote is what the next owner has to know when the calls of this one have all
// ended; doubts says that one of them may still be applied.
func (p *owned) lastNote(now time.Time, doubts bool) note {
	n := p.note(now)
	n.End = max(p.end, p.front.position)
	if p.inDoubt(now) {
		n.End = max(n.End, p.doubtEnd)
	}
	n.Drained = !doubts && !p.inDoubt(now) && n.Control == buckets{}
	return n
}

// inDoubt reports whether a former owner may have sent a change that this one
// has not read yet: its successor has to doubt it as well.
func (p *owned) inDoubt(now time.Time) bool {
	return p.doubtUntil.After(now) && p.front.position < p.doubtEnd
}

// suspected is who is suspect still: also whom this owner has not delivered yet,
// for its successor may.
func (p *owned) suspected(now time.Time) buckets {
	if p.doubtUntil.After(now) {
		return p.suspects
	}
	return buckets{}
}

// possibly is until when a former owner's call for the change at offset may be applied.
func (p *owned) possibly(offset int64) time.Time {
	if offset < p.doubtEnd && !sabotage.On(sabotage.ForgetDoubts) {
		return p.doubtUntil
	}
	return time.Time{}
}

func (p *owned) at(offset int64) usync.Position {
	return usync.Position{Topic: p.Topic, Partition: p.Partition, Offset: offset}
}
