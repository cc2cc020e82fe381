package chart

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"usersync/e2e"
)

// refused and taken are values of the worker's keys, in YAML, by path.
var (
	refused = map[string][]string{
		"kafka.brokers":                     {"[kafka]", "['kafka:']", "[]"},
		"kafka.topics":                      {"[a b]", "['']", "[]"},
		"kafka.group_id":                    {"''"},
		"kafka.start_from":                  {"yesterday", "2026-01-31"},
		"kafka.dead_letter_topic":           {"a/b"},
		"kafka.retry_topic":                 {"a b"},
		"kafka.session_timeout":             {"45", "0s", "45 s"},
		"kafka.sasl.mechanism":              {"gssapi"},
		"events.format":                     {"avro"},
		"events.tables":                     {"[users]"},
		"events.user_id":                    {"''"},
		"destinations.taptalk.base_url":     {"taptalk.example.com", "ftp://taptalk.example.com"},
		"destinations.taptalk.concurrency":  {"0", "1.5", "'0'"},
		"destinations.taptalk.rate_limit":   {"-1", "many"},
		"destinations.taptalk.window_bytes": {"64MB", "64 MiB", "1.5MiB", "0"},
		"destinations.taptalk.deletes":      {"remove"},
		"destinations.taptalk.phone_region": {"id", "IDN"},
		"destinations.taptalk.allow_http":   {"maybe"},
		"retry.multiplier":                  {"0.5"},
		"retry.randomization":               {"1.5"},
		"retry.initial_interval":            {"0s", "200"},
		"dead_letters.budget":               {"-1"},
		"dead_letters.settle":               {"soon"},
		"log.level":                         {"trace"},
	}
	taken = map[string][]string{
		"kafka.brokers":                     {"['[::1]:9092', 'a:1']", "['${BROKER}']"},
		"kafka.topics":                      {"[a.B_c-1]", "['${TOPIC}']"},
		"kafka.start_from":                  {"earliest", "'2026-01-31T00:00:00Z'"},
		"kafka.retry_topic":                 {"''", "a.b"},
		"kafka.session_timeout":             {"1m0.5s", "20s"}, // twice the timeout of a call
		"events.tables":                     {"[public.users]", "[]"},
		"destinations.taptalk.base_url":     {"https://taptalk.example.com:8443/api", "'${URL}'"},
		"destinations.taptalk.concurrency":  {"16", "'16'", "'${COUNT:-16}'"},
		"destinations.taptalk.rate_limit":   {"0", "0.5", "'0.5'"},
		"destinations.taptalk.window_bytes": {"64MiB", "67108864", "'1GiB'"},
		"destinations.taptalk.phone_region": {"''", "ID"},
		"destinations.taptalk.allow_http":   {"true", "'false'"},
		"retry.multiplier":                  {"1"},
		"retry.randomization":               {"1"},
		"dead_letters.budget":               {"0", "'50'"},
		"dead_letters.settle":               {"0s"},
	}
)

// What the worker would refuse at its start fails before anything is installed, and what
// it takes does not. Each round has one value of every key.
func TestSchemaJudgesLikeTheWorker(t *testing.T) {
	e2e.Require(t, "helm")
	worker := e2e.BuildWorker(t)
	for round := 0; ; round++ {
		values, paths := configWith(t, refused, round)
		if len(paths) == 0 {
			break
		}
		byChart, byWorker := judge(t, worker, values)
		for _, path := range paths {
			value := refused[path][round]
			if !strings.Contains(byChart, "/config/"+strings.ReplaceAll(path, ".", "/")) {
				t.Errorf("the chart takes %s: %s", path, value)
			}
			if !strings.Contains(byWorker, path+":") {
				t.Errorf("the worker takes %s: %s", path, value)
			}
		}
	}
	for round := 0; ; round++ {
		values, paths := configWith(t, taken, round)
		if len(paths) == 0 {
			break
		}
		if byChart, byWorker := judge(t, worker, values); byChart != "" || byWorker != "" {
			t.Errorf("round %d: the chart says %q, the worker %q", round, byChart, byWorker)
		}
	}
}

// configWith is a configuration with the value of that round of all keys that have one.
func configWith(t *testing.T, from map[string][]string, round int) (config map[string]any, paths []string) {
	t.Helper()
	const base = `
kafka: {brokers: ["kafka:9092"], topics: [app.public.users], dead_letter_topic: app.usersync.dead}
destinations: {taptalk: {base_url: "https://taptalk.example.com", server_key_id: id, server_key_secret: "${SECRET}", phone_region: ID}}
`
	if err := yaml.Unmarshal([]byte(base), &config); err != nil {
		t.Fatal(err)
	}
	for path, values := range from {
		if round >= len(values) {
			continue
		}
		paths = append(paths, path)
		section := config
		names := strings.Split(path, ".")
		for _, name := range names[:len(names)-1] {
			below, ok := section[name].(map[string]any)
			if !ok {
				below = map[string]any{}
				section[name] = below
			}
			section = below
		}
		var value any
		if err := yaml.Unmarshal([]byte(values[round]), &value); err != nil {
			t.Fatal(err)
		}
		section[names[len(names)-1]] = value
	}
	return config, paths
}

// judge returns what the chart and the worker have against a configuration.
func judge(t *testing.T, worker string, config map[string]any) (byChart, byWorker string) {
	t.Helper()
	dir := t.TempDir()
	files := map[string]any{
		"values.yaml": map[string]any{"image": map[string]any{"repository": "registry.example.com/usersync"}, "config": config},
		"config.yaml": config,
	}
	for name, content := range files {
		text, err := yaml.Marshal(content)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := template(t.Context(), chartDir, filepath.Join(dir, "values.yaml")); err != nil {
		byChart = err.Error()
	}
	cmd := exec.CommandContext(t.Context(), worker, "check", "-c", filepath.Join(dir, "config.yaml"))
	cmd.Env = []string{"SECRET=s3cret", "BROKER=a:1", "TOPIC=t", "URL=https://a.example"}
	if out, err := cmd.CombinedOutput(); err != nil {
		byWorker = string(out)
	}
	return byChart, byWorker
}

// The chart knows some of the worker's defaults, to reckon with them where the
// configuration says nothing.
func TestChartKnowsTheDefaults(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), e2e.BuildWorker(t), "check", "--print-defaults").Output()
	if err != nil {
		t.Fatal(err)
	}
	var templates strings.Builder
	files, err := filepath.Glob(filepath.Join(chartDir, "templates", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		templates.Write(text)
	}
	for path, use := range map[string]string{
		"$.kafka.group_id":                  `$kafka.group_id | default "%"`,
		"$.shutdown.drain_timeout":          `dig "shutdown" "drain_timeout" "%"`,
		"$.kafka.session_timeout":           `"session_timeout" "%"`,
		"$.kafka.rebalance_timeout":         `"rebalance_timeout" "%"`,
		"$.destinations.taptalk.timeout":    `dig . "timeout" "%"`,
		"$.destinations.haptik.timeout":     `dig . "timeout" "%"`,
		"$.destinations.taptalk.rate_limit": `dig . "rate_limit" % $config`,
		"$.destinations.haptik.rate_limit":  `dig . "rate_limit" % $config`,
	} {
		query, err := yaml.PathString(path)
		if err != nil {
			t.Fatal(err)
		}
		node, err := query.ReadNode(bytes.NewReader(out))
		if err != nil {
			t.Fatal(err)
		}
		if want := strings.ReplaceAll(use, "%", node.String()); !strings.Contains(templates.String(), want) {
			t.Errorf("the default of %s is %s, and no template has %s", path, node, want)
		}
	}
}
