package main

import (
	"fmt"
	"runtime"

	"usersync/cmd/internal/app"
)

// version names the build.
func version() string {
	v, revision := app.Build()
	return fmt.Sprintf("usersync %s (revision %s, %s)", v, revision, runtime.Version())
}
