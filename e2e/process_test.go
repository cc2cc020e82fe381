package e2e_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"usersync/e2e/vendors"
	"usersync/e2e/worker"
	"usersync/sync/vendortest"
)

// TestSecondSignal stops a worker whose vendors never answer: it waits for them,
// until it is told again. What it left behind is delivered by the next one.
func TestSecondSignal(t *testing.T) {
	t.Parallel() // it measures nothing
	d := deploy(t, 1, nil)
	d.Config["shutdown.drain_timeout"] = "2m" // only the signal can be what ends it
	d.Config["kafka.rebalance_timeout"] = "3m"
	d.Config["kafka.session_timeout"] = "4m"
	for _, destination := range worker.Destinations {
		d.Config["destinations."+destination+".timeout"] = "90s"
	}
	d.Vendors.SetRules(vendors.TapTalk, vendortest.Rule{Answer: vendortest.Hang})
	d.Vendors.SetRules(vendors.Haptik, vendortest.Rule{Answer: vendortest.Hang})
	book := worker.NewBook("users")
	book.Write(t, d.Broker, 1, 2, 3)
	w := d.Start(t, "worker", worker.Config{})
	for _, destination := range worker.Destinations {
		worker.Until(t, worker.Limit, "calls are under way", func() bool { return d.Vendors.Count(destination) == 3 })
	}

	w.Terminate()
	worker.Until(t, worker.Limit, "it stops", func() bool { return len(w.Lines("stopping")) == 1 })
	if status, _ := w.Get("/metrics"); status != http.StatusOK {
		t.Error("no metrics while it drains")
	}
	w.Send(syscall.SIGTERM)
	if code := w.Exit(20 * time.Second); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if want := "stopped before calls in flight had ended"; !strings.Contains(w.Last(), want) {
		t.Errorf("it ended with %q, want %q", w.Last(), want)
	}
	d.Vendors.Latency(0)
	d.Start(t, "next", nil) // long before the first one's session would have ended
	book.Settle(t, d)
}

// TestAdminServer looks at what orchestrators and Prometheus ask a real process.
func TestAdminServer(t *testing.T) {
	t.Parallel() // it measures nothing
	d := deploy(t, 1, nil)

	d.Config["kafka.dead_letter_topic"] = "typo"
	w := d.Launch(t, "typo", nil)
	if code := w.Exit(20 * time.Second); code != 1 {
		t.Errorf("without a dead-letter topic: exit code %d, want 1", code)
	}
	if want := "kafka.dead_letter_topic: topic typo: it does not exist"; !strings.HasPrefix(w.Last(), want) {
		t.Errorf("without a dead-letter topic it said %q, want %q", w.Last(), want)
	}

	d.Config["kafka.dead_letter_topic"] = "dead"
	d.Config["kafka.topics"] = []string{"later"}
	w = d.Launch(t, "worker", nil)
	want := "taptalk: no such topic: [later]"
	worker.Until(t, worker.Limit, "/readyz says what is missing", func() bool {
		status, body := w.Get("/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, want)
	})
	if status, body := w.Get("/livez"); status != http.StatusOK {
		t.Errorf("/livez for a topic that is missing: %d %s", status, body)
	}
	create(t, d.Broker, "later", 2, nil)
	w.Ready()
	book := worker.NewBook("later")
	book.Write(t, d.Broker, 1, 2, 3, 1)
	book.Settle(t, d)
	for _, destination := range worker.Destinations {
		worker.Until(t, worker.Limit, "the metrics show what was done", func() bool {
			of := label("destination", destination)
			ok, _ := w.Metric("attempts_total", of, label("verdict", "ok"))
			read, _ := w.Metric("consumer_records_total", of, label("topic", "later"))
			owned, _ := w.Metric("consumer_assigned_partitions", of, label("topic", "later"))
			lag, series := w.Metric("consumer_lag_records", of)
			return ok >= 3 && read == 4 && owned == 2 && lag == 0 && series == 2
		})
	}
	_, body := w.Get("/metrics")
	for _, name := range []string{"usersync_build_info", "go_goroutines", "process_cpu_seconds_total"} {
		if !strings.Contains(body, "\n"+name) {
			t.Errorf("/metrics has no %s", name)
		}
	}
	w.Stop()
}

// TestKeyRotation gives a worker a key that is not valid any more. It must not try
// it on every user, nor blame the users; and the right key is enough to go on.
func TestKeyRotation(t *testing.T) {
	t.Parallel() // it measures nothing
	const users, concurrency, probes = 1000, 16, 20
	d := deploy(t, 3, nil)
	d.Vendors.SetKeys(vendors.TapTalk, vendortest.Key{ID: "key", Secret: "the-new-secret"})
	key := filepath.Join(t.TempDir(), "key")
	write := func(secret string) {
		if err := os.WriteFile(key, []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("the-old-secret")
	d.Config["destinations.taptalk.server_key_secret"] = nil
	d.Config["destinations.taptalk.server_key_secret_file"] = key
	d.Config["destinations.taptalk.concurrency"] = concurrency
	book := worker.NewBook("users")
	book.Write(t, d.Broker, book.Shuffled(users, users)...)
	w := d.Start(t, "worker", nil)
	worker.Until(t, worker.Limit, "Haptik has everyone", func() bool { return book.Wrong(d.Vendors, worker.Haptik) == "" })
	worker.Until(t, worker.Limit, "the lane to TapTalk is held", func() bool {
		held, _ := w.Metric("lane_state", label("destination", worker.TapTalk), label("reason", "refused"))
		return held == 1
	})
	if calls := d.Vendors.Count(worker.TapTalk); calls > 2*concurrency+probes {
		t.Errorf("%d calls with a wrong key, want at most %d and %d probes", calls, 2*concurrency, probes)
	}
	if n := len(d.Vendors.Users(worker.TapTalk)); n > 0 {
		t.Errorf("TapTalk took %d users with a wrong key", n)
	}
	write("the-new-secret")
	book.Settle(t, d)
	if n := len(deadLetters(t, d)); n > 0 {
		t.Errorf("%d dead letters for a wrong key", n)
	}
	if n := len(w.Lines("starting")); n != 1 {
		t.Errorf("it has started %d times", n)
	}
	for _, secret := range []string{"the-old-secret", "the-new-secret", "token-secret"} {
		if strings.Contains(w.Log(), secret) {
			t.Errorf("the log holds %s", secret)
		}
	}
	w.Stop()
}
