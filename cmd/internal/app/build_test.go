package app

import (
	"runtime/debug"
	"testing"
)

// TestExact: a build is told from others by what the go command says of it only if that is
// all there is in it.
func TestExact(t *testing.T) {
	sum := func(m debug.Module) *debug.Module {
		m.Sum = "h1:"
		return &m
	}
	commit := func(modified string, deps ...*debug.Module) debug.BuildInfo {
		return debug.BuildInfo{Deps: deps, Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "1"}, {Key: "vcs.modified", Value: modified}}}
	}
	for name, test := range map[string]struct {
		info debug.BuildInfo
		want bool
	}{
		"a commit":                {commit("false", sum(debug.Module{})), true},
		"a commit with changes":   {commit("true", sum(debug.Module{})), false},
		"no commit":               {debug.BuildInfo{Deps: []*debug.Module{sum(debug.Module{})}}, false},
		"a module":                {debug.BuildInfo{Main: *sum(debug.Module{}), Deps: []*debug.Module{sum(debug.Module{})}}, true},
		"a module without a sum":  {commit("false", sum(debug.Module{}), &debug.Module{}), false},
		"one replaced by files":   {commit("false", sum(debug.Module{Replace: &debug.Module{Path: "../x"}})), false},
		"one replaced by another": {commit("false", &debug.Module{Replace: sum(debug.Module{})}), true},
	} {
		if got := exact(&test.info); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if program() == program() {
		t.Error("a test is built of files that no commit has, and is the same program in two processes")
	}
}
