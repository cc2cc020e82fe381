package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestProgram: a program is told from others by its bytes, and one that cannot be read is
// nobody's.
func TestProgram(t *testing.T) {
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	sum, err := fileSum(path)
	if err != nil || !strings.HasPrefix(program(), sum+" ") || program() != program() {
		t.Errorf("the program is %q; the sum of its file %q, %v", program(), sum, err)
	}
	bytes, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, append(bytes, 0), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := fileSum(other); err != nil || s == sum {
		t.Errorf("with one byte more it is %q, %v", s, err)
	}
	if s, err := fileSum(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Errorf("a file that is not there is %q", s)
	}
}
