package consumer

import (
	"errors"
	"math"
	"time"

	"usersync/consumer/trace"
	"usersync/metrics"
	usync "usersync/sync"
)

// halt stops a partition, loudly, and tells operators of it. Unless it is only a batch
// that cannot be read, the log is another one than what waits came from: that is
// dropped, and nothing is committed any more, for a recreated topic would accept the
// old numbers.
func (g *generation) halt(p *owned, err error) {
	p.inbox = nil
	h := Halt{Destination: g.Destination, TopicPartition: p.TopicPartition, At: time.Now().UTC(), Reason: "other", Offset: max(p.committed, p.start)}
	if e, ok := errors.AsType[*haltError](err); ok {
		h.Reason = string(e.Reason)
		if e.Reason == haltCorrupt {
			h.Offset = e.Offset
		}
	}
	known, ok := g.p.halted(p.TopicPartition)
	if ok && known.Reason == h.Reason && known.Offset == h.Offset {
		h = known // what an operator may have accepted already
	} else {
		g.p.tail.put(h)
	}
	p.halt = &h
	g.obeyed = nil // it may be accepted already
	p.metrics.Halt(h.Reason)
	p.metrics.Ready(metrics.WaitsForFetch) // nobody asks for it any more
	if p.halted() {
		g.lane.Forget(usync.Position{Topic: p.Topic, Partition: p.Partition})
	}
	way := "an operator accepts what is lost, with usersync offsets accept-loss, or sets the group's offset with Kafka's own tool while no worker runs"
	if h.Reason == string(haltGone) {
		way = "its topic is created again"
	}
	g.Log.Error("a partition is not read any more", "until", way,
		"topic", p.Topic, "partition", p.Partition, "reason", h.Reason, "committed", p.committed, "error", err)
	g.p.tell(trace.Event{Kind: trace.Halt, Topic: p.Topic, Partition: p.Partition, Offset: p.committed, Outcome: h.Reason})
}

// remember halts the partitions of which a former owner has seen that the log is not
// the one that was committed. For this owner nothing tells: by now it may be as long as
// the old one, whose offset would skip what has been written to it.
func (g *generation) remember() {
	for _, p := range g.parts {
		h, ok := g.p.halted(p.TopicPartition)
		reason := haltReason(h.Reason)
		if ok && h.Offset == p.committed && (reason == haltAbove || reason == haltRecreated) {
			g.halt(p, &haltError{TopicPartition: p.TopicPartition, Reason: reason, Offset: p.committed})
		}
	}
}

// halted returns what operators were told of a halt of tp, unless this process has passed
// it since: that is taken back, but not yet out of the topic, and whoever begins where the
// halted one stood would go on and end for it again and again.
func (p *Pipeline) halted(tp TopicPartition) (Halt, bool) {
	h, ok := p.tail.controls().Halt(p.cfg.Destination, tp)
	return h, ok && !h.At.Equal(p.gone[tp])
}

// over reports whether h, which this owner has not met, is a thing of the past: the
// offset was set by other means.
func (p *owned) over(h Halt) bool {
	if h.Reason == string(haltCorrupt) {
		return p.committed > h.Offset
	}
	return p.committed != h.Offset
}

// accept looks whether an operator has accepted what halts lose, and forgets halts that
// are over. What was said about another halt than the one at hand means nothing.
func (g *generation) accept() {
	for _, p := range g.parts {
		if p.halt == nil {
			if h, ok := g.obeyed.Halt(g.Destination, p.TopicPartition); ok && !p.aside() && p.over(h) {
				g.p.tail.remove(h, Loss{Destination: g.Destination, TopicPartition: p.TopicPartition})
			}
			continue
		}
		if l, ok := g.obeyed.Loss(g.Destination, p.TopicPartition); ok && l.Halted.Equal(p.halt.At) {
			p.loss = &l
		}
	}
}

// passing returns the commit by which the partition passes over what was lost, if that
// is accepted and nothing that is not lost has to be settled first.
func (p *owned) passing() (c PartitionCommit, ok bool) {
	if p.loss == nil || !p.halted() && p.front.offset() < p.halt.Offset {
		return PartitionCommit{}, false
	}
	return PartitionCommit{TopicPartition: p.TopicPartition, Offset: p.loss.Offset, Metadata: p.passingNote().String()}, true
}

// passingNote is what the next owner is told of what was passed over.
//
// What was delivered is not lost with changes that were not. It is known still if the log
// is the same one, and nobody can have been sent a change that is lost: of such a user the
// state may say what was there before, and nothing will be read that tells otherwise.
//
//	offset   10              20 ------ 40
//	         v1 is held      v2 is on the wire of a worker that is killed; age removes it
//	         v1 once more, later: the state must not have it for held
//
// Then the next owner has to read on up to where the last one may have made calls, as this
// one had: halted on its way there, it has not come to the newest that was delivered, and
// an older change would take its user back.
//
//	offset   20          40        300              500
//	         committed   the rest  v1 of a user     the last owner's calls end, v5 was one
//
// Else nobody knows what has been sent of the records that come now either: the next owner
// doubts all that it reads at first, as after a commit by another tool, and reads all that
// is there now before it calls.
func (p *owned) passingNote() note {
	n := note{End: math.MaxInt64, Born: p.born}
	sameLog := p.halt.Reason == string(haltBelow) || p.halt.Reason == string(haltCorrupt)
	if !sameLog || !p.quiet() || p.mate != nil && !p.mate.quiet() {
		return n
	}
	n.End, n.Sends, n.Control = p.atLeast(max(p.loss.Offset, p.front.position)), p.sends, p.suspects
	last, _ := parseNote(p.inherited)
	n.Drained = last.Drained && p.front.position == p.start // and nobody has called since
	if p.state != nil {
		n.State = p.state.own
	} else if p.loading { // nothing was done for it yet
		n.State = last.State
	}
	return n
}

// quiet reports whether all that anybody may have sent of p is settled, and written down.
func (p *owned) quiet() bool { return p.front.first == nil && !p.inDoubt() && p.written() }

// passed notes that a commit was accepted, and whether with it a partition has passed
// over what was lost. Then the generation ends, and the next one reads on from there. The
// commits of its drain repeat this one: what else this owner has to say, from where it
// stood, would take the offset back, or certify what passingNote does not.
func (g *generation) passed(p *owned, c PartitionCommit) bool {
	if pass, ok := p.passing(); !ok || p.past || pass.Offset != c.Offset {
		return false
	}
	p.committed = c.Offset
	g.Log.Warn("a halted partition goes on, as an operator has decided", "topic", p.Topic, "partition", p.Partition,
		"reason", p.halt.Reason, "halted_at_offset", p.halt.Offset, "offset", c.Offset)
	g.p.tail.remove(*p.halt, *p.loss)
	p.past, g.p.gone[p.TopicPartition] = true, p.halt.At
	g.p.tell(trace.Event{Kind: trace.Passed, Topic: p.Topic, Partition: p.Partition, Offset: c.Offset})
	return true
}
