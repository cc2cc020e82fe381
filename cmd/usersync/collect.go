package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// How far the heap may grow over what is in use before garbage is collected: by 60 %, since
// what waits is most of a worker's memory in an outage, and Go's 100 is for a program that
// is short of time and not of memory. With GOMEMLIMIT it is 100, because the limit bounds
// the heap.
//
// Where little is in use a collection takes its time and frees little, and the next one is
// soon due. So the heap may grow to the floor in any case: a call takes a tenth less of the
// processor's time on flat, and a fifth less on hot (make bench). But it never grows to more
// than four times what the last collection found in use: what is set holds until the one
// after it has swept, even if much more is in use by then.
const (
	collectAt      = 60  // percent
	collectAtLimit = 100 // percent, with a limit
	collectAtMost  = 300 // percent
	collectFloor   = 32 << 20
)

// collect sets that until it is stopped, unless the operator has said when to collect. A
// limit that is lower than the floor counts.
func collect() (stop func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	p := &pacer{above: collectAt}
	if os.Getenv("GOMEMLIMIT") != "" {
		p.above = collectAtLimit
	}
	p.set()
	return p.stop
}

// pacer tells Go after each collection how far the heap may grow, for Go takes a part of
// what is in use and knows no floor.
type pacer struct {
	above int // percent, over the floor

	mu      sync.Mutex
	stopped bool
}

func (p *pacer) set() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return
	}
	// What the last collection found: Go takes a part of all three.
	found := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
	metrics.Read(found)
	live := found[0].Value.Uint64()
	debug.SetGCPercent(max(p.above, toFloor(live, live+found[1].Value.Uint64()+found[2].Value.Uint64())))
	// The next collection finds that nobody refers to this any more. Something smaller could
	// share its place with what is in use, and would not be found.
	runtime.AddCleanup(new([64]byte), (*pacer).set, p)
}

func (p *pacer) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
}

// toFloor returns by how many percent of what was found the heap may grow to come to the
// floor: a negative number if it is above, and never more than collectAtMost.
func toFloor(live, found uint64) int {
	if live == 0 { // there was no collection yet
		return collectAtMost
	}
	return min(collectAtMost, int((collectFloor-int64(live))*100/int64(found)))
}
