package consumer

import (
	"context"
	"time"
)

const (
	// shortWait is how long a poll waits right after a resume, see fetcher.lead.
	shortWait = 10 * time.Millisecond

	// lookForRoom is how often it is looked whether there is room for what is spare.
	lookForRoom = 100 * time.Millisecond
)

// lead fetches from one broker until ctx ends.
//
// While a batch is unread, its partition is left out of the request, and would
// miss out on a long poll's whole wait when it comes back a moment later. So the
// wait starts short after each resume, and grows while the reader stays away.
func (f *fetcher) lead(ctx context.Context, l *leader, out chan<- fetched) {
	patience := shortWait
	for ctx.Err() == nil {
		select {
		case <-l.wake:
			patience = shortWait
		default:
		}
		r := f.ready(l)
		if len(r.partitions) == 0 {
			f.idle(ctx, l, r.retryIn)
			continue
		}
		wait := f.cfg.MaxWait
		switch {
		case r.partitions[0].suspect:
			wait = 0 // the others must not wait for it
		case r.unread:
			wait = min(patience, f.cfg.MaxWait)
			patience = min(2*patience, f.cfg.MaxWait)
		}
		f.fetch(ctx, l, r, wait, out)
	}
}

// idle waits until a partition of l may be ready.
func (f *fetcher) idle(ctx context.Context, l *leader, retryIn time.Duration) {
	var retry <-chan time.Time
	if retryIn > 0 {
		t := time.NewTimer(retryIn)
		defer t.Stop()
		retry = t.C
	}
	select {
	case <-l.wake:
		signal(l.wake) // lead looks at it as well
	case <-retry:
	case <-ctx.Done():
	}
}

// readiness is what a leader can fetch now.
type readiness struct {
	partitions []*partition
	needed     bool          // not all of these are spare
	unread     bool          // others are with their reader
	retryIn    time.Duration // when the first of those that back off is due; 0: none
}

func (r *readiness) add(p *partition) {
	r.partitions = append(r.partitions, p)
	r.needed = r.needed || !p.spare
}

// again notes that a partition may be ready in so long.
func (r *readiness) again(in time.Duration) {
	if r.retryIn == 0 || in < r.retryIn {
		r.retryIn = in
	}
}

// ready picks the partitions of l's next request. Their order rotates, because a
// broker fills a response in the order of the request, and MaxBytes starves the
// last. A suspect goes alone, when it is its turn to be first.
func (f *fetcher) ready(l *leader) readiness {
	f.mu.Lock()
	defer f.mu.Unlock()
	var own []*partition
	for _, p := range f.partitions {
		if p.leader == l.id && !p.halted {
			own = append(own, p)
		}
	}
	l.turn++
	var r readiness
	var suspect *partition
	now := time.Now()
	for i := range own {
		p := own[(l.turn+i)%len(own)]
		switch due := p.retryAt.Sub(now); {
		case p.unread:
			r.unread = true
		case due > 0:
			r.again(due)
		case p.spare && !f.cfg.Spare.anyFree():
			r.again(lookForRoom)
		case p.suspect && i == 0:
			r.add(p)
			return r
		case p.suspect:
			suspect = p
		default:
			r.add(p)
		}
	}
	if len(r.partitions) == 0 && suspect != nil {
		r.add(suspect)
	}
	return r
}

// setSpare says whether the records of tp may wait from now on: they are retries, or
// cannot be registered before a state is loaded. They wait for what is read of other
// partitions, or for a broker that is gone, and nobody knows for how long. So what is
// spare is counted beside the budget, and never takes room from what it waits for:
//
//	0  20 partitions load their states, and a batch of each is read: 20 MiB
//	1  one of them is loaded, and its batch is registered
//	   were they all of one budget, it would not be read on before the others are loaded
//
// Nor does it ask for room there: with many brokers, the polls for what is needed hold
// most of the budget while nothing comes. It has its own bound, and is not read while
// nothing of that is free. Each broker may exceed it by one answer.
func (f *fetcher) setSpare(tp TopicPartition, spare bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.byName[tp]
	if p == nil {
		return
	}
	held := p.held
	f.giveBack(p)
	p.spare = spare
	f.hold(p, held)
	f.wake(p.leader)
}

// budget needs f.mu, as do hold and giveBack.
func (f *fetcher) budget(p *partition) *Budget {
	if p.spare {
		return f.cfg.Spare
	}
	return f.cfg.Budget
}

// hold counts the batch of p that is unread. It is here already, so that never waits.
func (f *fetcher) hold(p *partition, n int64) {
	p.held = n
	f.budget(p).release(-n)
}

func (f *fetcher) giveBack(p *partition) {
	f.budget(p).release(p.held)
	p.held = 0
}
