package arch

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	// namedTest is how documents name a test; with an ellipsis all that begin so.
	namedTest = regexp.MustCompile("`([a-z0-9]+)\\.((?:Test|Fuzz)\\w+)(…?)`")
	testFunc  = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	namedFile = regexp.MustCompile("`([^` ]+)`")
)

// TestNamedTestsExist: a test that a document names is there.
func TestNamedTestsExist(t *testing.T) {
	have := testFuncs(t)
	documents, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, path := range append(documents, "../../README.md", "../../CONTRIBUTING.md") {
		for _, m := range namedTest.FindAllStringSubmatch(read(t, path), -1) {
			named++
			found := false
			for _, name := range have[m[1]] {
				found = found || name == m[2] || m[3] != "" && strings.HasPrefix(name, m[2])
			}
			if !found {
				t.Errorf("%s names %s, which there is not", filepath.Base(path), m[0])
			}
		}
	}
	if named < 200 {
		t.Errorf("only %d tests are named: are they written as they used to be?", named)
	}
}

// TestGuaranteesAreHeld: each rule that users may rely on says which files enforce it,
// which tests hold it, and by what these were seen to fail.
func TestGuaranteesAreHeld(t *testing.T) {
	rules, inTable := 0, false
	for line := range strings.Lines(read(t, "../../docs/guarantees.md")) {
		switch {
		case strings.HasPrefix(line, "| Rule | Where | Tests | Seen red by |"):
			inTable = true
			continue
		case !strings.HasPrefix(line, "|"):
			inTable = false
		}
		if !inTable || strings.HasPrefix(line, "|---") {
			continue
		}
		rules++
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 4 {
			t.Errorf("%d cells in %q", len(cells), line)
			continue
		}
		for _, m := range namedFile.FindAllStringSubmatch(cells[1], -1) {
			if _, err := os.Stat("../../" + m[1]); err != nil {
				t.Errorf("%q is enforced in %s: %v", cells[0], m[1], err)
			}
		}
		if !namedTest.MatchString(cells[2]) {
			t.Errorf("no test holds %q", cells[0])
		}
		if red := strings.TrimSpace(cells[3]); len(red) < 5 {
			t.Errorf("%q was seen red by %q", cells[0], red)
		}
	}
	if rules < 60 {
		t.Errorf("only %d rules: are the tables as they used to be?", rules)
	}
}

// testFuncs are the tests of each directory, by its name.
func testFuncs(t *testing.T) map[string][]string {
	t.Helper()
	have := map[string][]string{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == ".git":
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		dir := filepath.Base(filepath.Dir(path))
		for _, m := range testFunc.FindAllStringSubmatch(read(t, path), -1) {
			have[dir] = append(have[dir], m[1])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return have
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
