package process_test

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"usersync/e2e/process"
)

// The test binary plays the programs under test: PLAY names the part.
func TestMain(m *testing.M) {
	switch os.Getenv("PLAY") {
	case "":
		os.Exit(m.Run())
	case "speak":
		os.Stdout.WriteString("out " + strings.Join(os.Args[1:], " "))
		os.Stderr.WriteString("err")
		os.Exit(7)
	case "sleep":
		<-time.After(time.Hour)
	case "work":
		var used syscall.Rusage
		for time.Duration(used.Utime.Nano()+used.Stime.Nano()) < worked {
			if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
				panic(err)
			}
		}
		os.Exit(0)
	case "parent":
		// Starts a child, says its ID and waits to be killed.
		p, err := process.Start(process.Command{
			Name: "child", Path: os.Args[0], Env: []string{"PLAY=sleep"}, Logs: os.Args[1],
		})
		if err != nil {
			panic(err)
		}
		os.Stdout.WriteString(strconv.Itoa(p.Pid()) + "\n")
		<-time.After(time.Hour)
	}
}

func start(t *testing.T, part string, args ...string) *process.Process {
	t.Helper()
	p, err := process.Start(process.Command{
		Name: part, Path: os.Args[0], Args: args, Env: []string{"PLAY=" + part}, Logs: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

// worked is what the program that works takes of a processor.
const worked = 100 * time.Millisecond

func TestCPU(t *testing.T) {
	asleep, busy, idle := start(t, "sleep"), start(t, "work"), start(t, "speak")
	for _, p := range []*process.Process{busy, idle} {
		if _, err := p.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if asleep.CPU() != 0 {
		t.Error("a process that runs has an amount already")
	}
	if busy.CPU() < worked || busy.CPU() > 10*worked || idle.CPU() == 0 || idle.CPU() > busy.CPU() {
		t.Errorf("%v for %v of work, %v for none", busy.CPU(), worked, idle.CPU())
	}
}

func TestOutputAndExitCode(t *testing.T) {
	p := start(t, "speak", "a", "b")
	code, err := p.Wait(t.Context())
	if code != 7 || err != nil {
		t.Errorf("Wait = %d, %v; want 7", code, err)
	}
	for path, want := range map[string]string{p.Stdout(): "out a b", p.Stderr(): "err"} {
		if got, _ := os.ReadFile(path); string(got) != want {
			t.Errorf("%s holds %q, want %q", path, got, want)
		}
	}
	if err := p.Signal(syscall.SIGTERM); err == nil {
		t.Error("a process that has ended took a signal")
	}
}

func TestWaitGivesUpWithItsContext(t *testing.T) {
	p := start(t, "sleep")
	late := errors.New("too late")
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, late)
	defer cancel()
	if _, err := p.Wait(ctx); !errors.Is(err, late) {
		t.Errorf("Wait = %v, want the context's cause", err)
	}
	select {
	case <-p.Done():
		t.Error("giving up ended the process")
	default:
	}
}

func TestKillEndsAFrozenProcess(t *testing.T) {
	p := start(t, "sleep")
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	p.Kill()
	if code, err := p.Wait(t.Context()); code != -1 || err != nil {
		t.Errorf("Wait = %d, %v; want -1, as for a signal", code, err)
	}
	p.Kill() // twice is fine
}

func TestReadyWaitsForItsCheck(t *testing.T) {
	p := start(t, "sleep")
	asked := 0
	if err := p.Ready(t.Context(), func(context.Context) error {
		if asked++; asked < 3 {
			return errors.New("not yet")
		}
		return nil
	}); err != nil || asked != 3 {
		t.Errorf("Ready = %v after %d checks", err, asked)
	}

	late, last := errors.New("too late"), errors.New("not yet")
	never := func(context.Context) error { return last }
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, late)
	defer cancel()
	if err := p.Ready(ctx, never); !errors.Is(err, late) || !errors.Is(err, last) {
		t.Errorf("Ready = %v, want the context's cause and what the check said", err)
	}

	err := start(t, "speak").Ready(t.Context(), never)
	if err == nil || !strings.Contains(err.Error(), "exit status 7") || !strings.Contains(err.Error(), "out err") {
		t.Errorf("Ready = %v, want how the process ended and what it said", err)
	}
}

func TestStartReportsAMissingProgram(t *testing.T) {
	_, err := process.Start(process.Command{Name: "none", Path: "/nonexistent", Logs: t.TempDir()})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Start = %v, want ErrNotExist", err)
	}
}
