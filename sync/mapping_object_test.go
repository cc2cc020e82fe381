package sync

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// objectPayload maps columns to entries of the same name, and returns the object.
func objectPayload(t *testing.T, policy NullPolicy, row map[string]any) (string, []Omission) {
	t.Helper()
	entries := map[string]any{}
	for name := range row {
		entries[name] = name
	}
	m := mustMap(t, MappingConfig{
		Fields:      []Field{{Name: "custom", Kind: Object}},
		Expressions: map[string]any{"custom": entries},
		OnNull:      policy,
	})
	return payload(t, m, row)
}

func TestObject(t *testing.T) {
	type object = map[string]any
	deep := any("bottom")
	for range 100 {
		deep = object{"d": deep}
	}
	tests := []struct {
		name string
		row  object
		want string
		left []Omission
	}{
		{"scalars", object{"b": true, "a": int64(1), "c": " x\ty "}, `{"a":"1","b":"true","c":"x y"}`, nil},
		{"a nested map", object{"a": object{"b": object{"c": "x"}, "d": "y"}}, `{"a_b_c":"x","a_d":"y"}`, nil},
		{"an array of scalars", object{"a": []any{"x", nil, int64(2), " "}}, `{"a":"x,2"}`, nil},
		{"an array of objects", object{"a": []any{object{"b": 1}}}, `{"a":""}`, []Omission{{"custom.a", "invalid"}}},
		{"an empty array", object{"a": []any{}}, `{"a":""}`, []Omission{{"custom.a", "null"}}},
		{"an empty map", object{"a": object{}}, `{}`, nil},
		{"NULL", object{"a": nil, "b": "x"}, `{"a":"","b":"x"}`, []Omission{{"custom.a", "null"}}},
		{"a bad key", object{"a": object{"b-c": "x", "d": "y"}}, `{"a_d":"y"}`, []Omission{{"custom.a", "invalid"}}},
		{"a bad key and NULL", object{"a": object{"b-c": "x", "d": nil}}, `{"a_d":""}`, []Omission{{"custom.a", "invalid"}}},
		{"a configured name wins", object{"a": object{"b": "member"}, "a_b": "own"}, `{"a_b":"own"}`, []Omission{{"custom.a", "invalid"}}},
		{"the first member wins", object{"a": object{"b": object{"c": "1"}, "b_c": "2"}}, `{"a_b_c":"1"}`, []Omission{{"custom.a", "invalid"}}},
		{"too deep", object{"a": deep, "b": "x"}, `{"b":"x"}`, []Omission{{"custom.a", "invalid"}}},
		{"a long value", object{"a": strings.Repeat("ü", 600)}, `{"a":"` + strings.Repeat("ü", 500) + `"}`, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, left := objectPayload(t, NullEmpty, test.row)
			if want := `{"custom":` + test.want + `}`; got != want || !reflect.DeepEqual(left, test.left) {
				t.Errorf("got  %s %v\nwant %s %v", got, left, want, test.left)
			}
		})
	}
}

func TestObjectWithNothingInIt(t *testing.T) {
	for policy, want := range map[NullPolicy]string{
		NullEmpty: `{"custom":{"a":""}}`, NullNull: `{"custom":{"a":null}}`, NullOmit: `{}`,
	} {
		if got, _ := objectPayload(t, policy, map[string]any{"a": nil}); got != want {
			t.Errorf("%s: NULL gives %s, want %s", policy, got, want)
		}
	}
	for policy, want := range map[NullPolicy]string{
		NullEmpty: `{"custom":{}}`, NullNull: `{"custom":null}`, NullOmit: `{}`,
	} {
		if got, _ := objectPayload(t, policy, map[string]any{"a": map[string]any{}}); got != want {
			t.Errorf("%s: an empty map gives %s, want %s", policy, got, want)
		}
	}
}

func TestObjectBounds(t *testing.T) {
	many, large := map[string]any{}, map[string]any{}
	for i := range 60 {
		many[fmt.Sprintf("k%02d", i)] = "x"
		large[fmt.Sprintf("k%02d", i)] = strings.Repeat("x", 490)
	}
	for name, test := range map[string]struct {
		members map[string]any
		want    int
	}{
		"50 members": {many, 50},
		"8 KiB":      {large, 16},
	} {
		got, left := objectPayload(t, NullEmpty, map[string]any{"a": test.members})
		var body struct{ Custom json.RawMessage }
		var members map[string]string
		if err := json.Unmarshal([]byte(got), &body); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(body.Custom, &members); err != nil {
			t.Fatal(err)
		}
		if len(members) != test.want || len(body.Custom) > maxObjectBytes {
			t.Errorf("%s: %d members in %d bytes", name, len(members), len(body.Custom))
		}
		if !reflect.DeepEqual(left, []Omission{{"custom", "invalid"}}) {
			t.Errorf("%s: omissions %v", name, left)
		}
	}

	entries := map[string]any{}
	for i := range 51 {
		entries[fmt.Sprintf("k%d", i)] = "x"
	}
	_, err := NewMapping(MappingConfig{
		Fields:      []Field{{Name: "custom", Kind: Object}},
		Expressions: map[string]any{"custom": entries},
	})
	if err == nil || !strings.Contains(err.Error(), "custom: has more than 50 entries") {
		t.Errorf("51 entries: %v", err)
	}
}
