package consumer

import (
	"slices"
	"testing"
	"time"

	"usersync/sync/vendortest"
)

// TestControlCallLandsLate holds a control call, which repeats what was settled
// long ago, and is applied 58 s after it was sent: when its user has changed, and
// another worker has taken over (G1).
func TestControlCallLandsLate(t *testing.T) {
	delivered := func(b *bubble) {
		b.until(time.Minute, "the newer change is delivered", func() bool {
			return b.has(destTaptalk, "1") == name(1) && b.has(destHaptik, "1") == name(1)
		})
	}
	for does, takeOver := range map[string]func(b *bubble, w *worker){
		"killed with the call on the wire": func(b *bubble, w *worker) {
			w.kill()
			b.start()
			b.write("1", name(1))
		},
		"killed, and the next one is stopped": func(b *bubble, w *worker) {
			w.kill()
			next := b.start()
			b.write("1", name(1))
			delivered(b)
			next.stop()
			b.start()
		},
		"stopped after the call was lost": func(b *bubble, w *worker) {
			time.Sleep(12 * time.Second)
			b.write("1", name(1))
			delivered(b)
			w.stop()
			b.start()
		},
	} {
		t.Run(does, func(t *testing.T) {
			inBubble(t, 2, func(b *bubble) {
				w := b.start()
				b.hot()
				b.write("1", name(0))
				b.commits(time.Minute, destTaptalk, destHaptik)
				b.both(vendortest.Rule{Name: "late", Answer: vendortest.Hang, ApplyAfter: 58 * time.Second, User: "1", Last: 1},
					vendortest.Rule{Name: "down", Status: 503})
				b.write("2", name(2))
				w.shows(time.Minute, 1, "control_calls_total")
				b.latency(20 * time.Millisecond)
				takeOver(b, w)
				time.Sleep(5 * time.Minute)
				b.settles(time.Minute)
				for _, d := range both {
					order := b.applied(d, "1")
					if len(order) < 3 || order[1] != name(1) || !slices.Contains(order[2:], name(0)) {
						t.Errorf("%s: the control call did not come late, the test is of no use: %v", d, order)
					}
				}
			})
		})
	}
}
