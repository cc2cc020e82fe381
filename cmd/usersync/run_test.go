package main

import (
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"usersync/sync/haptik/haptiktest"
	"usersync/sync/vendortest"
)

// TestSignals runs the program as an orchestrator does: a process that gets
// signals and whose exit code is read.
func TestSignals(t *testing.T) {
	tests := []struct {
		name    string
		rule    vendortest.Rule
		signals []syscall.Signal
		code    int
		last    string // in the last line on standard error
	}{
		{"drain", vendortest.Rule{Latency: 300 * time.Millisecond}, []syscall.Signal{syscall.SIGTERM}, exitFine, `"msg":"stopped"`},
		{"Ctrl-C", vendortest.Rule{}, []syscall.Signal{syscall.SIGINT}, exitFine, `"msg":"stopped"`},
		{"hard", vendortest.Rule{Answer: vendortest.Hang}, []syscall.Signal{syscall.SIGTERM, syscall.SIGTERM}, exitFailed, "stopped before calls in flight had ended"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "users", "dead"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(k.Close)
			haptik := haptiktest.New()
			haptik.SetRules(tt.rule)
			server := httptest.NewServer(haptik)
			t.Cleanup(server.Close)
			t.Cleanup(haptik.Close)

			p := startRun(t, k.ListenAddrs()[0], server.URL)
			p.waitFor(`"msg":"joined"`)
			produce(t, k)
			p.poll("the call", func() bool { return haptik.Calls() > 0 })
			for _, s := range tt.signals {
				if err := p.cmd.Process.Signal(s); err != nil {
					t.Fatal(err)
				}
				p.waitFor(`"msg":"stopping"`)
			}
			if code := p.wait(); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if last := p.last(); !strings.Contains(last, tt.last) {
				t.Errorf("it ended with %q, want %q", last, tt.last)
			}
			if trace := p.said(); !strings.Contains(trace, `"kind":"assigned"`) || !strings.Contains(trace, `"kind":"call",`) {
				t.Errorf("the trace lacks the assignment or the call:\n%s", trace)
			}
			if name, sent := haptik.Current("1")["name"], len(tt.signals) == 1; (name == "Ann") != sent {
				t.Errorf("the vendor has %v", name)
			}
		})
	}
}

func produce(t *testing.T, k *kfake.Cluster) {
	t.Helper()
	out, err := kgo.NewClient(kgo.SeedBrokers(k.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	r := &kgo.Record{Topic: "users", Key: []byte(`{"id":1}`), Value: []byte(`{"id":1,"full_name":"Ann"}`)}
	if err := out.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// limit is how long a test waits for a process before it gives up.
const limit = 30 * time.Second

// program is a running usersync.
type program struct {
	t     *testing.T
	cmd   *exec.Cmd
	logs  string // the file that standard error goes to
	trace string // the file that the trace goes to
	done  chan struct{}
}

// startRun starts usersync run for a broker and a Haptik.
func startRun(t *testing.T, broker, haptik string) *program {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "usersync.yaml")
	text := fmt.Sprintf(`
kafka: {brokers: [%q], topics: [users], dead_letter_topic: dead}
destinations: {haptik: {base_url: %q, client_id: client, token: token}}
http: {listen: "127.0.0.1:0"}
`, broker, haptik)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &program{t: t, logs: filepath.Join(dir, "logs"), trace: filepath.Join(dir, "trace"), done: make(chan struct{})}
	logs, err := os.Create(p.logs)
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close() // the child has its own descriptor
	p.cmd = exec.Command("usersync", "run", "-c", config, "--destination", "haptik", "--trace", p.trace)
	p.cmd.Stderr = logs
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // only repeats what the state says
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // fails only when it has ended
		<-p.done
	})
	return p
}

func (p *program) read() string {
	p.t.Helper()
	b, err := os.ReadFile(p.logs)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(b)
}

// said returns the trace.
func (p *program) said() string {
	p.t.Helper()
	b, err := os.ReadFile(p.trace)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(b)
}

// waitFor waits until text is in the log.
func (p *program) waitFor(text string) {
	p.t.Helper()
	p.poll(text, func() bool { return strings.Contains(p.read(), text) })
}

func (p *program) poll(what string, done func() bool) {
	p.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for timeout := time.After(limit); !done(); {
		select {
		case <-tick.C:
		case <-timeout:
			p.t.Fatalf("not within %v: %s\n%s", limit, what, p.read())
		}
	}
}

// wait waits for the end and returns the exit code.
func (p *program) wait() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(limit):
		p.t.Fatalf("it has not ended within %v\n%s", limit, p.read())
	}
	return p.cmd.ProcessState.ExitCode()
}

// last returns the last line of the log.
func (p *program) last() string {
	lines := strings.Split(strings.TrimSpace(p.read()), "\n")
	return lines[len(lines)-1]
}
