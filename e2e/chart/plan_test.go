package chart

import (
	"encoding/json"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"usersync/e2e"
)

// Whoever takes over the values for a small or a large company has workers with as much
// memory as they may come to need by usersync plan, and a plan without a problem.
func TestMemoryIsEnough(t *testing.T) {
	e2e.Require(t, "helm")
	worker := e2e.BuildWorker(t)
	for company, flags := range map[string][]string{
		"small": {"--users=50000", "--changes=0.5"},
		"large": {"--users=10000000", "--changes=100"},
	} {
		rendered, err := template(t.Context(), chartDir, filepath.Join(chartDir, "ci", company+"-company-values.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		all := objects(t, rendered)
		planned := 0
		for _, m := range all {
			if m.Kind != "Deployment" {
				continue
			}
			planned++
			args := append([]string{"plan", "-c", mount(t, m, all), "--latency=150ms", "--replicas=2", "--json"}, flags...)
			out, err := inPod(t, worker, m, args...)
			var plan struct {
				Memory int64 `json:"memory_bytes"`
			}
			if jsonErr := json.Unmarshal([]byte(out), &plan); err != nil || jsonErr != nil || plan.Memory == 0 {
				t.Fatalf("%s company: %v, %v\n%s", company, err, jsonErr, out)
			}
			if limit := m.Spec.Template.Spec.Containers[0].Resources.Limits.Memory; plan.Memory > inBytes(t, limit) {
				t.Errorf("%s company: a worker of %s may have %s, and needs up to %d MiB", company, m.Metadata.Name, limit, plan.Memory>>20)
			}
		}
		if planned == 0 {
			t.Errorf("%s company: there is no worker", company)
		}
	}
}

// inBytes is a quantity as these values have it: in Mi or Gi.
func inBytes(t *testing.T, quantity string) int64 {
	t.Helper()
	for unit, shift := range map[string]int{"Mi": 20, "Gi": 30} {
		if number, ok := strings.CutSuffix(quantity, unit); ok {
			n, err := strconv.ParseInt(number, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n << shift
		}
	}
	t.Fatalf("the limit %q is not in Mi or Gi", quantity)
	return 0
}
