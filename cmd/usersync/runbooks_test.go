package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

var (
	blocks = regexp.MustCompile("(?s)```sh\n(.*?)```")
	// A command of its own, at the end of a pipe, or in a pod.
	inBlock = regexp.MustCompile(`(?m)(?:^|\| |-- /)usersync (.+)$`)
	// What the shell does with the rest of the line.
	redirected = regexp.MustCompile(` [<>|].*$`)
	// In a sentence only what is complete enough to be typed.
	inText = regexp.MustCompile("`usersync ([^`]* -c [^`]*)`")
)

// A command in a runbook is typed at three in the morning: it has to be one.
func TestCommandsInRunbooks(t *testing.T) {
	pages, err := filepath.Glob("../../docs/runbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		found := inText.FindAllSubmatch(text, -1)
		for _, block := range blocks.FindAllSubmatch(text, -1) {
			found = append(found, inBlock.FindAllSubmatch(block[1], -1)...)
		}
		for _, m := range found {
			checked++
			parser, err := kong.New(&commands{}, kong.Name("usersync"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parser.Parse(strings.Fields(redirected.ReplaceAllString(string(m[1]), ""))); err != nil {
				t.Errorf("%s: usersync %s: %v", filepath.Base(page), m[1], err)
			}
		}
	}
	if checked < 30 {
		t.Errorf("only %d commands were found in %d pages", checked, len(pages))
	}
}
