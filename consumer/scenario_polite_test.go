package consumer

import (
	"testing"
	"time"

	"usersync/sync/vendortest"
)

// TestPoliteToALimit: a vendor allows so many requests a second and answers 429 above,
// and nobody has configured how many. The worker finds out, and uses what there is.
func TestPoliteToALimit(t *testing.T) {
	for _, c := range []struct {
		name       string
		allowed    float64
		retryAfter time.Duration
		measured   time.Duration
	}{
		{"5 a second", 5, 0, 2 * time.Minute},
		{"50 a second", 50, 0, time.Duration(full(120, 50)) * time.Second},
		{"50 a second, with Retry-After", 50, time.Second, time.Duration(full(120, 50)) * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, 2, func(b *bubble) {
				b.both(
					vendortest.Rule{Latency: 50 * time.Millisecond},
					vendortest.Rule{Name: "limit", Status: 429, Rate: c.allowed, RetryAfter: c.retryAfter},
				)
				b.writeAll(numbers(1, int(c.allowed*(c.measured+30*time.Second).Seconds()))...)
				b.start()
				time.Sleep(15 * time.Second) // ten after the group is formed
				began := time.Now()
				time.Sleep(c.measured)
				for _, d := range both {
					calls, refused := 0, 0
					for user := range b.rows {
						for _, v := range b.versions(d, user) {
							if v.Received.Before(began) {
								continue
							}
							calls++
							if v.Rule == "limit" {
								refused++
							}
						}
					}
					used := float64(calls-refused) / (c.allowed * c.measured.Seconds())
					share := float64(refused) / float64(calls)
					t.Logf("%s: %.1f%% of what is allowed, %.1f%% refused", d, 100*used, 100*share)
					if used < .9 {
						t.Errorf("%s: %.1f%% of what the vendor allows is used, want 90", d, 100*used)
					}
					if share > .02 {
						t.Errorf("%s: %.1f%% of the requests were refused, want 2 at most", d, 100*share)
					}
				}
			})
		})
	}
}
