// Package examples finds the chart's values within the examples for Argo CD and Flux.
package examples

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
)

// Values returns the values within each example below dir, as YAML, by the example's
// name. They are in its last object.
func Values(dir string) (map[string]string, error) {
	all := map[string]string{}
	for name, path := range map[string]string{"argo-cd": "$.spec.source.helm.valuesObject", "flux": "$.spec.values"} {
		text, err := os.ReadFile(filepath.Join(dir, name+".yaml"))
		if err != nil {
			return nil, err
		}
		objects := strings.Split(string(text), "\n---\n")
		query, err := yaml.PathString(path)
		if err != nil {
			return nil, err
		}
		values, err := query.ReadNode(strings.NewReader(objects[len(objects)-1]))
		if err != nil {
			return nil, fmt.Errorf("%s has no values at %s: %w", name, path, err)
		}
		all[name] = values.String()
	}
	return all, nil
}
