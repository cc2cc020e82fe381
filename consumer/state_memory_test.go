package consumer

import (
	"runtime"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestStateIsReadInPieces: a log of small batches takes hundreds of times its size while it
// is read, so little of it is read at once.
func TestStateIsReadInPieces(t *testing.T) {
	inKafka(t, func(t *testing.T, k *fakeKafka) {
		const writes = 3000
		out := k.producer()
		user := stateRecord{epoch: 1}
		for n := range writes {
			user.user[0], user.user[1] = byte(n), byte(n>>8)
			user.version.Status = 1
			r := &kgo.Record{Topic: "state", Key: user.key("taptalk/users/"), Value: user.value()}
			if err := out.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		log := stored{k.client("state"), TopicPartition{"state", 0}}
		read, most := 0, uint64(0)
		for next := int64(0); next < writes; {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			records, to, err := log.read(t.Context(), next)
			if err != nil {
				t.Fatal(err)
			}
			runtime.ReadMemStats(&after)
			next, read, most = to, read+len(records), max(most, after.TotalAlloc-before.TotalAlloc)
		}
		t.Logf("%d records, at most %d MB at once", read, most>>20)
		if read != writes || most > 20<<20 {
			t.Errorf("%d records of %d were read, with %d MB at once; want at most 20", read, writes, most>>20)
		}
	}, kfake.SeedTopics(1, "state"))
}
