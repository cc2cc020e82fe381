package consumer

import (
	"errors"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"usersync/consumer/event"
)

// scanned returns the offsets that a scan comes across.
func scanned(t *testing.T, c *Client, from, to int64) []int64 {
	t.Helper()
	var offsets []int64
	err := c.Scan(t.Context(), users0, from, to, func(r *event.Record) error {
		offsets = append(offsets, r.Offset)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return offsets
}

// TestScan reads between two offsets of a log in which records were removed and taken
// back, while its leader is not always there.
func TestScan(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		b.raw(bad(0, 10), bad(1, 10), bad(2, 10))
		b.aborted(4) // 3 to 6, and their marker at 7
		b.raw(bad(8, 10), bad(9, 10))
		c := b.kafka.client("users")
		start, end, err := c.Bounds(b.t.Context(), users0)
		if err != nil || start != 0 || end != 10 {
			b.t.Errorf("bounds %d to %d, error %v", start, end, err)
		}
		failed := b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.NotLeaderForPartition, Count: 2})
		if got := scanned(b.t, c, 0, end); !slices.Equal(got, []int64{0, 1, 2, 8, 9}) || failed.Hits() != 2 {
			b.t.Errorf("scanned %v, with %d failures", got, failed.Hits())
		}
		b.kafka.ControlKey(int16(kmsg.Fetch), func(kreq kmsg.Request) (kmsg.Response, error, bool) { // of a leader that has just been elected
			resp := kreq.ResponseKind().(*kmsg.FetchResponse)
			part := kmsg.NewFetchResponseTopicPartition()
			resp.Topics = []kmsg.FetchResponseTopic{{Topic: "users", Partitions: []kmsg.FetchResponseTopicPartition{part}}}
			return resp, nil, true
		})
		if got := scanned(b.t, c, 0, end); !slices.Equal(got, []int64{0, 1, 2, 8, 9}) {
			b.t.Errorf("scanned %v, where the leader first said that nothing is there", got)
		}
		if got := scanned(b.t, c, 1, 9); !slices.Equal(got, []int64{1, 2, 8}) {
			b.t.Errorf("from 1 up to 9: scanned %v", got)
		}
		if err := b.kafka.DeleteRecords("users", 0, 2); err != nil {
			b.t.Fatal(err)
		}
		if got := scanned(b.t, c, 0, end); !slices.Equal(got, []int64{2, 8, 9}) {
			b.t.Errorf("after 0 and 1 are gone: scanned %v", got)
		}
		stop := errors.New("enough")
		if err := c.Scan(b.t.Context(), users0, 0, end, func(*event.Record) error { return stop }); !errors.Is(err, stop) {
			b.t.Errorf("stopped with %v", err)
		}
	})
}

// TestPick reads some records of a log in which others were removed, and those that lie
// together at once.
func TestPick(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		for i := range 100 {
			b.raw(bad(i, 10))
		}
		if err := b.kafka.DeleteRecords("users", 0, 5); err != nil {
			b.t.Fatal(err)
		}
		c := b.kafka.client("users")
		failed := b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.NotLeaderForPartition, Count: 1})
		var got []int64
		pick := func(offsets ...int64) (fetches int) {
			b.t.Helper()
			seen := b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Observe: true, Count: -1})
			defer seen.Remove()
			got = nil
			if err := c.Pick(b.t.Context(), users0, offsets, func(r *event.Record) error { got = append(got, r.Offset); return nil }); err != nil {
				b.t.Fatal(err)
			}
			return seen.Hits()
		}
		if pick(3, 5, 50, 99, 100, 7000); !slices.Equal(got, []int64{5, 50, 99}) || failed.Hits() != 1 {
			b.t.Errorf("picked %v, with %d failures", got, failed.Hits())
		}
		if n := pick(5, 6, 50, 98); n != 1 || len(got) != 4 {
			b.t.Errorf("picked %v with %d fetches, want 1", got, n)
		}
		stop := errors.New("enough")
		if err := c.Pick(b.t.Context(), users0, []int64{7}, func(*event.Record) error { return stop }); !errors.Is(err, stop) {
			b.t.Errorf("stopped with %v", err)
		}
	})
}

// TestScanEndsBeforeOpenTransactions: what may still be taken back is not there yet.
func TestScanEndsBeforeOpenTransactions(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		b.raw(bad(0, 10))
		tx := b.kafka.producer(kgo.TransactionalID("open"))
		if err := tx.BeginTransaction(); err != nil {
			b.t.Fatal(err)
		}
		if err := tx.ProduceSync(b.t.Context(), record(0, "open")).FirstErr(); err != nil {
			b.t.Fatal(err)
		}
		c := b.kafka.client("users")
		_, end, err := c.Bounds(b.t.Context(), users0)
		if err != nil || end != 1 {
			b.t.Errorf("end %d, error %v", end, err)
		}
		if got := scanned(b.t, c, 0, end); !slices.Equal(got, []int64{0}) {
			b.t.Errorf("scanned %v", got)
		}
		if err := tx.EndTransaction(b.t.Context(), kgo.TryAbort); err != nil {
			b.t.Fatal(err)
		}
	})
}
