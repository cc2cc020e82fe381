// Package process runs the programs under test: real processes that a test can
// freeze, stop and kill, and that never outlive it.
package process

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Command says what to run.
type Command struct {
	// Name is what errors and the two log files call the process.
	Name string
	// Path is the program, Args its arguments without the program's name.
	Path string
	Args []string
	// Env is added to the environment of the calling process.
	Env []string
	// Dir is where the process runs, the caller's directory if it is empty.
	Dir string
	// Credential is the user that it runs as, the caller's if it is nil.
	Credential *syscall.Credential
	// Logs is an existing directory for NAME.stdout and NAME.stderr. A process
	// that is started again under its name appends to them.
	Logs string
}

// Process is one running program, the leader of its own process group.
// Its methods may be called from several goroutines.
type Process struct {
	name   string
	stdout string
	stderr string
	pid    int
	done   chan struct{}
	state  *os.ProcessState // written before done is closed
}

// Start starts c. The caller ends it with Kill, or with Signal and Wait.
func Start(c Command) (*Process, error) {
	p := &Process{
		name:   c.Name,
		stdout: filepath.Join(c.Logs, c.Name+".stdout"),
		stderr: filepath.Join(c.Logs, c.Name+".stderr"),
		done:   make(chan struct{}),
	}
	stdout, err := openLog(p.stdout)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Name, err)
	}
	defer stdout.Close() // the child has its own descriptor
	stderr, err := openLog(p.stderr)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Name, err)
	}
	defer stderr.Close()

	// No context: it could only kill, and the caller chooses the signal.
	cmd := exec.CommandContext(context.Background(), c.Path, c.Args...)
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.Dir, cmd.SysProcAttr = c.Dir, attributes()
	cmd.SysProcAttr.Credential = c.Credential
	started := make(chan error)
	go p.own(cmd, started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Name, err)
	}
	return p, nil
}

func openLog(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}

// own starts cmd and stays until it ends. The parent-death signal is sent when
// the thread that forked ends, not the process, so the thread is kept for as
// long as the child lives.
func (p *Process) own(cmd *exec.Cmd, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		started <- err
		return
	}
	p.pid = cmd.Process.Pid
	started <- nil
	_ = cmd.Wait() // only repeats what the state says
	p.state = cmd.ProcessState
	close(p.done)
}

// Pid returns the process ID.
func (p *Process) Pid() int { return p.pid }

// Stdout returns the path of the file with the standard output.
func (p *Process) Stdout() string { return p.stdout }

// Stderr returns the path of the file with the standard error output.
func (p *Process) Stderr() string { return p.stderr }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// CPU returns the time that the process took of processors, its own and the kernel's for
// it; 0 while it runs.
func (p *Process) CPU() time.Duration {
	select {
	case <-p.done:
		return p.state.UserTime() + p.state.SystemTime()
	default:
		return 0
	}
}

// Signal sends sig to the process and its children; SIGSTOP freezes them,
// SIGCONT thaws them. It is an error if the process has ended.
func (p *Process) Signal(sig syscall.Signal) error {
	select {
	case <-p.done:
		// Its ID may belong to a stranger by now.
		return fmt.Errorf("signal %s: it has ended: %s", p.name, p.state)
	default:
	}
	if err := syscall.Kill(-p.pid, sig); err != nil {
		return fmt.Errorf("signal %s: %w", p.name, err)
	}
	return nil
}

// Wait waits until the process has ended and returns its exit code, -1 if a
// signal ended it. It returns the cause of ctx, and leaves the process alone,
// when ctx ends first.
func (p *Process) Wait(ctx context.Context) (int, error) {
	select {
	case <-p.done:
		return p.state.ExitCode(), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("wait for %s: %w", p.name, context.Cause(ctx))
	}
}

// End sends sig and returns when the process is gone, or with an error when it is
// still there after limit.
func (p *Process) End(ctx context.Context, sig syscall.Signal, limit time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("still there after %v", limit))
	defer cancel()
	if err := p.Signal(sig); err != nil {
		return err
	}
	_, err := p.Wait(ctx)
	return err
}

// Kill ends the process with SIGKILL, whether it runs, is frozen or has ended,
// and returns when it is gone.
func (p *Process) Kill() {
	_ = p.Signal(syscall.SIGKILL) // fails only when there is nothing left to kill
	<-p.done
}

// Ready polls until check returns nil. When ctx ends first, or the process does,
// the error says which, what check said last, and how the process's output ends.
func (p *Process) Ready(ctx context.Context, check func(context.Context) error) error {
	for tick := time.Tick(50 * time.Millisecond); ; {
		last := check(ctx)
		if last == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w\n%s", context.Cause(ctx), last, p.tail())
		case <-p.done:
			return fmt.Errorf("it ended by itself: %s\n%s", p.state, p.tail())
		case <-tick:
		}
	}
}

// tail returns the end of what the process has written, for an error.
func (p *Process) tail() string {
	const most = 4096
	var all strings.Builder
	for _, path := range []string{p.stdout, p.stderr} {
		text, err := os.ReadFile(path)
		if err != nil {
			return err.Error()
		}
		all.Write(text[max(0, len(text)-most):])
	}
	return all.String()
}
