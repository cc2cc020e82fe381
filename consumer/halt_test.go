package consumer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
	"github.com/twmb/franz-go/pkg/kfake"
)

func TestFetchHaltsBelowTheLogStart(t *testing.T) {
	inKafka(t, func(t *testing.T, k *fakeKafka) {
		for range 5 {
			k.produce(record(0, "lost"))
		}
		if err := k.DeleteRecords("users", 0, 3); err != nil {
			t.Fatal(err)
		}
		k.produce(record(1, "kept"))
		r := k.read(k.client("users"), map[int]int64{0: 2, 1: 0})
		wantHalt(t, r, haltError{TopicPartition{"users", 0}, haltBelow, 2, 3, 5}, map[int]string{1: "kept"})
	}, kfake.SeedTopics(2, "users"))
}

func TestFetchHaltsAboveTheLogEnd(t *testing.T) {
	inKafka(t, func(t *testing.T, k *fakeKafka) {
		k.produce(record(0, "a"), record(1, "kept"))
		r := k.read(k.client("users"), map[int]int64{0: 7, 1: 0})
		wantHalt(t, r, haltError{TopicPartition{"users", 0}, haltAbove, 7, 0, 1}, map[int]string{1: "kept"})
	}, kfake.SeedTopics(2, "users"))
}

// wantHalt reads until a halt and the records have come, and checks that nothing
// comes after the halt.
func wantHalt(t *testing.T, r *reader, want haltError, records map[int]string) {
	t.Helper()
	halts := 0
	for halts == 0 || len(records) > 0 {
		got := r.next(2 * time.Minute)
		if got.Err == nil {
			if records[got.Partition] != string(got.Records[0].Value) {
				t.Fatalf("unexpected %+v", got)
			}
			delete(records, got.Partition)
			continue
		}
		halts++
		halt, ok := errors.AsType[*haltError](got.Err)
		if !ok || *halt != want {
			t.Fatalf("halted with %+v, want %+v", got.Err, want)
		}
	}
	select {
	case got := <-r.out:
		if got.Partition == want.Partition {
			t.Fatalf("after the halt: %+v", got)
		}
	case <-time.After(time.Minute):
	}
}

func TestFetchHaltsWhenTheTopicIsGone(t *testing.T) {
	inKafka(t, func(t *testing.T, k *fakeKafka) {
		r := k.read(k.client("users"), map[int]int64{0: 0})
		k.produce(record(0, "a"))
		r.values(1, 5*time.Second)
		if err := k.DeleteTopic("users"); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		wantHalt(t, r, haltError{TopicPartition: TopicPartition{"users", 0}, Reason: haltGone, Offset: 1}, nil)
		if took := time.Since(start); took < goneAfter {
			t.Errorf("gave the topic up after %v", took)
		}
	}, kfake.SeedTopics(1, "users"))
}

// A new topic of the same name accepts the old offsets. What gives it away is
// that the last record read is another one now.
func TestFetchHaltsWhenTheTopicIsRecreated(t *testing.T) {
	inKafka(t, func(t *testing.T, k *fakeKafka) {
		r := k.read(k.client("users"), map[int]int64{0: 0})
		k.produce(record(0, "a"))
		r.values(1, 5*time.Second)
		if err := k.DeleteTopic("users"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second) // long enough to be noticed, too short to give up
		if err := k.CreateTopic("users", 1, nil); err != nil {
			t.Fatal(err)
		}
		k.produce(record(0, "new a"), record(0, "new b"))
		// The first look at the new log may find it still shorter than the old one was.
		halt, ok := errors.AsType[*haltError](r.next(2 * time.Minute).Err)
		if !ok || halt.Offset != 1 || halt.Reason != haltRecreated && halt.Reason != haltAbove {
			t.Fatalf("halted with %+v", halt)
		}
	}, kfake.SeedTopics(1, "users"))
}

func TestFetchHaltsTheCorruptPartitionOnly(t *testing.T) {
	inKafka(t, func(t *testing.T, k *fakeKafka) {
		for p := range int32(3) {
			if err := k.MoveTopicPartition("users", p, 0); err != nil {
				t.Fatal(err)
			}
		}
		rotten := logBatch{base: 0, records: values(1, 0)}.encode()
		rotten[len(rotten)-2] ^= 1 // the checksum no longer fits
		cannedFetch(k, 1, 0, 1, func(int64) []byte { return rotten })
		k.produce(record(0, "a"), record(2, "a"))
		r := k.read(k.client("users"), map[int]int64{0: 0, 1: 0, 2: 0})
		wantHalt(t, r, haltError{TopicPartition: TopicPartition{"users", 1}, Reason: haltCorrupt}, map[int]string{0: "a", 2: "a"})
		k.produce(record(0, "b"), record(2, "b"))
		r.values(2, 5*time.Second)
	}, kfake.SeedTopics(3, "users"))
}

func TestWhatAFailureBlames(t *testing.T) {
	const nobody, data, maybe = "nobody", "data", "maybe the data"
	for _, tc := range []struct {
		err  error
		want string
	}{
		{errors.New("crc32 checksum mismatch"), data},
		{errUnknownBatch, data},
		{kafka.InvalidMessage, data},
		{io.ErrUnexpectedEOF, maybe}, // also what a truncated gzip block gives
		{io.EOF, maybe},
		{kafka.NotLeaderForPartition, nobody},
		{kafka.OffsetOutOfRange, nobody},
		{fetch.NewError(protocol.NewErrNoTopic("users")), nobody},
		{context.DeadlineExceeded, nobody},
		{context.Canceled, nobody},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, nobody},
		{net.ErrClosed, nobody},
		{io.ErrClosedPipe, nobody},
	} {
		got := nobody
		switch err := fmt.Errorf("fetch: %w", tc.err); {
		case undecodable(err):
			got = data
		case suspicious(err):
			got = maybe
		}
		if got != tc.want {
			t.Errorf("%v blames %s, want %s", tc.err, got, tc.want)
		}
	}
}
