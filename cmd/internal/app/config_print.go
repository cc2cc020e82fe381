package app

import (
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// PrintDefaults writes a complete configuration file with every key, what it
// means and its default. Required keys are there, empty and marked.
func PrintDefaults(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Every key of usersync's configuration, with its default.\n" +
		"# ${NAME} and ${NAME:-default} stand for variables, except in a mapping.\n")
	var section []string
	for _, k := range defaults().keys() {
		path := strings.Split(k.path, ".")
		name := path[len(path)-1]
		section = openSections(&b, section, path[:len(path)-1])
		indent := strings.Repeat("  ", len(section))
		doc := k.doc
		if k.required != "" && k.empty() {
			doc = "required: " + doc
		}
		fmt.Fprintf(&b, "%s# %s\n%s%s:", indent, doc, indent, name)
		writeYAML(&b, k.print(), indent+"  ")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// openSections writes the names of the sections in path that are not open yet.
func openSections(b *strings.Builder, open, path []string) []string {
	same := 0
	for same < min(len(open), len(path)) && open[same] == path[same] {
		same++
	}
	for i := same; i < len(path); i++ {
		indent := strings.Repeat("  ", i)
		if i == 0 {
			b.WriteString("\n")
		}
		if path[i] == "destinations" {
			b.WriteString("# At least one; a destination that is left out gets nothing.\n")
		}
		fmt.Fprintf(b, "%s%s:\n", indent, path[i])
	}
	return path
}

// writeYAML writes a value after its key's colon.
func writeYAML(b *strings.Builder, v any, indent string) {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			b.WriteString(" {}\n")
			return
		}
		b.WriteString("\n")
		for _, name := range slices.Sorted(maps.Keys(v)) {
			b.WriteString(indent + name + ":")
			writeYAML(b, v[name], indent+"  ")
		}
	case []string:
		quoted := make([]string, len(v))
		for i, s := range v {
			quoted[i] = quote(s)
		}
		b.WriteString(" [" + strings.Join(quoted, ", ") + "]\n")
	case time.Duration:
		b.WriteString(" " + short(v) + "\n")
	case string:
		b.WriteString(" " + quote(v) + "\n")
	default:
		fmt.Fprintf(b, " %v\n", v)
	}
}

var plain = regexp.MustCompile(`^[a-z_][a-z0-9_-]*$`)

// quote writes s as YAML: bare where nothing can be misread, else in quotes. In
// single ones nothing but the quote itself is special, which keeps expressions
// readable; the double ones of YAML and Go are the same for what is printable.
func quote(s string) string {
	switch {
	case plain.MatchString(s) && s != "true" && s != "false" && s != "null":
		return s
	case strings.Contains(s, `"`) && !strings.ContainsFunc(s, unicode.IsControl):
		return "'" + strings.ReplaceAll(s, "'", "''") + "'"
	default:
		return strconv.Quote(s)
	}
}
