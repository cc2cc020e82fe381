package consumer

import (
	"context"
	"maps"
	"time"

	"usersync/metrics"
	usync "usersync/sync"
	"usersync/sync/sabotage"
)

const (
	fetchWait  = 500 * time.Millisecond
	fetchLimit = 6 * time.Second
	fetchBytes = 1 << 20
	readAhead  = 12 << 20 // bytes of records read and not registered, for all partitions
	spareAhead = 4 << 20  // and for those whose records may wait
)

// read starts to fetch and decode. What it starts ends with ctx.
func (g *generation) read(ctx context.Context) {
	g.readCtx = ctx
	starts := map[TopicPartition]start{}
	for _, p := range g.parts {
		p.heardAt = time.Now()
		if p.halt == nil && !p.aside() {
			starts[p.TopicPartition] = start{p.start, p.last, p.retry || p.loading && p.kept == nil}
		}
	}
	g.fetch = newFetcher(g.Client, fetchConfig{
		MaxWait: fetchWait, MaxBytes: fetchBytes, Timeout: fetchLimit, Budget: NewBudget(readAhead), Spare: NewBudget(spareAhead),
		OnError: func(op string, err error) {
			g.Metrics.Consumer.Errors.Of(op).Inc()
			g.Log.Debug("a request to Kafka failed", "op", op, "error", err)
		},
		Log: g.Log,
		OnStuck: func(tp TopicPartition, stuck bool) {
			if m := g.byName[tp].metrics; stuck {
				m.Wait(metrics.WaitsForFetch)
			} else {
				m.Ready(metrics.WaitsForFetch)
			}
		},
	}, starts)
	raw := make(chan fetched)
	g.wg.Go(func() {
		defer close(raw)
		_ = g.fetch.run(ctx, raw) // its only error is that ctx ended
	})
	g.wg.Go(func() { g.decode(ctx, raw, g.portions) })
	g.loadStates()
}

// took takes what was read of a partition.
func (g *generation) took(b *portion) {
	p := g.byName[TopicPartition{b.Topic, b.Partition}]
	if b.Err != nil {
		g.halt(p, b.Err)
		if p.kept != nil && !p.halted() {
			// Nobody has said how long the log is, without which regain cannot tell whether
			// what was kept is still true.
			g.forsake(p)
			g.load(p)
		}
		return
	}
	p.inbox, p.heardAt = b, time.Now()
	p.hears(b.LastStable)
	p.progress.LogStart = b.LogStart
	if p.kept != nil && !g.regain(p) {
		g.fetch.setSpare(p.TopicPartition, true)
		g.load(p)
	}
}

// register gives the lane what was read, as far as it may go: up to the offset
// that a commit has announced, and as long as the window has room. What stays
// behind keeps its partition from being fetched. What operators have sent again
// gets half of the window at most, and comes last: a change that is new has to get in
// beside it. Otherwise the partitions take turns at being first: the room that a delivery
// makes is for one change.
func (g *generation) register(now time.Time) {
	g.round++
	for _, retry := range [...]bool{false, true} {
		for i := range g.parts {
			if p := g.parts[(g.round+i)%len(g.parts)]; p.retry == retry {
				g.registerOf(now, p)
			}
		}
	}
}

// registerOf gives the lane what was read of p.
func (g *generation) registerOf(now time.Time, p *owned) {
	if p.inbox == nil || g.unknowing(p) || sabotage.On(sabotage.StalledLoop) {
		return
	}
	room := g.Window
	if p.retry {
		room /= 2
	}
	g.gather(now, p)
	for b := p.inbox; b.next < len(b.events); b.next++ {
		e := &b.events[b.next]
		p.front.advance(e.offset) // there is nothing between the records
		if e.offset >= p.end {
			if !p.waited {
				p.waited = true
				g.Metrics.Consumer.EndAheadWaits.Inc()
			}
			break
		}
		if g.lane.Bytes() >= room && !sabotage.On(sabotage.NoWindow) {
			break
		}
		p.waited, g.registered = false, now
		if !p.retry {
			g.submit(now, p, e)
		} else if !g.resubmit(now, p, e) {
			break
		}
	}
	if b := p.inbox; b.next == len(b.events) {
		p.front.advance(b.Next)
		p.passed(b.Last)
		p.inbox, p.heardAt = nil, now // more can only be fetched from now on
		if p.retry && b.Next >= b.LastStable {
			g.forgetRecent(p)
		}
		g.fetch.resume(p.TopicPartition)
	}
}

// submit registers one record.
func (g *generation) submit(now time.Time, p *owned, e *decoded) {
	p.metrics.Records.Inc()
	p.notes(e)
	switch {
	case e.code != "":
		g.Metrics.Events.Undecodable(e.code)
		g.Metrics.Failures.Note(now, "undecodable", e.code, "")
		g.lane.Undecodable(p.at(e.offset), e.written, e.code, p.front.hold(e.offset))
	case e.event.Skip != "":
		g.Metrics.Events.Skipped(e.event.Op, string(e.event.Skip))
		p.front.advance(e.offset + 1)
	default:
		if sabotage.On(sabotage.LogRow) {
			g.Log.Info("registered", "row", maps.Collect(e.event.Change.Columns.All()))
		}
		g.Metrics.Events.Decoded(e.event.Op)
		if suspects := p.suspected(now); suspects.has(bucketOf(e.event.Change.User)) {
			g.lane.Suspect(e.event.Change.User, p.doubtUntil)
		}
		g.lane.Submit(now, e.event.Change, usync.Place{At: p.at(e.offset), Hold: p.front.hold(e.offset)}, p.sent(e.offset))
	}
}
