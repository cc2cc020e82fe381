package consumer

import (
	"context"
	"errors"
	"time"

	"usersync/consumer/trace"
	usync "usersync/sync"
)

// sentLetter is a letter with what became of it.
type sentLetter struct {
	letter *usync.Letter
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
	g.wg.Go(func() { g.letters <- sentLetter{l, g.deadLetter(g.callCtx, l)} })
}

// wrote takes what became of a letter.
func (g *generation) wrote(s sentLetter) {
	g.writing = false
	l := s.letter
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

// deadLetter writes l: one record, or each undecodable one of a run. It runs on a
// goroutine of its own.
func (g *generation) deadLetter(ctx context.Context, l *usync.Letter) error {
	entry := letter{
		Position: l.From, Destination: g.Destination, Reason: l.Reason, Code: l.Code, Field: l.Field,
		Attempts: l.Attempts, FailedAt: l.Failed,
	}
	if l.Change != nil {
		entry.SourceTime, entry.Key, entry.Columns = l.Change.Source, []byte(l.Change.User), l.Change.Columns
		return g.p.dead.write(ctx, entry)
	}
	for entry.Position.Offset <= l.To.Offset {
		code, err := g.stillUndecodable(ctx, entry.Position)
		if errors.Is(err, errRecordGone) && (entry.Position == l.From || entry.Position == l.To) {
			code, err = l.Code, nil // a run begins and ends with one that did not decode
		}
		if err != nil && !errors.Is(err, errRecordGone) {
			return err
		}
		if code != "" {
			entry.Code = code
			if err := g.p.dead.write(ctx, entry); err != nil {
				return err
			}
		}
		entry.Position.Offset++
	}
	return nil
}

// stillUndecodable returns the code of a record of a run, or "" for one that
// decodes and was dealt with on its own.
func (g *generation) stillUndecodable(ctx context.Context, at usync.Position) (string, error) {
	r, err := g.Client.refetch(ctx, at.Topic, at.Partition, at.Offset)
	if err != nil {
		return "", err
	}
	if _, err := g.Decoder.Decode(r); err != nil {
		return codeOf(err), nil
	}
	return "", nil
}
