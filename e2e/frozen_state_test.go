package e2e_test

import (
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"usersync/consumer/trace"
	"usersync/e2e"
	"usersync/e2e/broker"
	"usersync/e2e/ledger"
	"usersync/e2e/worker"
)

// stateParts is how many partitions have a write of their state under way at once.
const stateParts = 8

// freezeWriting freezes a worker that keeps what was delivered, when vendors have
// answered and what they hold is not written down: it is on the wire, and in memory.
// Another one takes over and delivers newer versions. Then the frozen one thaws, and what
// it had to write lands behind what its successor wrote, as the last word on its users;
// compaction leaves no other. Whoever owns the partitions next must not believe it.
func freezeWriting(t *testing.T) {
	const users = 600
	b := e2e.Kafka(t, broker.Config{Links: 1})
	d := deployOn(t, b, stateParts, nil)
	d.Traces = t.TempDir()
	d.Config["kafka.state_topic"] = stateTopic
	d.OneAddress()
	create(t, d.Broker, stateTopic, stateParts, map[string]string{
		"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.01", "delete.retention.ms": "0",
	})
	book := worker.NewBook("users")
	everyone := book.Shuffled(users, users)

	frozen := d.Start(t, "frozen", worker.Config{"kafka.brokers": []string{b.Link(0).Addr()}})
	book.Write(t, d.Broker, everyone...)
	book.Settle(t, d)
	d.Vendors.Latency(100 * time.Millisecond)
	// Writes take longer than calls, so some are on their way at every moment; without it
	// the hole would often swallow answers alone, and nothing would come late.
	b.Link(0).Slow(300*time.Millisecond, 0)
	book.Write(t, d.Broker, everyone...)
	calls(t, d, users+200)
	b.Link(0).BlackHole()
	calls(t, d, users+210) // no more than is in flight: the lease may be about to end
	frozen.Send(syscall.SIGSTOP)
	began := time.Now().Add(stopping)

	other := d.Start(t, "other", nil)
	worker.Until(t, worker.Limit, "the other worker has taken over", func() bool { return owned(other) == stateParts })
	book.Write(t, d.Broker, everyone...)
	book.Settle(t, d)

	thawed := time.Now()
	frozen.Send(syscall.SIGCONT)
	if err := b.Link(0).Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	late := map[string]bool{}
	worker.Until(t, worker.Limit, "what the frozen worker had to write has landed", func() bool {
		lateInState(t, d, late)
		return len(late) > 0
	})
	worker.Until(t, worker.Limit, "each worker owns partitions", func() bool { return owned(frozen)+owned(other) == stateParts && owned(frozen) > 0 })
	lateInState(t, d, late)
	told := []trace.Event{{At: began, Kind: ledger.Frozen, Worker: frozen.Name}, {At: thawed, Kind: ledger.Thawed, Worker: frozen.Name}}
	judge(t, d, book, told, frozen, other)

	compactState(t, d)
	frozen.Kill()
	other.Kill()
	disbelieve(t, d, book, everyone, late)
}

// disbelieve starts workers that find what came late as the last word on some users, and
// has that be wanted: so whoever believes it makes no call, and leaves them wrong.
func disbelieve(t *testing.T, d *worker.Deployment, book *worker.Book, everyone []int, late map[string]bool) {
	t.Helper()
	again := []*worker.Worker{d.Start(t, "third", nil), d.Start(t, "fourth", nil)}
	for user := range book.Users() {
		// Some others change as well, and the rest have what they had.
		back := user%3 == 0 || late[worker.Hash(strconv.Itoa(user))]
		book.Users()[user] = map[bool]int{true: 1, false: 2}[back]
	}
	book.Write(t, d.Broker, everyone...)
	book.Settle(t, d)
	unchanged := 0
	for _, w := range again {
		unchanged += len(slices.DeleteFunc(traced(t, w), func(e trace.Event) bool { return e.Kind != trace.Unchanged }))
	}
	if t.Logf("%d users came late, %d changes needed no call", len(late), unchanged); unchanged < len(everyone)/2 {
		t.Errorf("only %d changes needed no call: what is true was not believed either", unchanged)
	}
}

// calls waits until both vendors were called so often.
func calls(t *testing.T, d *worker.Deployment, n int) {
	t.Helper()
	for _, destination := range worker.Destinations {
		worker.Until(t, worker.Limit, "the vendors are called", func() bool { return d.Vendors.Count(destination) >= n })
	}
}

// lateInState notes the users of whom something stands behind a record of a later owner.
func lateInState(t *testing.T, d *worker.Deployment, late map[string]bool) {
	t.Helper()
	for partition := range int32(stateParts) {
		highest := map[string]uint64{}
		for _, r := range readState(t, d, partition) {
			if r.user != "" && r.epoch < highest[r.destination] {
				late[r.user] = true
			}
			highest[r.destination] = max(highest[r.destination], r.epoch)
		}
	}
}

// compactState writes what nobody reads until of each user only the last record is left:
// Kafka rolls a segment only when a record comes, and never compacts the newest one.
func compactState(t *testing.T, d *worker.Deployment) {
	t.Helper()
	worker.Until(t, worker.Limit, "the state topic is compacted", func() bool {
		var fill []*kgo.Record
		for key := range byte(16 * stateParts) { // some for each partition
			fill = append(fill, &kgo.Record{Topic: stateTopic, Key: []byte{'-', key}, Value: []byte("-")})
		}
		if err := d.Broker.Produce(t.Context(), fill...); err != nil {
			t.Fatal(err)
		}
		for partition := range int32(stateParts) {
			seen := map[string]bool{}
			for _, r := range readState(t, d, partition) {
				if seen[r.key] {
					return false
				}
				seen[r.key] = true
			}
		}
		return true
	})
}
