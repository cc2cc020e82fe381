package consumer

import (
	"bytes"
	"testing"

	"usersync/consumer/event"
	usync "usersync/sync"
)

// TestRowHash: a row's hash depends on all that decides which payload comes of it, and on
// whether the same payload counts for another one. It says nothing to who has no key.
func TestRowHash(t *testing.T) {
	columns := func(a any) usync.Columns { return usync.ColumnsOf(map[string]any{"a": a}) }
	cfg := StateConfig{Key: []byte("key"), BaseURL: "https://a", Epoch: "1", Program: "p"}
	one := newRowHash(cfg, "sends")
	want := one.of("1", columns("b"))
	if want == (usync.RowHash{}) || newRowHash(cfg, "sends").of("1", columns("b")) != want || one.of("1", columns("b")) != want {
		t.Errorf("%x is not what the same row has again", want)
	}
	for name, edit := range map[string]func(c *StateConfig, sends *string){
		"key":         func(c *StateConfig, _ *string) { c.Key = []byte("other") },
		"base URL":    func(c *StateConfig, _ *string) { c.BaseURL = "https://b" },
		"state_epoch": func(c *StateConfig, _ *string) { c.Epoch = "2" },
		"program":     func(c *StateConfig, _ *string) { c.Program = "q" },
		"mapping":     func(_ *StateConfig, sends *string) { *sends = "other" },
		"split":       func(c *StateConfig, sends *string) { c.Program, *sends = "sp", "send" },
	} {
		c, sends := cfg, "sends"
		edit(&c, &sends)
		if newRowHash(c, sends).of("1", columns("b")) == want {
			t.Errorf("another %s gives the same hash", name)
		}
	}
	if one.of("2", columns("b")) == want || one.of("1", columns("c")) == want {
		t.Error("another row has the same hash")
	}
	if got := newRowHash(cfg, "").of("1", usync.Columns{}); got != (usync.RowHash{}) {
		t.Errorf("%x, and nobody knows by which mapping", got)
	}
	if got := newRowHash(StateConfig{Key: cfg.Key}, "sends").of("1", usync.Columns{}); got != (usync.RowHash{}) {
		t.Errorf("%x, and nobody knows by which program", got)
	}
	if got := one.of("1", columns(1.5)); got != (usync.RowHash{}) || one.of("1", columns("b")) != want {
		t.Errorf("%x of a row that cannot be told from another", got)
	}
}

// TestRowIsPassedOver: an earlier version of the program reads the value, which says
// nothing of the row, and whoever finds another header than was written knows no row.
func TestRowIsPassedOver(t *testing.T) {
	r := stateRecord{epoch: 3, version: usync.Version{Status: usync.Held, Offset: 300}}
	before := r.value()
	if len(r.headers()) > 0 {
		t.Errorf("%v says something of a row that is not known", r.headers())
	}
	r.version.Row = usync.RowHash{1, 2}
	if !bytes.Equal(r.value(), before) {
		t.Errorf("%x, and an earlier version would read %x", r.value(), before)
	}
	for name, headers := range map[string][]event.Header{
		"none":         nil,
		"another one":  {{Key: "other", Value: r.version.Row[:]}},
		"a shorter":    {{Key: rowHeader, Value: r.version.Row[:7]}},
		"a longer one": {{Key: rowHeader, Value: append(r.version.Row[:], 0)}},
	} {
		got, _, err := parseState("p/", r.key("p/"), r.value())
		if got.parseHeaders(headers); err != nil || got.version.Row != (usync.RowHash{}) || got.version.Status != usync.Held {
			t.Errorf("%s: %+v, %v", name, got.version, err)
		}
	}
	if r.gone = true; len(r.headers()) > 0 {
		t.Error("a tombstone says something of a row")
	}
}
