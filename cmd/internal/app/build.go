package app

import (
	"crypto/rand"
	"os"
	"runtime/debug"
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
// configuration: its own source, the modules, Go itself, and how these were built and run.
// A version says too little, for it stays the same when another Go builds the same commit.
// Of what is not known it is another one in each process.
func program() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || !exact(info) {
		return rand.Text()
	}
	return info.String() + os.Getenv("GODEBUG")
}

// exact reports whether a build tells all of its sources: a commit without changes, or a
// module with its sum, and the sums of all others.
func exact(info *debug.BuildInfo) bool {
	known := info.Main.Sum != ""
	for _, s := range info.Settings {
		known = known || s.Key == "vcs.modified" && s.Value == "false"
	}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		known = known && m.Sum != ""
	}
	return known
}
