package event

import (
	"encoding/base64"
	"fmt"
	"reflect"
	"strings"
	"testing"

	usync "usersync/sync"
)

func TestUnavailable(t *testing.T) {
	b64 := base64.StdEncoding.EncodeToString([]byte(marker))
	var ints, floats, decimals, scaled, bools []string
	for _, b := range []byte(marker) {
		one := base64.StdEncoding.EncodeToString([]byte{b})
		ints = append(ints, fmt.Sprint(b))
		floats = append(floats, fmt.Sprintf("%d.0", b))
		decimals = append(decimals, `"`+one+`"`)
		scaled = append(scaled, `{"scale":0,"value":"`+one+`"}`)
		bools = append(bools, "true")
	}
	array := func(elements []string) string { return "[" + strings.Join(elements, ",") + "]" }
	unavailable := map[string]string{
		"text":           `"` + marker + `"`,
		"escaped":        `"\u005f` + marker[1:] + `"`,
		"bytes":          `"` + b64 + `"`,
		"bytes in hex":   fmt.Sprintf(`"%x"`, marker),
		"hstore":         `{"` + marker + `":"` + marker + `"}`,
		"hstore as JSON": `"{\"` + marker + `\":\"` + marker + `\"}"`,
		"text[]":         `["` + marker + `"]`,
		"bytea[]":        `["` + b64 + `"]`,
		"uuid[]":         `["` + nameUUID([]byte(marker)) + `"]`,
		"among others":   `["x",null,"` + marker + `"]`,
		"nested":         `{"a":[{"b":"` + marker + `"}]}`,
		"int[]":          array(ints),
		"double[]":       array(floats),
		"numeric[]":      array(decimals),
		"numeric[] 2":    array(scaled),
		"boolean[]":      array(bools),
	}
	d := mustNew(t, Config{Format: "json", UserID: "id", Placeholder: marker, Columns: []string{"v"}})
	decode := func(t *testing.T, v string) any {
		t.Helper()
		e, err := d.Decode(&Record{Key: []byte(`1`), Value: []byte(`{"id":1,"v":` + v + `}`)})
		if err != nil {
			t.Fatal(err)
		}
		return column(e, "v")
	}
	for name, v := range unavailable {
		if got := decode(t, v); got != (usync.Unavailable{}) {
			t.Errorf("%s: got %v", name, got)
		}
	}
	for name, v := range map[string]string{
		"longer text": `"` + marker + `s"`,
		"other bytes": array(append(ints[1:len(ints):len(ints)], "0")),
		"fewer bytes": array(ints[1:]),
		"mixed bools": array(append([]string{"false"}, bools[1:]...)),
		"nothing":     `[]`,
		"blank":       `""`,
	} {
		if got := decode(t, v); got == (usync.Unavailable{}) {
			t.Errorf("%s was taken for the placeholder", name)
		}
	}
}

func column(e Event, name string) any {
	v, _ := e.Change.Columns.Get(name)
	return v
}

// The wanted value is the MD5 of hello, 5d41402abc4b2a76b9719d911017c592, with
// version and variant put in as RFC 9562 says.
func TestNameUUID(t *testing.T) {
	if got := nameUUID([]byte("hello")); got != "5d41402a-bc4b-3a76-b971-9d911017c592" {
		t.Errorf("got %s", got)
	}
}

func TestPlaceholderInHex(t *testing.T) {
	d := mustNew(t, Config{Format: "json", UserID: "id", Placeholder: "hex:6162", Columns: []string{"v"}})
	e, err := d.Decode(&Record{Key: []byte(`1`), Value: []byte(`{"id":1,"v":"ab"}`)})
	if err != nil || column(e, "v") != (usync.Unavailable{}) {
		t.Errorf("got %v, %v", e.Change.Columns, err)
	}
}

func TestValueFromBefore(t *testing.T) {
	const unknown = `"` + marker + `"`
	tests := []struct {
		name, op, before, after string
		want                    any
	}{
		{"real", "u", `"long"`, unknown, "long"},
		{"after is known", "u", `"old"`, `"new"`, "new"},
		{"after is null", "u", `"old"`, `null`, nil},
		{"null", "u", `null`, unknown, usync.Unavailable{}},
		{"blank", "u", `" "`, unknown, usync.Unavailable{}},
		{"empty array", "u", `[]`, unknown, usync.Unavailable{}},
		{"unavailable too", "u", unknown, unknown, usync.Unavailable{}},
		{"not an update", "c", `"long"`, unknown, usync.Unavailable{}},
	}
	d := mustNew(t, Config{Format: "debezium", UserID: "id", Placeholder: marker, Columns: []string{"v"}})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			value := fmt.Sprintf(`{"op":%q,"before":{"id":1,"v":%s},"after":{"id":1,"v":%s}}`, tt.op, tt.before, tt.after)
			e, err := d.Decode(&Record{Key: []byte(`{"id":1}`), Value: []byte(value)})
			if err != nil || !reflect.DeepEqual(column(e, "v"), tt.want) {
				t.Errorf("got %v, %v; want %v", e.Change.Columns, err, tt.want)
			}
		})
	}
	// A column that after does not have was dropped, whatever before says.
	e, err := d.Decode(&Record{Key: []byte(`{"id":1}`), Value: []byte(`{"op":"u","before":{"v":"x"},"after":{"id":1}}`)})
	if err != nil || column(e, "v") != (usync.Unavailable{NoColumn: true}) {
		t.Errorf("dropped column: got %v, %v", e.Change.Columns, err)
	}
}
