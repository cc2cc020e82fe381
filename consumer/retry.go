package consumer

import (
	"context"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"

	"usersync/consumer/event"
	usync "usersync/sync"
)

// A record of the retry topic is about a change that was read long ago. Meanwhile a
// newer one of the same user may have been delivered and forgotten, and delivering
// the old one would leave the user wrong. So whoever writes the record searches the
// source for a newer change first, and says up to where; and whoever reads it searches
// the rest, here: up to what is registered now, beside the loop, and from there on
// by noting who comes in.
//
//	offset   10        50            70             90
//	source   v1 ------ searched ---- recent.from -- position
//	                   by the        by a lookup    by the loop, as it
//	                   command       of ours        registers
//
// What is newer still comes after it, and the lane orders by offset.

// searchAtMost is how many offsets of the source are searched for newer changes than
// those to be retried. Who has so many to search was away for long, and the users of
// all these would have to be remembered.
const searchAtMost = 1_000_000

// retried is what a record of the retry topic says beside the change.
type retried struct {
	Retry
	sum  uint32 // of the record that it repeats
	skip string // why it is none of ours, or of anybody's
}

// What becomes of a record of the retry topic, as usersync_retry_records_total counts.
const (
	retrySubmitted  = "submitted"
	retryElsewhere  = "other_destination"
	retryMalformed  = "malformed"   // not one of ours, or in the partition of another user
	retrySkipped    = "skipped"     // the change is one that a stated rule skips
	retryBad        = "undecodable" // it still cannot be read
	retrySuperseded = "superseded"  // there is a newer change of the user
	retryOutdated   = "outdated"    // what came since can not be searched any more, or not in this log
	retrySettled    = "settled"     // by a former owner, while one before it was not
	retryMended     = "mended"      // superseded, and the newer one was submitted in its place
)

// decodeRetry reads a record of the retry topic. The position of its change is that
// of the original.
func (c *Config) decodeRetry(r *event.Record) decoded {
	x, ok := ReadRetry(r)
	switch {
	case !ok || !slices.Contains(c.Topics, x.Source.Topic):
		return decoded{offset: r.Offset, written: r.Time, retry: &retried{skip: retryMalformed}}
	case x.Destination != c.Destination:
		return decoded{offset: r.Offset, written: r.Time, retry: &retried{skip: retryElsewhere}}
	}
	original := event.Record{
		Topic: x.Source.Topic, Partition: x.Source.Partition, Offset: x.Source.Offset,
		Time: x.SourceTime, Key: x.Key, Value: x.Value, Headers: x.Headers,
	}
	d := decodeRecord(c.Decoder, &original)
	d.offset, d.written = r.Offset, r.Time
	d.event.Change.Force = x.Command == Resync
	d.retry = &retried{Retry: x, sum: sumOf(x.Key, x.Value)}
	d.retry.Key, d.retry.Value, d.retry.Headers = nil, nil, nil
	switch {
	case d.code != "":
		d.retry.skip = retryBad
	case d.event.Skip != "":
		d.retry.skip = retrySkipped
	}
	return d
}

// retrying is the state of a partition of the retry topic.
type retrying struct {
	asking bool // a lookup is under way
	waits  trouble
	fails  trouble // lookups
	// nowhere is since when the source is out of reach; zero: it is not.
	nowhere time.Time
	end     *int64  // of the source, asked when that has lasted
	shown   stretch // of the source, that was read again last
	// again is what a lookup read again, at that place; nil when nothing is left there.
	againAt usync.Position
	again   *decoded
}

// recent knows, of a source partition, each user that has a change at or above from
// that is registered, with the newest. What lay below lost is not there any more.
type recent struct {
	from, lost int64
	newest     map[string]int64
}

// notes notes a record that is being registered. While retries are there all the time,
// the users would grow without a bound, so from time to time this begins anew. Who asks
// for what was before has it searched, if it is not too much.
func (p *owned) notes(e *decoded) {
	r := p.recent
	switch user := e.whose(); {
	case r == nil:
	case e.offset-r.from >= searchAtMost:
		p.recent = nil
	case user != "":
		r.newest[user] = e.offset
	}
}

// resubmit registers a record of the retry topic. It returns false if that has to
// wait.
func (g *generation) resubmit(now time.Time, p *owned, e *decoded) bool {
	if p.done.has(e.offset) {
		g.skipRetry(p, e, retrySettled)
		return true
	}
	if e.retry.skip != "" {
		g.skipRetry(p, e, e.retry.skip)
		return true
	}
	source := g.byName[TopicPartition{e.retry.Source.Topic, p.Partition}]
	if source != nil && source.behind() { // it could not be called, and would take the room of others
		return false
	}
	newest, known := g.newestOf(now, p, source, e)
	c, sent := e.event.Change, p.sent(e.offset)
	outcome := retrySubmitted
	switch {
	case !known:
		return false
	case newest == outdated:
		g.skipRetry(p, e, retryOutdated)
		return true
	case newest <= c.Position.Offset: // there is no newer one
		if there, known := g.still(p, source, e); !known {
			return false
		} else if !there {
			g.skipRetry(p, e, retryOutdated)
			return true
		}
	case !sent.Possibly && !g.unsent(e):
		g.skipRetry(p, e, retrySuperseded)
		return true
	default:
		// A former owner may have sent it, and then the newer one: nothing tells which
		// was applied last. Once both have been, the newer one is sent again.
		if sent.Possibly && now.Before(sent.Until.Add(g.Lane.Timeout)) {
			return false
		}
		if p.retries.againAt != source.at(newest) {
			g.lookUp(p, func(ctx context.Context) (func(), error) { return g.readAgain(ctx, p, source.at(newest)) })
			return false
		}
		again := p.retries.again
		if again == nil || again.event.Change.User != c.User { // its letter, or one that is newer still, is on its way
			g.skipRetry(p, e, retrySuperseded)
			return true
		}
		c, sent, outcome = again.event.Change, usync.Sent{}, retryMended
		// Another record may ask for the same change, of which this one may then wait
		// still, or be on its way into a letter: the lane fills in what it lacks.
		c.Columns, c.Force = c.Columns.Clone(), true
	}
	p.metrics.Records.Inc()
	g.Metrics.Events.Retried(outcome)
	if suspects := source.suspected(now); suspects.has(bucketOf(c.User)) {
		g.lane.Suspect(c.User, source.doubtUntil)
	}
	g.lane.Submit(now, c, usync.Place{At: p.at(e.offset), Hold: p.front.hold(e.offset)}, sent)
	return true
}

// unsent reports whether what supersedes e may have been left out, while e has to be
// sent whatever is known of the user. The race:
//
//	the command   reads row v1, delivered long ago, as the newest of its user
//	the source    has v1 once more: a snapshot, or a column that no payload needs
//	the lane      leaves that out as unchanged
//	e             asks for v1, which is superseded
//
// Passed over, e would leave the user as it was, although nobody trusts that. So the
// newer change is sent in its place. Where it is not kept what was delivered, it was.
func (g *generation) unsent(e *decoded) bool {
	return e.retry.Command == Resync && g.p.states != nil
}

// skipRetry passes over a record of the retry topic, and says so unless it is simply
// somebody else's, or done.
func (g *generation) skipRetry(p *owned, e *decoded, why string) {
	p.metrics.Records.Inc()
	g.Metrics.Events.Retried(why)
	p.front.advance(e.offset + 1)
	if why == retryElsewhere || why == retrySettled {
		return
	}
	log := g.Log.With("topic", p.Topic, "partition", p.Partition, "offset", e.offset, "why", why)
	if user := e.whose(); user != "" {
		log = log.With("user", g.HashUser(user), "source_offset", e.retry.Source.Offset)
	}
	if why == retryOutdated {
		log = log.With("remedy", "ask again with usersync dead-letters replay --again, or resync the user")
	}
	log.Warn("a record of the retry topic is passed over")
}

// outdated stands for the offset of a newer change when nobody can say whether there
// is one.
const outdated = -1

// newestOf returns the offset of the newest registered change of e's user since the
// command searched, 0 if there is none, or outdated; known is false while that is
// being found out.
func (g *generation) newestOf(now time.Time, p, source *owned, e *decoded) (offset int64, known bool) {
	searched := e.retry.Searched
	if g.awaits(now, p, source, e) {
		return outdated, g.hopeless(now, p, source, searched)
	}
	if source.recent == nil {
		source.recent = &recent{from: source.front.position, newest: map[string]int64{}}
	}
	r := source.recent
	switch {
	case searched < r.lost:
		return outdated, true
	case r.from <= searched:
		return r.newest[e.event.Change.User], true
	case r.from-searched > searchAtMost:
		return outdated, true
	}
	g.lookUp(p, func(ctx context.Context) (func(), error) { return g.search(ctx, source, r, searched, r.from) })
	return 0, false
}

// readTo reports whether p is registered up to an offset. There is no p while a topic is
// missing, which may have been deleted after somebody wrote a retry about it.
func (p *owned) readTo(offset int64) bool {
	return p != nil && !p.halted() && !p.aside() && p.front.position >= offset
}

// lookUp lets ask read from Kafka, on a goroutine of its own, and has what it returns
// taken in by the loop. One at a time for each partition, and after a failure not at
// once again: the record waits, and the loop would ask on every turn.
func (g *generation) lookUp(p *owned, ask func(context.Context) (func(), error)) {
	if p.retries.asking {
		return
	}
	p.retries.asking = true
	ctx := g.readCtx
	g.wg.Go(func() {
		take, err := ask(ctx)
		if err != nil {
			sleep(ctx, askAgain)
		}
		select {
		case g.found <- func() { g.lookedUp(p, take, err) }:
		case <-ctx.Done():
		}
	})
}

// askAgain is how long a lookup waits after it has failed.
const askAgain = time.Second

// lookedUp takes in what a lookup has found.
func (g *generation) lookedUp(p *owned, take func(), err error) {
	p.retries.asking = false
	now := time.Now()
	if err == nil {
		p.retries.fails.over(now)
		take()
		return
	}
	g.Metrics.Consumer.Errors.Of("fetch").Inc()
	if p.retries.fails.again(now, 0) {
		g.Log.Warn("cannot tell yet whether a record of the retry topic is superseded", "topic", p.Topic, "partition", p.Partition, "error", err)
	}
}

// search finds the newest change of each user in a stretch of a source partition, and
// widens r by that. What retention has removed of it cannot be known.
func (g *generation) search(ctx context.Context, source *owned, r *recent, from, to int64) (func(), error) {
	newest := map[string]int64{}
	err := g.Client.Scan(ctx, source.TopicPartition, from, to, func(record *event.Record) error {
		e := decodeRecord(g.Decoder, record)
		if user := e.whose(); user != "" {
			newest[user] = record.Offset
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	start, err := g.Client.ListOffsets(ctx, source.Topic, source.Partition, kafka.FirstOffset) // now: what was removed meanwhile was not read
	return func() {
		r.from = from
		for user, offset := range newest {
			r.newest[user] = max(r.newest[user], offset)
		}
		r.lost = max(r.lost, start)
	}, err
}

// readAgain reads a change of the source again.
func (g *generation) readAgain(ctx context.Context, p *owned, at usync.Position) (func(), error) {
	var again *decoded
	tp := TopicPartition{at.Topic, at.Partition}
	err := g.Client.Scan(ctx, tp, at.Offset, at.Offset+1, func(record *event.Record) error {
		e := decodeRecord(g.Decoder, record)
		again = &e
		return nil
	})
	return func() { p.retries.againAt, p.retries.again = at, again }, err
}

// forgetRecent ends the noting of users: nothing is left to be retried.
func (g *generation) forgetRecent(p *owned) {
	p.retries.againAt, p.retries.again, p.retries.shown = usync.Position{}, nil, stretch{}
	for _, topic := range g.Topics {
		if source := g.byName[TopicPartition{topic, p.Partition}]; source != nil {
			source.recent = nil
		}
	}
}
