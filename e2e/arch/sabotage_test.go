package arch

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// No rule can be broken on purpose in what is delivered: neither the hooks' names
// nor the variable that turns them on are in it. A build that has the hooks has
// all of them, or the test would look for the wrong thing.
func TestNoSabotageInTheBinary(t *testing.T) {
	source, err := os.ReadFile("../../sync/sabotage/sabotage.go")
	if err != nil {
		t.Fatal(err)
	}
	names := [][]byte{[]byte("USERSYNC_FAULTS")}
	for _, m := range regexp.MustCompile(`Hook = "([a-z-]+)"`).FindAllSubmatch(source, -1) {
		names = append(names, m[1])
	}
	if len(names) < 2 {
		t.Fatal("no hooks were found")
	}
	whole, broken := binary(t), binary(t, "-tags=faults")
	for _, name := range names {
		if bytes.Contains(whole, name) {
			t.Errorf("the program knows %s", name)
		}
		if !bytes.Contains(broken, name) {
			t.Errorf("the build for tests does not know %s", name)
		}
	}
}

// binary builds the program and returns it.
func binary(t *testing.T, args ...string) []byte {
	t.Helper()
	name := filepath.Join(t.TempDir(), "usersync")
	args = append(append([]string{"build", "-o", name}, args...), "usersync/cmd/usersync")
	if out, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
