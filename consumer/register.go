package consumer

import (
	"context"
	"errors"
	"time"

	"usersync/consumer/trace"
	usync "usersync/sync"
	"usersync/sync/sabotage"
)

const (
	fetchWait  = 500 * time.Millisecond
	fetchLimit = 6 * time.Second
	fetchBytes = 1 << 20
	readAhead  = 16 << 20 // bytes of records read and not registered, for all partitions
)

// read starts to fetch and decode. What it starts ends with ctx.
func (g *generation) read(ctx context.Context) {
	starts := map[TopicPartition]int64{}
	for _, p := range g.parts {
		p.heardAt = time.Now()
		if !p.aside() {
			starts[p.TopicPartition] = p.start
		}
	}
	g.fetch = newFetcher(g.Client, fetchConfig{
		MaxWait: fetchWait, MaxBytes: fetchBytes, Timeout: fetchLimit, Budget: NewBudget(readAhead),
		OnError: func(op string, err error) {
			g.Metrics.Consumer.Errors.Of(op).Inc()
			g.Log.Debug("a request to Kafka failed", "op", op, "error", err)
		},
		Log: g.Log,
	}, starts)
	raw := make(chan fetched)
	g.wg.Go(func() {
		defer close(raw)
		_ = g.fetch.run(ctx, raw) // its only error is that ctx ended
	})
	g.wg.Go(func() { decode(ctx, g.Decoder, raw, g.portions) })
}

// took takes what was read of a partition.
func (g *generation) took(b *portion) {
	p := g.byName[TopicPartition{b.Topic, b.Partition}]
	if b.Err != nil {
		g.halt(p, b.Err)
		return
	}
	p.inbox, p.heard, p.heardAt = b, true, time.Now()
	p.progress.LogEnd, p.progress.LogStart = b.LastStable, b.LogStart
}

// register gives the lane what was read, as far as it may go: up to the offset
// that a commit has announced, and as long as the window has room. What stays
// behind keeps its partition from being fetched.
func (g *generation) register(now time.Time) {
	for _, p := range g.parts {
		if p.inbox == nil || sabotage.On(sabotage.StalledLoop) {
			continue
		}
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
			if g.lane.Bytes() >= g.Window && !sabotage.On(sabotage.NoWindow) {
				break
			}
			p.waited = false
			g.submit(now, p, e)
		}
		if b := p.inbox; b.next == len(b.events) {
			p.front.advance(b.Next)
			p.inbox = nil
			g.fetch.resume(p.TopicPartition)
		}
	}
}

// submit registers one record.
func (g *generation) submit(now time.Time, p *owned, e *decoded) {
	p.metrics.Records.Inc()
	switch {
	case e.code != "":
		g.Metrics.Events.Undecodable(e.code)
		g.lane.Undecodable(p.at(e.offset), e.written, e.code, p.front.hold(e.offset))
	case e.event.Skip != "":
		g.Metrics.Events.Skipped(e.event.Op, string(e.event.Skip))
		p.front.advance(e.offset + 1)
	default:
		if sabotage.On(sabotage.LogRow) {
			g.Log.Info("registered", "row", e.event.Change.Columns)
		}
		g.Metrics.Events.Decoded(e.event.Op)
		if suspects := p.suspected(now); suspects.has(bucketOf(e.event.Change.User)) {
			g.lane.Suspect(e.event.Change.User, p.doubtUntil)
		}
		g.lane.Submit(now, e.event.Change, p.front.hold(e.offset), p.possibly(e.offset))
	}
}

// halt stops a partition, loudly: its records can not be read any more, so what
// waits of it is dropped and it is not committed again. A recreated topic would
// accept the old numbers.
func (g *generation) halt(p *owned, err error) {
	p.halted, p.inbox = true, nil
	reason := "other"
	if e, ok := errors.AsType[*haltError](err); ok {
		reason = string(e.Reason)
	}
	p.metrics.Halt(reason)
	g.lane.Forget(usync.Position{Topic: p.Topic, Partition: p.Partition})
	g.Log.Error("a partition is not read any more; nothing of it is committed until an operator sets the group's offset with Kafka's own tool and restarts the workers",
		"topic", p.Topic, "partition", p.Partition, "reason", reason, "committed", p.committed, "error", err)
	g.p.tell(trace.Event{Kind: trace.Halt, Topic: p.Topic, Partition: p.Partition, Offset: p.committed, Outcome: reason})
}
