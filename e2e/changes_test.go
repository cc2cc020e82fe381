package e2e_test

import (
	"strings"
	"testing"
	"time"

	"usersync/consumer/trace"
	"usersync/e2e/ledger"
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
	d.Traces = t.TempDir()
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
	killed.Kill()
	at := time.Now()

	book.Settle(t, d)
	added.Stop()
	judge(t, d, book, []trace.Event{{At: at, Kind: ledger.Killed, Worker: killed.Name}}, first, killed, added)
	for _, destination := range worker.Destinations {
		if n := d.Vendors.Stats(destination).MaxOverlap; n > 1 {
			t.Errorf("%s: %d calls of one user at once", destination, n)
		}
	}
	if n := len(deadLetters(t, d)); n != 0 {
		t.Errorf("%d dead letters", n)
	}
}
