package consumer

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"usersync/consumer/event"
)

// TestSpareIsCountedByItself: what may wait takes nothing of the budget and waits for
// nothing there, but for what else is spare; and it is of the budget once it is needed.
func TestSpareIsCountedByItself(t *testing.T) {
	inKafka(t, func(t *testing.T, k *fakeKafka) {
		for p := range int32(3) {
			k.produce(record(p, strings.Repeat("x", 5000)))
			if err := k.MoveTopicPartition("users", p, min(p, 1)); err != nil {
				t.Fatal(err)
			}
		}
		budget, spare := NewBudget(6000), NewBudget(4000)
		if err := budget.acquire(t.Context(), 6000); err != nil { // as the polls of other brokers do
			t.Fatal(err)
		}
		r := k.readFrom(k.client("users"), map[TopicPartition]start{
			{"users", 0}: {}, {"users", 1}: {spare: true}, {"users", 2}: {spare: true},
		}, func(c *fetchConfig) { c.MaxBytes, c.Budget, c.Spare = 2000, budget, spare })
		comes := func(what string, in ...int) TopicPartition {
			t.Helper()
			timeout := time.After(time.Minute)
			for {
				select {
				case got := <-r.out:
					tp := TopicPartition{got.Topic, got.Partition}
					switch {
					case len(got.Records) == 0: // it is heard how long the log is
						r.resume(tp)
					case !slices.Contains(in, got.Partition):
						t.Fatalf("%s: users/%d", what, got.Partition)
					default:
						return tp
					}
				case <-timeout:
					if len(in) > 0 {
						t.Fatalf("%s: nothing comes", what)
					}
					return TopicPartition{}
				}
			}
		}
		first := comes("while the budget is used up", 1, 2)
		comes("while that is used up, and what is spare as well")
		synctest.Wait() // nobody else looks at the budget then
		if budget.free != 0 {
			t.Errorf("what is spare took %d of the budget", -budget.free)
		}
		budget.release(6000)
		comes("there is room", 0)
		r.setSpare(first, false)
		synctest.Wait()
		if want := 6000 - 2*size([]event.Record{{Key: []byte("k"), Value: make([]byte, 5000)}}); budget.free != want {
			t.Errorf("%d of the budget are free, want %d", budget.free, want)
		}
		comes("one that was spare is needed", 3-first.Partition)
		r.stop()
		if budget.free != budget.size || spare.free != spare.size {
			t.Errorf("%d and %d are held after the end", budget.size-budget.free, spare.size-spare.free)
		}
	}, kfake.SeedTopics(3, "users"))
}

// TestLoadingLeavesRoomToRead: partitions that load their states, which takes as long as it
// takes, hold more than the budget, and one that has its state is read on.
func TestLoadingLeavesRoomToRead(t *testing.T) {
	const n = 20
	inBubble(t, n, func(b *bubble) {
		b.keeping()
		b.out = b.kafka.producer(kgo.ProducerBatchCompression(kgo.GzipCompression())) // so that one fetch brings it all
		pad := strings.Repeat("x", 100_000)
		var others []int32
		for p := int32(1); p < n; p++ {
			others = append(others, p)
			user := fmt.Sprint(100 + p)
			for i := range 12 {
				b.row(user, name(i), fmt.Sprintf(`,"pad":%q`, pad))
			}
		}
		away := b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "state", Partitions: others, Err: kerr.NotLeaderForPartition, Count: -1})
		w := b.start()
		b.until(time.Minute, "a state is loaded", func() bool { return w.metric("state_loading_partitions") == 2*(n-1) })
		time.Sleep(10 * time.Second)
		b.write("100", name(1))
		b.until(time.Minute, "the partition that has its state is read", func() bool {
			return b.has(destTaptalk, "100") == name(1) && b.has(destHaptik, "100") == name(1)
		})
		away.Remove()
		b.settles(2 * time.Minute)
	})
}
