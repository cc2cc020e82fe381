// Package cache says where the end-to-end tests keep what is expensive to get.
package cache

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
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

// Fill returns the directory key of the cache. The first call on a machine has fill make
// it; calls at the same time, from other processes too, wait for that one. fill makes the
// directory dir, and what it leaves beside that is removed.
func Fill(key string, fill func(dir string) error) (string, error) {
	root, err := Dir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, key)
	unlock, err := lock(dir + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	tmp, err := os.MkdirTemp(root, key+"-partial-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp) // nothing that counts is left there after the rename
	filled := filepath.Join(tmp, "filled")
	if err := fill(filled); err != nil {
		return "", err
	}
	// A directory under its final name is complete, whatever ended the process that
	// made it.
	return dir, os.Rename(filled, dir)
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
