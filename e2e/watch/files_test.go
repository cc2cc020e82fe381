package watch

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

const (
	root       = "../../"
	rules      = root + "charts/usersync/files/rules/"
	dashboards = root + "charts/usersync/files/dashboards/"
	runbooks   = root + "docs/runbooks/"
)

// rule is an alert or a recording rule.
type rule struct {
	Alert       string            `yaml:"alert"`
	Record      string            `yaml:"record"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for,omitempty"`
	Labels      map[string]string `yaml:"labels,omitempty"`
	Annotations map[string]string `yaml:"annotations,omitempty"`
}

// load returns the rules of a file.
func load(t *testing.T, file string) []rule {
	t.Helper()
	var f struct {
		Groups []struct {
			Name  string `yaml:"name"`
			Rules []rule `yaml:"rules"`
		} `yaml:"groups"`
	}
	text, err := os.ReadFile(rules + file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalWithOptions(text, &f, yaml.Strict()); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	var all []rule
	for _, g := range f.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) == 0 {
		t.Fatalf("%s has no rules", file)
	}
	return all
}

// texts returns the files that match a pattern, by name.
func texts(t *testing.T, pattern string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(file)] = string(text)
	}
	if len(all) == 0 {
		t.Fatalf("nothing is %s", pattern)
	}
	return all
}

// series are the metrics that there are, with the values of their labels.
type series map[string]map[string][]string

// known returns what the worker exposes, by the golden file of package metrics, and what
// the recording rules make of it.
func known(t *testing.T) series {
	t.Helper()
	all := series{}
	var name string
	for line := range strings.Lines(texts(t, root+"metrics/testdata/series.golden")["series.golden"]) {
		line = strings.TrimRight(line, "\n")
		if !strings.HasPrefix(line, "\t") {
			var kind string
			name, kind, _ = strings.Cut(line, " ")
			all[name] = map[string][]string{}
			if kind == "(histogram)" {
				for _, suffix := range []string{"_bucket", "_sum", "_count"} {
					all[name+suffix] = all[name]
				}
			}
			continue
		}
		for _, m := range matcher.FindAllStringSubmatch(line, -1) {
			if label, value := m[1], m[3]; !slices.Contains(all[name][label], value) {
				all[name][label] = append(all[name][label], value)
			}
		}
	}
	for _, r := range load(t, "recording.yaml") {
		all[r.Record] = map[string][]string{}
	}
	return all
}

var (
	matcher  = regexp.MustCompile(`(\w+)(=~|!~|!=|=)"([^"]*)"`)
	selector = regexp.MustCompile(`([a-zA-Z_:][\w:]*)\{([^}]*)\}`)
	// What is no metric in an expression, although it looks like one.
	aside = regexp.MustCompile(`"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)|\boffset \w+`)
	word  = regexp.MustCompile(`[a-zA-Z_:][\w:]*(\s*\()?`)
	// Those that others expose: Prometheus itself, Kubernetes, the Go runtime.
	foreign = regexp.MustCompile(`^(up|ALERTS|(kube|go|process|container)_\w+)$`)
)

// unknown returns the names and the labels' values in an expression that nobody exposes.
func (all series) unknown(expr string) []string {
	var wrong []string
	for _, w := range word.FindAllString(aside.ReplaceAllString(expr, " "), -1) {
		switch {
		case strings.HasSuffix(w, "("), slices.Contains([]string{"and", "or", "unless", "bool", "Inf"}, w), foreign.MatchString(w):
		default:
			if _, ok := all[w]; !ok {
				wrong = append(wrong, w)
			}
		}
	}
	for _, s := range selector.FindAllStringSubmatch(expr, -1) {
		for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
			values := all[s[1]][m[1]]
			if len(values) < 2 || strings.Contains(m[3], "$") { // an example only, or a variable
				continue
			}
			for v := range strings.SplitSeq(m[3], "|") {
				if !slices.Contains(values, v) {
					wrong = append(wrong, s[1]+"{"+m[0]+"}")
				}
			}
		}
	}
	return wrong
}
