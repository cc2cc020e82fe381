package vendors

import (
	"context"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"usersync/e2e"
	"usersync/e2e/internal/rest"
	"usersync/e2e/process"
)

// limit is how long the process may take for one answer. The machine may be busy.
const limit = time.Minute

// Start starts both vendors, without users. They are ended with the test.
func Start(t testing.TB) *Vendors {
	t.Helper()
	p := e2e.Start(t, process.Command{Name: "vendors", Path: e2e.BuildVendors(t), Logs: t.TempDir()})
	t.Cleanup(func() {
		// The race detector's word, or a panic's.
		if b, err := os.ReadFile(p.Stderr()); err != nil || len(b) > 0 {
			t.Errorf("the vendors: %v\n%s", err, b)
		}
	})
	return &Vendors{t: t, admin: address(t, p)}
}

// address waits for the line in which the process says where it is.
func address(t testing.TB, p *process.Process) string {
	t.Helper()
	deadline := time.After(limit)
	for tick := time.Tick(10 * time.Millisecond); ; {
		b, err := os.ReadFile(p.Stdout())
		if err != nil {
			t.Fatal(err)
		}
		if url, ok := strings.CutSuffix(string(b), "\n"); ok {
			return url
		}
		select {
		case <-tick:
		case <-p.Done():
			t.Fatal("the vendors ended before they were ready")
		case <-deadline:
			t.Fatalf("the vendors were not ready within %v", limit)
		}
	}
}

func (v *Vendors) get(path string, out any) {
	v.t.Helper()
	v.do(http.MethodGet, path, nil, out)
}

func (v *Vendors) put(path string, in, out any) {
	v.t.Helper()
	v.do(http.MethodPut, path, in, out)
}

func (v *Vendors) do(method, path string, in, out any) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), limit)
	defer cancel()
	if err := rest.Call(ctx, method, v.admin+path, in, out); err != nil {
		v.t.Fatalf("the vendors: %s %s: %v", method, path, err)
	}
}
