// Package e2e tests the worker on real parts: a real broker, real sockets, real
// signals. It shows what virtual time and simulated brokers cannot.
//
// What needs more than Go is skipped where that is missing. USERSYNC_E2E=require
// fails such a test instead, and USERSYNC_E2E=off skips it even where it could
// run, which leaves the quick tests.
package e2e

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"usersync/e2e/broker"
	"usersync/e2e/connect"
	"usersync/e2e/postgres"
	"usersync/e2e/process"
	"usersync/e2e/prometheus"
)

// packages are Debian's for the programs that tests ask for.
var packages = map[string]string{
	"chromium": "chromium",
	"java":     "default-jre-headless",
	"mvn":      "maven",
	"postgres": "postgresql",
	"psql":     "postgresql-client",
	"buildah":  "buildah",
	"podman":   "podman",
	"runc":     "runc",
}

// targets are make's that build a program and run the tests that ask for it. chart-e2e
// has all that chart-test has, so a test that needs both asks for its programs last.
var targets = map[string]string{
	"helm":                    "chart-test",
	"etcd":                    "chart-e2e",
	"kube-apiserver":          "chart-e2e",
	"kube-controller-manager": "chart-e2e",
	"kubectl":                 "chart-e2e",
	"kubectl-validate":        "chart-e2e",
}

// Require skips the test, or fails it under USERSYNC_E2E=require, unless all
// programs are installed. It says how to install what is missing.
func Require(t testing.TB, programs ...string) {
	t.Helper()
	if os.Getenv("USERSYNC_E2E") == "off" {
		unavailable(t, "USERSYNC_E2E=off")
	}
	var missing, install []string
	var target string
	for _, p := range programs {
		find := exec.LookPath
		if p == "postgres" {
			find = func(string) (string, error) { return postgres.Programs() }
		}
		if _, err := find(p); err == nil {
			continue
		}
		missing = append(missing, p)
		if name, ok := packages[p]; ok {
			install = append(install, name)
		}
		if name, ok := targets[p]; ok {
			target = name
		}
	}
	if len(missing) == 0 {
		return
	}
	reason := "not installed: " + strings.Join(missing, ", ")
	if len(install) > 0 {
		reason += "; on Debian: apt-get install " + strings.Join(install, " ")
	}
	if target != "" {
		reason += "; make " + target + " builds what is missing and runs this"
	}
	unavailable(t, reason)
}

// unavailable is the one place where a test may be skipped.
func unavailable(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("USERSYNC_E2E") == "require" {
		t.Fatalf("cannot run, and USERSYNC_E2E=require: %s", reason)
	}
	t.Skipf("cannot run: %s", reason)
}

// RequireKafka skips the test, or fails it under USERSYNC_E2E=require, unless there
// is all that Kafka needs, having fetched what can be fetched.
func RequireKafka(t testing.TB) {
	t.Helper()
	Require(t, "java")
	_, err := broker.Fetch(t.Context())
	fetched(t, err)
}

// RequireConnect is RequireKafka for Kafka Connect and Debezium.
func RequireConnect(t testing.TB) {
	t.Helper()
	Require(t, "java")
	_, _, err := connect.Fetch(t.Context())
	fetched(t, err)
}

// RequirePrometheus skips the test, or fails it under USERSYNC_E2E=require, unless there
// is a Prometheus, having fetched it where it can be fetched.
func RequirePrometheus(t testing.TB) prometheus.Programs {
	t.Helper()
	Require(t)
	programs, err := prometheus.Fetch(t.Context())
	if err != nil {
		unavailable(t, err.Error()) // neither installed nor Debian's, or no network
	}
	return programs
}

func fetched(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, exec.ErrNotFound) {
		Require(t, "mvn")
	}
	if err != nil {
		unavailable(t, err.Error()) // no network
	}
}

// Kafka starts a broker for the test, in a directory of the test unless c names
// one. It is ended with the test.
func Kafka(t testing.TB, c broker.Config) *broker.Broker {
	t.Helper()
	RequireKafka(t)
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

// Cluster starts three brokers for the test, as Kafka starts one.
func Cluster(t testing.TB, c broker.Config) *broker.Cluster {
	t.Helper()
	RequireKafka(t)
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	k, err := broker.StartCluster(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

// Postgres starts a PostgreSQL server for the test. It is ended with the test; its
// logs are the test's artifacts unless c says where.
func Postgres(t testing.TB, c postgres.Config) *postgres.Server {
	t.Helper()
	Require(t, "postgres")
	if c.Logs == "" {
		c.Logs = t.ArtifactDir()
	}
	s, err := postgres.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Connect starts a Kafka Connect worker for the test, in a directory of the test
// unless c names one. It is ended with the test.
func Connect(t testing.TB, c connect.Config) *connect.Worker {
	t.Helper()
	RequireConnect(t)
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	w, err := connect.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

// Prometheus starts a Prometheus for the test, in a directory of the test unless c names
// one. It is ended with the test.
func Prometheus(t testing.TB, c prometheus.Config) *prometheus.Server {
	t.Helper()
	RequirePrometheus(t)
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	s, err := prometheus.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
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
