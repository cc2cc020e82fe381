package postgres

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// prefix begins the name of each directory; the ID of the process that made it follows.
const prefix = "usersync-postgres-"

// sweep removes the directories whose processes are gone: who is killed closes nothing.
// The servers that were in them end with their process. A directory whose process's ID
// is another's by now stays until a later sweep.
func sweep(parent string) error {
	dirs, err := filepath.Glob(filepath.Join(parent, prefix+"*"))
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		id, _, named := strings.Cut(strings.TrimPrefix(filepath.Base(dir), prefix), "-")
		pid, err := strconv.Atoi(id)
		if !named || err != nil || pid <= 0 || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			continue
		}
		if err := os.RemoveAll(dir); err != nil && !errors.Is(err, os.ErrPermission) {
			return fmt.Errorf("remove what a killed test has left: %w", err)
		}
	}
	return nil
}
