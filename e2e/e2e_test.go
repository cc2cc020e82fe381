package e2e_test

import (
	"fmt"
	"runtime"
	"testing"

	"usersync/e2e"
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
		{"off", "go", "skip: cannot run: USERSYNC_E2E=off"},
	} {
		t.Run(c.mode+" "+c.program, func(t *testing.T) {
			t.Setenv("USERSYNC_E2E", c.mode)
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
