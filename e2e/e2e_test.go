package e2e_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"usersync/e2e"
	"usersync/e2e/process"
)

// outcome stands in for a test and notes how Require ended it.
type outcome struct {
	testing.TB
	verdict string
}

func (o *outcome) Helper() {}

func (o *outcome) Skipf(format string, args ...any) { o.end("skip: " + fmt.Sprintf(format, args...)) }

func (o *outcome) Fatalf(format string, args ...any) { o.end("fail: " + fmt.Sprintf(format, args...)) }

func (o *outcome) end(verdict string) {
	o.verdict = verdict
	runtime.Goexit()
}

func TestRequire(t *testing.T) {
	const missing = "no-such-program"
	for _, c := range []struct {
		mode, program, want string
	}{
		{"", "go", ""},
		{"", missing, "skip: cannot run: not installed: " + missing},
		{"require", "go", ""},
		{"require", missing, "fail: cannot run, and USERSYNC_E2E=require: not installed: " + missing},
		{"require", "java", "fail: cannot run, and USERSYNC_E2E=require: not installed: java; on Debian: apt-get install default-jre-headless"},
		{"", "kube-apiserver", "skip: cannot run: not installed: kube-apiserver; make chart-e2e builds what is missing and runs this"},
		{"off", "go", "skip: cannot run: USERSYNC_E2E=off"},
	} {
		t.Run(c.mode+" "+c.program, func(t *testing.T) {
			t.Setenv("USERSYNC_E2E", c.mode)
			if c.program == "java" || c.program == "kube-apiserver" {
				t.Setenv("PATH", t.TempDir())
			}
			o := &outcome{TB: t}
			done := make(chan struct{})
			go func() {
				defer close(done)
				e2e.Require(o, c.program)
			}()
			<-done
			if o.verdict != c.want {
				t.Errorf("Require: %q, want %q", o.verdict, c.want)
			}
		})
	}
}

func TestBuildWorker(t *testing.T) {
	worker := e2e.BuildWorker(t)
	if again := e2e.BuildWorker(t); again != worker {
		t.Errorf("built again as %s, was %s", again, worker)
	}
	p := e2e.Start(t, process.Command{Name: "worker", Path: worker, Args: []string{"version"}})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if code, err := p.Wait(ctx); code != 0 || err != nil {
		t.Errorf("usersync version: exit %d, %v", code, err)
	}
	if out, err := os.ReadFile(p.Stdout()); err != nil || len(out) == 0 {
		t.Errorf("usersync version said %q, %v", out, err)
	}
}
