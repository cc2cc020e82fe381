// Package java gets and runs the programs that are written in Java: one broker,
// one Connect worker.
package java

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"usersync/e2e/internal/cache"
)

// Fetch returns the directory with the jars that a POM depends on. The first call
// on a machine has Maven download them; calls at the same time, from other
// processes too, wait for that one. The name is for errors and for who looks into
// the cache.
func Fetch(ctx context.Context, name string, pom []byte) (string, error) {
	root, err := cache.Dir()
	if err != nil {
		return "", err
	}
	// The jars are what the POM resolves to, so its hash is their version.
	jars := filepath.Join(root, fmt.Sprintf("%s-%.4x", name, sha256.Sum256(pom)))
	unlock, err := lock(jars + ".lock")
	if err != nil {
		return "", fmt.Errorf("fetch %s: %w", name, err)
	}
	defer unlock()
	if _, err := os.Stat(jars); err == nil {
		return jars, nil
	}
	tmp, err := os.MkdirTemp(root, name+"-partial-*")
	if err != nil {
		return "", fmt.Errorf("fetch %s: %w", name, err)
	}
	defer os.RemoveAll(tmp) // nothing is left there after the rename
	if err := download(ctx, tmp, pom); err != nil {
		return "", fmt.Errorf("fetch %s: %w", name, err)
	}
	// A directory under its final name is complete, whatever ended the
	// process that made it.
	if err := os.Rename(filepath.Join(tmp, "jars"), jars); err != nil {
		return "", fmt.Errorf("fetch %s: %w", name, err)
	}
	return jars, nil
}

func download(ctx context.Context, dir string, pom []byte) error {
	file := filepath.Join(dir, "pom.xml")
	if err := os.WriteFile(file, pom, 0o600); err != nil {
		return err
	}
	mvn := exec.CommandContext(ctx, "mvn", "--batch-mode", "--no-transfer-progress", "--quiet", "--file", file,
		"dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+filepath.Join(dir, "jars"))
	if out, err := mvn.CombinedOutput(); err != nil {
		return fmt.Errorf("with Maven: %w\n%s", err, out)
	}
	return nil
}

// lock takes an exclusive lock on path, which the kernel releases should the
// process die.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}
