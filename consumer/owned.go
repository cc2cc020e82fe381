package consumer

import (
	"math"
	"slices"
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
	announced int64 // the position at the last commit
	headroom  int64 // what that has announced beyond it
	born      int
	start     int64
	added     bool   // after the group began: it waits for the older ones
	unlisted  bool   // it has no commit, and its leader has not said where it starts
	halt      *Halt  // why it is not read any further; nil: it is
	loss      *Loss  // what of that is accepted
	past      bool   // and committed
	retry     bool   // of the retry topic
	mate      *owned // the partition of the retry topic that repeats its changes, if there is one
	apart     bool   // and not all source partitions of its number are ours, so it is not read

	// A former owner may have sent the changes below doubtEnd, and they may be
	// applied until doubtUntil.
	doubtEnd   int64
	doubtUntil time.Time
	// Until then, one of its control calls may be applied to a user of these.
	suspects buckets

	sends    string // see Config.Sends
	remapped bool   // a former owner may have had another, so what it sent is not known

	// The last owner made no call for a change at or above reach.
	reach   int64
	yields  bool      // its users don't wait until it is read up to there: see yield
	heard   bool      // the leader has said how long the log is
	heardAt time.Time // when something was read last, or could first have been

	recent  *recent  // of a source partition, while retries ask for it
	retries retrying // of a partition of the retry topic
	sources []*owned // and those whose changes it repeats
	done    done     // and what is settled of it

	// By which the next owner knows the log again: a record below what was committed
	// last, and a later one for when that is passed too.
	last, later mark

	// What the last owner left, as it was: it is committed again and again until the
	// state is loaded, and nothing is registered before.
	inherited string
	loading   bool
	unloaded  error  // why it could not be loaded the last time
	state     *state // nil: loading, or none is kept
	kept      *state // when loading: from an earlier generation, until the log is known to reach as far
	// rests are the states whose writes must be durable before an offset that depends
	// on them is committed.
	rests []*state

	backlog  backlog
	inbox    *portion // what was read and not yet registered
	waited   bool     // for end, with the record at hand
	progress metrics.Progress
	metrics  *metrics.Partition
}

// aside reports whether p is neither read nor committed in this generation: see admit.
func (p *owned) aside() bool { return p.newcomes() || p.apart }

// halted reports whether p is neither read nor committed. At a batch that cannot be read
// it is only not read any further.
func (p *owned) halted() bool { return p.halt != nil && p.halt.Reason != string(haltCorrupt) }

// newcomes reports whether p waits to be admitted.
func (p *owned) newcomes() bool { return p.added || p.unlisted }

// inherit takes over what the last owner left in its commit.
func (p *owned) inherit(now time.Time, c Committed, confirmAfter time.Duration) {
	p.committed, p.start, p.inherited = c.Offset, c.Offset, c.Metadata
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
	// Without a word there were several, or one of an earlier version, or another tool.
	p.remapped = n.Sends == "" || n.Sends != p.sends
	p.born = n.Born
	if n.Last.next <= c.Offset { // else somebody has set the offset back, and left the note
		p.last = n.Last
	}
	p.done = parseDone(n.Done, c.Offset)
}

// passed notes that everything up to the record m has been registered.
func (p *owned) passed(m mark) {
	if p.later.none() {
		p.later = m
	}
}

// known returns the mark for a commit of offset.
func (p *owned) known(offset int64) mark {
	if !p.later.none() && p.later.next <= offset {
		p.last, p.later = p.later, mark{}
	}
	return p.last
}

// hears notes how long the log is. What was written since the partition was taken over
// no former owner can have sent.
func (p *owned) hears(end int64) {
	if !p.heard {
		p.doubtEnd, p.reach = min(p.doubtEnd, end), min(p.reach, end)
	}
	p.heard = true
	p.progress.LogEnd = end
}

// committable is what may be committed.
func (p *owned) committable() int64 {
	offset := p.front.offset()
	for _, s := range p.rests {
		if s.unwritten() > 0 {
			offset = min(offset, s.safe[p])
		}
	}
	return offset
}

// written reports whether all that the offsets of p depend on is durable.
func (p *owned) written() bool {
	return !slices.ContainsFunc(p.rests, func(s *state) bool { return s.unwritten() > 0 })
}

// note is what the next owner has to know if this one does not come to an end of
// its own.
func (p *owned) note(now time.Time) note {
	n := note{End: p.ahead(), Born: p.born, Control: p.suspected(now)}
	if p.inDoubt() {
		n.End = max(n.End, p.doubtEnd)
	}
	n.End = p.atLeast(n.End)
	if !p.remapped || p.committable() >= p.doubtEnd {
		n.Sends = p.sends // else the next owner reads again what two may have sent, each its own
	}
	if p.state != nil {
		n.State = p.state.own
	}
	return n
}

// lastNote is what the next owner has to know when the calls of this one have all
// ended; doubts says that one of them may still be applied.
func (p *owned) lastNote(now time.Time, doubts bool) note {
	n := p.note(now)
	n.End = max(p.end, p.front.position)
	if p.inDoubt() {
		n.End = max(n.End, p.doubtEnd)
	}
	n.End = p.atLeast(n.End)
	n.Drained = !doubts && !p.inDoubt() && n.Control == buckets{} && p.written()
	return n
}

// atLeast is the end to announce, which is at least where the calls of the last owner may
// have ended, until that is read: else the next owner would call before it has read it.
func (p *owned) atLeast(end int64) int64 {
	if !p.retry && p.front.position < p.reach {
		return max(end, p.reach)
	}
	return end
}

// inDoubt reports whether a former owner may have sent a change that this one
// has not read yet: its successor has to doubt it as well. That no such call can be
// applied any more does not end it, for one may have been, and what is known of the
// user is what was delivered before.
func (p *owned) inDoubt() bool { return p.front.position < p.doubtEnd }

// suspected is who is suspect still: also whom this owner has not delivered yet,
// for its successor may.
func (p *owned) suspected(now time.Time) buckets {
	if p.doubtUntil.After(now) {
		return p.suspects
	}
	return buckets{}
}

// sent says whether a former owner may have sent the change at offset.
func (p *owned) sent(offset int64) usync.Sent {
	return usync.Sent{
		Possibly: offset < p.doubtEnd && !sabotage.On(sabotage.ForgetDoubts),
		Until:    p.doubtUntil, Remapped: p.remapped,
	}
}

func (p *owned) at(offset int64) usync.Position {
	return usync.Position{Topic: p.Topic, Partition: p.Partition, Offset: offset}
}
