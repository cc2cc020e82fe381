package watch

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"usersync/e2e"
)

// The rules, with their true durations: each alert fires after its time, for nobody
// else, and ends with its cause. promtool lets time pass as fast as it can.
func TestPromtool(t *testing.T) {
	promtool := e2e.RequirePrometheus(t).Promtool
	tests, err := filepath.Glob(rules + "tests/*.yaml")
	if err != nil || len(tests) == 0 {
		t.Fatalf("rule tests: %d, %v", len(tests), err)
	}
	for _, args := range [][]string{
		{"check", "rules", rules + "recording.yaml", rules + "alerts.yaml"},
		append([]string{"test", "rules"}, tests...),
	} {
		if out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args[:2], " "), err, out)
		}
	}
}

// Each alert, by name and severity, has a test of its own there.
func TestEveryAlertHasARuleTest(t *testing.T) {
	var all strings.Builder
	for _, text := range texts(t, rules+"tests/*.yaml") {
		all.WriteString(text)
	}
	asked := strings.Split(all.String(), "\n")
	for _, r := range load(t, "alerts.yaml") {
		selector := `ALERTS{alertname="` + r.Alert + `", alertstate="firing", severity="` + r.Labels["severity"] + `"`
		for _, want := range []string{"expr: '" + selector + "}'", "labels: '" + selector} {
			if !slices.ContainsFunc(asked, func(line string) bool { return strings.Contains(line, want) }) {
				t.Errorf("%s (%s): no rule test says %s", r.Alert, r.Labels["severity"], want)
			}
		}
	}
}
