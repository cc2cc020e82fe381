package consumer

import (
	"strconv"
	"testing"
	"time"
)

// TestWorkerKeepsUsersRight is the quiet day: every change reaches both vendors.
func TestWorkerKeepsUsersRight(t *testing.T) {
	inBubble(t, 3, func(b *bubble) {
		b.start()
		b.start()
		for i := range 300 {
			b.write(strconv.Itoa(1+i%40), name(i))
			if i%50 == 0 {
				time.Sleep(time.Second)
			}
		}
		b.settles(time.Minute)
		b.deadLetters(0)
	})
}
