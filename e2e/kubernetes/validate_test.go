package kubernetes

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"usersync/e2e"
)

// TestValidate: what the chart makes has only fields that a Kubernetes has which is older
// than any that the chart is for, so nobody's is too old for it. No server is asked.
func TestValidate(t *testing.T) {
	e2e.Require(t, "helm", "kubectl-validate")
	known, right, wrong := definitions(t), t.TempDir(), t.TempDir()
	for name, file := range values(t) {
		write(t, filepath.Join(right, name+".yaml"), render(t, "users", "--values="+file))
	}
	if said, ok := valid(t, known, right); !ok {
		t.Error(said)
	}
	rendered := render(t, "users", "--values="+ci("everything"))
	for _, m := range mistakes {
		write(t, filepath.Join(wrong, m.said+".yaml"), mistaken(t, rendered, m.right, m.wrong))
	}
	said, _ := valid(t, known, wrong)
	for _, m := range mistakes {
		if !strings.Contains(said, "."+m.said+":") {
			t.Errorf("of %s nothing is said:\n%s", m.wrong, said)
		}
	}
}

// valid has kubectl-validate look at the objects in a directory, and returns what it says.
func valid(t *testing.T, definitions, objects string) (string, bool) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "kubectl-validate", objects, "--version=1.30", "--local-crds="+definitions).CombinedOutput()
	return string(out), err == nil
}
