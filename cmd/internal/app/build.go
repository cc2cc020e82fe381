package app

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"sync"
)

// Build returns the version and the revision that the go command stamped into the
// binary: the version is the tag, or made from the commit when there is none.
func Build() (version, revision string) {
	version, revision = "unknown", "unknown"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return version, revision
	}
	if info.Main.Version != "" {
		version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			revision = s.Value
		}
	}
	return version, revision
}

// program stands for all that decides what this program does with the same row and
// configuration: its bytes, and what the environment tells Go's runtime. Its version says
// less: another Go builds other bytes of the same commit, and a file that git ignores, or
// an overlay, is in the bytes and in no commit. A program that cannot be read is another
// one in each process.
var program = sync.OnceValue(func() string {
	sum, err := fileSum("/proc/self/exe") // the file that runs, also when another has its name by now
	if err != nil {
		var path string
		if path, err = os.Executable(); err == nil {
			sum, err = fileSum(path)
		}
	}
	if err != nil {
		sum = rand.Text()
	}
	return sum + " " + os.Getenv("GODEBUG")
})

// fileSum returns the SHA-256 of a file, in hex.
func fileSum(path string) (string, error) {
	f, err := os.Open(path) //nolint:gosec // it is the program's own file
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}
