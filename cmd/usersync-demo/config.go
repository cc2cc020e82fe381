package main

import (
	"fmt"
	"os"
	"strings"
)

// setting is one that the demo scales down, since nobody watches for an hour.
type setting struct{ key, demo, production string }

// scaled is what differs from the defaults. The rate limit is off so that the
// picture is about the rest.
var scaled = []setting{
	{"retry.confirm_after", "5s", "1m"},
	{"retry.max_interval", "2s", "30s"},
	{"retry.give_up_after", "10s", "15m"},
	{"dead_letters.settle", "2s", "10s"},
	{"kafka.session_timeout", "6s", "45s"},
	{"kafka.rebalance_timeout", "8s", "1m"},
	{"shutdown.drain_timeout", "4s", "20s"},
	{"timeout", "2s", "10s"},
	{"rate_limit", "0", "20"},
	{"concurrency", "64", "16"},
}

// asDemo returns what the demo sets a key to.
func asDemo(key string) string {
	for _, s := range scaled {
		if s.key == key {
			return s.demo
		}
	}
	return ""
}

// writeConfig writes the file that the worker is started with: a real one.
func writeConfig(path string, k *kafka, vendors []*vendor) error {
	var b strings.Builder
	fmt.Fprintf(&b, `kafka:
  brokers: [%s]
  topics: [%s]
  dead_letter_topic: %s
  group_id: %s
  session_timeout: %s
  rebalance_timeout: %s
destinations:
`, strings.Join(k.brokers, ", "), k.users, k.dead, k.group, asDemo("kafka.session_timeout"), asDemo("kafka.rebalance_timeout"))
	for _, v := range vendors {
		id, secret := "server_key_id", "server_key_secret_file"
		if v.destination == "haptik" {
			id, secret = "client_id", "token_file"
		}
		fmt.Fprintf(&b, "  %s: {base_url: %q, %s: demo, %s: %q, timeout: %s, rate_limit: %s, concurrency: %s}\n",
			v.destination, v.url, id, secret, v.keyFile, asDemo("timeout"), asDemo("rate_limit"), asDemo("concurrency"))
	}
	fmt.Fprintf(&b, `retry: {confirm_after: %s, max_interval: %s, give_up_after: %s}
dead_letters: {settle: %s}
shutdown: {drain_timeout: %s}
http: {listen: "127.0.0.1:0"}
`, asDemo("retry.confirm_after"), asDemo("retry.max_interval"), asDemo("retry.give_up_after"),
		asDemo("dead_letters.settle"), asDemo("shutdown.drain_timeout"))
	return os.WriteFile(path, []byte(b.String()), 0o600)
}
