package consumer

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

// placeEvery is how often partitions without a leader look for one. The answer
// comes out of kafka-go's cache, which refreshes itself.
const placeEvery = 500 * time.Millisecond

// place gives each partition that has none its leader, until ctx ends. The leaders'
// goroutines are started here, in wg. One whose broker lost all partitions stays,
// idle, until the generation ends: it may get some back.
func (f *fetcher) place(ctx context.Context, wg *sync.WaitGroup, out chan<- fetched) {
	for ctx.Err() == nil {
		homeless := f.homeless()
		for id, parts := range f.byLeader(ctx, homeless) {
			wg.Go(func() { f.settle(ctx, wg, id, parts, out) })
		}
		var again <-chan time.Time
		if len(homeless) > 0 {
			again = time.After(placeEvery)
		}
		select {
		case <-f.displaced:
		case <-again:
		case <-ctx.Done():
		}
	}
}

// homeless returns the partitions without a leader, those that are being settled
// among them.
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

// byLeader takes those of the homeless that nobody settles yet, by the broker that
// leads them; -1 if none does, or nobody says. They are then the caller's to settle.
func (f *fetcher) byLeader(ctx context.Context, homeless []*partition) map[int][]*partition {
	groups := map[int][]*partition{}
	var topic string
	var infos []PartitionInfo
	for _, p := range homeless {
		// One topic at a time, so that one that we may not read doesn't hide the others.
		if p.Topic != topic {
			topic = p.Topic
			found, err := f.client.Metadata(ctx, []string{topic})
			if err != nil && ctx.Err() == nil {
				f.cfg.OnError("metadata", err)
			}
			infos = found[topic]
		}
		if f.claim(p) {
			id := leaderOf(infos, p.Partition)
			groups[id] = append(groups[id], p)
		}
	}
	return groups
}

// claim reports whether p has no leader and nobody settles it; then the caller does.
func (f *fetcher) claim(p *partition) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	free := p.leader < 0 && !p.halted && !p.settling
	p.settling = p.settling || free
	return free
}

// settle looks into the logs of partitions that have the same leader, broker id,
// and hands them to its goroutine. It runs beside place: a broker that does not
// answer holds up nobody but its own partitions. It holds them up for one request's
// time in all, since they may get another leader meanwhile, and in random order,
// since it may be one of them alone that hangs.
func (f *fetcher) settle(ctx context.Context, wg *sync.WaitGroup, id int, parts []*partition, out chan<- fetched) {
	looking, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	for _, i := range rand.Perm(len(parts)) {
		p, leader := parts[i], -1
		if looking.Err() == nil {
			same, halt := f.look(looking, p, id)
			if halt != nil {
				select {
				case out <- f.halt(p, halt):
				case <-ctx.Done():
				}
			}
			if same && looking.Err() == nil {
				leader = id
			}
		}
		f.assign(ctx, wg, p, leader, out)
	}
}

// look finds out whether the log of p is the one that was read so far, by this owner
// or by the one whose commit it goes on from, if any was.
func (f *fetcher) look(ctx context.Context, p *partition, id int) (same bool, halt *haltError) {
	if id >= 0 && p.failures == 0 && p.unknown.answers == 0 {
		if p.last.none() {
			f.recognise(ctx, p)
			return true, nil
		}
		// One request says it, unless the record is not there.
		if halt, err := f.compare(ctx, p); err == nil {
			return halt == nil, halt
		}
	}
	same, halt = f.sameLog(ctx, p)
	if same && id < 0 {
		f.say(p, kafka.LeaderNotAvailable)
	}
	return same, halt
}

func leaderOf(partitions []PartitionInfo, id int) int {
	for _, p := range partitions {
		if p.ID == id {
			return p.Leader
		}
	}
	return -1
}

// assign ends the settling of p: it hands p to the goroutine of broker id, or to
// nobody if that is -1.
func (f *fetcher) assign(ctx context.Context, wg *sync.WaitGroup, p *partition, id int, out chan<- fetched) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p.settling = false
	if id < 0 {
		return
	}
	if f.leaders[id] == nil {
		l := &leader{id: id, wake: make(chan struct{}, 1)}
		f.leaders[id] = l
		wg.Go(func() { f.lead(ctx, l, out) })
	}
	p.leader = id
	f.wake(id)
}
