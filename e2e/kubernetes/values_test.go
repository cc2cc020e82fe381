package kubernetes

import (
	"bytes"
	"maps"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"usersync/e2e/internal/examples"
)

const chartDir = "../../charts/usersync"

// ci is a file of values that the chart is tested with.
func ci(name string) string { return filepath.Join(chartDir, "ci", name+"-values.yaml") }

// values are all files of values that anybody is shown, by a name for each: those that
// the chart is tested with, and those within the examples for Argo CD and Flux.
func values(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(ci("*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no files of values: %v", err)
	}
	all := map[string]string{}
	for _, file := range files {
		all[strings.TrimSuffix(filepath.Base(file), "-values.yaml")] = file
	}
	maps.Copy(all, exampleValues(t))
	return all
}

// exampleValues writes the values within each example to a file.
func exampleValues(t *testing.T) map[string]string {
	t.Helper()
	all, err := examples.Values("../../docs/examples")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range all {
		all[name] = filepath.Join(t.TempDir(), name+".yaml")
		write(t, all[name], text)
	}
	return all
}

// render renders the chart as the release usersync of a namespace.
func render(t *testing.T, namespace string, args ...string) string {
	t.Helper()
	helm := exec.CommandContext(t.Context(), "helm", append([]string{
		"template", "usersync", chartDir, "--namespace=" + namespace, "--kube-version=1.36.0",
	}, args...)...)
	var stdout, stderr bytes.Buffer
	helm.Stdout, helm.Stderr = &stdout, &stderr
	if err := helm.Run(); err != nil {
		t.Fatalf("helm template: %v\n%s", err, &stderr)
	}
	return stdout.String()
}
