package consumer

import (
	"context"
	"sync"
	"time"
)

// placeEvery is how often partitions without a leader look for one. The answer
// comes out of kafka-go's cache, which refreshes itself.
const placeEvery = 500 * time.Millisecond

// place gives each partition that has none its leader, until ctx ends. The leaders'
// goroutines are started here, in wg. One whose broker lost all partitions stays,
// idle, until the generation ends: it may get some back.
func (f *fetcher) place(ctx context.Context, wg *sync.WaitGroup, out chan<- fetched) {
	for ctx.Err() == nil {
		var again <-chan time.Time
		if homeless := f.homeless(); len(homeless) > 0 {
			f.settle(ctx, wg, homeless, out)
			again = time.After(placeEvery)
		}
		select {
		case <-f.displaced:
		case <-again:
		case <-ctx.Done():
		}
	}
}

// homeless returns the partitions without a leader. Nobody fetches these, so they
// are place's to look into.
func (f *fetcher) homeless() []*partition {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []*partition
	for _, p := range f.partitions {
		if p.leader < 0 && !p.halted {
			list = append(list, p)
		}
	}
	return list
}

// settle looks up the leaders of the homeless once.
func (f *fetcher) settle(ctx context.Context, wg *sync.WaitGroup, homeless []*partition, out chan<- fetched) {
	for _, p := range homeless {
		// One topic at a time, so that one that we may not read doesn't hide the others.
		found, err := f.client.Metadata(ctx, []string{p.Topic})
		if err != nil {
			if ctx.Err() == nil {
				f.cfg.OnError("metadata", err)
			}
			continue
		}
		id := leaderOf(found[p.Topic], p.Partition)
		if id >= 0 && p.failures == 0 && p.unknown.answers == 0 {
			f.recognise(ctx, p)
		} else {
			same, halt := f.sameLog(ctx, p)
			if halt != nil {
				select {
				case out <- f.halt(p, halt):
				case <-ctx.Done():
				}
			}
			if !same {
				continue
			}
		}
		if id >= 0 {
			f.assign(ctx, wg, p, id, out)
		}
	}
}

func leaderOf(partitions []PartitionInfo, id int) int {
	for _, p := range partitions {
		if p.ID == id {
			return p.Leader
		}
	}
	return -1
}

// assign hands p to the goroutine of its leader.
func (f *fetcher) assign(ctx context.Context, wg *sync.WaitGroup, p *partition, id int, out chan<- fetched) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.leaders[id] == nil {
		l := &leader{id: id, wake: make(chan struct{}, 1)}
		f.leaders[id] = l
		wg.Go(func() { f.lead(ctx, l, out) })
	}
	p.leader = id
	f.wake(id)
}
