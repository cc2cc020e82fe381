package event

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzRead holds the reading of JSON against encoding/json: what is JSON, why
// something else is not, which members the objects have, and what they hold.
func FuzzRead(f *testing.F) {
	nested := func(n int) string { return strings.Repeat(`{"a":[`, n/2) + strings.Repeat("]}", n/2) }
	for _, seed := range []string{
		`{"a":[1,-2.50,{"b":"\"\\"}],"\u0061":null}`, `[[],{},"",[ ],{ }]`, ` {"x" : true , "y":[false ,1e5]} `,
		`"\ud800"`, `-0`, `18446744073709551615`, `{"a":{"a":{"a":{"a":{"a":1}}}},"b":{"a":{}},"a":{"c":{"a":2}}}`,
		`01`, `1.`, `.5`, `-`, `+1`, `1e`, `1e+`, `0x1`, `1E-07`, `tru`, `nulll`, `falsee`, `NaN`, `'a'`,
		`{`, `[`, `"`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{,}`, `{a:1}`, `{"a" 1}`, `{"a":1 "b":2}`, `{1:2}`, `[1,]`, `[,1]`, `[1 2]`, `]`, `{]`, `[}`,
		`"\`, `"\"`, `"\u12`, `"\u12g4"`, `"\x"`, `"12345678\u00e9abcdefgh\n"`, "\"1234567\n\"", "\"123456789\x1f\"", "\"\x7f\"", "\x00", "[\x00]",
		"\"\xff\"", "\"12345678\xc3\"", `"` + "\u00e9\u65e5\U0001f600" + `"`, "\xef\xbb\xbf{}", "\u00a01", "\f1", "\v1",
		nested(64), nested(66), nested(66) + "x", nested(66)[:100], `{"a":1}{"b":2}`, "1 \t\r\n", " ",
		strings.Repeat(`"`, 3) + nested(66), "\xff" + nested(66),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		o := outline{levels: recordLevels}
		v, err := o.read(b, inValue)
		if got, want := codeOf(err), faultOf(b); got != want {
			t.Fatalf("got error %q, want %q", got, want)
		}
		if err != nil {
			return
		}
		dec := json.NewDecoder(bytes.NewReader(b))
		dec.UseNumber()
		var want any
		if err := dec.Decode(&want); err != nil {
			t.Fatal(err)
		}
		want = numbersOf(want)
		if got, ok := decodeValue(v.json, nil); !ok || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %#v, want %#v", got, want)
		}
		checkMembers(t, v, want, 1)
	})
}

// faultOf returns the error of reading b, as the standard library sees it.
func faultOf(b []byte) string {
	switch {
	case len(b) == 0:
		return "empty value"
	case b[0] == 0:
		return "not_json value"
	case !utf8.Valid(b):
		return "invalid_utf8 value"
	case json.Valid(b) && depthOf(b) <= 64:
		return ""
	case json.Valid(b) || deep(b):
		return "too_deep value"
	}
	return "bad_json value"
}

func depthOf(b []byte) (deepest int) {
	dec := json.NewDecoder(bytes.NewReader(b))
	for depth := 0; ; {
		token, err := dec.Token()
		if err != nil {
			return deepest
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
			deepest = max(deepest, depth)
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
}

// checkMembers compares what is found in an outline by name, level by level.
func checkMembers(t *testing.T, v value, want any, level int) {
	t.Helper()
	members, isObject := want.(map[string]any)
	if v.isObject() != isObject {
		t.Fatalf("%s is an object: %t", v.json, v.isObject())
	}
	if !isObject || level > recordLevels {
		return
	}
	if v.object.has("no such name") {
		t.Fatal("found what is not there")
	}
	for name, want := range members {
		m := v.object.find(name)
		if m.json == nil {
			t.Fatalf("%q is not found", name)
		}
		if got, ok := decodeValue(m.json, nil); !ok || !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: got %#v, want %#v", name, got, want)
		}
		checkMembers(t, m, want, level+1)
	}
}

func numbersOf(v any) any {
	switch v := v.(type) {
	case json.Number:
		return number([]byte(v))
	case []any:
		for i := range v {
			v[i] = numbersOf(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = numbersOf(v[k])
		}
	}
	return v
}
