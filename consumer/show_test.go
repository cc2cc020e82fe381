package consumer

import (
	"testing"
	"time"
)

// TestGaugesTakeLittle: they are brought up to date once a second, but for a lane with so
// many users that to look at them would keep the loop from its work.
func TestGaugesTakeLittle(t *testing.T) {
	for took, want := range map[time.Duration]time.Duration{
		0:                       time.Second,
		10 * time.Millisecond:   time.Second,
		140 * time.Millisecond:  2800 * time.Millisecond,
		1400 * time.Millisecond: 28 * time.Second,
	} {
		if got := showAgain(took); got != want {
			t.Errorf("after %v they rest for %v, want %v", took, got, want)
		}
	}
}
