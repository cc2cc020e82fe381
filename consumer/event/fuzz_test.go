package event

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	usync "usersync/sync"
)

// boundedCodes are the codes that docs/events.md lists.
var boundedCodes = map[string]bool{
	"empty": true, "not_json": true, "bad_json": true, "not_object": true, "invalid_utf8": true,
	"too_deep": true, "bad_schema": true, "unknown_op": true, "no_row": true, "null_key": true,
	"no_user_id": true, "bad_user_id": true, "key_mismatch": true, "bad_column": true,
}

// FuzzDecode gives the same record to a decoder of each format. Whatever it is,
// none may panic, call it anything unbounded, or find a user without a name.
func FuzzDecode(f *testing.F) {
	for _, fixtures := range loadFixtures(f) {
		for i := 0; i < len(fixtures); i += 7 {
			r := fixtures[i].record(f)
			f.Add(r.Key, r.Value, r.Key == nil, r.Value == nil)
		}
	}
	for _, seed := range [][2]string{
		{`{"database":"app","table":"users","pk.id":1}`, `{"database":"app","table":"users","type":"update","ts":1,"data":{"id":1,"name":"a"},"old":{}}`},
		{`["app","users",[{"id":1}]]`, `{"type":"delete","data":{}}`},
		{`user-1`, `{"id":"user-1","name":["` + marker + `"]}`},
		{`{"id":1}`, withSchema(`"name":"io.debezium.data.VariableScaleDecimal"`, `{"scale":9,"value":"AQ=="}`)},
		{`{"id":10}`, withSchema(`"name":"io.debezium.time.MicroTime"`, `-9223372036854775808`)},
		{"\x00\x00\x00\x00\x01\x02", "\x00\x00\x00\x00\x01\x02"},
	} {
		f.Add([]byte(seed[0]), []byte(seed[1]), false, false)
	}
	var decoders []*Decoder
	for _, format := range []string{"debezium", "maxwell", "json"} {
		decoders = append(decoders, mustNew(f, Config{Format: format, UserID: "id", Placeholder: marker, Columns: []string{"name", "full_name", "bio", "n", "big", "arr"}}))
	}
	f.Fuzz(func(t *testing.T, key, value []byte, nullKey, nullValue bool) {
		r := &Record{Key: key, Value: value}
		if nullKey {
			r.Key = nil
		}
		if nullValue {
			r.Value = nil
		}
		for _, d := range decoders {
			e, err := d.Decode(r)
			checkEvent(t, e, err)
			if again, err2 := d.Decode(r); !reflect.DeepEqual(e, again) || codeOf(err) != codeOf(err2) {
				t.Fatalf("decoded twice: %#v and %#v, %v and %v", e, again, err, err2)
			}
		}
	})
}

func checkEvent(t *testing.T, e Event, err error) {
	t.Helper()
	if err != nil {
		code, field, _ := strings.Cut(codeOf(err), " ")
		if !boundedCodes[code] || len(field) > 9 {
			t.Fatalf("error %q in field %q", code, field)
		}
		return
	}
	if e.Skip != "" {
		if !reflect.DeepEqual(e.Change, usync.Change{}) {
			t.Fatalf("skipped, with a change: %#v", e)
		}
		return
	}
	c := e.Change
	if strings.TrimSpace(c.User) == "" || !utf8.ValidString(c.User) {
		t.Fatalf("user %q", c.User)
	}
	switch c.Op {
	case usync.Delete:
		if c.Columns != nil {
			t.Fatalf("a delete with columns: %v", c.Columns)
		}
	case usync.Upsert:
		if len(c.Columns) != 6 {
			t.Fatalf("columns %v", c.Columns)
		}
	default:
		t.Fatalf("op %d", c.Op)
	}
}

// FuzzValue holds the cutting of JSON against encoding/json.
func FuzzValue(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,-2.50,{"b":"\"\\"}],"\u0061":null}`, `[[],{},"",[ ],{ }]`, ` {"x" : true , "y":[false ,1e5]} `,
		`"\ud800"`, `-0`, `18446744073709551615`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if check(b, inValue) != nil {
			return
		}
		dec := json.NewDecoder(bytes.NewReader(b))
		dec.UseNumber()
		var want any
		if err := dec.Decode(&want); err != nil {
			t.Fatal(err)
		}
		got, ok := decodeValue(bytes.TrimSpace(b), nil)
		if want = numbersOf(want); !ok || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %#v, want %#v", got, want)
		}
	})
}

func numbersOf(v any) any {
	switch v := v.(type) {
	case json.Number:
		return number(v.String())
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

func BenchmarkDecode(b *testing.B) {
	const id = `{"id":10}`
	row := `{"id":10,"full_name":"Grace Hopper","email":"grace@example.test","phone":"+15550110","username":"grace","avatar_url":"https://cdn.example.test/a/10.png","role":"member","language":"en","bio":null,"updated_at":"2026-03-01T00:00:00.000000Z"}`
	records := map[string]*Record{
		"json":    {Key: []byte(id), Value: []byte(row)},
		"maxwell": {Key: []byte(`{"database":"app","table":"users","pk.id":10}`), Value: []byte(`{"database":"app","table":"users","type":"update","ts":1477053217,"xid":1,"commit":true,"data":` + row + `,"old":{"phone":null}}`)},
	}
	for name, fixtures := range loadFixtures(b) {
		for _, f := range fixtures {
			if f.Name == "users update" {
				records[name] = f.record(b)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(records)) {
		r := records[name]
		b.Run(name, func(b *testing.B) {
			format := name
			if name != "json" && name != "maxwell" {
				format = "debezium"
			}
			d := mustNew(b, Config{
				Format: format, UserID: "id", Placeholder: marker, Tables: []string{"public.users", "app.users"},
				Columns: []string{"full_name", "email", "phone", "username", "avatar_url", "role", "language"},
			})
			b.SetBytes(int64(len(r.Key) + len(r.Value)))
			b.ReportAllocs()
			for b.Loop() {
				if e, err := d.Decode(r); err != nil || e.Change.User == "" {
					b.Fatal(e, err)
				}
			}
		})
	}
}
