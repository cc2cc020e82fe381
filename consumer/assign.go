package consumer

import (
	"context"
	"errors"
	"fmt"
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
	for topic, assigned := range g.gen.Assignments {
		for _, a := range assigned {
			p := &owned{TopicPartition: TopicPartition{topic, a.ID}}
			c := committed[p.TopicPartition]
			switch {
			case c.Err != nil:
				return fmt.Errorf("committed offset of %s/%d: %w", topic, a.ID, c.Err)
			case c.Offset >= 0:
				p.inherit(now, c, g.Lane.Retry.ConfirmAfter)
			default:
				if err := g.first(ctx, p, committed); err != nil {
					return err
				}
			}
			g.parts = append(g.parts, p)
			g.byName[p.TopicPartition] = p
		}
	}
	return nil
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

// first finds the start of a partition that has no commit. One that was there
// when the group began starts where the configuration says. One that was added
// later starts at its first record, but not before its turn: the changes of its
// users up to then are in the older partitions.
func (g *generation) first(ctx context.Context, p *owned, committed map[TopicPartition]Committed) error {
	p.born = g.counts[p.Topic]
	for tp, c := range committed {
		if n, _ := parseNote(c.Metadata); tp.Topic == p.Topic && c.Offset >= 0 && n.Born <= p.Partition {
			p.added = true
		}
	}
	at := kafka.FirstOffset
	if !p.added && !g.StartFrom.IsZero() {
		at = g.StartFrom.UnixMilli()
	}
	start, err := g.Client.ListOffsets(ctx, p.Topic, p.Partition, at)
	if err != nil {
		g.Metrics.Consumer.Errors.Of("list_offsets").Inc()
		return err
	}
	p.start, p.committed = start, -1
	p.front.advance(start)
	return nil
}

// admit waits until the partitions that were added later may be read: all older
// ones have been read past where they ended when the first record came. Then it
// commits their starts and returns true; the generation ends, and the next one
// reads them.
func (g *generation) admit(ctx context.Context) bool {
	ends := map[TopicPartition]map[TopicPartition]int64{} // by added partition
	for sleep(ctx, lookEvery) {
		for _, p := range g.parts {
			if !p.added {
				continue
			}
			ok, err := g.admissible(ctx, p, ends)
			if err != nil {
				g.Log.Warn("cannot tell yet whether an added partition may be read", "topic", p.Topic, "partition", p.Partition, "error", err)
			}
			if ok && g.admitted(ctx, p) {
				return true
			}
		}
	}
	return false
}

func (g *generation) admissible(ctx context.Context, p *owned, ends map[TopicPartition]map[TopicPartition]int64) (bool, error) {
	if ends[p.TopicPartition] == nil {
		end, err := g.Client.ListOffsets(ctx, p.Topic, p.Partition, kafka.LastOffset)
		if err != nil || end == p.start {
			return false, err
		}
	}
	committed, err := g.Client.CommittedOffsets(ctx, g.Group, map[string][]int{p.Topic: g.everyPartition()[p.Topic]})
	if err != nil {
		return false, err
	}
	if ends[p.TopicPartition] == nil {
		listed := map[TopicPartition]int64{}
		for tp, c := range committed {
			if c.Err != nil {
				return false, c.Err
			}
			if c.Offset < 0 {
				continue // added as well
			}
			if listed[tp], err = g.Client.ListOffsets(ctx, tp.Topic, tp.Partition, kafka.LastOffset); err != nil {
				return false, err
			}
		}
		ends[p.TopicPartition] = listed
	}
	for tp, end := range ends[p.TopicPartition] {
		if committed[tp].Offset < end {
			return false, nil
		}
	}
	return true, nil
}

// admitted commits the start of p, which makes it an ordinary partition.
func (g *generation) admitted(ctx context.Context, p *owned) bool {
	n := note{End: p.start, Born: p.born, Drained: true}
	codes, err := g.Client.Commit(ctx, CommitRequest{
		Group: g.Group, Generation: int(g.gen.ID), Member: g.gen.MemberID,
		Partitions: []PartitionCommit{{TopicPartition: p.TopicPartition, Offset: p.start, Metadata: n.String()}},
	})
	if code := codes[p.TopicPartition]; err == nil && code != 0 {
		err = code
	}
	if err != nil {
		if !errors.Is(err, context.Canceled) {
			g.Log.Warn("committing the start of an added partition failed", "topic", p.Topic, "partition", p.Partition, "error", err)
		}
		return false
	}
	g.Log.Info("an added partition may be read now", "topic", p.Topic, "partition", p.Partition)
	return true
}
