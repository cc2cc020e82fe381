package consumer

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestLoadsTakeTurns: loads of many partitions take few connections, and a broker that
// answers no load of its own partitions keeps none of the others waiting.
func TestLoadsTakeTurns(t *testing.T) {
	const partitions = 200
	inBubble(t, partitions, func(b *bubble) {
		b.keeping()
		b.writeAll(numbers(0, partitions-1)...)
		w := b.start()
		b.hot()
		b.settles(2 * time.Minute)
		w.stop()

		hung := map[int32]bool{} // partitions of the state topic
		for p := range int32(partitions) {
			hung[p] = b.kafka.LeaderFor("state", p) == b.kafka.LeaderFor("state", 0)
		}
		b.kafka.ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
			b.kafka.KeepControl()
			f := r.(*kmsg.FetchRequest)
			return nil, nil, len(f.Topics) == 1 && f.Topics[0].Topic == "state" && hung[f.Topics[0].Partitions[0].Partition]
		})
		a := b.counting()
		w = b.start()
		time.Sleep(5 * time.Second) // less than a request waits for an answer
		requests, _ := a.take()
		waiting := 0
		for _, is := range hung {
			if is {
				waiting++
			}
		}
		for _, dest := range both {
			if n := w.metric("state_loading_partitions", "destination", dest); n != float64(waiting) {
				b.t.Errorf("%s: %v partitions are not loaded, want the %d of the broker that does not answer", dest, n, waiting)
			}
		}
		// Two destinations ask two brokers for two topics, eight partitions at a time, and a
		// worker has a few connections beside.
		if n, most := requests["ApiVersions"], 80; n > most {
			b.t.Errorf("%d connections to load %d partitions, want at most %d", n, partitions, most)
		}
	})
}
