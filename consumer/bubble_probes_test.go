package consumer

import (
	"time"

	"usersync/consumer/trace"
	"usersync/e2e/ledger"
)

// isolated looks at how old the oldest change is that a destination has not settled
// while another one is in trouble.
func (b *bubble) isolated(broken, dest string, late time.Duration) {
	now := time.Now()
	oldest := now
	for _, tp := range b.ledger.Partitions() {
		settled := b.ledger.Settled(dest, tp)
		for _, e := range b.ledger.Events(func(e trace.Event) bool {
			return e.Kind == ledger.Wrote && e.TopicPartition() == tp && e.Offset == settled
		}) {
			oldest = earlier(oldest, e.At)
		}
	}
	b.ledger.report(ledger.Isolation{Limit: late}.Check(now, broken, dest, now.Sub(oldest))...)
}

// bounded looks at what waits in the window of each worker, and returns the most.
// Beyond the window there is at most the change that filled it.
func (b *bubble) bounded(dest string) (most int64) {
	for _, w := range b.alive {
		bytes := int64(w.metric("queue_bytes", "destination", dest))
		most = max(most, bytes)
		b.ledger.report(ledger.Memory{Limit: int64(w.pipelines[dest].cfg.Window) + 2_000}.Check(time.Now(), w.name(), dest, bytes)...)
	}
	return most
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
