package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
)

// TestCollect: what the operator says of memory counts.
func TestCollect(t *testing.T) {
	const other = 123
	before := debug.SetGCPercent(other)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	used := make([]byte, 2*collectFloor)
	runtime.GC() // finds that it is in use
	for name, test := range map[string]struct {
		gogc, limit string
		want        int
	}{
		"nothing said": {"", "", collectAt},
		"GOGC":         {"150", "", other},
		"GOMEMLIMIT":   {"", "400MiB", collectAtLimit},
		"both":         {"150", "400MiB", other},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("GOGC", test.gogc)
			t.Setenv("GOMEMLIMIT", test.limit)
			debug.SetGCPercent(other)
			collect()()
			if got := debug.SetGCPercent(other); got != test.want {
				t.Errorf("%d %%, want %d", got, test.want)
			}
		})
	}
	runtime.KeepAlive(used)
}

// TestCollectPaces: what is in use decides, and after it has changed, too.
func TestCollectPaces(t *testing.T) {
	before := debug.SetGCPercent(100)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	defer collect()()
	gogc := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	until := func(done func(percent uint64) bool) {
		t.Helper()
		for range 10_000 {
			if metrics.Read(gogc); done(gogc[0].Value.Uint64()) {
				return
			}
			runtime.GC()
		}
		t.Fatalf("%d %%, after 10,000 collections", gogc[0].Value.Uint64())
	}
	until(func(percent uint64) bool { return percent > collectAt })
	used := make([]byte, 2*collectFloor)
	until(func(percent uint64) bool { return percent == collectAt })
	runtime.KeepAlive(used)
	until(func(percent uint64) bool { return percent > collectAt })
}

// TestToFloor: a heap grows to the floor, whatever is in use, but never too far at once.
func TestToFloor(t *testing.T) {
	const mib = 1 << 20
	for _, test := range []struct {
		live, others uint64
		want         int
	}{
		{0, 0, collectAtMost},
		{1 * mib, 0, collectAtMost},
		{8 * mib, 0, 300},
		{8 * mib, 2 * mib, 240}, // of 10: 24
		{16 * mib, 0, 100},
		{16 * mib, 16 * mib, 50},
		{collectFloor, 0, 0},
		{64 * mib, 0, -50},
		{10 * 1024 * mib, 0, -99},
	} {
		if got := toFloor(test.live, test.live+test.others); got != test.want {
			t.Errorf("%d bytes in use, and %d of others: %d %%, want %d", test.live, test.others, got, test.want)
		}
	}
}
