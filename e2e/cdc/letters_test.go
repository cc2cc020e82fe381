package cdc_test

import (
	"encoding/json"
	"fmt"
	"strings"
)

// checkLetters compares the dead letters of each reader with the users that could not
// be sent.
func (w *world) checkLetters() {
	w.t.Helper()
	for _, r := range w.readers {
		letters, err := w.p.Kafka.Read(w.t.Context(), r.letters(), 0)
		if err != nil {
			w.t.Fatal(err)
		}
		got := map[string]bool{}
		for _, l := range letters {
			headers := map[string]string{}
			for _, h := range l.Headers {
				headers[h.Key] = string(h.Value)
			}
			got[headers["usersync.destination"]+" "+idOf(l.Key)] = true
			if reason := headers["usersync.reason"]; reason != "invalid_payload" {
				w.t.Errorf("%s: user %q has a dead letter, %s %s: %s", w.cases[idOf(l.Key)], idOf(l.Key), r.name, reason, headers["usersync.error"])
			}
		}
		for letter := range got {
			if _, id, _ := strings.Cut(letter, " "); !w.letters[letter] {
				w.t.Errorf("%s: %s has a dead letter of %s", w.cases[id], r.name, letter)
			}
		}
		for letter := range w.letters {
			if _, id, _ := strings.Cut(letter, " "); !got[letter] {
				w.t.Errorf("%s: %s has no dead letter of %s", w.cases[id], r.name, letter)
			}
		}
	}
}

// idOf returns the user of a key, with or without schema.
func idOf(key []byte) string {
	var k struct {
		ID      any
		Payload *struct{ ID any }
	}
	d := json.NewDecoder(strings.NewReader(string(key)))
	d.UseNumber()
	if d.Decode(&k) != nil {
		return ""
	}
	if k.Payload != nil {
		return fmt.Sprint(k.Payload.ID)
	}
	return fmt.Sprint(k.ID)
}
