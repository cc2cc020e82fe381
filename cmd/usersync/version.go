package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version names the build. The go command stamps it into the binary: the
// version from the tag, or from the commit when there is none.
func version() string {
	v, revision := "unknown", "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		v = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	return fmt.Sprintf("usersync %s (revision %s, %s)", v, revision, runtime.Version())
}
