package watch

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A quarter of an hour is six seconds here: what takes effect in minutes is seen within
// a test, by the very expressions that are installed. Only the lengths of time and, below,
// limits that are about time or amount, are others.
var (
	ranges = strings.NewReplacer("[5m]", "[4s]", "[10m]", "[5s]", "[15m]", "[6s]", "[30m]", "[15s]",
		"[1h]", "[12s]", "[6h]", "[60s]", "[1d]", "[60s]", "offset 30m", "offset 5s")
	durations = regexp.MustCompile(`(?m)^(\s+for): \S+$`)
)

// limits are those of the rules, and the tests'. Each must be there.
var limits = [][2]string{
	{`le=~"60(\\.0)?"`, `le="2.5"`}, // late
	{"> 30 * 60", "> 5"},            // stale
	{"clamp_min(2 * count by (namespace, job, release, destination) (usersync_lease_valid), 6)", "1"}, // generations
	{`changes(process_start_time_seconds{job="usersync"}[30m])) > 2`, `changes(process_start_time_seconds{job="usersync"}[40s])) > 1`},
	{"time() - process_start_time_seconds < 3600", "time() - process_start_time_seconds < 12"},
	{"usersync_consumer_lag_records:sum > 1000", "usersync_consumer_lag_records:sum > 20"},
	{") > 5\n", ") > 0.5\n"}, // slow
}

// scaled writes the rules with the tests' times and limits and returns the paths.
func scaled(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	var all []string
	found := map[string]bool{}
	for _, file := range []string{"recording.yaml", "alerts.yaml"} {
		text := texts(t, rules+file)[file]
		for _, limit := range limits {
			found[limit[0]] = found[limit[0]] || strings.Contains(text, limit[0])
			text = strings.ReplaceAll(text, limit[0], limit[1])
		}
		text = durations.ReplaceAllString(ranges.Replace(text), "$1: 2s")
		if left := regexp.MustCompile(`\[\d+[mhd]\]|offset \d+[mhd]`).FindString(text); left != "" {
			t.Errorf("%s: %s is as long as it was", file, left)
		}
		path := filepath.Join(dir, file)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		all = append(all, path)
	}
	for _, limit := range limits {
		if !found[limit[0]] {
			t.Errorf("no rule says %q any more", limit[0])
		}
	}
	return all
}
