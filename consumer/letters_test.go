package consumer

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// bad is a record that no decoder understands.
func bad(n int, size int) *kgo.Record {
	return &kgo.Record{Key: fmt.Appendf(nil, "k%d", n), Value: []byte("<bad>" + strings.Repeat("x", size))}
}

// aborted writes n records that a transaction takes back.
func (b *bubble) aborted(n int) {
	b.t.Helper()
	c := b.kafka.producer(kgo.TransactionalID("tx"))
	if err := c.BeginTransaction(); err != nil {
		b.t.Fatal(err)
	}
	records := make([]*kgo.Record, n)
	for i := range records {
		records[i] = record(0, "aborted")
	}
	if err := c.ProduceSync(b.t.Context(), records...).FirstErr(); err != nil {
		b.t.Fatal(err)
	}
	if err := c.EndTransaction(b.t.Context(), kgo.TryAbort); err != nil {
		b.t.Fatal(err)
	}
}

// wholeAnswers has only the bytes of a partition end an answer. kfake leaves the list of
// aborted transactions out of one that the bytes of the request end (`break full` in its
// 01_fetch.go), which no broker does.
func (b *bubble) wholeAnswers() {
	b.kafka.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.kafka.KeepControl()
		req.(*kmsg.FetchRequest).MaxBytes = math.MaxInt32
		return nil, nil, false
	})
}

// counts counts the requests of one kind, from now on.
func (b *bubble) counts(key kmsg.Key) *atomic.Int64 {
	var n atomic.Int64
	b.kafka.ControlKey(key.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		b.kafka.KeepControl()
		n.Add(1)
		return nil, nil, false
	})
	return &n
}

// TestRunOverAGap has two undecodable records with 3,000 offsets between them that
// hold nothing: no fetch is made for each of these.
func TestRunOverAGap(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		b.raw(bad(1, 0))
		b.aborted(3000)
		b.raw(bad(2, 0))
		b.wholeAnswers()
		b.start()
		time.Sleep(30 * time.Second)
		fetches := b.counts(kmsg.Fetch)
		began := time.Now()
		b.writeAll("7")
		b.commits(time.Minute, both...)
		polls := int64(time.Since(began)/fetchWait+10) * 2
		if n := fetches.Load(); n > polls+20 {
			b.t.Errorf("%d fetches to write two letters for each destination, besides %d polls", n, polls)
		}
		b.lettersOf(4)
	})
}

// TestRunIsWrittenTogether gives up a run of 3,000 records, of which some decode: in
// far fewer requests than there are records, and after an error in the middle only
// what was not acknowledged is written again.
func TestRunIsWrittenTogether(t *testing.T) {
	const n = 3000
	inBubble(t, 1, func(b *bubble) {
		var records []*kgo.Record
		for i := range n {
			records = append(records, bad(i, 100))
		}
		b.raw(records...)
		b.start(func(c *Config) { c.Lane.Release.Budget = 0 })
		time.Sleep(30 * time.Second)
		produced := b.counts(kmsg.Produce)
		failed := b.kafka.Fault(kfake.Fault{
			Keys: []kmsg.Key{kmsg.Produce}, Topic: "dead", Err: kerr.NotEnoughReplicas, Count: 2,
			When: func(kmsg.Request) bool { return produced.Load() > 4 },
		})
		b.writeAll("7")
		b.commits(2*time.Minute, both...)
		if failed.Hits() != 2 {
			b.t.Errorf("%d writes failed, not 2", failed.Hits())
		}
		if got := produced.Load(); got > 2*n/togetherAtMost+10 {
			b.t.Errorf("%d requests for %d letters of each destination", got, n)
		}
		b.lettersOf(2 * n)
	})
}

// TestRunOfLargeRecords gives up records that fit into the dead-letter topic one by
// one, not together, and one that does not fit at all.
func TestRunOfLargeRecords(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		if err := b.kafka.DeleteTopic("dead"); err != nil {
			b.t.Fatal(err)
		}
		if err := b.kafka.CreateTopic("dead", 1, map[string]string{"max.message.bytes": "100000"}); err != nil {
			b.t.Fatal(err)
		}
		b.raw(bad(0, 60_000), bad(1, 60_000), bad(2, 10), bad(3, 200_000), bad(4, 60_000))
		b.start()
		b.writeAll("7")
		b.commits(time.Minute, both...)
		for dest, letters := range b.lettersOf(10) {
			var lesser []int64
			for c, r := range letters {
				if headersOf(r)["usersync.form"] == "reference" {
					lesser = append(lesser, c.offset)
				} else if !strings.HasPrefix(string(r.Value), "<bad>") {
					b.t.Errorf("%s: %v is not the original", dest, c)
				}
			}
			if !slices.Equal(lesser, []int64{3}) {
				b.t.Errorf("%s: %v were written as references", dest, lesser)
			}
		}
	})
}

// TestRunWhoseRecordsAreGone deletes both the first and the last record of a run before
// it is written: they are known to have been bad, and get a letter all the same.
func TestRunWhoseRecordsAreGone(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		b.raw(bad(0, 0), bad(1, 0), bad(2, 0), bad(3, 0))
		b.start()
		time.Sleep(30 * time.Second)
		if err := b.kafka.DeleteRecords("users", 0, 4); err != nil {
			b.t.Fatal(err)
		}
		b.writeAll("7")
		b.commits(time.Minute, both...)
		for dest, letters := range b.lettersOf(4) {
			for _, offset := range []int64{0, 3} {
				if letters[change{users0, offset}] == nil {
					b.t.Errorf("%s: no letter for offset %d", dest, offset)
				}
			}
		}
	})
}
