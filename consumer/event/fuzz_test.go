package event

import (
	"reflect"
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
		if c.Columns.Len() > 0 {
			t.Fatalf("a delete with columns: %v", c.Columns)
		}
	case usync.Upsert:
		if c.Columns.Len() != 6 {
			t.Fatalf("columns %v", c.Columns)
		}
	default:
		t.Fatalf("op %d", c.Op)
	}
}
