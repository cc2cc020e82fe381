package chart

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"usersync/e2e"
)

// With the longest name that a release can have every object still has one of its own,
// and what becomes a label of pods fits into one.
func TestLongNames(t *testing.T) {
	e2e.Require(t, "helm")
	release := strings.Repeat("n", 53)
	rendered, err := helm(t.Context(), "template", release, chartDir, kubernetes,
		"--values", filepath.Join(chartDir, "ci", "everything-values.yaml"), "--set", "fullnameOverride=,serviceAccount.name=")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, m := range objects(t, rendered) {
		name := m.Kind + " " + m.Metadata.Name
		if seen[name] {
			t.Errorf("there are two of %s", name)
		}
		seen[name] = true
		if len(m.Metadata.Name) > 63 && m.Kind != "ConfigMap" {
			t.Errorf("%s is too long", name)
		}
	}
}

// A parent chart may have the chart several times, each under a name of its own. Each
// release of it selects its own pods alone, and to the rules all of them are usersync.
func TestAliases(t *testing.T) {
	e2e.Require(t, "helm")
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "charts", "usersync"), os.DirFS(chartDir)); err != nil {
		t.Fatal(err)
	}
	const parent = `apiVersion: v2
name: platform
version: 1.0.0
dependencies:
  - {name: usersync, version: "*", alias: crm}
  - {name: usersync, version: "*", alias: shop}
`
	if err := os.WriteFile(filepath.Join(dir, "Chart.yaml"), []byte(parent), 0o600); err != nil {
		t.Fatal(err)
	}
	minimal, err := os.ReadFile(filepath.Join(chartDir, "ci", "minimal-values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var values strings.Builder
	for _, alias := range []string{"crm", "shop"} {
		values.WriteString(alias + ":\n  podMonitor: {enabled: true}\n")
		for line := range strings.Lines(string(minimal)) {
			values.WriteString("  " + line)
		}
	}
	rendered, err := template(t.Context(), dir, write(t, "values.yaml", values.String()))
	if err != nil {
		t.Fatal(err)
	}
	all := objects(t, rendered)
	for _, alias := range []string{"crm", "shop"} {
		monitor := find(t, all, "PodMonitor", "usersync-"+alias)
		if !slices.Contains(monitor.Spec.Endpoints[0].Relabelings, relabeling{"job", "usersync"}) {
			t.Errorf("the rules would not see what is scraped of %s", alias)
		}
	}
	one := find(t, all, "Deployment", "usersync-crm").Spec.Selector.Labels
	other := find(t, all, "Deployment", "usersync-shop").Spec.Selector.Labels
	if len(one) == 0 || maps.Equal(one, other) {
		t.Errorf("both Deployments select the same pods: %v", one)
	}
}
