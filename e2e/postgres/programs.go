package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Programs returns the directory with initdb and postgres. Debian keeps them out
// of PATH.
func Programs() (string, error) {
	candidates := filepath.SplitList(os.Getenv("PATH"))
	if config, err := exec.LookPath("pg_config"); err == nil {
		if out, err := exec.CommandContext(context.Background(), config, "--bindir").Output(); err == nil {
			candidates = append(candidates, strings.TrimSpace(string(out)))
		}
	}
	versions, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", err
	}
	slices.Reverse(versions) // the newest first, all of them having two digits
	for _, dir := range append(candidates, versions...) {
		if executable(dir, "initdb") && executable(dir, "postgres") {
			return dir, nil
		}
	}
	return "", errors.New("PostgreSQL is not installed: no initdb and postgres in PATH, `pg_config --bindir` or /usr/lib/postgresql/*/bin")
}

func executable(dir, name string) bool {
	_, err := exec.LookPath(filepath.Join(dir, name))
	return err == nil && filepath.IsAbs(dir)
}

// account returns the user that the server runs as: nil for who runs the tests,
// and for root, as whom PostgreSQL refuses to run, the one that its package made.
func account() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	const name = "postgres"
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root: %w; run the tests as another user, or add one of this name", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", name, err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", name, err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
