package consumer

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

// newcomer is a partition without a commit that is not read yet. It belongs to
// admit, beside the loop, which owns the rest of the partition.
type newcomer struct {
	*owned
	listed bool  // its leader has said where it starts:
	start  int64 // there
	// ends are those of the older partitions when it had its first record; nil before.
	ends    map[TopicPartition]int64
	trouble trouble // while that cannot be found out
}

// admit waits until partitions that are put aside may be read: their leaders have
// said where they start and, for those that were added later, all older ones have
// been read past where they ended when the first record came. Then it commits
// the starts of all of these at once and returns true; the generation ends, and the
// next one reads them.
func (g *generation) admit(ctx context.Context) bool {
	var waiting []*newcomer
	for _, p := range g.parts {
		if p.newcomes() {
			waiting = append(waiting, &newcomer{owned: p, listed: !p.unlisted, start: p.start})
		}
	}
	for sleep(ctx, lookEvery) {
		if ready := g.admissible(ctx, waiting); len(ready) > 0 && g.admitted(ctx, ready) {
			return true
		}
	}
	return false
}

// admissible returns those that may be read now. It looks at all of them at once:
// a leader that does not answer keeps none of the others waiting for long.
func (g *generation) admissible(ctx context.Context, waiting []*newcomer) []*newcomer {
	ok := make([]bool, len(waiting))
	var wg sync.WaitGroup
	for i, n := range waiting {
		wg.Go(func() {
			var err error
			if ok[i], err = g.mayBeRead(ctx, n); err == nil {
				n.trouble.over(time.Now())
			} else if ctx.Err() == nil && n.trouble.again(time.Now(), sayAfter) {
				g.Log.Warn("cannot tell yet whether a partition may be read", "topic", n.Topic, "partition", n.Partition, "error", err)
			}
		})
	}
	wg.Wait()
	var ready []*newcomer
	for i, n := range waiting {
		if ok[i] {
			ready = append(ready, n)
		}
	}
	return ready
}

func (g *generation) mayBeRead(ctx context.Context, n *newcomer) (bool, error) {
	if !n.listed {
		start, err := g.startOf(ctx, n.owned)
		if err != nil {
			return false, err
		}
		n.start, n.listed = start, true
	}
	if !n.added {
		return true, nil
	}
	if n.ends == nil {
		end, err := g.Client.ListOffsets(ctx, n.Topic, n.Partition, kafka.LastOffset)
		if err != nil || end == n.start {
			return false, err
		}
	}
	committed, err := g.Client.CommittedOffsets(ctx, g.Group, map[string][]int{n.Topic: g.everyPartition()[n.Topic]})
	if err != nil {
		return false, err
	}
	if n.ends == nil {
		if n.ends, err = g.endsOfOlder(ctx, committed); err != nil {
			return false, err
		}
	}
	for tp, end := range n.ends {
		if committed[tp].Offset < end {
			return false, nil
		}
	}
	return true, nil
}

// endsOfOlder lists the ends of the partitions that were there when the group began
// or have been admitted since.
func (g *generation) endsOfOlder(ctx context.Context, committed map[TopicPartition]Committed) (map[TopicPartition]int64, error) {
	ends := map[TopicPartition]int64{}
	for tp, c := range committed {
		if c.Err != nil {
			return nil, c.Err
		}
		if c.Offset < 0 && addedLater(tp, committed) {
			continue
		}
		end, err := g.Client.ListOffsets(ctx, tp.Topic, tp.Partition, kafka.LastOffset)
		if err != nil {
			return nil, err
		}
		ends[tp] = end
	}
	return ends, nil
}

// admitted commits where the newcomers start, which makes them ordinary partitions.
// It reports whether it did so for any.
func (g *generation) admitted(ctx context.Context, ready []*newcomer) bool {
	req := CommitRequest{Group: g.Group, Generation: int(g.gen.ID), Member: g.gen.MemberID}
	for _, n := range ready {
		said := note{End: n.start, Born: n.born, Drained: true}
		req.Partitions = append(req.Partitions, PartitionCommit{TopicPartition: n.TopicPartition, Offset: n.start, Metadata: said.String()})
	}
	codes, err := g.Client.Commit(ctx, req)
	if ctx.Err() != nil {
		return false
	}
	ready = slices.DeleteFunc(ready, func(n *newcomer) bool {
		failed := err
		if code, ok := codes[n.TopicPartition]; err == nil && !ok {
			failed = kafka.Unknown
		} else if code != 0 {
			failed = code
		}
		if failed == nil {
			g.Log.Info("another partition may be read now", "topic", n.Topic, "partition", n.Partition, "offset", n.start)
			return false
		}
		g.Log.Warn("committing the start of a partition failed", "topic", n.Topic, "partition", n.Partition, "error", failed)
		return true
	})
	return len(ready) > 0
}
