// Package cache says where the end-to-end tests keep what is expensive to get.
package cache

import (
	"fmt"
	"os"
	"path/filepath"
)

// Dir returns the cache directory and creates it if needed: $USERSYNC_CACHE, or
// usersync-e2e in the user's cache directory.
func Dir() (string, error) {
	dir := os.Getenv("USERSYNC_CACHE")
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("no cache directory, set USERSYNC_CACHE: %w", err)
		}
		dir = filepath.Join(user, "usersync-e2e")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("cache directory: %w", err)
	}
	return dir, nil
}
