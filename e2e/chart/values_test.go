package chart

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"usersync/e2e"
)

// row is one value in the chart's README.
type row struct{ path, fallback, doc string }

var (
	docLine = regexp.MustCompile(`^ *# -- (.+)$`)
	keyLine = regexp.MustCompile(`^( *)([A-Za-z_]+):`)
)

// documented returns what values.yaml says of each value that has a line of its own,
// by its path. The line is the one above the key.
func documented(t *testing.T, text string) map[string]string {
	t.Helper()
	docs := map[string]string{}
	var path []string
	doc := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if m := docLine.FindStringSubmatch(line); m != nil {
			doc = m[1]
			continue
		}
		m := keyLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		path = append(path[:min(len(m[1])/2, len(path))], m[2])
		if doc != "" {
			docs[strings.Join(path, ".")] = doc
			doc = ""
		}
	}
	return docs
}

// rows walks the defaults in their order. A value with a line is a row, whatever is
// below it; a section has none, but all that is in it.
func rows(t *testing.T) []row {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(chartDir, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	docs := documented(t, string(text))
	var defaults yaml.MapSlice
	if err := yaml.UnmarshalWithOptions(text, &defaults, yaml.UseOrderedMap()); err != nil {
		t.Fatal(err)
	}
	var all []row
	var walk func(prefix string, section yaml.MapSlice)
	walk = func(prefix string, section yaml.MapSlice) {
		for _, item := range section {
			path := prefix + item.Key.(string)
			doc, ok := docs[path]
			delete(docs, path)
			below, isSection := item.Value.(yaml.MapSlice)
			switch {
			case ok:
				all = append(all, row{path, printed(t, item.Value), doc})
			case isSection && len(below) > 0:
				walk(path+".", below)
			default:
				t.Errorf("values.yaml: %s has no line that begins with # --", path)
			}
		}
	}
	walk("", defaults)
	for path := range docs {
		t.Errorf("values.yaml: the line of %s is within the value of another line", path)
	}
	return all
}

// printed is a default as the README shows it.
func printed(t *testing.T, value any) string {
	t.Helper()
	out, err := yaml.MarshalWithOptions(value, yaml.Flow(true))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// Every value is in the README with its meaning and its default.
func TestReadmeHasTheValues(t *testing.T) {
	var table strings.Builder
	table.WriteString("| value | default | |\n|---|---|---|\n")
	for _, r := range rows(t) {
		fmt.Fprintf(&table, "| `%s` | `%s` | %s |\n", r.path, r.fallback, strings.ReplaceAll(r.doc, "|", `\|`))
	}
	path := filepath.Join(chartDir, "README.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- values -->\n", "<!-- end of values -->\n"
	before, rest, ok := strings.Cut(string(text), begin)
	old, after, ended := strings.Cut(rest, end)
	if !ok || !ended {
		t.Fatalf("%s has no lines %q and %q", path, begin, end)
	}
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+table.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if old != table.String() {
		t.Error("the table of values in the chart's README is not that of values.yaml: go test ./e2e/chart -run TestReadmeHasTheValues -update")
	}
}

// schema is a part of values.schema.json.
type schema struct {
	Ref        string `json:"$ref"`
	Properties map[string]*schema
	Additional json.RawMessage    `json:"additionalProperties"`
	Defs       map[string]*schema `json:"$defs"`
}

func readSchema(t *testing.T) *schema {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(chartDir, "values.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	root := new(schema)
	if err := json.Unmarshal(text, root); err != nil {
		t.Fatal(err)
	}
	root.resolve(root.Defs)
	return root
}

// resolve puts what is referred to in the place of the references. None goes in circles.
func (s *schema) resolve(defs map[string]*schema) {
	for name, p := range s.Properties {
		if p.Ref != "" {
			p = defs[strings.TrimPrefix(p.Ref, "#/$defs/")]
			s.Properties[name] = p
		}
		p.resolve(defs)
	}
}

// leaves lists the paths below s that have no properties, and those that stop names.
func (s *schema) leaves(prefix string, stop func(path string) bool) []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		p, path := s.Properties[name], prefix+name
		if len(p.Properties) == 0 || stop(path) {
			all = append(all, path)
		} else {
			all = append(all, p.leaves(path+".", stop)...)
		}
	}
	return all
}

// The schema has every value and no other.
func TestSchemaHasTheValues(t *testing.T) {
	known := map[string]bool{}
	for _, r := range rows(t) {
		known[r.path] = true
	}
	leaves := readSchema(t).leaves("", func(path string) bool { return known[path] })
	for _, path := range leaves {
		// Helm gives global to every chart of a chart.
		if !known[path] && path != "global" {
			t.Errorf("values.schema.json has %s, and values.yaml does not document it", path)
		}
		delete(known, path)
	}
	for path := range known {
		t.Errorf("values.yaml documents %s, and values.schema.json does not have it", path)
	}
}

// A misspelt value is found wherever it is.
func TestSchemaIsStrict(t *testing.T) {
	sections := 0
	var walk func(path string, s *schema)
	walk = func(path string, s *schema) {
		if len(s.Properties) == 0 {
			return
		}
		sections++
		if string(s.Additional) != "false" {
			t.Errorf("values.schema.json allows anything in %s", path)
		}
		for name, p := range s.Properties {
			walk(path+"."+name, p)
		}
	}
	walk("values", readSchema(t))
	if sections < 10 {
		t.Errorf("only %d sections were found", sections)
	}
}

// The keys under config are the worker's, all of them except what the chart decides.
func TestSchemaHasTheWorkersKeys(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), e2e.BuildWorker(t), "check", "--print-defaults").Output()
	if err != nil {
		t.Fatal(err)
	}
	var defaults map[string]any
	if err := yaml.Unmarshal(out, &defaults); err != nil {
		t.Fatal(err)
	}
	config := readSchema(t).Properties["config"]
	want := keys("", defaults, config)
	got := append(config.leaves("", func(string) bool { return false }), "http.listen")
	slices.Sort(want)
	slices.Sort(got)
	for _, key := range want {
		if !slices.Contains(got, key) {
			t.Errorf("values.schema.json does not have config.%s, which the worker has", key)
		}
	}
	for _, key := range got {
		if !slices.Contains(want, key) {
			t.Errorf("values.schema.json has config.%s, which the worker does not have", key)
		}
	}
}

// keys lists the paths below section. What the schema has as a value without
// properties is one, such as a mapping.
func keys(prefix string, section map[string]any, s *schema) []string {
	var all []string
	for name, value := range section {
		var known *schema
		if s != nil {
			known = s.Properties[name]
		}
		below, ok := value.(map[string]any)
		if !ok || known != nil && len(known.Properties) == 0 {
			all = append(all, prefix+name)
			continue
		}
		all = append(all, keys(prefix+name+".", below, known)...)
	}
	return all
}
