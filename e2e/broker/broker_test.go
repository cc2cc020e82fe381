package broker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"usersync/e2e"
	"usersync/e2e/broker"
)

// One broker serves all tests that do not disturb it; a start takes seconds.
func TestBroker(t *testing.T) {
	b := e2e.Kafka(t, broker.Config{})
	for name, test := range map[string]func(*testing.T, *broker.Client){
		"topics":            testTopics,
		"records":           testRecords,
		"committed offsets": testCommitted,
		"transactions":      testTransactions,
		"compaction":        testCompaction,
	} {
		t.Run(name, func(t *testing.T) { test(t, b.Client) })
	}
	t.Run("freeze", func(t *testing.T) { testFreeze(t, b) })
	t.Run("kill and restart", func(t *testing.T) { testKill(t, b) })
	t.Run("stop and restart", func(t *testing.T) { testStop(t, b) })
}

func testTopics(t *testing.T, b *broker.Client) {
	create(t, b, "topics", 3, nil)
	if _, _, err := b.Offsets(t.Context(), "topics", 2); err != nil {
		t.Errorf("the third partition: %v", err)
	}
	if err := b.CreateTopic(t.Context(), "topics", 3, nil); !errors.Is(err, kerr.TopicAlreadyExists) {
		t.Errorf("the same topic again: %v, want TopicAlreadyExists", err)
	}
	bad := map[string]string{"cleanup.policy": "shred"}
	if err := b.CreateTopic(t.Context(), "bad", 1, bad); !errors.Is(err, kerr.InvalidConfig) {
		t.Errorf("a bad setting: %v, want InvalidConfig", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if err := b.Produce(ctx, record("typo", "k", "v")); err == nil {
		t.Error("writing made a topic that no test created")
	}
}

func testRecords(t *testing.T, b *broker.Client) {
	create(t, b, "records", 1, nil)
	produce(t, b, record("records", "a", "1"), &kgo.Record{Topic: "records", Key: []byte("a")})
	got := read(t, b, "records")
	if want := []string{"a=1", "a=<nil>"}; !slices.Equal(show(got), want) {
		t.Errorf("read %v, want %v", show(got), want)
	}
	if start, end, err := b.Offsets(t.Context(), "records", 0); start != 0 || end != 2 || err != nil {
		t.Errorf("Offsets = %d, %d, %v; want 0, 2", start, end, err)
	}
}

func testCommitted(t *testing.T, b *broker.Client) {
	create(t, b, "committed", 2, nil)
	if got, err := b.Committed(t.Context(), "readers"); len(got) != 0 || err != nil {
		t.Errorf("before the first commit: %v, %v; want nothing", got, err)
	}
	group, err := kgo.NewClient(kgo.SeedBrokers(b.Addrs()...), kgo.ConsumerGroup("readers"), kgo.ConsumeTopics("committed"), kgo.DisableAutoCommit())
	if err != nil {
		t.Fatal(err)
	}
	defer group.Close()
	produce(t, b, record("committed", "a", "1"))
	fetched := group.PollFetches(t.Context())
	if err := fetched.Err(); err != nil {
		t.Fatal(err)
	}
	r := fetched.Records()[0]
	if err := group.CommitRecords(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	got, err := b.Committed(t.Context(), "readers")
	if err != nil {
		t.Fatal(err)
	}
	if len(got["committed"]) != 1 || got["committed"][r.Partition].Offset != r.Offset+1 {
		t.Errorf("Committed = %v, want partition %d at %d only", got, r.Partition, r.Offset+1)
	}
}

func testTransactions(t *testing.T, b *broker.Client) {
	create(t, b, "transactions", 1, nil)
	for _, tx := range []struct {
		end    kgo.TransactionEndTry
		record *kgo.Record
	}{
		{broker.Commit, record("transactions", "a", "1")},
		{broker.Abort, record("transactions", "a", "2")},
		{broker.Commit, record("transactions", "a", "3")},
	} {
		if err := b.Transact(t.Context(), "writer", tx.end, tx.record); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := show(read(t, b, "transactions", kgo.FetchIsolationLevel(kgo.ReadCommitted()))), []string{"a=1", "a=3"}; !slices.Equal(got, want) {
		t.Errorf("committed: %v, want %v", got, want)
	}
	if got, want := show(read(t, b, "transactions")), []string{"a=1", "a=2", "a=3"}; !slices.Equal(got, want) {
		t.Errorf("all: %v, want %v", got, want)
	}
	batches, err := b.Batches(t.Context(), "transactions", 0)
	if err != nil {
		t.Fatal(err)
	}
	markers := 0
	for _, batch := range batches {
		if control(batch.Attributes) {
			markers++
		}
	}
	if len(batches) != 6 || markers != 3 {
		t.Errorf("%d batches with %d markers, want 6 and 3", len(batches), markers)
	}
}

// A frozen broker keeps its sockets and says nothing: a client waits, and goes
// on where it was once the broker thaws.
func testFreeze(t *testing.T, b *broker.Broker) {
	create(t, b.Client, "frozen", 1, nil)
	if err := b.Freeze(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := b.Produce(ctx, record("frozen", "a", "1")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("writing to a frozen broker: %v, want to wait in vain", err)
	}
	if err := b.Thaw(); err != nil {
		t.Fatal(err)
	}
	produce(t, b.Client, record("frozen", "a", "2"))
}

// What was acknowledged outlives kill -9, and clients find the broker where it was.
func testKill(t *testing.T, b *broker.Broker) {
	create(t, b.Client, "killed", 1, nil)
	produce(t, b.Client, record("killed", "a", "1"))
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	b.Kill()
	if err := b.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := client.ProduceSync(ctx, record("killed", "b", "2")).FirstErr(); err != nil {
		t.Errorf("a client from before: %v", err)
	}
	if got, want := show(read(t, b.Client, "killed")), []string{"a=1", "b=2"}; !slices.Equal(got, want) {
		t.Errorf("read %v, want %v", got, want)
	}
}

func testStop(t *testing.T, b *broker.Broker) {
	create(t, b.Client, "stopped", 1, nil)
	produce(t, b.Client, record("stopped", "a", "1"))
	if err := b.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.Freeze(); err == nil {
		t.Error("a stopped broker took a signal")
	}
	if err := b.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := show(read(t, b.Client, "stopped")), []string{"a=1"}; !slices.Equal(got, want) {
		t.Errorf("read %v, want %v", got, want)
	}
}

func create(t *testing.T, b *broker.Client, topic string, partitions int, settings map[string]string) {
	t.Helper()
	if err := b.CreateTopic(t.Context(), topic, partitions, settings); err != nil {
		t.Fatal(err)
	}
}

func produce(t *testing.T, b *broker.Client, records ...*kgo.Record) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := b.Produce(ctx, records...); err != nil {
		t.Fatal(err)
	}
}

func record(topic, key, value string) *kgo.Record {
	return &kgo.Record{Topic: topic, Key: []byte(key), Value: []byte(value)}
}

// read reads the first partition of topic from its start to its present end.
func read(t *testing.T, b *broker.Client, topic string, opts ...kgo.Opt) []*kgo.Record {
	t.Helper()
	_, end, err := b.Offsets(t.Context(), topic, 0)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(append(opts,
		kgo.SeedBrokers(b.Addrs()...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}),
		// The last record of a log may be a marker, and shows that the end is reached.
		kgo.KeepControlRecords(),
	)...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var all []*kgo.Record
	for next := int64(0); next < end; {
		fetched := client.PollFetches(ctx)
		if err := fetched.Err(); err != nil {
			t.Fatalf("read %s at %d of %d: %v", topic, next, end, err)
		}
		for _, r := range fetched.Records() {
			next = r.Offset + 1
			if !r.Attrs.IsControl() {
				all = append(all, r)
			}
		}
	}
	return all
}

// show returns records as KEY=VALUE; a tombstone has the value <nil>.
func show(records []*kgo.Record) []string {
	var all []string
	for _, r := range records {
		value := string(r.Value)
		if r.Value == nil {
			value = "<nil>"
		}
		all = append(all, fmt.Sprintf("%s=%s", r.Key, value))
	}
	return all
}

// control reports whether a batch's attributes say that it holds a marker.
func control(attributes int16) bool { return attributes&0x20 != 0 }
