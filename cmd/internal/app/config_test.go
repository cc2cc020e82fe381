package app

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"usersync/sync/haptik"
	"usersync/sync/taptalk"
)

// env is an environment of its own for each test.
func env(pairs ...string) func(string) (string, bool) {
	m := make(map[string]string)
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return func(name string) (string, bool) {
		v, ok := m[name]
		return v, ok
	}
}

// good returns the example file after edits, pairs of what is there once and
// what stands there instead.
func good(t *testing.T, edits ...string) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/good.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s := string(data)
	for i := 0; i < len(edits); i += 2 {
		if strings.Count(s, edits[i]) != 1 {
			t.Fatalf("the example has %q %d times", edits[i], strings.Count(s, edits[i]))
		}
		s = strings.Replace(s, edits[i], edits[i+1], 1)
	}
	return []byte(s)
}

func load(t *testing.T, data []byte) (*Config, []Problem) {
	t.Helper()
	c, warnings, err := parse("c.yaml", data, env("HAPTIK_TOKEN", "t0ken", "N", "7", "EMPTY", ""))
	if err != nil {
		t.Fatal(err)
	}
	return c, warnings
}

func TestLoad(t *testing.T) {
	c, warnings := load(t, good(t,
		"session_timeout: 45s", "session_timeout: 30s\n  start_from: 2026-01-31T00:00:00Z\n  group_id: 0123",
		"level: info", "level: warn\n  format: text",
		"token: ${HAPTIK_TOKEN}", "token: pre-${HAPTIK_TOKEN}${EMPTY}${EMPTY:-+}${NONE:-}\n    concurrency: ${N}\n"+
			"    rate_limit: 0.5\n    window_bytes: 2MiB\n    on_null: omit\n    first_write: post\n    phone_region: ID",
		"budget: 50", "budget: 0\n  settle: 0s",
	))
	if len(warnings) != 0 {
		t.Errorf("warnings: %v", warnings)
	}
	want := defaults()
	want.Kafka.Brokers = []string{"kafka-1:9092", "kafka-2:9092"}
	want.Kafka.Topics = []string{"app.public.users"}
	want.Kafka.GroupID = "0123"
	want.Kafka.StartFrom = time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)
	want.Kafka.DeadLetterTopic = "app.dead"
	want.Kafka.SessionTimeout = 30 * time.Second
	want.TapTalk.BaseURL = "https://taptalk.example"
	want.TapTalk.ServerKeyID.Value = "id"
	want.TapTalk.ServerKeySecret.Value = "0123-hunter2"
	want.TapTalk.Mapping = maps.Clone(taptalk.DefaultMapping)
	want.TapTalk.Mapping["username"] = "username"
	want.Haptik.BaseURL = "https://haptik.example"
	want.Haptik.ClientID.Value = "client"
	want.Haptik.Token.Value = "pre-t0ken+"
	want.Haptik.Concurrency = 7
	want.Haptik.RateLimit = 0.5
	want.Haptik.WindowBytes = 2 << 20
	want.Haptik.OnNull = "omit"
	want.Haptik.FirstWrite = "post"
	want.Haptik.PhoneRegion = "ID"
	want.DeadLetters = DeadLetters{}
	want.Log = Log{Level: slog.LevelWarn, Format: "text"}
	if !reflect.DeepEqual(c, want) {
		// Secrets print as such, so name the parts and not the values.
		t.Errorf("got  %+v %+v %+v\nwant %+v %+v %+v", c, c.TapTalk, c.Haptik, want, want.TapTalk, want.Haptik)
	}
	if err := c.Validate(); err != nil {
		t.Errorf("what Load accepts, Validate refuses: %v", err)
	}
}

func TestNoDestination(t *testing.T) {
	for _, data := range []string{"destinations:\n", "destinations: {}\n", ""} {
		_, _, err := parse("c.yaml", []byte(data), env())
		if err == nil || !strings.Contains(err.Error(), "destinations: is required; give taptalk, haptik or both") {
			t.Errorf("%q: %v", data, err)
		}
	}
}

func TestOneDestination(t *testing.T) {
	data, _, _ := strings.Cut(string(good(t)), "  haptik:")
	c, _ := load(t, []byte(data))
	if c.TapTalk == nil || c.Haptik != nil {
		t.Errorf("taptalk %v, haptik %v", c.TapTalk, c.Haptik)
	}
}

// Comments, blank lines and other line ends change nothing, wherever they stand.
func TestComments(t *testing.T) {
	want, _ := load(t, good(t))
	commented := good(t, "brokers: [kafka-1:9092, kafka-2:9092]", "brokers: # two\n    # one\n    - kafka-1:9092 # x\n\n    - kafka-2:9092",
		"retry:\n  max_interval: 30s", "retry:\n  # max_interval: 30s", "mapping:", "mapping: # of fields\n      # one")
	for name, data := range map[string]string{
		"comments": "# top\n" + string(commented) + "# end\n",
		"CRLF":     strings.ReplaceAll(string(good(t)), "\n", "\r\n"),
		"BOM":      "\ufeff" + string(good(t)),
	} {
		if got, _ := load(t, []byte(data)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
}

func TestOnly(t *testing.T) {
	c, _ := load(t, good(t))
	if err := c.Only("crm"); err == nil {
		t.Error("a destination that is not configured was accepted")
	}
	if err := c.Only("haptik"); err != nil || c.TapTalk != nil || c.Haptik == nil {
		t.Errorf("only haptik: %v, taptalk %v, haptik %v", err, c.TapTalk, c.Haptik)
	}
	if err := c.Only("taptalk"); err == nil {
		t.Error("a destination that was left out came back")
	}
}

// What the file maps replaces the default of that field and no other; nothing
// leaves the field out, and nothing is expanded.
func TestMappingOverrides(t *testing.T) {
	c, _ := load(t, good(t, "username: username", "username: \"'${N}' + nick\"\n      email: null\n      phone: ''",
		"client_id: client", "client_id: client\n    mapping:\n      custom_data:\n        plan: plan"))
	want := maps.Clone(taptalk.DefaultMapping)
	want["username"] = "'${N}' + nick"
	delete(want, "email")
	delete(want, "phone")
	if !maps.Equal(c.TapTalk.Mapping, want) {
		t.Errorf("got  %v\nwant %v", c.TapTalk.Mapping, want)
	}
	want = maps.Clone(haptik.DefaultMapping)
	want["custom_data"] = map[string]any{"plan": "plan"}
	if !reflect.DeepEqual(c.Haptik.Mapping, want) {
		t.Errorf("got  %v\nwant %v", c.Haptik.Mapping, want)
	}
	if _, changed := haptik.DefaultMapping["custom_data"]; changed {
		t.Error("the default itself was changed")
	}
}

func TestLoopbackMayBeHTTP(t *testing.T) {
	for _, url := range []string{"http://localhost:1", "http://127.0.0.1:1", "http://[::1]:1/base"} {
		load(t, good(t, "https://taptalk.example", url))
	}
	load(t, good(t, "https://taptalk.example", "http://taptalk.example\n    allow_http: true"))
}

func TestLoadMissingFile(t *testing.T) {
	_, _, err := Load("testdata/none.yaml", env())
	if want := "testdata/none.yaml: cannot be read: no such file or directory"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// A variable is put into a value that was parsed already.
func TestVariableIsNotYAML(t *testing.T) {
	evil := "x\n  group_id: stolen ${HOME}"
	data := good(t, "retry:", "privacy:\n  hash_key: ${KEY}\nretry:")
	c, _, err := parse("c.yaml", data, env("HAPTIK_TOKEN", "t0ken", "KEY", evil, "HOME", "h"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Privacy.HashKey.Value != evil || c.Kafka.GroupID != "usersync" {
		t.Error("a variable's value was read as YAML or expanded again")
	}
}

// Whatever is wrong, neither a credential nor a variable shows up in the text.
func TestProblemsKeepSecrets(t *testing.T) {
	data := good(t,
		"max_interval: 30s", "max_interval: ${HAPTIK_TOKEN}",
		"format: debezium", "format: ${HAPTIK_TOKEN}",
		"[app.public.users]", `["${HAPTIK_TOKEN} "]`,
		"https://haptik.example", "https://u:${HAPTIK_TOKEN}@h",
		`server_key_secret: "0123-hunter2"`, "server_key_secret: [hunter2]\n    server_key_id_file: ${HAPTIK_TOKEN}",
	)
	_, _, err := parse("c.yaml", data, env("HAPTIK_TOKEN", "t0ken"))
	if err == nil || strings.Count(err.Error(), "\n") != 5 {
		t.Fatalf("not six problems: %v", err)
	}
	for _, secret := range []string{"t0ken", "hunter2"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%s is in:\n%v", secret, err)
		}
	}
	c, _ := load(t, good(t))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		text := fmt.Sprintf(verb+verb, *c.TapTalk, *c.Haptik)
		if strings.Contains(text, "t0ken") || strings.Contains(text, "hunter2") {
			t.Errorf("%s prints a secret", verb)
		}
	}
}

// What is printed as the defaults is a configuration: with the required keys
// filled in it loads, and is the defaults.
func TestPrintDefaults(t *testing.T) {
	var b bytes.Buffer
	if err := PrintDefaults(&b); err != nil {
		t.Fatal(err)
	}
	required := map[string]string{
		"brokers": "[b:1]", "topics": "[t]", "dead_letter_topic": "d", "base_url": "https://h",
		"server_key_id": "i", "server_key_secret": "s", "client_id": "c", "token": "t",
	}
	var lines []string
	marked := false
	for line := range strings.Lines(b.String()) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), ":")
		value, known := required[name]
		if known != marked {
			t.Errorf("%q: required %t, marked %t", line, known, marked)
		}
		if marked {
			before, _, _ := strings.Cut(line, ":")
			line = before + ": " + value + "\n"
		}
		marked = strings.Contains(line, "# required: ")
		lines = append(lines, line)
	}
	got, _ := load(t, []byte(strings.Join(lines, "")))
	want := defaults()
	want.Kafka.Brokers, want.Kafka.Topics, want.Kafka.DeadLetterTopic = []string{"b:1"}, []string{"t"}, "d"
	want.Events.Tables = []string{}
	want.TapTalk.BaseURL, want.Haptik.BaseURL = "https://h", "https://h"
	want.TapTalk.ServerKeyID.Value, want.TapTalk.ServerKeySecret.Value = "i", "s"
	want.Haptik.ClientID.Value, want.Haptik.Token.Value = "c", "t"
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v %+v %+v\nwant %+v %+v %+v", got, got.TapTalk, got.Haptik, want, want.TapTalk, want.Haptik)
	}
}

// Whatever the file holds, Load returns: a configuration that Validate accepts,
// or an error.
func FuzzParse(f *testing.F) {
	data, err := os.ReadFile("testdata/good.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("kafka: {brokers: [\"${A}\", 1, ~], tls: *x}\nkafka: &x [!!str 1]\n"))
	f.Add([]byte("? [a]\n: b\n--- |\n x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, _, err := parse("c.yaml", data, env("HAPTIK_TOKEN", "t0ken"))
		if err == nil {
			err = c.Validate()
		}
		if c != nil && err != nil {
			t.Errorf("loaded, but not valid: %v", err)
		}
	})
}
