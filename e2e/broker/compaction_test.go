package broker_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"usersync/e2e/broker"
)

// Compaction leaves what a consumer must survive: gaps in the offsets, a delete
// without what it deleted, and batches without records. Kafka keeps the last
// batch of a producer it remembers, for its sequence number, even when all
// records in it are superseded.
func testCompaction(t *testing.T, b *broker.Client) {
	create(t, b, "compacted", 1, map[string]string{
		"cleanup.policy":            "compact",
		"min.cleanable.dirty.ratio": "0",
		"segment.ms":                "100",
	})
	produce(t, b, record("compacted", "a", "1"), record("compacted", "b", "1"))
	produce(t, b, record("compacted", "a", "2"), &kgo.Record{Topic: "compacted", Key: []byte("b")})
	produce(t, b, record("compacted", "a", "3"))

	batches := compact(t, b, "compacted", func(batches []kmsg.RecordBatch) bool {
		return batches[0].NumRecords == 0 && batches[1].NumRecords == 1
	})
	if first := batches[0]; first.FirstOffset != 0 || first.LastOffsetDelta != 1 {
		t.Errorf("the emptied batch has offsets %d+%d, want 0+1", first.FirstOffset, first.LastOffsetDelta)
	}
	got := read(t, b, "compacted")
	if want := []string{"b=<nil>", "a=3"}; !slices.Equal(show(got[:2]), want) {
		t.Errorf("read %v first, want %v", show(got[:2]), want)
	}
	if got[0].Offset != 3 || got[1].Offset != 4 {
		t.Errorf("at offsets %d and %d, want 3 and 4", got[0].Offset, got[1].Offset)
	}
}

// compact keeps writing, since Kafka rolls a segment only when a record comes
// and never compacts the newest one, until done likes what is in the log.
func compact(t *testing.T, b *broker.Client, topic string, done func([]kmsg.RecordBatch) bool) []kmsg.RecordBatch {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.Tick(200 * time.Millisecond)
	for i := 0; ; i++ {
		select {
		case <-deadline:
			t.Fatal("not compacted after a minute")
		case <-tick:
		}
		produce(t, b, record(topic, "filler", fmt.Sprint(i)))
		batches, err := b.Batches(t.Context(), topic, 0)
		if err != nil {
			t.Fatal(err)
		}
		if done(batches) {
			return batches
		}
	}
}
