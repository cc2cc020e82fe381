package postgres

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestSweep: what a process has left that is gone is removed, and nothing else.
func TestSweep(t *testing.T) {
	gone := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	parent := t.TempDir()
	for name, stays := range map[string]bool{
		fmt.Sprintf("%s%d-1", prefix, gone.Process.Pid): false,
		fmt.Sprintf("%s%d-1", prefix, os.Getpid()):      true,
		prefix + "0-1":                              true,
		prefix + "123456789012":                     true,
		fmt.Sprintf("other-%d-1", gone.Process.Pid): true,
	} {
		dir := filepath.Join(parent, name)
		if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := sweep(parent); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(dir); (err == nil) != stays {
			t.Errorf("%s: %v, want it to stay: %v", name, err, stays)
		}
	}
}
