// Package chart tests the Helm chart: what Helm makes of it, and whether the worker
// takes what it is given there.
package chart

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"usersync/e2e"
)

const (
	chartDir = "../../charts/usersync"

	// What Helm takes for the cluster's version otherwise depends on how it was built.
	kubernetes = "--kube-version=1.36.0"
)

var update = flag.Bool("update", false, "write the golden files and the table of values in the chart's README, instead of comparing them")

// manifest is what the tests read of an object; pods are those of Deployments and Jobs.
type manifest struct {
	Kind     string
	Metadata struct {
		Name   string
		Labels map[string]string
	}
	Data map[string]string
	Spec struct {
		Groups   []map[string]any
		Selector struct {
			Labels map[string]string `yaml:"matchLabels"`
		}
		Endpoints []struct{ Relabelings []relabeling } `yaml:"podMetricsEndpoints"`
		Template  struct {
			Metadata struct{ Annotations map[string]string }
			Spec     pod
		}
	}
}

type relabeling struct {
	Target      string `yaml:"targetLabel"`
	Replacement string
}

type pod struct {
	Containers []struct {
		Args      []string
		Env       []struct{ Name, Value string }
		Resources struct{ Limits struct{ Memory string } }
	}
	Volumes []struct {
		Name      string
		ConfigMap struct{ Name string } `yaml:"configMap"`
		Projected struct {
			Sources []struct {
				Secret struct {
					Name  string
					Items []struct{ Key, Path string }
				}
			}
		}
	}
}

// helm runs helm; its error is what helm says, without the name of a directory.
func helm(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "helm", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("helm %s: %w\n%s%s", args[0], err, &stderr, out)
	}
	return out, nil
}

// template renders the chart in dir as the release usersync, with these files of values.
func template(ctx context.Context, dir string, values ...string) ([]byte, error) {
	args := []string{"template", "usersync", dir, "--namespace", "users", kubernetes}
	for _, file := range values {
		args = append(args, "--values", file)
	}
	return helm(ctx, args...)
}

// objects parses what helm template printed.
func objects(t *testing.T, rendered []byte) []manifest {
	t.Helper()
	var all []manifest
	for text := range strings.SplitSeq(string(rendered), "\n---\n") {
		var m manifest
		if err := yaml.Unmarshal([]byte(text), &m); err != nil {
			t.Fatalf("not YAML: %v\n%s", err, text)
		}
		if m.Kind != "" {
			all = append(all, m)
		}
	}
	if len(all) == 0 {
		t.Fatal("nothing was rendered")
	}
	return all
}

// find returns the object of this kind and name.
func find(t *testing.T, all []manifest, kind, name string) manifest {
	t.Helper()
	for _, m := range all {
		if m.Kind == kind && m.Metadata.Name == name {
			return m
		}
	}
	t.Fatalf("there is no %s %s", kind, name)
	return manifest{}
}

// valueFiles lists the files of ci/, by which the chart is tested and shown.
func valueFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(chartDir, "ci", "*-values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("there are no files of values")
	}
	return files
}

// write writes text to a new file of the test, and returns its path.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Helm finds nothing to say about the chart, with any of the files of values.
func TestLint(t *testing.T) {
	e2e.Require(t, "helm")
	for _, file := range valueFiles(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			if _, err := helm(t.Context(), "lint", "--strict", kubernetes, "--values", file, chartDir); err != nil {
				t.Error(err)
			}
		})
	}
}
