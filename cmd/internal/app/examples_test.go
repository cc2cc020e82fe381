package app

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const examples = "../../../docs/examples/"

func example(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(examples + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// exampleConfig reads an example as the worker would where its secrets are.
func exampleConfig(t *testing.T, name string) *Config {
	t.Helper()
	const there = "/run/secrets/usersync"
	dir, text := t.TempDir(), example(t, name)
	for _, path := range regexp.MustCompile(there+`/[a-z-]+`).FindAllString(text, -1) {
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(path)), []byte(strings.Repeat("s", 32)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, warnings, err := parse(name, []byte(strings.ReplaceAll(text, there, dir)), env())
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%v, %v", err, warnings)
	}
	return c
}

// TestExamples: the examples are configurations that the worker accepts, and what the
// page says of them is what a plan says.
func TestExamples(t *testing.T) {
	page := example(t, "README.md")
	small := newPlan(exampleConfig(t, "small.yaml"), PlanOptions{Users: 100_000, Changes: 0.5, Latency: 150 * time.Millisecond, Outage: time.Hour})
	large := newPlan(exampleConfig(t, "large.yaml"), PlanOptions{Users: 10_000_000, Changes: 100, Latency: 150 * time.Millisecond, Outage: time.Hour, Replicas: 4})
	for _, r := range []*planReport{small, large} {
		if len(r.Problems)+len(r.Advice) > 0 {
			t.Errorf("%d users: %q %q", r.Users, r.Problems, r.Advice)
		}
	}
	for _, row := range []string{
		fmt.Sprintf("| workers, partitions | %d, %d | %d, %d |", small.Replicas, small.Partitions, large.Replicas, large.Partitions),
		fmt.Sprintf("| memory of each, at worst | %d MiB | %d MiB |", small.Memory>>20, large.Memory>>20),
		fmt.Sprintf("| first snapshot at TapTalk | %s | %s |", seconds(small.Destinations[0].First), seconds(large.Destinations[0].First)),
		fmt.Sprintf("| first snapshot at Haptik | %s | %s |", seconds(small.Destinations[1].First), seconds(large.Destinations[1].First)),
		fmt.Sprintf("| after an hour without a vendor | %s | %s |", seconds(small.Destinations[0].Drain), seconds(large.Destinations[0].Drain)),
	} {
		if !strings.Contains(page, row) {
			t.Errorf("the page does not have %s", row)
		}
	}
}
