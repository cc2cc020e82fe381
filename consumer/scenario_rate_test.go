package consumer

import (
	"testing"
	"time"
)

// TestRateLimitCountsRequests gives vendors that know nobody 600 users at once, at 20
// requests a second: for each, Haptik gets a PUT that it answers with "no such user",
// and then a POST.
func TestRateLimitCountsRequests(t *testing.T) {
	const limit = 20
	inBubble(t, 1, func(b *bubble) {
		b.start(func(c *Config) { c.RateLimit = limit })
		users := numbers(1, 600)
		b.writeAll(users...)
		b.settles(2 * time.Minute)
		for _, dest := range both {
			seconds, total, most := map[int64]int{}, 0, 0
			for _, user := range users {
				for _, v := range b.versions(dest, user) {
					seconds[v.Received.Unix()]++
					total++
					most = max(most, seconds[v.Received.Unix()])
				}
			}
			if burst := limit / 10; most > limit+2*burst {
				b.t.Errorf("%s: %d requests in one second, at %d a second", dest, most, limit)
			}
			if want := map[string]int{destTaptalk: 600, destHaptik: 1200}[dest]; total != want {
				b.t.Errorf("%s: %d requests, want %d", dest, total, want)
			}
		}
	})
}
