package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

var (
	// As in a runbook, or where it was built.
	inPage  = regexp.MustCompile(`(?m)(?:^(?:\./)?|\| (?:\./)?|-- /)usersync (.+)$`)
	inPod   = regexp.MustCompile(`(?m)-- /usersync (.+)$`)
	comment = regexp.MustCompile(`\s+#.*`)
	// What a synopsis has in the place of values that are parsed.
	values = strings.NewReplacer("[", "", "]", "", " TIME", " 2026-01-31T00:00:00Z", " N ", " 5 ", "--limit N", "--limit 5")
)

// What the other pages and the chart's notes say to type is a command too, as it stands.
func TestCommandsInPages(t *testing.T) {
	for page, least := range map[string]int{
		"README.md": 4, "docs/operations.md": 25, "docs/architecture.md": 2, "docs/guarantees.md": 0,
		"docs/examples/README.md": 1, "charts/usersync/README.md": 0, "charts/usersync/templates/NOTES.txt": 1,
	} {
		text, err := os.ReadFile("../../" + page)
		if err != nil {
			t.Fatal(err)
		}
		found := inText.FindAllSubmatch(text, -1)
		for _, block := range blocks.FindAllSubmatch(text, -1) {
			found = append(found, inPage.FindAllSubmatch(block[1], -1)...)
		}
		if strings.HasSuffix(page, ".txt") {
			found = inPod.FindAllSubmatch(text, -1)
		}
		if len(found) < least {
			t.Errorf("%s: only %d commands were found", page, len(found))
		}
		for _, m := range found {
			command := values.Replace(comment.ReplaceAllString(string(m[1]), ""))
			parser, err := kong.New(&commands{}, kong.Name("usersync"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parser.Parse(strings.Fields(command)); err != nil {
				t.Errorf("%s: usersync %s: %v", page, m[1], err)
			}
		}
	}
}
