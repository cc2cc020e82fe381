package chart

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"usersync/e2e"
)

// What each file of values comes to. The rules and dashboards are tested where they are;
// here they would only be copies, and that they are copies is another test's to hold.
func TestGolden(t *testing.T) {
	e2e.Require(t, "helm")
	for _, file := range valueFiles(t) {
		name := strings.TrimSuffix(filepath.Base(file), "-values.yaml")
		t.Run(name, func(t *testing.T) {
			rendered, err := template(t.Context(), chartDir, file)
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name+".yaml")
			got := withoutFiles(string(rendered))
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s differs from what is rendered now; if that is meant: go test ./e2e/chart -run TestGolden -update, and look at git diff", golden)
			}
		})
	}
}

// withoutFiles leaves out the objects that are made of the chart's files.
func withoutFiles(rendered string) string {
	const separator = "---\n"
	var kept []string
	for document := range strings.SplitSeq(rendered, separator) {
		if strings.Contains(document, "templates/prometheusrule.yaml") || strings.Contains(document, "templates/dashboards.yaml") {
			continue
		}
		kept = append(kept, document)
	}
	return strings.Join(kept, separator)
}

// Every rule and every dashboard is installed word for word, but for what stands before
// docs/runbooks; what tests the rules is not.
func TestFilesAreInstalled(t *testing.T) {
	e2e.Require(t, "helm")
	rendered, err := template(t.Context(), chartDir, filepath.Join(chartDir, "ci", "large-company-values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	const base = "https://git.example.com/platform/usersync/blob/v1.2.3/docs/runbooks"
	all := objects(t, rendered)

	var groups []map[string]any
	rules := files(t, "rules/*.yaml")
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		var file struct{ Groups []map[string]any }
		if err := yaml.Unmarshal([]byte(strings.ReplaceAll(rules[name], "docs/runbooks", base)), &file); err != nil {
			t.Fatal(err)
		}
		groups = append(groups, file.Groups...)
	}
	if got := find(t, all, "PrometheusRule", "usersync").Spec.Groups; !reflect.DeepEqual(got, groups) {
		t.Errorf("the rules are not those of the files, but %v", got)
	}

	dashboards := find(t, all, "ConfigMap", "usersync-dashboards")
	want := files(t, "dashboards/*.json")
	for name, text := range want {
		want[name] = strings.ReplaceAll(text, `"docs/runbooks"`, `"`+base+`"`)
		if want[name] == text {
			t.Errorf("%s has no link to the runbooks", name)
		}
		if strings.TrimSpace(dashboards.Data[name]) != strings.TrimSpace(want[name]) {
			t.Errorf("%s is not what the file is", name)
		}
	}
	if len(dashboards.Data) != len(want) {
		t.Errorf("there are %d dashboards of %d files", len(dashboards.Data), len(want))
	}
	if got := dashboards.Metadata.Labels["grafana_dashboard"]; got != "1" {
		t.Errorf("the sidecar's label is %q", got)
	}
}

// files returns what is in the chart's files of that pattern, by name.
func files(t *testing.T, pattern string) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(chartDir, "files", pattern))
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Fatalf("there are no files %s", pattern)
	}
	all := map[string]string{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(path)] = string(text)
	}
	return all
}
