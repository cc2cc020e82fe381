package arch

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Each module that ours requires has a line in CONTRIBUTING.md that says what
// it earns.
func TestDependenciesAreExplained(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	direct := 0
	for _, r := range mod.Require {
		if r.Indirect {
			continue
		}
		direct++
		if !strings.Contains(string(text), "`"+r.Path+"`") {
			t.Errorf("%s has no line in CONTRIBUTING.md", r.Path)
		}
	}
	if direct == 0 {
		t.Error("no dependencies found")
	}
}
