package sync

import (
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Retry says how a failed call is repeated.
type Retry struct {
	Initial       time.Duration // before the second attempt
	Multiplier    float64
	Randomization float64       // share of the interval by which it is made longer or shorter
	Max           time.Duration // the longest interval, before randomization
	// GiveUpAfter is how long a user may fail while others succeed. Time in
	// which nobody succeeds does not count.
	GiveUpAfter time.Duration
	// ConfirmAfter is the longest time after which the destination may still
	// apply a call that was sent to it.
	ConfirmAfter time.Duration
}

// longestProbe is the longest time between two probes of a held lane.
const longestProbe = 60 * time.Second

// pace returns a function whose calls give the intervals of one run of retries.
// The library's own stop after 15 minutes is off: when to give up is decided by
// blame, not by a clock that also runs while the destination is down.
func (r Retry) pace(longest time.Duration) func() time.Duration {
	b := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(r.Initial),
		backoff.WithMultiplier(r.Multiplier),
		backoff.WithRandomizationFactor(r.Randomization),
		backoff.WithMaxInterval(longest),
		backoff.WithMaxElapsedTime(0),
	)
	return b.NextBackOff
}
