package consumer

import (
	"context"
	"sync"
)

// Budget bounds the bytes of fetched records that wait for their reader. Each
// pipeline gets one of its own: out of a common one, the unread batches of a
// destination that is down would keep the other from reading at all.
// Its methods may be called from several goroutines.
type Budget struct {
	mu    sync.Mutex
	size  int64
	free  int64 // below zero while something larger than expected is held
	freed chan struct{}
}

// NewBudget returns a budget of size bytes.
func NewBudget(size int64) *Budget {
	return &Budget{size: size, free: size, freed: make(chan struct{})}
}

// acquire takes n bytes as soon as they are free. When nobody holds anything it
// takes them even if the budget is smaller: a small budget must slow reading
// down, not stop it. The error is that of ctx.
func (b *Budget) acquire(ctx context.Context, n int64) error {
	for {
		b.mu.Lock()
		if b.free >= n || b.free == b.size {
			b.free -= n
			b.mu.Unlock()
			return nil
		}
		freed := b.freed
		b.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// anyFree reports whether anything of it is free.
func (b *Budget) anyFree() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.free > 0
}

// release gives n bytes back. A negative n takes more without waiting, for a
// response that turned out larger than what was acquired for it.
func (b *Budget) release(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free += n
	close(b.freed)
	b.freed = make(chan struct{})
}
