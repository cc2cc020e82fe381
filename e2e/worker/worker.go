// Package worker runs the built worker in tests: against a real broker, and
// against simulated vendors that know which worker called them.
package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"usersync/e2e"
	"usersync/e2e/broker"
	"usersync/e2e/links"
	"usersync/e2e/process"
	"usersync/e2e/vendors"
)

// The destinations, so that most tests need not import vendors too.
const (
	TapTalk = vendors.TapTalk
	Haptik  = vendors.Haptik
)

// Destinations are all of them.
var Destinations = vendors.Destinations

// Limit is how long a test waits for what should take seconds.
const Limit = 2 * time.Minute

// Until polls until done, and fails the test at the limit.
func Until(t testing.TB, limit time.Duration, what string, done func() bool) {
	t.Helper()
	deadline := time.After(limit)
	for tick := time.Tick(50 * time.Millisecond); !done(); {
		select {
		case <-tick:
		case <-deadline:
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// Deployment is what the workers of a test share.
type Deployment struct {
	Broker  *broker.Client // of a broker or of a cluster
	Vendors *vendors.Vendors
	Config  Config // over the harness's own defaults; nil takes a key away
	// Binary is the worker's, BuildWorker's if it is empty; Env is added to its
	// environment.
	Binary string
	Env    []string
	// Traces is a directory where each worker writes its trace, see Worker.Trace;
	// without one there are none.
	Traces string
}

// Group returns the consumer group of a destination.
func (d *Deployment) Group(destination string) string {
	if id, ok := d.Config["kafka.group_id"]; ok {
		return id.(string) + "." + destination
	}
	return "usersync." + destination
}

// Worker is a running worker.
type Worker struct {
	*process.Process
	Name  string
	Trace string // the path of its trace, if it writes one
	t     testing.TB
	url   string // of its admin server
}

// file writes the configuration file of a worker and returns its path.
func (d *Deployment) file(t testing.TB, name string, more Config) string {
	t.Helper()
	text, err := d.File(d.Vendors.URLs(name), more)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), name+".yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// Check has the product check what a worker of that name would run with, at the
// brokers too, and returns the exit code and all that it printed.
func (d *Deployment) Check(t testing.TB, name string, more Config) (code int, output string) {
	t.Helper()
	code, found, said := d.Command(t, name, more, "check", "--connect")
	return code, found + said
}

// Command has the product run one of its commands with what a worker of that name would
// run with, and returns the exit code and what it wrote to its standard output and its
// standard error.
func (d *Deployment) Command(t testing.TB, name string, more Config, args ...string) (code int, out, said string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), e2e.BuildWorker(t), append(args, "-c", d.file(t, name, more))...)
	var stdout, stderr strings.Builder
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	return command.ProcessState.ExitCode(), stdout.String(), stderr.String()
}

// Launch starts a worker and returns at once. It is ended with the test.
func (d *Deployment) Launch(t testing.TB, name string, more Config) *Worker {
	t.Helper()
	file := d.file(t, name, more)
	w := &Worker{Name: name, t: t}
	c := process.Command{Name: name, Path: d.Binary, Args: []string{"run", "-c", file}, Env: d.Env}
	if c.Path == "" {
		c.Path = e2e.BuildWorker(t)
	}
	if d.Traces != "" {
		w.Trace = filepath.Join(d.Traces, name+".trace")
		c.Args = append(c.Args, "--trace", w.Trace)
	}
	w.Process = e2e.Start(t, c)
	t.Cleanup(func() {
		log := w.Log()
		if strings.Contains(log, "DATA RACE") || strings.Contains(log, "\npanic: ") {
			t.Errorf("worker %s:\n%s", name, log)
		} else if t.Failed() {
			t.Logf("worker %s ended its log with:\n%s", name, log[max(0, len(log)-4000):])
		}
	})
	return w
}

// Links puts a link between a worker, which is launched afterwards with the returned
// configuration and environment, and each vendor. They are by destination, and closed
// with the test. All workers have the same URLs, which is a part of what they keep of
// users: whom a URL is about says a proxy of their own.
func (d *Deployment) Links(t testing.TB, name string) (map[string]*links.Link, Config, []string) {
	t.Helper()
	all, hosts, c := map[string]*links.Link{}, map[string]*links.Link{}, Config{}
	for destination, base := range d.Vendors.URLs(name) {
		u, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		l, err := links.Open(t.Context(), u.Host)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(l.Close)
		u.Host = destination + ".vendor.test"
		all[destination], hosts[u.Host] = l, l
		c["destinations."+destination+".base_url"] = u.String()
		c["destinations."+destination+".allow_http"] = true
	}
	names, err := links.NewNames(t.Context(), hosts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(names.Close)
	return all, c, []string{"HTTP_PROXY=" + names.URL(), "NO_PROXY=localhost"}
}

// Start starts a worker and returns when it is ready.
func (d *Deployment) Start(t testing.TB, name string, more Config) *Worker {
	t.Helper()
	w := d.Launch(t, name, more)
	w.Ready()
	return w
}

// Ready waits until /readyz is content.
func (w *Worker) Ready() {
	w.t.Helper()
	Until(w.t, Limit, w.Name+" is ready", func() bool {
		status, _ := w.Get("/readyz")
		return status == http.StatusOK
	})
}

// Get asks the admin server; the status is 0 if there is none.
func (w *Worker) Get(path string) (status int, body string) {
	w.t.Helper()
	select {
	case <-w.Done():
		w.t.Fatalf("%s has ended:\n%s", w.Name, w.Log())
	default:
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	status, body, err := w.Ask(ctx, path)
	if err != nil {
		return 0, ""
	}
	return status, body
}

// Ask asks the admin server. Unlike the other methods it may be called from any
// goroutine, one at a time, and fails no test: a worker may be frozen or gone.
func (w *Worker) Ask(ctx context.Context, path string) (status int, body string, err error) {
	if w.url == "" {
		log, err := os.ReadFile(w.Stderr())
		if err != nil {
			return 0, "", err
		}
		for _, l := range lines(string(log), "listening") {
			w.url = "http://" + l.Address
		}
		if w.url == "" {
			return 0, "", fmt.Errorf("%s does not listen yet", w.Name)
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+path, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// Metric returns the sum of the series of a metric that have all the labels,
// each as name="value", and how many series that are. The name is without the
// prefix that all have.
func (w *Worker) Metric(name string, labels ...string) (sum float64, series int) {
	w.t.Helper()
	_, body := w.Get("/metrics")
	sum, series, err := Sum(body, name, labels...)
	if err != nil {
		w.t.Fatal(err)
	}
	return sum, series
}

// Sum is Metric for what a worker has answered.
func Sum(body, name string, labels ...string) (sum float64, series int, err error) {
lines:
	for line := range strings.Lines(body) {
		id, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
		metric, set, _ := strings.Cut(id, "{")
		if metric != "usersync_"+name {
			continue
		}
		for _, l := range labels {
			if !strings.Contains(","+set+",", ","+l+",") {
				continue lines
			}
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("metric %s: %w", line, err)
		}
		sum += v
		series++
	}
	return sum, series, nil
}

// Line is what tests look at in a line of the log.
type Line struct {
	Time        time.Time
	Level       string
	Msg         string
	Destination string
	Address     string
	Reason      string
}

// Lines returns the lines of the log with a message.
func (w *Worker) Lines(msg string) []Line {
	w.t.Helper()
	return lines(w.Log(), msg)
}

func lines(log, msg string) []Line {
	var all []Line
	for text := range strings.Lines(log) {
		var l Line
		if json.Unmarshal([]byte(text), &l) == nil && l.Msg == msg { // the last one may be half written
			all = append(all, l)
		}
	}
	return all
}

// Log returns all that the worker has written to standard error.
func (w *Worker) Log() string {
	w.t.Helper()
	b, err := os.ReadFile(w.Stderr())
	if err != nil {
		w.t.Fatal(err)
	}
	return string(bytes.ToValidUTF8(b, nil))
}

// Last returns the last line of the log: what it ended with.
func (w *Worker) Last() string {
	w.t.Helper()
	lines := strings.Split(strings.TrimSpace(w.Log()), "\n")
	return lines[len(lines)-1]
}

// Terminate sends SIGTERM and returns at once.
func (w *Worker) Terminate() { w.Send(syscall.SIGTERM) }

// Send sends a signal; the test fails if the worker has ended before.
func (w *Worker) Send(sig syscall.Signal) {
	w.t.Helper()
	if err := w.Signal(sig); err != nil {
		w.t.Fatal(err)
	}
}

// Exit waits for the end of the worker and returns its exit code.
func (w *Worker) Exit(limit time.Duration) int {
	w.t.Helper()
	ctx, cancel := context.WithTimeoutCause(w.t.Context(), limit, fmt.Errorf("still there after %v", limit))
	defer cancel()
	code, err := w.Wait(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	return code
}

// Stop has the worker drain and leave, as an orchestrator does.
func (w *Worker) Stop() {
	w.t.Helper()
	w.Terminate()
	if code := w.Exit(30 * time.Second); code != 0 {
		w.t.Errorf("%s ended with code %d:\n%s", w.Name, code, w.Log())
	}
}
