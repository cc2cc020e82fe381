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

	"usersync/e2e/internal/cache"
)

// Fetch returns the directory with the jars that a POM depends on. The first call
// on a machine has Maven download them; calls at the same time, from other
// processes too, wait for that one. The name is for errors and for who looks into
// the cache.
func Fetch(ctx context.Context, name string, pom []byte) (string, error) {
	// The jars are what the POM resolves to, so its hash is their version.
	key := fmt.Sprintf("%s-%.4x", name, sha256.Sum256(pom))
	jars, err := cache.Fill(key, func(dir string) error { return download(ctx, dir, pom) })
	if err != nil {
		return "", fmt.Errorf("fetch %s: %w", name, err)
	}
	return jars, nil
}

func download(ctx context.Context, jars string, pom []byte) error {
	file := filepath.Join(filepath.Dir(jars), "pom.xml")
	if err := os.WriteFile(file, pom, 0o600); err != nil {
		return err
	}
	mvn := exec.CommandContext(ctx, "mvn", "--batch-mode", "--no-transfer-progress", "--quiet", "--file", file,
		"dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+jars)
	if out, err := mvn.CombinedOutput(); err != nil {
		return fmt.Errorf("with Maven: %w\n%s", err, out)
	}
	return nil
}
