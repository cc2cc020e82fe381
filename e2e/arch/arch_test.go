// Package arch holds the directions in which the project's packages may import.
package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// rule says who may import a package and those below it. Test files are free.
type rule struct {
	target string
	by     []string // these packages and those below them
	why    string
}

const (
	kafkaGo = "github.com/segmentio/kafka-go"
	franz   = "github.com/twmb/franz-go"
	demo    = "usersync/cmd/usersync-demo"
)

// rules: cmd -> consumer -> sync -> metrics, and nothing the other way.
var rules = []rule{
	{"usersync/cmd", []string{"usersync/cmd"}, "nothing depends on a command"},
	{"usersync/consumer", []string{"usersync/consumer", "usersync/cmd", "usersync/e2e"}, "the core knows nothing of Kafka"},
	{"usersync/sync", []string{"usersync/sync", "usersync/consumer", "usersync/cmd", "usersync/e2e"}, "metrics are at the bottom"},
	{"usersync/sync/taptalk", []string{"usersync/sync/taptalk", "usersync/cmd", "usersync/e2e"}, "the core and the consumer treat all destinations alike"},
	{"usersync/sync/haptik", []string{"usersync/sync/haptik", "usersync/cmd", "usersync/e2e"}, "the core and the consumer treat all destinations alike"},
	{"usersync/metrics", []string{"usersync/sync", "usersync/consumer", "usersync/cmd", "usersync/e2e"}, "metrics are at the bottom"},
	{kafkaGo, []string{"usersync/consumer", demo, "usersync/e2e"}, "one package speaks Kafka; the others write test data"},

	{franz, []string{demo, "usersync/e2e"}, "its broker and its clients are for tests and the sandbox"},
	{"usersync/sync/taptalk/taptalktest", []string{demo, "usersync/e2e"}, "a simulator is for tests and the sandbox"},
	{"usersync/sync/haptik/haptiktest", []string{demo, "usersync/e2e"}, "a simulator is for tests and the sandbox"},
	{"usersync/sync/vendortest", []string{"usersync/sync/taptalk/taptalktest", "usersync/sync/haptik/haptiktest", demo, "usersync/e2e"}, "a simulator is for tests and the sandbox"},
	{"usersync/sync/sabotage", []string{"usersync/sync", "usersync/consumer", "usersync/e2e"}, "rules are broken where they are enforced"},
	{"usersync/e2e", []string{"usersync/e2e"}, "the tests' harness is for tests"},
	{"testing", []string{"usersync/e2e", "usersync/sync/taptalk/taptalktest", "usersync/sync/haptik/haptiktest", "usersync/sync/vendortest"}, "production code carries no tests"},
}

// pure are packages that must not reach others, however far away.
var pure = []rule{
	{kafkaGo, []string{"usersync/consumer/event"}, "decoding an event needs no client"},
	{"usersync/sync", []string{"usersync/consumer/trace", "usersync/e2e/ledger"}, "an oracle shares no code with what it judges"},
	{kafkaGo, []string{"usersync/consumer/trace", "usersync/e2e/ledger"}, "an oracle shares no code with what it judges"},
	{franz, []string{"usersync/cmd/usersync", "usersync/cmd/internal"}, "the worker carries no fake broker"},
	{"testing", []string{"usersync/cmd/usersync", "usersync/cmd/internal"}, "the worker carries no tests"},
}

type pkg struct {
	ImportPath string
	Imports    []string // what its files import, without its tests
	Deps       []string // and all that those import in turn
}

func TestImports(t *testing.T) {
	packages := list(t)
	for _, p := range packages {
		for _, v := range violations(p) {
			t.Error(v)
		}
	}
	// A listing that misses the module would find nothing wrong with it.
	for _, r := range rules[:6] {
		if !slices.ContainsFunc(packages, func(p pkg) bool { return below(p.ImportPath, r.target) }) {
			t.Errorf("%s is not there: the rule for it guards nothing", r.target)
		}
	}
}

// Every rule catches an import that it forbids, and lets pass what it allows.
func TestRules(t *testing.T) {
	for _, r := range rules {
		stranger := pkg{ImportPath: "usersync/stranger", Imports: []string{r.target + "/sub"}}
		if len(violations(stranger)) == 0 {
			t.Errorf("anyone may import %s", r.target)
		}
		for _, by := range r.by {
			friend := pkg{ImportPath: by, Imports: []string{r.target}}
			for _, v := range violations(friend) {
				t.Errorf("allowed by one rule and forbidden by another: %s", v)
			}
		}
	}
	for _, r := range pure {
		for _, by := range r.by {
			if len(violations(pkg{ImportPath: by, Deps: []string{r.target}})) == 0 {
				t.Errorf("%s may depend on %s", by, r.target)
			}
		}
	}
}

func violations(p pkg) []error {
	var all []error
	for _, r := range rules {
		for _, imported := range p.Imports {
			if below(imported, r.target) && !belowAny(p.ImportPath, r.by) {
				all = append(all, fmt.Errorf("%s imports %s: %s", p.ImportPath, imported, r.why))
			}
		}
	}
	for _, r := range pure {
		for _, dep := range p.Deps {
			if below(dep, r.target) && belowAny(p.ImportPath, r.by) {
				all = append(all, fmt.Errorf("%s depends on %s: %s", p.ImportPath, dep, r.why))
			}
		}
	}
	return all
}

func below(path, root string) bool {
	return path == root || strings.HasPrefix(path, root+"/")
}

func belowAny(path string, roots []string) bool {
	return slices.ContainsFunc(roots, func(root string) bool { return below(path, root) })
}

// list returns the packages of this module.
func list(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,Deps", "usersync/...").Output()
	if err != nil {
		if e, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("go list: %v\n%s", err, e.Stderr)
		}
		t.Fatal(err)
	}
	var all []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}
