package consumer

import (
	"sync/atomic"
	"time"

	"usersync/sync/sabotage"
)

// lease is the right to start calls. It is proven by a commit that the
// coordinator accepted under this generation: while it stands less than half a
// session timeout ago, no other member can own the partitions.
//
// What counts is when the commit was sent. A process that was frozen between
// sending it and reading the answer would else wake up with a fresh lease on
// partitions that are another's by now. Both clocks are asked: the monotonic one
// stands still while a machine sleeps, the wall clock may be set.
type lease struct {
	length time.Duration
	sent   atomic.Pointer[time.Time]
}

// renew notes that a commit sent at the given time was accepted.
func (l *lease) renew(sent time.Time) { l.sent.Store(&sent) }

// end takes the right away until the next renewal.
func (l *lease) end() { l.sent.Store(nil) }

// valid may be called from any goroutine.
func (l *lease) valid() bool {
	sent := l.sent.Load()
	if sent == nil {
		return false
	}
	now := time.Now()
	wall := now.Round(0).Sub(sent.Round(0))
	return now.Sub(*sent) < l.length && wall < l.length && wall > -l.length || sabotage.On(sabotage.NoLease)
}
