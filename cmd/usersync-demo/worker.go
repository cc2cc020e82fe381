package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"time"

	"usersync/cmd/internal/app"
)

// workerName is the hidden command that makes this program the worker.
const workerName = "worker"

// runWorker is the worker process: usersync run, but for the signals. It drains
// when standard input ends, which it also does when the demo dies: no worker
// outlives its demo. An interrupt from the terminal reaches all its processes; what
// it means is for the demo to say.
func runWorker(stdin io.Reader, stderr io.Writer, config string) error {
	signal.Ignore(os.Interrupt)
	c, _, err := app.Load(config, os.LookupEnv)
	if err != nil {
		return err
	}
	ctx, end := context.WithCancel(context.Background())
	go func() {
		defer end()
		_, _ = io.Copy(io.Discard, stdin) // whatever ends it
	}()
	return app.Run(ctx, context.Background(), c, stderr, nil)
}

// worker is a running worker process. Its methods may be called from several
// goroutines.
type worker struct {
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	address string        // of its metrics
	done    chan struct{} // closed when it has ended
	err     error         // how, once done is closed
}

// startWorker starts a worker and waits until it listens. Its log is appended to
// the file logs.
func startWorker(ctx context.Context, config, logs string) (*worker, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("start the worker: %w", err)
	}
	out, err := os.OpenFile(logs, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start the worker: %w", err)
	}
	w := &worker{done: make(chan struct{})}
	// Not bound to a context: that could only kill, and it should drain.
	w.cmd = exec.CommandContext(context.WithoutCancel(ctx), self, workerName, config)
	w.stdin, err = w.cmd.StdinPipe()
	if err == nil {
		var stderr io.ReadCloser
		if stderr, err = w.cmd.StderrPipe(); err == nil {
			if err = w.cmd.Start(); err == nil {
				return w, w.attend(ctx, stderr, out)
			}
		}
	}
	_ = out.Close()
	return nil, fmt.Errorf("start the worker: %w", err)
}

// attend copies the log of w to a file until it ends, and waits for the line that
// says where it listens.
func (w *worker) attend(ctx context.Context, stderr io.Reader, logs io.WriteCloser) error {
	listening := make(chan string, 1)
	go func() {
		defer close(w.done)
		last := ""
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			last = lines.Text()
			fmt.Fprintln(logs, last)
			var line struct{ Msg, Address string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
				select {
				case listening <- line.Address:
				default:
				}
			}
		}
		_, _ = io.Copy(logs, stderr) // a line was too long
		_ = logs.Close()
		if w.err = w.cmd.Wait(); w.err != nil {
			w.err = fmt.Errorf("the worker has ended: %w; its last words: %s", w.err, last)
		}
	}()
	select {
	case w.address = <-listening:
		return nil
	case <-w.done:
		return errors.Join(w.err, errors.New("the worker did not start"))
	case <-ctx.Done():
		w.kill()
		return ctx.Err()
	}
}

func (w *worker) pid() int { return w.cmd.Process.Pid }

// kill ends the worker as kill -9 does, and returns when it is gone.
func (w *worker) kill() {
	_ = w.cmd.Process.Kill() // fails only when it has ended
	<-w.done
}

// stop lets the worker drain, within limit, and returns how it ended.
func (w *worker) stop(limit time.Duration) error {
	_ = w.stdin.Close()
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	select {
	case <-w.done:
		return w.err
	case <-timeout.C:
		w.kill()
		return fmt.Errorf("the worker has not drained within %v", limit)
	}
}

// ended reports whether the worker is gone.
func (w *worker) ended() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}
