package java_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"usersync/e2e/internal/java"
)

// maven puts a program called mvn first in PATH that notes each call in the
// file it returns, and does what script says with the output directory in $out.
func maven(t *testing.T, script string) (calls string) {
	t.Helper()
	t.Setenv("USERSYNC_CACHE", t.TempDir())
	bin := t.TempDir()
	calls = filepath.Join(bin, "calls")
	text := "#!/bin/sh\necho call >>" + calls + "\nfor out; do :; done\nout=${out#-DoutputDirectory=}\n" + script + "\n"
	if err := os.WriteFile(filepath.Join(bin, "mvn"), []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	return calls
}

func count(t *testing.T, calls string) int {
	t.Helper()
	text, err := os.ReadFile(calls)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(text), "call")
}

func TestFetchDownloadsOnce(t *testing.T) {
	calls := maven(t, `mkdir "$out" && touch "$out/kafka.jar"`)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			jars, err := java.Fetch(t.Context(), "kafka", []byte("<project/>"))
			if err != nil {
				t.Error(err)
			} else if _, err := os.Stat(filepath.Join(jars, "kafka.jar")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := count(t, calls); n != 1 {
		t.Errorf("Maven ran %d times, want once", n)
	}
}

// A download that broke off must not pass for a complete one.
func TestFetchForgetsAFailure(t *testing.T) {
	calls := maven(t, `mkdir "$out" && touch "$out/half.jar" && echo no route to host && exit 1`)
	for range 2 {
		if _, err := java.Fetch(t.Context(), "kafka", []byte("<project/>")); err == nil || !strings.Contains(err.Error(), "no route to host") {
			t.Errorf("Fetch = %v, want what Maven said", err)
		}
	}
	if n := count(t, calls); n != 2 {
		t.Errorf("Maven ran %d times, want once for each call", n)
	}
	left, err := filepath.Glob(filepath.Join(os.Getenv("USERSYNC_CACHE"), "*partial*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
