package app

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A problemTest is a bad file: each thing that is wrong in it gets one line that
// names file, line and key, and says what to do.
type problemTest struct {
	name  string
	edits []string // of the example file
	want  []string // without the file
}

// What one key alone can have wrong.
var keyProblems = []problemTest{
	{
		"unknown key",
		[]string{"mechanism: \"\"", "mechanism: \"\"\n  sasl2: x"},
		[]string{`11: kafka.sasl2: unknown key; remove it, or use one of brokers, topics, group_id, start_from, dead_letter_topic, retry_topic, control_topic, state_topic, state_topic_create, session_timeout, rebalance_timeout, tls, sasl`},
	},
	{
		"unknown section",
		[]string{"retry:", "retries:"},
		[]string{`25: retries: unknown key; remove it, or use one of kafka, events, destinations, retry, dead_letters, shutdown, privacy, http, log`},
	},
	{
		"unknown destination",
		[]string{"  haptik:", "  hapttik:"},
		[]string{`21: destinations.hapttik: unknown key; remove it, or use one of taptalk, haptik`},
	},
	{
		"path as a key",
		[]string{"log:", "log.format: text\nlog:"},
		[]string{`33: log.format: unknown key; remove it, or use one of kafka, events, destinations, retry, dead_letters, shutdown, privacy, http, log`},
	},
	{
		"keys of a later release",
		[]string{"timeout: 10s", "deletes: remove"},
		[]string{`18: destinations.taptalk.deletes: must be one of skip, anonymize`},
	},
	{
		"duplicate key",
		[]string{"budget: 50", "budget: 50\n  budget: 51"},
		[]string{`29: dead_letters.budget: is already on line 28; remove one`},
	},
	{
		"duplicate section",
		[]string{"retry:", "events:\nretry:"},
		[]string{`25: events: is already on line 11; remove one`},
	},

	{
		"list for a value",
		[]string{"format: debezium", "format: [debezium]"},
		[]string{`12: events.format: must be a single value, not a list`},
	},
	{
		"value for a list",
		[]string{"[app.public.users]", "app.public.users"},
		[]string{`3: kafka.topics: must be a list like [a, b], not a single value`},
	},
	{
		"list of lists",
		[]string{"[app.public.users]", "[[app.public.users]]"},
		[]string{`3: kafka.topics: must be a list of single values, not a list`},
	},
	{
		"value for a section",
		[]string{"  level: info", "  info"},
		[]string{`34: log: must hold keys, not a single value`},
	},
	{
		"section for a value",
		[]string{"max_interval: 30s", "max_interval: {seconds: 30}"},
		[]string{`26: retry.max_interval: must be a single value, not keys`},
	},
	{
		"nothing for a value",
		[]string{"max_interval: 30s", "max_interval:"},
		[]string{`26: retry.max_interval: must be a single value, not nothing; give a value, or remove the key`},
	},
	{
		"anchor",
		[]string{"max_interval: 30s", "max_interval: &a 30s"},
		[]string{`26: retry.max_interval: must be a single value, not an anchor or alias; write the value out`},
	},
	{
		"tag",
		[]string{"max_interval: 30s", "max_interval: !!str 30s"},
		[]string{`26: retry.max_interval: must be a single value, not a tag; write the value in quotes`},
	},
	{
		"duration",
		[]string{"max_interval: 30s", "max_interval: 30"},
		[]string{`26: retry.max_interval: "30" is not a duration; write it like 200ms, 45s or 15m`},
	},
	{
		"duration of nothing",
		[]string{"max_interval: 30s", "max_interval: 0s"},
		[]string{`26: retry.max_interval: must be above 0; write it like 200ms, 45s or 15m`},
	},
	{
		"whole number",
		[]string{"budget: 50", "budget: 50.5"},
		[]string{`28: dead_letters.budget: "50.5" is not a whole number`},
	},
	{
		"number below its least",
		[]string{"budget: 50", "budget: -1\n  settle: -1s", "timeout: 10s", "concurrency: 0\n    rate_limit: -1"},
		[]string{
			`18: destinations.taptalk.concurrency: must be at least 1`,
			`19: destinations.taptalk.rate_limit: must be at least 0`,
			`29: dead_letters.budget: must be at least 0`,
			`30: dead_letters.settle: must not be negative`,
		},
	},
	{
		"not a number",
		[]string{"max_interval: 30s", "multiplier: .inf\n  randomization: NaN", "timeout: 10s", "rate_limit: many"},
		[]string{
			`18: destinations.taptalk.rate_limit: "many" is not a number`,
			`26: retry.multiplier: ".inf" is not a number`,
			`27: retry.randomization: "NaN" is not a number`,
		},
	},
	{
		"retry out of range",
		[]string{"max_interval: 30s", "multiplier: 0.5\n  randomization: 1.5\n  initial_interval: 31s"},
		[]string{
			`26: retry.multiplier: must be at least 1`, `27: retry.randomization: must be at most 1`,
			`28: retry.initial_interval: 31s must be at most retry.max_interval, 30s`,
		},
	},
	{
		"bytes",
		[]string{"timeout: 10s", "window_bytes: 64MB", "client_id: client", "client_id: client\n    window_bytes: 9223372036854775807KiB"},
		[]string{
			`18: destinations.taptalk.window_bytes: "64MB" is not a number of bytes; write it like 67108864 or 64MiB`,
			`24: destinations.haptik.window_bytes: "9223372036854775807KiB" is not a number of bytes; write it like 67108864 or 64MiB`,
		},
	},
	{
		"bool",
		[]string{"enabled: false", "enabled: no"},
		[]string{`8: kafka.tls.enabled: "no" must be true or false`},
	},
	{
		"enums",
		[]string{
			"format: debezium", "format: avro", "level: info", "level: loud\n  format: xml",
			"timeout: 10s", "on_null: keep\n    on_unavailable: stop", "client_id: client", "client_id: client\n    first_write: PUT",
		},
		[]string{
			`12: events.format: must be one of debezium, maxwell, json`,
			`18: destinations.taptalk.on_null: must be one of empty, null, omit`,
			`19: destinations.taptalk.on_unavailable: must be one of omit, fail`,
			`25: destinations.haptik.first_write: must be one of put, post`,
			`36: log.level: "loud" must be one of debug, info, warn, error`,
			`37: log.format: must be one of json, text`,
		},
	},
	{
		"addresses",
		[]string{"kafka-2:9092", "kafka-2", `listen: ":8080"`, "listen: 8080"},
		[]string{
			`2: kafka.brokers: item 2 is not host:port, with a port from 1 to 65535`,
			`32: http.listen: must be host:port or :port`,
		},
	},
	{
		"start",
		[]string{"session_timeout: 45s", "start_from: latest"},
		[]string{`5: kafka.start_from: "latest" must be earliest, or a time like 2026-01-31T00:00:00Z`},
	},
	{
		"names",
		[]string{"[app.public.users]", "[app public users]", "format: debezium", "tables: [users]", "timeout: 10s", "phone_region: Indonesia"},
		[]string{
			`3: kafka.topics: item 1 is not a topic name: letters, digits, dot, underscore and hyphen, at most 249 of them`,
			`12: events.tables: item 1 is not schema.table`,
			`18: destinations.taptalk.phone_region: must be two capital letters, such as ID`,
		},
	},
	{
		"twice in a list",
		[]string{"[app.public.users]", "[a, b, a]"},
		[]string{`3: kafka.topics: item 3 is the same as item 1; remove one`},
	},
	{
		"dead letters are read back",
		[]string{"dead_letter_topic: app.dead", "dead_letter_topic: app.public.users"},
		[]string{`4: kafka.dead_letter_topic: is one of kafka.topics; its records would be read as changes: name another topic`},
	},
	{
		"what is retried is read as a dead letter",
		[]string{"dead_letter_topic: app.dead", "dead_letter_topic: app.dead\n  retry_topic: app.dead"},
		[]string{`5: kafka.retry_topic: is one of kafka.topics, or kafka.dead_letter_topic; it must be a topic of its own: name another one`},
	},
	{
		"what operators say is read as a change",
		[]string{"dead_letter_topic: app.dead", "dead_letter_topic: app.dead\n  control_topic: app.public.users"},
		[]string{`5: kafka.control_topic: is one of kafka.topics, kafka.dead_letter_topic or kafka.retry_topic; it must be a topic of its own: name another one`},
	},
	{
		"what was delivered is read as a change, and by nobody again",
		[]string{"dead_letter_topic: app.dead", "dead_letter_topic: app.dead\n  state_topic: app.public.users"},
		[]string{
			`5: kafka.state_topic: is another topic of this file as well; it must be a topic of its own: name another one`,
			`5: kafka.state_topic: takes privacy.hash_key, for users are in it as keyed hashes that must be the same at each start; make one with: openssl rand -hex 32`,
		},
	},
	{
		"nothing to create",
		[]string{"dead_letter_topic: app.dead", "dead_letter_topic: app.dead\n  state_topic_create: true"},
		[]string{`5: kafka.state_topic_create: is given without kafka.state_topic; name the topic`},
	},
}

func TestProblems(t *testing.T) {
	for _, tt := range slices.Concat(keyProblems, fileProblems) {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := parse("c.yaml", good(t, tt.edits...), env("HAPTIK_TOKEN", "t0ken"))
			want := ""
			for i, w := range tt.want {
				want += strings.Repeat("\n", min(i, 1)) + "c.yaml:" + w
			}
			if got := fmt.Sprint(err); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}
