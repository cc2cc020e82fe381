package e2e_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"usersync/consumer/trace"
	"usersync/e2e/ledger"
	"usersync/e2e/vendors"
	"usersync/e2e/worker"
)

// TestFrozenWorker freezes a worker with users ready to be sent for longer than
// its session. Another one takes over and delivers newer versions. The frozen one
// wakes up with old versions in hand and does not know yet that it has been away:
// it must call nobody before it is a member again, and then only for partitions
// that it owns.
func TestFrozenWorker(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		config worker.Config
		least  time.Duration // of being frozen
	}{
		"short session": {},
		"default session": {
			config: worker.Config{"kafka.session_timeout": nil, "kafka.rebalance_timeout": nil},
			least:  time.Minute,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of the time they only wait
			d := deploy(t, 2, nil)
			maps.Copy(d.Config, tt.config)
			freeze(t, d, tt.least)
		})
	}
	t.Run("with a state to write", func(t *testing.T) {
		t.Parallel() // it is over before the default session is
		freezeWriting(t)
	})
}

func freeze(t *testing.T, d *worker.Deployment, least time.Duration) {
	const users = 600
	d.Traces = t.TempDir()
	d.Vendors.Latency(100 * time.Millisecond)
	book := worker.NewBook("users")
	frozen, other := d.Start(t, "frozen", nil), d.Start(t, "other", nil)
	shared := func() bool { return owned(frozen) == 1 && owned(other) == 1 }
	worker.Until(t, worker.Limit, "each worker owns a partition", shared)

	everyone := book.Shuffled(users, users)
	book.Write(t, d.Broker, everyone...)
	for _, destination := range worker.Destinations {
		worker.Until(t, worker.Limit, "the worker has users that are ready", func() bool {
			ready, _ := frozen.Metric("queue_users", label("destination", destination))
			return ready > users/8
		})
	}
	frozen.Send(syscall.SIGSTOP)
	began := time.Now().Add(stopping)
	worker.Until(t, worker.Limit, "the other worker has taken over", func() bool { return owned(other) == 2 })
	book.Write(t, d.Broker, everyone...)
	book.Settle(t, d)
	worker.Until(t, worker.Limit, "it was frozen for long enough", func() bool { return time.Since(began) >= least })

	thawed := time.Now()
	frozen.Send(syscall.SIGCONT)
	t.Logf("frozen for %v", thawed.Sub(began).Round(time.Second))
	worker.Until(t, worker.Limit, "each worker owns a partition again", shared)
	book.Write(t, d.Broker, everyone...)
	book.Settle(t, d)

	for _, destination := range worker.Destinations {
		checkThaw(t, d, destination, book, frozen, thawed)
	}
	told := []trace.Event{{At: began, Kind: ledger.Frozen, Worker: frozen.Name}, {At: thawed, Kind: ledger.Thawed, Worker: frozen.Name}}
	// Its calls in flight were applied long before another one called.
	if r := judge(t, d, book, told, frozen, other); r.Lost > 0 {
		t.Errorf("users were taken back %d times", r.Lost)
	}
}

// owned is how many partitions a worker has of each destination.
func owned(w *worker.Worker) float64 {
	n, _ := w.Metric("consumer_assigned_partitions")
	return n / float64(len(worker.Destinations))
}

// stopping is how long the kernel may take to stop all threads of a process, on a
// machine that is busy. Nobody else calls before the session has ended, much later.
const stopping = time.Second

// checkThaw holds a destination's calls against what a worker that was frozen may
// do once it has thawed.
func checkThaw(t *testing.T, d *worker.Deployment, destination string, book *worker.Book, frozen *worker.Worker, thawed time.Time) {
	joined := frozen.Lines("joined")
	joined = slices.DeleteFunc(joined, func(l worker.Line) bool {
		return l.Destination != destination || l.Time.Before(thawed)
	})
	calls := byWorker(d.Vendors, "frozen", destination, thawed)
	if len(joined) == 0 || len(calls) == 0 {
		t.Errorf("%s: the frozen worker joined %d times and made %d calls after it thawed", destination, len(joined), len(calls))
		return
	}
	for _, c := range calls {
		if c.Received.Before(joined[0].Time) {
			t.Errorf("%s: a call %v after the thaw, %v before the worker was a member again",
				destination, c.Received.Sub(thawed), joined[0].Time.Sub(c.Received))
		}
		if p := partitionOf(book, c.User); !owns(frozen, destination, p) {
			t.Errorf("%s: a call for partition %d, which is another's", destination, p)
		}
	}
	if n := d.Vendors.Stats(destination).MaxOverlap; n > 1 {
		t.Errorf("%s: %d calls of one user at once", destination, n)
	}
}

// byWorker returns the calls of a worker to a destination since a time.
func byWorker(v *vendors.Vendors, name, destination string, since time.Time) []vendors.Call {
	return v.Calls(func(c vendors.Call) bool {
		return c.Caller == name && c.Destination == destination && c.Received.After(since)
	})
}

// owns reports whether a worker owns a partition: a series that is about one is
// there for as long as it does.
func owns(w *worker.Worker, destination string, partition int32) bool {
	_, series := w.Metric("consumer_uncommitted_records", label("destination", destination), label("partition", fmt.Sprint(partition)))
	return series == 1
}

func partitionOf(book *worker.Book, user string) int32 {
	i := slices.IndexFunc(book.Written, func(e worker.Entry) bool { return strconv.Itoa(e.User) == user })
	return book.Written[i].Record.Partition
}
