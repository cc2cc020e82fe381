package main

import (
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// TestMain makes the test binary the worker too, as the demo does with itself.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == workerName {
		main()
	}
	os.Exit(m.Run())
}

// TestDemo is the whole of it, shorter: real processes, real trouble, and every
// user right in the end.
func TestDemo(t *testing.T) {
	tests := []struct {
		trouble, duration string
		want              []string
	}{
		{"poison", "4s", []string{
			"user 900001 arrives, whom both vendors reject", "healed   poison: ",
			"\nusers right: 300/300 taptalk, 300/300 haptik, and 1 in the dead-letter topic, as planted\n",
		}},
		{"slow,key", "4s", []string{
			"Haptik takes 3s to answer", "mended   Haptik answers in time again",
			"TapTalk revokes the worker's key", "the lane to TapTalk is held: it refuses the credentials", "nobody restarts the worker",
			"\nusers right: 300/300 taptalk, 300/300 haptik\n",
		}},
		{"down,limit", "4s", []string{
			" is down: it answers everything with 503", " is up again", "healed   down: ",
			" calls a second and answers the rest with 429, Retry-After: 1", " allows any number of calls again", "healed   limit: ",
			"\nusers right: 300/300 taptalk, 300/300 haptik\n",
		}},
		{"kill", "3s", []string{
			"kill -9 of the worker", "worker started again", "healed   kill: ", "kill    both     lasted ",
			"\nusers right: 300/300 taptalk, 300/300 haptik\n",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.trouble, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			code := run([]string{"--duration", tt.duration, "--users", "300", "--rate", "150", "--seed", "7", "--trouble", tt.trouble},
				strings.NewReader(""), &out, &out)
			text := out.String()
			for _, want := range append(tt.want, "retry.confirm_after 5s (1m)", "/ is its status page; /metrics, /readyz", "/_sim/users/1", "has drained") {
				if !strings.Contains(text, want) {
					t.Errorf("it does not say %q", want)
				}
			}
			if strings.Contains(text, "\x1b") || strings.Contains(text, "\r") {
				t.Error("control characters where no terminal is")
			}
			if code != exitFine || t.Failed() {
				t.Errorf("exit code %d\n%s", code, text)
			}
		})
	}
}

// quick is a demo of which the test holds all ends.
func quick(out io.Writer) *demo {
	return &demo{
		options: options{Duration: time.Minute, Users: 50, Rate: 100, Seed: 1, Trouble: []string{"none"}},
		screen:  newScreen(out),
	}
}

// Asked for the verdict, it settles and gives it.
func TestVerdictNow(t *testing.T) {
	var out strings.Builder
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d := quick(&out)
	right, err := d.run(ctx, t.Context(), nil)
	if err != nil || !right {
		t.Errorf("right %v, error %v\n%s", right, err, out.String())
	}
	if _, err := os.Stat(d.dir); !os.IsNotExist(err) {
		t.Errorf("%s is left behind", d.dir)
	}
	if !d.worker.ended() {
		t.Error("the worker outlives the demo")
	}
}

// Given up, it ends at once, says where to look, and leaves no process behind.
func TestGivenUp(t *testing.T) {
	var out strings.Builder
	hard, giveUp := context.WithCancel(t.Context())
	d := quick(&out)
	keys := make(chan byte)
	done := make(chan error, 1)
	go func() {
		_, err := d.run(t.Context(), hard, keys)
		done <- err
	}()
	keys <- 'x' // no such key; taken as soon as everything runs
	giveUp()
	if err := <-done; err == nil {
		t.Error("it gave a verdict")
	}
	if !d.worker.ended() {
		t.Error("the worker outlives the demo")
	}
	if !strings.Contains(out.String(), "configuration and log are in "+d.dir) {
		t.Errorf("it does not say where to look:\n%s", out.String())
	}
	if err := os.RemoveAll(d.dir); err != nil {
		t.Error(err)
	}
}

// A worker that ends by itself is the end of the demo, with its last words.
func TestWorkerDies(t *testing.T) {
	var out strings.Builder
	d := quick(&out)
	keys := make(chan byte)
	done := make(chan error, 1)
	go func() {
		_, err := d.run(t.Context(), t.Context(), keys)
		done <- err
	}()
	keys <- 'x'
	_ = d.worker.cmd.Process.Kill()
	select {
	case err := <-done:
		if err == nil || !strings.Contains(err.Error(), "the worker has ended: signal: killed") {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(20 * time.Second): // long before the demo would have ended anyway
		t.Fatal("it goes on without a worker")
	}
	if err := os.RemoveAll(d.dir); err != nil {
		t.Error(err)
	}
}

func TestUsage(t *testing.T) {
	for args, want := range map[string]string{
		"--users 0":                "--users: must be 1 to",
		"--rate=-1":                "--rate: must be at least 0",
		"--duration 0s":            "--duration: must be above 0",
		"--trouble down,fire":      `"fire" is none of all, none, poison, slow, down, key, limit, kill`,
		"--brokers 127.0.0.1 more": "unexpected argument more",
	} {
		var out strings.Builder
		if code := run(strings.Fields(args), strings.NewReader(""), &out, &out); code != exitUsage || !strings.Contains(out.String(), want) {
			t.Errorf("%s: exit code %d, want %d\n%s\nwant %s", args, code, exitUsage, out.String(), want)
		}
	}
	var out strings.Builder
	if code := run([]string{"--help"}, strings.NewReader(""), &out, &out); code != exitFine || strings.Contains(out.String(), workerName+" ") {
		t.Errorf("--help: exit code %d\n%s", code, out.String())
	}
}

// A cluster that is not there is an error, and nothing is left running.
func TestNoCluster(t *testing.T) {
	hard, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	d := quick(io.Discard)
	d.Brokers = []string{"127.0.0.1:1"}
	if right, err := d.run(hard, hard, nil); right || err == nil || !strings.HasPrefix(err.Error(), "kafka: ") {
		t.Errorf("right %v, error %v", right, err)
	}
	if err := os.RemoveAll(d.dir); err != nil {
		t.Error(err)
	}
}
