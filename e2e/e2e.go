// Package e2e tests the worker on real parts: a real broker, real sockets, real
// signals. It shows what virtual time and simulated brokers cannot.
//
// What needs more than Go is skipped where that is missing. USERSYNC_E2E=require
// fails such a test instead, and USERSYNC_E2E=off skips it even where it could
// run, which leaves the quick tests.
package e2e

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"usersync/e2e/broker"
	"usersync/e2e/process"
)

// Require skips the test, or fails it under USERSYNC_E2E=require, unless all
// programs are installed.
func Require(t testing.TB, programs ...string) {
	t.Helper()
	if os.Getenv("USERSYNC_E2E") == "off" {
		unavailable(t, "USERSYNC_E2E=off")
	}
	var missing []string
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing = append(missing, p)
		}
	}
	if len(missing) > 0 {
		unavailable(t, "not installed: "+strings.Join(missing, ", "))
	}
}

// unavailable is the one place where a test may be skipped.
func unavailable(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("USERSYNC_E2E") == "require" {
		t.Fatalf("cannot run, and USERSYNC_E2E=require: %s", reason)
	}
	t.Skipf("cannot run: %s", reason)
}

// Kafka starts a broker for the test, in a directory of the test unless c names
// one. It is ended with the test.
func Kafka(t testing.TB, c broker.Config) *broker.Broker {
	t.Helper()
	Require(t, "java")
	if _, err := broker.Fetch(t.Context()); err != nil {
		unavailable(t, err.Error()) // no Maven, or no network
	}
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	b, err := broker.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// Start starts a process for the test. It is ended with the test; its output is
// kept where `go test -artifacts` keeps things, unless c says where.
func Start(t testing.TB, c process.Command) *process.Process {
	t.Helper()
	if c.Logs == "" {
		c.Logs = t.ArtifactDir()
	}
	p, err := process.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}
