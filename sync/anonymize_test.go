package sync

import (
	"maps"
	"strings"
	"testing"
	"time"
)

var anonymized = MappingConfig{
	Fields: []Field{
		{Name: "id", Kind: ID, Required: true},
		{Name: "name", Kind: Text, Required: true, Max: 20},
		{Name: "phone", Kind: Phone},
		{Name: "language", Kind: Language},
		{Name: "custom", Kind: Object},
	},
	Expressions: map[string]any{"name": "name", "phone": "phone", "custom": map[string]any{"plan": "plan"}},
	Anonymize:   map[string]any{"name": `"user " + user_id`, "phone": `""`, "custom": map[string]any{"plan": `""`}},
}

// TestAnonymize: whatever null policy there is, nothing that was sent stays.
func TestAnonymize(t *testing.T) {
	for policy, want := range map[NullPolicy]string{
		NullEmpty: `{"id":"42","name":"user 42","phone":"","custom":{"plan":""}}`,
		NullOmit:  `{"id":"42","name":"user 42","phone":"","custom":{"plan":""}}`,
		NullNull:  `{"id":"42","name":"user 42","phone":null,"custom":{"plan":null}}`,
	} {
		c := anonymized
		c.OnNull = policy
		m := mustMap(t, c)
		p, omissions, err := m.Payload(&Change{User: "42", Op: Delete})
		if string(p.Body) != want || p.User != "42" || len(omissions) > 0 || err != nil {
			t.Errorf("%s: %s for %s, %v, %v; want %s", policy, p.Body, p.User, omissions, err, want)
		}
		if columns := strings.Join(m.Columns(), " "); columns != "name phone plan" {
			t.Errorf("a row is to be read with %s", columns)
		}
	}
	c := anonymized
	c.Anonymize = nil
	if p, _, err := mustMap(t, c).Payload(&Change{User: "42", Op: Delete}); p.Body != nil || err != nil {
		t.Errorf("%s, %v; a delete needs no call", p.Body, err)
	}
}

// TestAnonymizeIsComplete: what a delete would leave at the vendor is said at the start.
func TestAnonymizeIsComplete(t *testing.T) {
	for name, test := range map[string]struct {
		change map[string]any
		want   string
	}{
		"a field is left":    {map[string]any{"phone": nil}, `anonymize.phone: is mapped, so it needs a value to replace what was sent, such as '""'`},
		"an entry is left":   {map[string]any{"custom": map[string]any{"tier": `""`}}, `anonymize.custom.plan: is mapped, so it needs a value to replace what was sent, such as '""'`},
		"a column":           {map[string]any{"name": "user_id + name"}, "anonymize.name: reads name; a delete has no columns but user_id"},
		"no name":            {map[string]any{"name": `""`}, "anonymize.name: has no usable value: missing"},
		"no language":        {map[string]any{"language": `"xx"`}, "anonymize.language: is not a value that the destination could use"},
		"an unknown field":   {map[string]any{"nickname": `""`}, "anonymize.nickname: the destination has no such field"},
		"no expression":      {map[string]any{"name": 7}, "anonymize.name: must be an expression in text"},
		"the required field": {map[string]any{"name": nil}, "anonymize.name: is required and has no expression"},
	} {
		t.Run(name, func(t *testing.T) {
			c := anonymized
			c.Anonymize = maps.Clone(anonymized.Anonymize)
			maps.Copy(c.Anonymize, test.change)
			if _, err := NewMapping(c); err == nil || err.Error() != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

// TestAnonymizeInTheLane: a create that waits is not sent any more; a delete is retried
// and confirmed like any other call, and remembered for nobody to be compared with.
func TestAnonymizeInTheLane(t *testing.T) {
	w := newWorld()
	w.remember()
	w.anonymize = true
	w.write("u", "v1")
	w.write("u", nil)
	outcomes := []*CallError{down, timeout, nil}
	w.answer = func(*Call) reply {
		err := outcomes[0]
		outcomes = outcomes[1:]
		return reply{err: err, takes: 20 * time.Millisecond, applied: err == nil}
	}
	w.run(time.Hour)
	w.says(t, anonymous)
	if len(w.lane.control) > 0 {
		t.Error("a deleted user would be called again to compare others with")
	}
	w.answer = func(*Call) reply { return okay() }
	w.write("other", "bad")
	w.deliver(nil)
	if w.lane.unmapped.count != 1 {
		t.Error("a delete has shown that rows have payloads")
	}
	w.write("last", "v")
	w.run(time.Minute)
	w.history = w.history[:1]
	w.says(t, anonymous)
}
