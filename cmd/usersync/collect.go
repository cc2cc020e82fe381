package main

import (
	"os"
	"runtime/debug"
)

// collectAt is how far the heap may grow over what is in use, in percent, before garbage
// is collected. What waits is most of a worker's memory in an outage, and what it takes to
// look at it more often is 3 % of the time of a call: Go's 100 would be for a program that
// is short of time and not of memory.
const collectAt = 60

// collect sets that, unless the operator has said how memory is to be used.
func collect() {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetGCPercent(collectAt)
	}
}
