package kubernetes

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// modules have the definitions of the objects that are not Kubernetes's own. They are
// downloaded, and nothing is built of them; the sum is that of all that they contain.
var modules = []struct {
	module, sum, dir string
	files            []string
}{
	{
		"github.com/prometheus-operator/prometheus-operator@v0.85.0", "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
		"example/prometheus-operator-crd",
		[]string{"monitoring.coreos.com_podmonitors.yaml", "monitoring.coreos.com_prometheusrules.yaml"},
	},
	{
		"github.com/kedacore/keda/v2@v2.21.0", "h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps=",
		"config/crd/bases",
		[]string{"keda.sh_scaledobjects.yaml", "keda.sh_triggerauthentications.yaml"},
	},
}

// definitions returns a directory with the definitions.
func definitions(t *testing.T) string {
	t.Helper()
	all := t.TempDir()
	for _, m := range modules {
		download := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", m.module)
		download.Dir = t.TempDir() // of no module, for none depends on it
		out, err := download.Output()
		if err != nil {
			t.Fatalf("go mod download %s: %v\n%s", m.module, err, out)
		}
		var source struct{ Dir, Sum string }
		if err := json.Unmarshal(out, &source); err != nil {
			t.Fatal(err)
		}
		if source.Sum != m.sum {
			t.Fatalf("%s is %s, not %s", m.module, source.Sum, m.sum)
		}
		for _, file := range m.files {
			text, err := os.ReadFile(filepath.Join(source.Dir, m.dir, file))
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(all, file), string(text))
		}
	}
	return all
}
