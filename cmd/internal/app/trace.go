package app

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"

	"usersync/consumer/trace"
)

// tracer returns what pipelines tell their events to, which is nil when w is. A
// line that cannot be written, on a full disk, say, does not stop the worker; the
// first one is logged.
func tracer(w io.Writer, hash UserHash, log *slog.Logger) func(trace.Event) {
	if w == nil {
		return nil
	}
	host, _ := os.Hostname() // without one the process ID has to do
	worker := fmt.Sprintf("%s-%d", host, os.Getpid())
	out := trace.NewWriter(w)
	var failed sync.Once
	return func(e trace.Event) {
		e.Worker = worker
		if e.User != "" {
			e.User = hash(e.User)
		}
		if err := out.Write(e); err != nil {
			failed.Do(func() { log.Error("the trace is incomplete from here on", "error", err) })
		}
	}
}
