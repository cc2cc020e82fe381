package e2e

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"usersync/e2e/internal/cache"
)

// BuildWorker returns the path of the worker's binary, built from the sources
// as they are when the first test asks, with the race detector if the tests
// have it.
func BuildWorker(t testing.TB) string {
	t.Helper()
	return built(t, worker)
}

// BuildVendors returns the path of the binary that serves both simulated vendors,
// built in the same way.
func BuildVendors(t testing.TB) string {
	t.Helper()
	return built(t, vendors)
}

var (
	worker  = sync.OnceValues(func() (string, error) { return Build("usersync/cmd/usersync") })
	vendors = sync.OnceValues(func() (string, error) { return Build("usersync/e2e/vendors/usersync-vendors") })
)

func built(t testing.TB, once func() (string, error)) string {
	t.Helper()
	binary, err := once()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// Build builds a command of this module, with the race detector if the tests have
// it, and returns the path of its binary.
func Build(pkg string) (string, error) {
	if race {
		return BuildWith(pkg, "-race")
	}
	return BuildWith(pkg)
}

// BuildWith is Build with these arguments to go build, and with the race detector
// only if they say so: a worker under load is several times slower with it. The
// binary lies in the cache under a name that belongs to this checkout and to the
// arguments, so that test runs leave one file behind and not one each.
func BuildWith(pkg string, args ...string) (string, error) {
	root, err := cache.Dir()
	if err != nil {
		return "", err
	}
	ctx := context.Background() // every test waits for it, so it is not one test's to cancel
	module, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("build %s: %w", pkg, err)
	}
	tmp, err := os.MkdirTemp(root, "build-*")
	if err != nil {
		return "", fmt.Errorf("build %s: %w", pkg, err)
	}
	defer os.RemoveAll(tmp) // nothing is left there after the rename
	fresh := filepath.Join(tmp, path.Base(pkg))
	build := slices.Concat([]string{"build", "-o", fresh}, args, []string{pkg})
	if out, err := exec.CommandContext(ctx, "go", build...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	key := sha256.Sum256(fmt.Append(module, args))
	// A rename leaves alone the old binary that another test may be running.
	binary := filepath.Join(root, fmt.Sprintf("%s-%.4x", path.Base(pkg), key))
	if err := os.Rename(fresh, binary); err != nil {
		return "", fmt.Errorf("build %s: %w", pkg, err)
	}
	return binary, nil
}
