// Command dashboards writes the chart's Grafana dashboards. They are JSON that nobody
// can review; what is shown, and why, is in operators.go and depth.go.
//
//go:generate go run . ../../../charts/usersync/files/dashboards
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: dashboards DIRECTORY")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(dir string) error {
	for _, d := range boards() {
		text, err := render(d)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, d.UID+".json"), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func boards() []dashboard { return []dashboard{operators(), depth()} }

// render returns what Grafana imports.
func render(d dashboard) ([]byte, error) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false) // a comparison stays readable
	e.SetIndent("", "  ")
	if err := e.Encode(d); err != nil {
		return nil, fmt.Errorf("dashboard %s: %w", d.UID, err)
	}
	return text.Bytes(), nil
}
