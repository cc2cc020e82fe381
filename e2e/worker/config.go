package worker

import (
	"encoding/json"
	"maps"
	"strings"
)

// Config holds the keys of a configuration file by their full names, such as
// "kafka.session_timeout".
type Config map[string]any

// defaults let a test see within seconds what the product's own defaults spread
// over minutes. They keep the order that the time limits must have.
func defaults() Config {
	c := Config{
		"kafka.topics":            []string{"users"},
		"kafka.dead_letter_topic": "dead",
		"kafka.session_timeout":   "6s",
		"kafka.rebalance_timeout": "10s",
		"shutdown.drain_timeout":  "5s",
		"retry.confirm_after":     "5s",
		"dead_letters.settle":     "200ms",
		"http.listen":             "127.0.0.1:0",
		"privacy.hash_key":        hashKey,

		"destinations.taptalk.server_key_id":     "key",
		"destinations.taptalk.server_key_secret": "key-secret",
		"destinations.haptik.client_id":          "client",
		"destinations.haptik.token":              "token-secret",
	}
	for _, destination := range Destinations {
		c["destinations."+destination+".timeout"] = "3s"
		c["destinations."+destination+".rate_limit"] = 0
	}
	return c
}

// OneAddress has all workers call each vendor at the same address, as a deployment does:
// what was delivered to another one is not known to be held. The vendors then don't know
// which worker called.
func (d *Deployment) OneAddress() {
	for destination, url := range d.Vendors.URLs("everybody") {
		d.Config["destinations."+destination+".base_url"] = url
	}
}

// Patient leaves the time limits at the product's own defaults. Where nobody is killed
// they cost no time, and a machine that is busy for seconds does not look like a vendor
// that is.
func (d *Deployment) Patient() {
	for _, key := range []string{"kafka.session_timeout", "kafka.rebalance_timeout", "shutdown.drain_timeout", "retry.confirm_after"} {
		d.Config[key] = nil
	}
	for _, destination := range Destinations {
		d.Config["destinations."+destination+".timeout"] = nil
	}
}

// File returns the configuration file of a worker that finds the vendors at urls, by
// destination: the harness's defaults, over them d's configuration, and over that
// more.
func (d *Deployment) File(urls map[string]string, more Config) ([]byte, error) {
	c := defaults()
	c["kafka.brokers"] = d.Broker.Addrs()
	for destination, url := range urls {
		c["destinations."+destination+".base_url"] = url
	}
	maps.Copy(c, d.Config)
	maps.Copy(c, more)
	maps.DeleteFunc(c, func(_ string, value any) bool { return value == nil })
	return c.file()
}

// file returns c as a configuration file. JSON is YAML.
func (c Config) file() ([]byte, error) {
	root := map[string]any{}
	for key, value := range c {
		section := root
		parts := strings.Split(key, ".")
		for _, name := range parts[:len(parts)-1] {
			if section[name] == nil {
				section[name] = map[string]any{}
			}
			section = section[name].(map[string]any)
		}
		section[parts[len(parts)-1]] = value
	}
	return json.MarshalIndent(root, "", "  ")
}
