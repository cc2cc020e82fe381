package prometheus

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"usersync/e2e/internal/cache"
)

// Programs are the server and the tool that checks and tests rules.
type Programs struct{ Server, Promtool string }

// Fetch returns the programs in PATH or, if they are not there, those of Debian's
// package. That is unpacked into the cache rather than installed, for its installation
// starts a server on all of the machine's addresses. The error matches
// exec.ErrNotFound where neither is to be had.
func Fetch(ctx context.Context) (Programs, error) {
	server, err := exec.LookPath("prometheus")
	tool, missing := exec.LookPath("promtool")
	if err == nil && missing == nil {
		return Programs{server, tool}, nil
	}
	dir, err := cache.Fill("prometheus-"+runtime.GOARCH, func(dir string) error { return unpack(ctx, dir) })
	if err != nil {
		return Programs{}, fmt.Errorf("fetch prometheus: %w", err)
	}
	bin := filepath.Join(dir, "usr", "bin")
	return Programs{filepath.Join(bin, "prometheus"), filepath.Join(bin, "promtool")}, nil
}

// unpack downloads the package beside dir and unpacks it there.
func unpack(ctx context.Context, dir string) error {
	apt := exec.CommandContext(ctx, "apt-get", "download", "prometheus")
	apt.Dir = filepath.Dir(dir)
	if out, err := apt.CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get download prometheus: %w\n%s", err, out)
	}
	packages, err := filepath.Glob(filepath.Join(apt.Dir, "prometheus_*.deb"))
	if err != nil || len(packages) != 1 {
		return fmt.Errorf("apt-get download prometheus: %d packages, want 1", len(packages))
	}
	if out, err := exec.CommandContext(ctx, "dpkg", "-x", packages[0], dir).CombinedOutput(); err != nil {
		return fmt.Errorf("dpkg -x: %w\n%s", err, out)
	}
	_, err = os.Stat(filepath.Join(dir, "usr", "bin", "promtool"))
	return err
}
