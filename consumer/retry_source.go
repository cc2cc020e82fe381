package consumer

import (
	"context"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/segmentio/kafka-go"

	"usersync/consumer/event"
)

// A record of the retry topic is about one log of its source. A topic that was deleted
// and made anew has the same name, accepts the same offsets, and is another log: what the
// command has searched of the old one says nothing of it.
//
//	the command   finds v1 at 19, and nothing newer up to 20
//	the topic     is made anew; a snapshot has v2 of the user at 3, and is read up to 60
//	the retry     finds nothing newer from 20 on, and v1 would take the user back
//
// So v1 itself has to be there still. And where the log ends before 20, or is not read
// before somebody has decided so, waiting for it would hold up all retries behind.

// letGo is how long a retry waits for a source that will not be read up to where the
// command has searched, as it seems: its topic may be missing, or its new leader know of
// less, for a moment.
const letGo = time.Minute

// outOfReach reports whether p will not be read up to an offset by itself, as far as is
// known: how long its log is was heard when it could be fetched last.
func (p *owned) outOfReach(offset int64) bool {
	return p.away() || !p.aside() && p.heard && p.progress.LogEnd < offset
}

// away reports whether p is not read before somebody does something about its topic.
func (p *owned) away() bool { return p == nil || p.halt != nil }

// awaits reports whether e, a record of the retry topic, still waits for its source
// partition, and says so now and then. It does not wait for ever for what may never come.
func (g *generation) awaits(now time.Time, p, source *owned, e *decoded) bool {
	x := &p.retries
	searched := e.retry.Searched
	switch {
	case source.readTo(searched):
		x.waits.over(now)
		x.nowhere = time.Time{}
		return false
	case !source.outOfReach(searched):
		x.nowhere = time.Time{}
	case x.nowhere.IsZero():
		x.nowhere = now
	}
	if x.waits.again(now, sayAfter) {
		g.Log.Warn("a record of the retry topic waits until its source partition is read up to where the command has looked",
			"topic", p.Topic, "partition", p.Partition, "offset", e.offset, "source", e.retry.Source.Topic, "searched", searched)
	}
	return true
}

// hopeless reports whether the source is out of reach of the record at hand for so long
// that it is let go. For those behind it that is not counted anew.
func (g *generation) hopeless(now time.Time, p, source *owned, searched int64) bool {
	x := &p.retries
	switch {
	case x.nowhere.IsZero() || now.Sub(x.nowhere) < letGo:
		return false
	case source.away():
		return true
	case x.end == nil:
		g.lookUp(p, func(ctx context.Context) (func(), error) {
			_, end, err := g.Client.Bounds(ctx, source.TopicPartition)
			return func() { x.end = &end }, err
		})
		return false
	}
	short := *x.end < searched
	if x.end = nil; !short { // nothing was heard of it, for it could not be fetched
		x.nowhere = time.Time{}
	}
	return short
}

// stretch is a part of a source partition as it is now.
type stretch struct {
	TopicPartition
	from, to int64
	start    int64            // of the log
	sums     map[int64]uint32 // of its records
}

// sumOf is what a record is known by.
func sumOf(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
}

// still reports whether the record that e repeats is in the source still, or was removed
// by age, which removes older ones first. One that compaction has removed had a newer one
// behind it, which may be gone as well. Those of a resync lie together, and are looked up
// together.
func (g *generation) still(p, source *owned, e *decoded) (there, known bool) {
	at, s := e.retry.Source.Offset, &p.retries.shown
	if s.TopicPartition != source.TopicPartition || at < s.from || at >= s.to {
		g.lookUp(p, func(ctx context.Context) (func(), error) { return g.look(ctx, p, source.TopicPartition, at) })
		return false, false
	}
	sum, ok := s.sums[at]
	return ok && sum == e.retry.sum || !ok && at < s.start, true
}

// look reads a stretch of a source partition.
func (g *generation) look(ctx context.Context, p *owned, tp TopicPartition, from int64) (func(), error) {
	records, next, err := g.Client.reread(ctx, tp, from)
	if err == nil && next == from {
		err = fmt.Errorf("the broker sent no data of %s/%d", tp.Topic, tp.Partition)
	}
	if err != nil {
		return nil, err
	}
	start, err := g.Client.ListOffsets(ctx, tp.Topic, tp.Partition, kafka.FirstOffset)
	return func() { p.retries.shown = stretchOf(tp, from, next, start, records) }, err
}

func stretchOf(tp TopicPartition, from, to, start int64, records []event.Record) stretch {
	s := stretch{TopicPartition: tp, from: from, to: to, start: start, sums: make(map[int64]uint32, len(records))}
	for i := range records {
		s.sums[records[i].Offset] = sumOf(records[i].Key, records[i].Value)
	}
	return s
}
