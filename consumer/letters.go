package consumer

import (
	"context"
	"fmt"
	"slices"
	"time"

	"usersync/consumer/event"
	"usersync/consumer/trace"
	usync "usersync/sync"
)

// sentLetter is a letter with what became of it.
type sentLetter struct {
	letter *usync.Letter
	next   int64 // of a run: the offset up to which it is written
	err    error
}

// write begins to write the letter whose turn it is, one at a time.
func (g *generation) write(now time.Time) {
	if g.writing || !g.lease.valid() {
		return
	}
	l := g.lane.Letter(now)
	if l == nil {
		return
	}
	g.writing = true
	from := max(l.From.Offset, g.written[l.From])
	g.wg.Go(func() {
		next, err := g.deadLetter(g.callCtx, l, from)
		g.letters <- sentLetter{l, next, err}
	})
}

// wrote takes what became of a letter.
func (g *generation) wrote(s sentLetter) {
	g.writing = false
	l := s.letter
	delete(g.written, l.From)
	if s.err != nil {
		g.written[l.From] = s.next
	}
	g.lane.Written(time.Now(), l, s.err == nil)
	log := g.Log.With("topic", l.From.Topic, "partition", l.From.Partition, "offset", l.From.Offset, "reason", l.Reason, "code", l.Code, "field", l.Field)
	user := ""
	if l.Change != nil {
		user = l.Change.User
		log = log.With("user", g.HashUser(user))
	}
	if s.err != nil {
		log.Error("writing a dead letter failed; its offset is held until it succeeds", "dead_letter_topic", g.DeadLetterTopic, "error", s.err)
		return
	}
	log.Warn("given up: the record is in the dead-letter topic", "to_offset", l.To.Offset)
	g.p.tell(trace.Event{Kind: trace.Letter, Topic: l.From.Topic, Partition: l.From.Partition, Offset: l.From.Offset, User: user, Outcome: l.Reason})
}

// deadLetter writes l: one record, or each undecodable one of a run from offset from
// on. It returns up to where l is written. It runs on a goroutine of its own.
func (g *generation) deadLetter(ctx context.Context, l *usync.Letter, from int64) (int64, error) {
	entry := letter{
		Position: l.From, Destination: g.Destination, Reason: l.Reason, Code: l.Code, Field: l.Field,
		Attempts: l.Attempts, FailedAt: l.Failed,
	}
	if l.Change != nil {
		entry.SourceTime, entry.Key, entry.Columns = l.Change.Source, []byte(l.Change.User), l.Change.Columns
		return from, g.p.dead.write(ctx, entry)
	}
	tp := TopicPartition{l.From.Topic, l.From.Partition}
	for from <= l.To.Offset {
		records, next, err := g.Client.reread(ctx, tp, from)
		switch {
		case err != nil:
			return from, fmt.Errorf("dead letters of %s/%d: reading from %d on again: %w", tp.Topic, tp.Partition, from, err)
		case next == from:
			return from, fmt.Errorf("dead letters of %s/%d: the broker sent no data from %d on", tp.Topic, tp.Partition, from)
		}
		for some := range slices.Chunk(g.drafts(l, entry, from, next, records), togetherAtMost) {
			if err := g.p.dead.putAll(ctx, some); err != nil {
				return some[0].Position.Offset, err
			}
		}
		from = next
	}
	return from, nil
}

// togetherAtMost is how many letters are made at once: their headers are a multiple
// of a small record.
const togetherAtMost = 500

// drafts returns the letters of a run for the offsets from from up to next, of which
// records is what is left. Those that decode were dealt with on their own. The first
// and the last of a run did not decode, so if they are gone they still get a letter.
func (g *generation) drafts(l *usync.Letter, entry letter, from, next int64, records []event.Record) []draft {
	var list []draft
	add := func(offset int64, code string, original *event.Record) {
		entry.Position.Offset, entry.Code = offset, code
		list = append(list, draft{entry, original})
	}
	first, last := l.From.Offset, l.To.Offset
	if from == first && (len(records) == 0 || records[0].Offset != first) {
		add(first, l.Code, nil)
	}
	end := int64(-1) // the last offset that was looked at
	for i := range records {
		r := &records[i]
		if r.Offset > last {
			break
		}
		end = r.Offset
		if _, err := g.Decoder.Decode(r); err != nil {
			add(r.Offset, codeOf(err), r)
		}
	}
	if next > last && last > first && end != last {
		add(last, l.Code, nil)
	}
	return list
}
