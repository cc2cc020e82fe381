package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// How much garbage there may be. What waits is most of a worker's memory in an outage, so
// over what is in use the heap grows by 60 %, unless a limit is set, which does more: Go's
// 100 is for a program that is short of time and not of memory. But what is in use when
// nothing is wrong is so little that it is soon full again, and a search for garbage takes
// its time however little it finds. So there is none below the floor: on flat a tenth less
// of the processor's time for each call, on hot a fifth (make bench).
const (
	collectAt      = 60  // percent
	collectAtLimit = 100 // percent, with a limit
	collectFloor   = 32 << 20
)

// collect sets that until it is stopped, unless the operator has said when to search. A
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

// pacer tells the collector how far the heap may grow, after each search, for Go takes a
// part of what is in use and knows no floor.
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
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}} // what the last search found in use
	metrics.Read(live)
	debug.SetGCPercent(max(p.above, toFloor(live[0].Value.Uint64())))
	// The next search finds that nobody refers to this any more.
	runtime.AddCleanup(new([64]byte), (*pacer).set, p)
}

func (p *pacer) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
}

// toFloor returns by how many percent a heap in which so many bytes are in use may grow to
// come to the floor; a negative number if it is above. Go lets each heap grow by that of
// 4 MiB at the least.
func toFloor(live uint64) int {
	used := int64(max(live, 4<<20))
	return int((collectFloor - used) * 100 / used)
}
