package consumer

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

// take prepares the partitions of a generation: where each goes on, and what its
// last owner may have left on the wire. It tries until ctx ends.
func (g *generation) take(ctx context.Context) error {
	for attempt := 0; ; attempt++ {
		err := g.tryTake(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		g.Log.Warn("cannot take over the partitions yet", "error", err)
		if !sleep(ctx, min(time.Duration(attempt+1)*200*time.Millisecond, 5*time.Second)) {
			return ctx.Err()
		}
	}
}

func (g *generation) tryTake(ctx context.Context) error {
	committed, err := g.Client.CommittedOffsets(ctx, g.Group, g.everyPartition())
	if err != nil {
		g.Metrics.Consumer.Errors.Of("offset_fetch").Inc()
		return err
	}
	now := time.Now()
	g.parts, g.byName = nil, map[TopicPartition]*owned{}
	var begin []*owned // those without a commit
	for topic, assigned := range g.gen.Assignments {
		for _, a := range assigned {
			p := &owned{TopicPartition: TopicPartition{topic, a.ID}, retry: topic == g.RetryTopic, sends: g.Sends}
			c := committed[p.TopicPartition]
			switch {
			case c.Err != nil:
				return fmt.Errorf("committed offset of %s/%d: %w", topic, a.ID, c.Err)
			case c.Offset >= 0:
				p.inherit(now, c, g.Lane.Retry.ConfirmAfter)
			default:
				p.committed = -1
				p.born = g.counts[topic]
				p.added = !p.retry && addedLater(p.TopicPartition, committed)
				begin = append(begin, p)
			}
			g.parts = append(g.parts, p)
			g.byName[p.TopicPartition] = p
		}
	}
	for _, p := range g.parts {
		if !p.retry {
			p.mate = g.byName[TopicPartition{g.RetryTopic, p.Partition}]
			if p.mate != nil {
				p.mate.sources = append(p.mate.sources, p)
			}
		}
	}
	g.separate()
	g.begin(ctx, begin)
	return ctx.Err()
}

// everyPartition lists the partitions of the assigned topics, whoever owns them.
func (g *generation) everyPartition() map[string][]int {
	all := map[string][]int{}
	for topic, assigned := range g.gen.Assignments {
		n := g.counts[topic]
		for _, a := range assigned {
			n = max(n, a.ID+1)
		}
		for id := range n {
			all[topic] = append(all[topic], id)
		}
	}
	return all
}

// addedLater reports whether tp, which has no commit, was added after the group
// began: another partition was first committed when there were not as many yet.
func addedLater(tp TopicPartition, committed map[TopicPartition]Committed) bool {
	for other, c := range committed {
		if n, _ := parseNote(c.Metadata); other.Topic == tp.Topic && c.Offset >= 0 && n.Born <= tp.Partition {
			return true
		}
	}
	return false
}

// begin finds where the partitions without a commit start. It asks for all of them
// at once, for a broker that does not answer costs the time of a request; those
// that it leads are put aside, and the others are read meanwhile.
func (g *generation) begin(ctx context.Context, parts []*owned) {
	var wg sync.WaitGroup
	for _, p := range parts {
		wg.Go(func() {
			start, err := g.startOf(ctx, p)
			if err == nil {
				p.start = start
				p.inherited = note{End: start, Born: p.born, Drained: true}.String()
				p.front.advance(start)
				return
			}
			p.unlisted = true
			if ctx.Err() == nil {
				g.Log.Warn("a partition is not read yet: its leader does not say where it starts; the others are read meanwhile",
					"topic", p.Topic, "partition", p.Partition, "error", err)
			}
		})
	}
	wg.Wait()
}

// startOf asks where a partition without a commit starts. One that was there when
// the group began starts where the configuration says. One that was added later
// starts at its first record, but not before its turn: the changes of its users up
// to then are in the older partitions. What is asked to be retried is, whenever it
// was asked.
func (g *generation) startOf(ctx context.Context, p *owned) (int64, error) {
	at := kafka.FirstOffset
	if !p.added && !p.retry && !g.StartFrom.IsZero() {
		at = g.StartFrom.UnixMilli()
	}
	start, err := g.Client.ListOffsets(ctx, p.Topic, p.Partition, at)
	if err != nil {
		g.Metrics.Consumer.Errors.Of("list_offsets").Inc()
	}
	return start, err
}
