package main

import (
	"runtime/debug"
	"testing"
)

// TestCollect: what the operator says of memory counts, whatever else would be set.
func TestCollect(t *testing.T) {
	const other = 123
	before := debug.SetGCPercent(other)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	for name, test := range map[string]struct {
		gogc, limit string
		want        int
	}{
		"nothing said": {"", "", collectAt},
		"GOGC":         {"150", "", other},
		"GOMEMLIMIT":   {"", "400MiB", other},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("GOGC", test.gogc)
			t.Setenv("GOMEMLIMIT", test.limit)
			debug.SetGCPercent(other)
			collect()
			if got := debug.SetGCPercent(other); got != test.want {
				t.Errorf("%d %%, want %d", got, test.want)
			}
		})
	}
}
