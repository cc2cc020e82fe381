package broker_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"usersync/e2e"
	"usersync/e2e/broker"
)

// One cluster serves all of these in turn; all but the last leave it healthy.
func TestCluster(t *testing.T) {
	k := e2e.Cluster(t, broker.Config{Links: 2})
	for _, test := range []struct {
		name string
		run  func(*testing.T, *broker.Cluster)
	}{
		{"replicas", testReplicas},
		{"leaders are moved", testMoveLeader},
		{"coordinators are moved", testMoveCoordinator},
		{"a link is cut", testCutLink},
		{"a leader is killed", testKilledLeader},
		{"a leader freezes", testFrozenLeader},
		{"a coordinator is stopped", testStoppedCoordinator},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, k) })
	}
}

func testReplicas(t *testing.T, k *broker.Cluster) {
	create(t, k.Client, "replicas", 3, nil)
	produce(t, k.Client, record("replicas", "a", "1"))
	if err := k.Synced(limited(t), "replicas"); err != nil {
		t.Error(err)
	}
	var leaders []int32
	for p := range int32(3) {
		leaders = append(leaders, leader(t, k, "replicas", p))
	}
	slices.Sort(leaders)
	if !slices.Equal(leaders, k.Nodes()) {
		t.Errorf("brokers %v lead the three partitions, want each of them one", leaders)
	}
}

func testMoveLeader(t *testing.T, k *broker.Cluster) {
	create(t, k.Client, "moved", 1, nil)
	for _, id := range k.Nodes() {
		moveLeader(t, k, "moved", id)
		produce(t, k.Client, record("moved", "a", "1"))
	}
	if got := read(t, k.Client, "moved"); len(got) != len(k.Nodes()) {
		t.Errorf("%d records after all moves, want %d", len(got), len(k.Nodes()))
	}
}

// Where a group's commits are is a hash of ours; who coordinates it is Kafka's word.
func testMoveCoordinator(t *testing.T, k *broker.Cluster) {
	for _, group := range []string{"usersync.taptalk", "usersync.haptik", "grüße"} {
		for _, id := range k.Nodes() {
			if err := k.MoveCoordinator(limited(t), group, id); err != nil {
				t.Fatal(err)
			}
			await(t, func() bool { return coordinator(t, k, group) == id })
		}
	}
}

// What one slot's links do, the other slot does not notice: neither where it starts
// from nor where the brokers send it.
func testCutLink(t *testing.T, k *broker.Cluster) {
	create(t, k.Client, "linked", 1, nil)
	if err := k.Synced(limited(t), "linked"); err != nil {
		t.Fatal(err)
	}
	id := leader(t, k, "linked", 0)
	through := func(slot int, limit time.Duration) error {
		w := &kafka.Writer{
			Addr: kafka.TCP(k.Via(slot)...), Topic: "linked", BatchTimeout: time.Millisecond,
			RequiredAcks: kafka.RequireAll, Transport: &kafka.Transport{MetadataTTL: time.Second},
		}
		defer w.Close()
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		return w.WriteMessages(ctx, kafka.Message{Value: []byte("there")})
	}
	for slot := range 2 {
		if err := through(slot, 30*time.Second); err != nil {
			t.Fatalf("slot %d: %v", slot, err)
		}
	}
	k.Link(0, id).Cut()
	if err := through(0, time.Second); err == nil {
		t.Error("slot 0 reached the leader although its link was cut")
	}
	if err := through(1, 30*time.Second); err != nil {
		t.Errorf("slot 1, whose links are whole: %v", err)
	}
	if err := k.Link(0, id).Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := through(0, 30*time.Second); err != nil {
		t.Errorf("slot 0, healed: %v", err)
	}
	if got := read(t, k.Client, "linked"); len(got) != 4 {
		t.Errorf("%d records came through, want 4", len(got))
	}
}

// What two of three have acknowledged outlives one of them, and the others go on.
func testKilledLeader(t *testing.T, k *broker.Cluster) {
	create(t, k.Client, "survivor", 1, nil)
	produce(t, k.Client, record("survivor", "a", "1"))
	if err := k.Synced(limited(t), "survivor"); err != nil {
		t.Fatal(err)
	}
	was := leader(t, k, "survivor", 0)
	k.Kill(was)
	produce(t, k.Client, record("survivor", "b", "2"))
	await(t, func() bool { return leader(t, k, "survivor", 0) != was })
	if got, want := show(read(t, k.Client, "survivor")), []string{"a=1", "b=2"}; !slices.Equal(got, want) {
		t.Errorf("read %v, want %v", got, want)
	}
	if err := k.Restart(t.Context(), was); err != nil {
		t.Fatal(err)
	}
	if err := k.Synced(limited(t), "survivor"); err != nil {
		t.Fatal(err)
	}
	moveLeader(t, k, "survivor", was) // it has caught up
}

func testFrozenLeader(t *testing.T, k *broker.Cluster) {
	create(t, k.Client, "stiff", 1, nil)
	produce(t, k.Client, record("stiff", "a", "1"))
	if err := k.Synced(limited(t), "stiff"); err != nil {
		t.Fatal(err)
	}
	was := leader(t, k, "stiff", 0)
	if err := k.Freeze(was); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { return leader(t, k, "stiff", 0) != was })
	produce(t, k.Client, record("stiff", "b", "2"))
	if err := k.Thaw(was); err != nil {
		t.Fatal(err)
	}
	if err := k.Synced(limited(t), "stiff"); err != nil {
		t.Fatal(err)
	}
}

// A coordinator that took over has read all commits, but answers with those below its
// high watermark, as far as it has heard of that: without another write it was seen to say
// for a minute that nothing is committed. A worker asks after it has joined, and that is a
// write of the same partition.
func testStoppedCoordinator(t *testing.T, k *broker.Cluster) {
	commit := func(partition int32, offset int64) {
		if err := k.SetOffset(limited(t), "stopped", "replicas", partition, broker.Committed{Offset: offset}); err != nil {
			t.Fatal(err)
		}
	}
	commit(0, 7)
	was := coordinator(t, k, "stopped")
	if err := k.Stop(t.Context(), was); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { return coordinator(t, k, "stopped") != was })
	commit(1, 8)
	got, err := k.Committed(limited(t), "stopped")
	if err != nil {
		t.Fatal(err)
	}
	if a, b := got["replicas"][0].Offset, got["replicas"][1].Offset; a != 7 || b != 8 {
		t.Errorf("offsets %d and %d are committed, want 7 and 8", a, b)
	}
}

func TestClusterIsNotSecured(t *testing.T) {
	if k, err := broker.StartCluster(t.Context(), broker.Config{Secured: true}); err == nil {
		k.Close()
		t.Error("a cluster claims to be secured")
	}
}

func leader(t *testing.T, k *broker.Cluster, topic string, partition int32) int32 {
	t.Helper()
	id, err := k.Leader(limited(t), topic, partition)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func coordinator(t *testing.T, k *broker.Cluster, group string) int32 {
	t.Helper()
	id, err := k.Coordinator(limited(t), group)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func moveLeader(t *testing.T, k *broker.Cluster, topic string, id int32) {
	t.Helper()
	if err := k.MoveLeader(limited(t), topic, 0, id); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { return leader(t, k, topic, 0) == id })
}

var errLimit = errors.New("not within a minute")

// limited ends with the test, or when what should take seconds takes a minute.
func limited(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errLimit)
	t.Cleanup(cancel)
	return ctx
}

func await(t *testing.T, done func() bool) {
	t.Helper()
	ctx := limited(t)
	for tick := time.Tick(50 * time.Millisecond); !done(); {
		select {
		case <-tick:
		case <-ctx.Done():
			t.Fatal(context.Cause(ctx))
		}
	}
}
