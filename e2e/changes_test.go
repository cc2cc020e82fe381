package e2e_test

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"usersync/e2e/vendors"
	"usersync/e2e/worker"
)

// TestTwentyThousandChanges has two workers under load, adds one, stops one with
// SIGTERM and kills one with -9, each while there is work for seconds. Whatever
// happens: nobody is left wrong, no commit is ahead of what was delivered, and
// only the kill may take a user back to an older version, since what a killed
// worker did is known to nobody.
func TestTwentyThousandChanges(t *testing.T) {
	const changes, users = 20_000, 5_000
	// Large changes that are not compressed take several fetches to read: a worker
	// that takes over has an old version of a user in hand before it sees the newest.
	d := deploy(t, 6, map[string]string{"compression.type": "uncompressed"})
	d.Vendors.Latency(20 * time.Millisecond)
	book := worker.NewBook("users")
	book.Bio = strings.Repeat("Lorem ipsum ", 100)
	all := book.Shuffled(changes, users)
	quarter := func(n int) []int { return all[n*changes/4 : (n+1)*changes/4] }
	// busy waits until the workers are amid the changes written last.
	busy := func() {
		for _, destination := range worker.Destinations {
			begun := d.Vendors.Count(destination)
			worker.Until(t, worker.Limit, "the workers are busy", func() bool {
				return d.Vendors.Count(destination) >= begun+200
			})
			if book.Wrong(d.Vendors, destination) == "" {
				t.Fatalf("%s: everything was delivered before anything could happen", destination)
			}
		}
	}

	book.Write(t, d.Broker, quarter(0)...)
	first, killed := d.Launch(t, "first", nil), d.Launch(t, "killed", nil)
	watch := watchCommits(t, d)
	first.Ready()
	killed.Ready()

	book.Write(t, d.Broker, quarter(1)...)
	busy()
	added := d.Start(t, "added", nil)

	book.Write(t, d.Broker, quarter(2)...)
	busy()
	first.Stop()

	book.Write(t, d.Broker, quarter(3)...)
	busy()
	at := time.Now()
	killed.Kill()

	defer watch.check(book) // also when something else was wrong
	book.Settle(t, d)
	added.Stop()
	for _, destination := range worker.Destinations {
		if n := d.Vendors.Stats(destination).MaxOverlap; n > 1 {
			t.Errorf("%s: %d calls of one user at once", destination, n)
		}
		byKill := 0
		calls := d.Vendors.Calls(func(c vendors.Call) bool { return c.Destination == destination })
		for _, s := range stale(d.Vendors, book, destination) {
			if s.at.After(at) && s.by == "killed" {
				byKill++
			} else {
				t.Errorf("%s: %s", destination, s)
			}
		}
		t.Logf("%s: %d calls, %d steps back by the kill", destination, len(calls), byKill)
	}
	if n := len(deadLetters(t, d)); n != 0 {
		t.Errorf("%d dead letters", n)
	}
}

// commits are what a group had committed, as a broker said it at a time.
type commits struct {
	group string
	at    time.Time
	of    map[int32]int64 // by partition
}

// watcher reads the commits of both groups until the test ends.
type watcher struct {
	t    *testing.T
	d    *worker.Deployment
	stop func()
	seen []commits
}

func watchCommits(t *testing.T, d *worker.Deployment) *watcher {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &watcher{t: t, d: d}
	var wg sync.WaitGroup
	wg.Go(func() {
		for tick := time.Tick(200 * time.Millisecond); ; {
			for _, destination := range worker.Destinations {
				got, err := d.Broker.Committed(ctx, d.Group(destination))
				if ctx.Err() != nil {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				c := commits{group: destination, at: time.Now(), of: map[int32]int64{}}
				for p, committed := range got["users"] {
					c.of[p] = committed.Offset
				}
				w.seen = append(w.seen, c)
			}
			select {
			case <-tick:
			case <-ctx.Done():
				return
			}
		}
	})
	w.stop = func() { cancel(); wg.Wait() }
	t.Cleanup(w.stop)
	return w
}

// check holds every commit against what was delivered by then: below it, each
// change was applied, or a newer one of its user was.
func (w *watcher) check(book *worker.Book) {
	w.t.Helper()
	w.stop()
	for _, destination := range worker.Destinations {
		last := map[int32]int64{}
		checked, moves := map[int32]int{}, 0
		log := partitions(book)
		delivered := deliveries(w.d.Vendors, destination, book)
		for _, c := range w.seen {
			if c.group != destination {
				continue
			}
			for p, offset := range c.of {
				if offset < last[p] {
					w.t.Errorf("%s: the commit of partition %d went back from %d to %d", destination, p, last[p], offset)
				}
				if offset > last[p] {
					moves++
				}
				last[p] = max(last[p], offset)
				for ; checked[p] < len(log[p]) && log[p][checked[p]].Record.Offset < offset; checked[p]++ {
					e := log[p][checked[p]]
					if at, ok := delivered(e.User, e.Version); !ok || at.After(c.at) {
						w.t.Errorf("%s: partition %d is committed up to %d, with user %d not at version %d",
							destination, p, offset, e.User, e.Version)
					}
				}
			}
		}
		total := 0
		for _, n := range checked {
			total += n
		}
		// A watcher that saw next to nothing would find nothing wrong.
		if moves < 2*len(log) {
			w.t.Errorf("%s: only %d commits were seen to move", destination, moves)
		}
		w.t.Logf("%s: %d changes held against %d moves of commits", destination, total, moves)
	}
}

// partitions returns what was written, by partition and in the order of offsets.
func partitions(book *worker.Book) map[int32][]worker.Entry {
	log := map[int32][]worker.Entry{}
	for _, e := range book.Written {
		log[e.Record.Partition] = append(log[e.Record.Partition], e)
	}
	for _, entries := range maps.All(log) {
		slices.SortFunc(entries, func(a, b worker.Entry) int { return int(a.Record.Offset - b.Record.Offset) })
	}
	return log
}

// deliveries returns when a destination first held a version of a user, or a
// newer one.
func deliveries(v *vendors.Vendors, destination string, book *worker.Book) func(user, version int) (time.Time, bool) {
	first := map[int][]time.Time{} // by user; index is the version
	applied := v.Applied(destination)
	for user, newest := range book.Users() {
		times := make([]time.Time, newest+1)
		for _, a := range applied[strconv.Itoa(user)] {
			for version := worker.VersionOf(a.Name()); version > 0 && times[version].IsZero(); version-- {
				times[version] = a.Applied
			}
		}
		first[user] = times
	}
	return func(user, version int) (time.Time, bool) {
		at := first[user][version]
		return at, !at.IsZero()
	}
}
