package consumer

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestFetchAllPartitionsOfAllLeaders(t *testing.T) {
	inKafka(t, func(t *testing.T, k *fakeKafka) {
		for p := range int32(4) {
			k.produce(record(p, "a"), record(p, "b"))
		}
		r := k.read(k.client("users"), map[int]int64{0: 0, 1: 0, 2: 1, 3: 0})
		want := map[int][]string{0: {"a", "b"}, 1: {"a", "b"}, 2: {"b"}, 3: {"a", "b"}}
		if got := r.values(7, 5*time.Second); !reflect.DeepEqual(got, want) {
			t.Errorf("read %v, want %v", got, want)
		}
	}, kfake.SeedTopics(4, "users"))
}

func TestFetchWaitsForResume(t *testing.T) {
	inKafka(t, func(t *testing.T, k *fakeKafka) {
		budget := NewBudget(4 << 20)
		r := k.read(k.client("users"), map[int]int64{0: 0, 1: 0}, func(c *fetchConfig) { c.Budget = budget })
		k.produce(record(0, "a"))
		first := awaitRecords(t, r)
		k.produce(record(0, "b"), record(1, "c"))
		second := awaitRecords(t, r)
		if second.Partition != 1 {
			t.Fatalf("partition %d was fetched while its batch was unread", second.Partition)
		}
		time.Sleep(time.Minute)
		select {
		case got := <-r.out:
			t.Fatalf("fetched %+v while all was unread", got)
		default:
		}
		r.resume(TopicPartition{"users", 0})
		r.resume(TopicPartition{"users", 0}) // twice is once
		r.resume(TopicPartition{"users", 9}) // not ours: nothing
		third := awaitRecords(t, r)
		if third.From != first.Next || string(third.Records[0].Value) != "b" {
			t.Errorf("after resume: %+v", third)
		}
		r.stop()
		if budget.free != budget.size {
			t.Errorf("%d bytes of the budget are still held", budget.size-budget.free)
		}
	}, kfake.SeedTopics(2, "users"))
}

// awaitRecords is next without giving the partition back.
func awaitRecords(t *testing.T, r *reader) fetched {
	t.Helper()
	timeout := time.After(5 * time.Second)
	for {
		select {
		case got := <-r.out:
			if len(got.Records) > 0 {
				return got
			}
			r.resume(TopicPartition{got.Topic, got.Partition})
		case <-timeout:
			t.Fatalf("nothing fetched; errors: %v", r.errors)
		}
	}
}

// A long poll for the idle partitions must not hold up the one that comes back.
func TestFetchReturnsSoonAfterResume(t *testing.T) {
	inKafka(t, func(t *testing.T, k *fakeKafka) {
		for range 100 {
			k.produce(record(0, strings.Repeat("x", 1000)))
		}
		r := k.read(k.client("users"), map[int]int64{0: 0, 1: 0}, func(c *fetchConfig) { c.MaxBytes = 1000 })
		r.next(5 * time.Second)
		start := time.Now()
		r.values(99, 5*time.Second)
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("99 small fetches took %v", took)
		}
	}, kfake.NumBrokers(1), kfake.Ports(9092), kfake.SeedTopics(2, "users"))
}

func TestFetchFollowsTheLeader(t *testing.T) {
	inKafka(t, func(t *testing.T, k *fakeKafka) {
		r := k.read(k.client("users"), map[int]int64{0: 0, 1: 0})
		for i := range 20 {
			if err := k.MoveTopicPartition("users", int32(i%2), int32(i/2%2)); err != nil {
				t.Fatal(err)
			}
			k.produce(record(0, fmt.Sprintf("%02d", i)), record(1, fmt.Sprintf("%02d", i)))
			got := r.values(2, 15*time.Second)
			if len(got[0]) != 1 || len(got[1]) != 1 || got[0][0] != fmt.Sprintf("%02d", i) {
				t.Fatalf("move %d: %v", i, got)
			}
		}
	}, kfake.SeedTopics(2, "users"))
}

func TestFetchRecoversFromHalfOpenConnections(t *testing.T) {
	inKafka(t, func(t *testing.T, k *fakeKafka) {
		r := k.read(k.client("users"), map[int]int64{0: 0, 1: 0})
		k.produce(record(0, "a"), record(1, "a"))
		r.values(2, 5*time.Second)
		k.sever()
		k.produce(record(0, "b"), record(1, "b"))
		start := time.Now()
		r.values(2, 20*time.Second)
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("recovered after %v", took)
		}
	}, kfake.SeedTopics(2, "users"))
}

// cannedFetch answers fetches of one partition of "users" from an offset on with
// raw bytes, for as long as they ask for an offset below end.
func cannedFetch(k *fakeKafka, partition int32, from, end int64, raw func(offset int64) []byte) {
	k.ControlKey(int16(kmsg.Fetch), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		req := kreq.(*kmsg.FetchRequest)
		resp := req.ResponseKind().(*kmsg.FetchResponse)
		for _, rt := range req.Topics {
			for _, rp := range rt.Partitions {
				if rt.Topic != "users" || rp.Partition != partition || rp.FetchOffset < from || rp.FetchOffset >= end {
					continue
				}
				st := kmsg.NewFetchResponseTopic()
				st.Topic = rt.Topic
				sp := kmsg.NewFetchResponseTopicPartition()
				sp.Partition = partition
				sp.HighWatermark, sp.LastStableOffset = end, end
				sp.RecordBatches = raw(rp.FetchOffset)
				st.Partitions = append(st.Partitions, sp)
				resp.Topics = append(resp.Topics, st)
			}
		}
		return resp, nil, len(resp.Topics) > 0
	})
}

func TestFetchPassesEmptyBatches(t *testing.T) {
	inKafka(t, func(t *testing.T, k *fakeKafka) {
		cannedFetch(k, 0, 0, 36, func(offset int64) []byte {
			switch {
			case offset <= 9:
				return logBatch{last: 9}.encode()
			case offset <= 34:
				return append(logBatch{base: 10, last: 9}.encode(), logBatch{base: 20, last: 14}.encode()...)
			default:
				return logBatch{base: 35, records: []batchRecord{{value: []byte("end")}}}.encode()
			}
		})
		r := k.read(k.client("users"), map[int]int64{0: 0})
		if got := r.next(5 * time.Second); got.From != 35 || got.Next != 36 || string(got.Records[0].Value) != "end" {
			t.Errorf("fetched %+v", got)
		}
	}, kfake.SeedTopics(1, "users"))
}

func TestFetchDeliversCommittedTransactionsOnly(t *testing.T) {
	inKafka(t, func(t *testing.T, k *fakeKafka) {
		p := k.producer(kgo.TransactionalID("x"))
		for _, v := range []string{"1 good", "2 aborted", "3 good"} {
			end := kgo.TryCommit
			if strings.HasSuffix(v, "aborted") {
				end = kgo.TryAbort
			}
			if err := p.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			if err := p.ProduceSync(t.Context(), record(0, v)).FirstErr(); err != nil {
				t.Fatal(err)
			}
			if err := p.EndTransaction(t.Context(), end); err != nil {
				t.Fatal(err)
			}
		}
		r := k.read(k.client("users"), map[int]int64{0: 0})
		if got := r.values(2, 5*time.Second); !reflect.DeepEqual(got[0], []string{"1 good", "3 good"}) {
			t.Errorf("read %v", got)
		}
		synctest.Wait()
		if next := r.byName[TopicPartition{"users", 0}].next; next != 6 {
			t.Errorf("stands at %d, with the last marker at 5", next)
		}
	}, kfake.SeedTopics(1, "users"))
}

// With responses that hold one partition's data only, each must get its turn.
func TestFetchRotates(t *testing.T) {
	inKafka(t, func(t *testing.T, k *fakeKafka) {
		r := k.read(k.client("users"), map[int]int64{0: 0, 1: 0, 2: 0, 3: 0}, func(c *fetchConfig) { c.MaxBytes = 500 })
		synctest.Wait() // until all have their leader
		for p := range int32(4) {
			for range 20 {
				k.produce(record(p, strings.Repeat("x", 1000)))
			}
		}
		seen := map[int]int{}
		for range 40 {
			seen[r.next(5*time.Second).Partition]++
		}
		for p := range 4 {
			if seen[p] < 5 {
				t.Errorf("partition %d had %d of 40 turns: %v", p, seen[p], seen)
			}
		}
	}, kfake.NumBrokers(1), kfake.Ports(9092), kfake.SeedTopics(4, "users"))
}

func TestRefetch(t *testing.T) {
	inKafka(t, func(t *testing.T, k *fakeKafka) {
		for _, v := range []string{"a", "b", "c"} {
			k.produce(record(0, v))
		}
		c := k.client("users")
		r, err := c.refetch(t.Context(), "users", 0, 1)
		if err != nil || string(r.Value) != "b" || r.Offset != 1 {
			t.Errorf("got %+v, %v", r, err)
		}
		if err := k.DeleteRecords("users", 0, 2); err != nil {
			t.Fatal(err)
		}
		for name, offset := range map[string]int64{"below the start": 1, "above the end": 9, "at the end": 3} {
			if _, err := c.refetch(t.Context(), "users", 0, offset); !errors.Is(err, errRecordGone) {
				t.Errorf("%s: error %v", name, err)
			}
		}
		cannedFetch(k, 0, 2, 5, func(int64) []byte { return logBatch{base: 4, records: values(1, 4)}.encode() })
		if _, err := c.refetch(t.Context(), "users", 0, 2); !errors.Is(err, errRecordGone) {
			t.Errorf("compacted: error %v", err)
		}
		if _, err := c.refetch(t.Context(), "nowhere", 0, 2); err == nil || errors.Is(err, errRecordGone) {
			t.Errorf("unknown topic: error %v", err)
		}
	}, kfake.SeedTopics(1, "users"))
}

// What is unread counts by its size on the heap, and holds the rest up.
func TestFetchKeepsToItsBudget(t *testing.T) {
	inKafka(t, func(t *testing.T, k *fakeKafka) {
		for p := range int32(3) {
			k.produce(record(p, strings.Repeat("x", 5000)))
		}
		r := k.read(k.client("users"), map[int]int64{0: 0, 1: 0, 2: 0}, func(c *fetchConfig) {
			c.MaxBytes, c.Budget = 2000, NewBudget(6000)
		})
		first := awaitRecords(t, r)
		time.Sleep(time.Minute)
		for len(r.out) > 0 {
			if got := <-r.out; len(got.Records) > 0 {
				t.Fatalf("fetched %s/%d beyond the budget", got.Topic, got.Partition)
			} else {
				r.resume(TopicPartition{got.Topic, got.Partition})
			}
		}
		r.resume(TopicPartition{first.Topic, first.Partition})
		if second := awaitRecords(t, r); second.Partition == first.Partition {
			t.Error("the same partition again")
		}
	}, kfake.NumBrokers(1), kfake.Ports(9092), kfake.SeedTopics(3, "users"))
}

// A broker that throttles mutes the connection: asking again runs into a timeout.
func TestFetchHonoursThrottling(t *testing.T) {
	inKafka(t, func(t *testing.T, k *fakeKafka) {
		var asked []time.Time
		k.ControlKey(int16(kmsg.Fetch), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
			k.KeepControl()
			asked = append(asked, time.Now())
			if len(asked) > 1 {
				return nil, nil, false
			}
			resp := kreq.ResponseKind().(*kmsg.FetchResponse)
			resp.ThrottleMillis = 20_000
			return resp, nil, true
		})
		r := k.read(k.client("users"), map[int]int64{0: 0})
		k.produce(record(0, "a"))
		r.values(1, time.Minute)
		r.stop()
		synctest.Wait()
		if paused := asked[1].Sub(asked[0]); paused < 20*time.Second {
			t.Errorf("asked again after %v", paused)
		}
	}, kfake.SeedTopics(1, "users"))
}

// TestFetchOfSmallBatches: changes that were written one by one come in small portions,
// for each takes a page of 64 KiB; those that were written together come in large ones.
func TestFetchOfSmallBatches(t *testing.T) {
	inKafka(t, func(t *testing.T, k *fakeKafka) {
		const records = 2000
		out := k.producer()
		for n := range records {
			if err := out.ProduceSync(t.Context(), record(0, fmt.Sprintf("%04d%0800d", n, 0))).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		for part := range 20 {
			var together []*kgo.Record
			for n := range 100 {
				together = append(together, record(1, fmt.Sprintf("%02d%02d%0800d", part, n, 0)))
			}
			if err := out.ProduceSync(t.Context(), together...).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		for p, want := range map[int][2]int{0: {50, mostBatches + 8}, 1: {1000, records}} {
			r := k.read(k.client("users"), map[int]int64{p: 0})
			most, fetches := 0, 0
			for n := 0; n < records; fetches++ {
				got := len(r.next(time.Minute).Records)
				n, most = n+got, max(most, got)
			}
			r.stop()
			t.Logf("partition %d: %d records in %d fetches, at most %d in one", p, records, fetches, most)
			if most < want[0] || most > want[1] {
				t.Errorf("partition %d: %d records in one fetch, want %d to %d", p, most, want[0], want[1])
			}
		}
	}, kfake.SeedTopics(2, "users"))
}

// TestFetchOfManyBrokers: polls in which nothing comes leave enough of the budget to ask
// each other broker.
func TestFetchOfManyBrokers(t *testing.T) {
	const brokers = 30
	var ports []int
	for n := range brokers {
		ports = append(ports, 9092+n)
	}
	inKafka(t, func(t *testing.T, k *fakeKafka) {
		starts, large := map[int]int64{}, strings.Repeat("x", 100_000)
		for p := range brokers {
			if err := k.MoveTopicPartition("users", int32(p), int32(p)); err != nil {
				t.Fatal(err)
			}
			k.produce(record(int32(p), large)) // batches of which one fills a request
			starts[p] = 0
		}
		r := k.read(k.client("users"), starts, func(c *fetchConfig) { c.Budget = NewBudget(readAhead) })
		r.values(brokers, time.Minute)
		time.Sleep(10 * time.Second) // all of them are asked, and nothing comes
		for p := range brokers {
			begun := time.Now()
			k.produce(record(int32(p), large))
			if r.next(time.Minute); time.Since(begun) > 100*time.Millisecond {
				t.Errorf("a change at broker %d of %d came after %v", p, brokers, time.Since(begun))
			}
		}
	}, kfake.NumBrokers(brokers), kfake.Ports(ports...), kfake.SeedTopics(brokers, "users"))
}
