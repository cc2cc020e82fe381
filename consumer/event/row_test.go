package event

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	usync "usersync/sync"
)

// The rows of these tests are written in every way that JSON allows: members come
// twice, names and texts are escaped or not, white space is anywhere, numbers are larger
// than any type. What encoding/json reads in them is what a decoder must.

var rowColumns = []string{"name", "bio", "né", "", "payload", "schema", "after"}

func space(t *rapid.T) string {
	return rapid.SampledFrom([]string{"", "", "", "", " ", "\n\t", "\r "}).Draw(t, "space")
}

// jsonString writes s with some of its characters escaped.
func jsonString(t *rapid.T, s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range s {
		switch {
		case c < 0x10000 && (c < ' ' || c == '"' || c == '\\' || rapid.IntRange(0, 9).Draw(t, "escaped") == 0):
			fmt.Fprintf(&b, `\u%04x`, c)
		case c == '/':
			b.WriteString(`\/`)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func jsonValue(t *rapid.T, depth int) string {
	kinds := 6
	if depth == 0 {
		kinds = 4
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return rapid.SampledFrom([]string{"null", "true", "false"}).Draw(t, "word")
	case 1:
		return rapid.StringMatching(`-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?`).Draw(t, "number")
	case 2, 3:
		return jsonString(t, rapid.StringN(0, 20, 300).Draw(t, "text"))
	case 4:
		elements := make([]string, rapid.IntRange(0, 3).Draw(t, "elements"))
		for i := range elements {
			elements[i] = space(t) + jsonValue(t, depth-1) + space(t)
		}
		return "[" + strings.Join(elements, ",") + "]"
	default:
		return jsonObject(t, depth-1, "")
	}
}

// jsonObject writes an object that has the given members at the end, if any.
func jsonObject(t *rapid.T, depth int, last string) string {
	var members []string
	for range rapid.IntRange(0, 6).Draw(t, "members") {
		name := rapid.SampledFrom(rowColumns).Draw(t, "name")
		if rapid.Bool().Draw(t, "other") {
			name = rapid.StringN(0, 3, 9).Draw(t, "other name")
		}
		members = append(members, space(t)+jsonString(t, name)+space(t)+":"+space(t)+jsonValue(t, depth)+space(t))
	}
	if last != "" {
		members = append(members, last)
	}
	if len(members) == 0 {
		return "{" + space(t) + "}"
	}
	return "{" + strings.Join(members, ",") + "}"
}

const plainSchema = `{"type":"struct","fields":[{"type":"string","field":"name"}]}`

// The shapes in which a row comes. An envelope or a wrapper may have more members.
var rowShapes = []struct {
	format string
	around func(t *rapid.T, row string) string
}{
	{"json", func(_ *rapid.T, row string) string { return row }},
	{"json", func(_ *rapid.T, row string) string { return `{"schema":` + plainSchema + `,"payload":` + row + `}` }},
	{"json", func(t *rapid.T, row string) string { return `{"payload"` + space(t) + `:` + row + `,"schema":null}` }},
	{"debezium", func(_ *rapid.T, row string) string { return `{"before":null,"after":` + row + `,"op":"u"}` }},
	{"debezium", func(t *rapid.T, row string) string {
		return `{"schema":` + plainSchema + `,"payload":{"op":"c","source":` + jsonValue(t, 2) + `,"after":` + row + space(t) + `}` + space(t) + `}`
	}},
	{"debezium", func(_ *rapid.T, row string) string {
		return `{"after":{"id":"other"},"op":"d","\u006fp":"u","aft\u0065r":` + row + `}`
	}},
	{"maxwell", func(t *rapid.T, row string) string {
		return space(t) + `{"type":"insert","old":` + jsonValue(t, 3) + `,"data":` + row + `}`
	}},
}

func readsRowsAsEncodingJSON(t *rapid.T) {
	id := jsonString(t, rapid.SampledFrom([]string{"u-1", "né", "1"}).Draw(t, "user"))
	row := jsonObject(t, 3, `"id":`+id)
	dec := json.NewDecoder(strings.NewReader(row))
	dec.UseNumber()
	var read map[string]any
	if err := dec.Decode(&read); err != nil {
		t.Fatal(err)
	}
	want := make(map[string]any)
	for _, name := range rowColumns {
		if v, ok := read[name]; ok {
			want[name] = numbersOf(v)
		} else {
			want[name] = usync.Unavailable{NoColumn: true}
		}
	}
	for i, shape := range rowShapes {
		d, err := New(Config{Format: shape.format, UserID: "id", Columns: rowColumns})
		if err != nil {
			t.Fatal(err)
		}
		value := shape.around(t, row)
		key := fmt.Appendf(nil, `{"pk.id":%s,"id":%[1]s}`, id)
		for range 2 { // with its schema unknown, and known
			e, err := d.Decode(&Record{Key: key, Value: []byte(value)})
			if err != nil || e.Change.User != read["id"] || !reflect.DeepEqual(e.Change.Columns, usync.ColumnsOf(want)) {
				t.Fatalf("shape %d, %s:\ngot  %#v, %v\nwant %#v", i, value, e.Change, err, want)
			}
		}
	}
}

func TestRowsAreReadAsEncodingJSONDoes(t *testing.T) { rapid.Check(t, readsRowsAsEncodingJSON) }

func FuzzRow(f *testing.F) { f.Fuzz(rapid.MakeFuzz(readsRowsAsEncodingJSON)) }

// FuzzBehindSchema reads records that begin with a schema, which the one decoder has
// met and the other has not: they must not differ.
func FuzzBehindSchema(f *testing.F) {
	const envelope = `{"op":"u","after":{"id":10,"name":"Ada"}}`
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, rest := range []string{
		envelope + `}`, envelope + " } \n", " " + envelope + `}`, envelope, envelope + `}}`, envelope + `,`, `}`, ``, ` `,
		envelope + `,"payload":{"id":10,"name":"Bob"}}`,
		envelope + `,"schema":null}`, envelope + `,"x":1}`, `null}`, `[]}`, `1}`, `"a"}`,
		"{\"id\":10,\"name\":\"\xff\"}}", envelope + "}\xff",
		`{"id":10,"name":` + nested(62) + `}}`, `{"id":10,"name":` + nested(63) + `}}`,
		`{"id":10,"name":"Ada"}}`, `{"schema":` + plainSchema + `,"payload":{"id":10}}}`, `{"id":10,"id":11}}`,
	} {
		f.Add([]byte(rest))
	}
	config := Config{Format: "debezium", UserID: "id", Columns: []string{"name"}}
	const before = `{"schema":` + plainSchema + `,"payload":`
	f.Fuzz(func(t *testing.T, rest []byte) {
		r := &Record{Key: []byte(`{"id":10}`), Value: append([]byte(before), rest...)}
		want, wantErr := mustNew(t, config).Decode(r)
		d := mustNew(t, config)
		if _, err := d.Decode(&Record{Key: r.Key, Value: []byte(before + envelope + `}`)}); err != nil || d.values.last.Load() == nil {
			t.Fatal("the schema is not remembered", err)
		}
		if got, err := d.Decode(r); codeOf(err) != codeOf(wantErr) || !reflect.DeepEqual(got, want) {
			t.Fatalf("%s:\ngot  %#v, %v\nwant %#v, %v", rest, got, err, want, wantErr)
		}
	})
}

// A schema that differs from the last one in its last byte only is another one.
func TestSchemasOfOneLength(t *testing.T) {
	d := mustNew(t, Config{Format: "json", UserID: "id", Columns: []string{"at"}})
	for range 2 {
		for unit, want := range map[string]string{"Timestamp": "1970-01-01T00:00:01Z", "MicroTime": "00:00:00.001"} {
			value := `{"schema":{"fields":[{"field":"at","name":"io.debezium.time.` + unit + `"}]},"payload":{"id":1,"at":1000}}`
			e, err := d.Decode(&Record{Key: []byte(`1`), Value: []byte(value)})
			if got := column(e, "at"); err != nil || got != want {
				t.Errorf("%s: got %v, %v; want %s", unit, got, err, want)
			}
		}
	}
}

// What one record leaves behind must not show in the next, nor be kept for it.
func TestNothingOfARecordIsKept(t *testing.T) {
	d := mustNew(t, Config{Format: "json", UserID: `first(a, b)`, Columns: []string{"v", "w"}})
	decode := func(key, value string) usync.Change {
		t.Helper()
		e, err := d.Decode(&Record{Key: []byte(key), Value: []byte(value)})
		if err != nil {
			t.Fatal(err)
		}
		return e.Change
	}
	decode(`{"a":null,"b":"1"}`, `{"a":null,"b":"1","v":"x","w":{"k":"y"}}`)
	e, err := d.Decode(&Record{Key: []byte(`{"a":null}`), Value: []byte(`{"b":"1"}`)})
	if codeOf(err) != "no_user_id key" {
		t.Errorf("the user of another key: %v, %v", e, err)
	}
	if got := decode(`{"a":"2"}`, `{"a":"2","w":null}`).Columns; !reflect.DeepEqual(got, usync.ColumnsOf(map[string]any{"v": usync.Unavailable{NoColumn: true}, "w": nil})) {
		t.Errorf("the columns of another row: %v", got)
	}
	large := `{"a":"3","v":{` + strings.TrimSuffix(strings.Repeat(`"n":1,`, 2*maxMembers), ",") + `}}`
	in := d.take()
	n, err := d.decode(in, &Record{Key: []byte(`{"a":"3"}`), Value: []byte(large)})
	if err != nil || n.Change.User != "3" {
		t.Fatal(n, err)
	}
	d.give(in)
	if in.value.text != nil || in.key.text != nil || cap(in.value.members) > maxMembers || in.idValues[0] != nil || in.idValues[1] != nil {
		t.Error("a record is kept")
	}
	for _, c := range append(in.ids, in.cells...) {
		if c.json != nil || c.schema != nil {
			t.Error("a part of a record is kept")
		}
	}
}

func TestDecodersAreSharedSafely(t *testing.T) {
	d := mustNew(t, Config{Format: "debezium", UserID: "id", Columns: []string{"name"}})
	done := make(chan error)
	for worker := range 4 {
		go func() {
			for i := range 500 {
				id, name := worker*1000+i, strings.Repeat("x", worker*8+i%50)
				schema := strings.Replace(plainSchema, "string", fmt.Sprint("string", i/10%3), 1)
				value := fmt.Appendf(nil, `{"schema":%s,"payload":{"id":%d,"name":%q}}`, schema, id, name)
				e, err := d.Decode(&Record{Key: fmt.Appendf(nil, `{"id":%d}`, id), Value: value})
				if err != nil || e.Change.User != fmt.Sprint(id) || column(e, "name") != name {
					done <- fmt.Errorf("%d: got %v, %w", id, e, err)
					return
				}
				clear(value)
			}
			done <- nil
		}()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// Short texts must not be mixed up in the memory that they share.
func TestTextsOfARow(t *testing.T) {
	columns := []string{"a", "b", "c", "d", "e"}
	d := mustNew(t, Config{Format: "json", UserID: "id", Columns: columns})
	want := map[string]any{"a": "", "b": "ab", "c": strings.Repeat("c", maxShared+1), "d": "d\n", "e": strings.Repeat("e", maxShared-2)}
	row := map[string]any{"id": 1}
	maps.Copy(row, want)
	value, err := json.Marshal(row)
	if err != nil {
		t.Fatal(err)
	}
	e, err := d.Decode(&Record{Key: []byte(`1`), Value: value})
	if err != nil {
		t.Fatal(err)
	}
	if clear(value); !reflect.DeepEqual(e.Change.Columns, usync.ColumnsOf(want)) {
		t.Errorf("got %v", e.Change.Columns)
	}
	decimal := &schema{Name: "org.apache.kafka.connect.data.Decimal"}
	for _, tt := range []struct {
		c    cell
		want bool
	}{
		{cell{[]byte(`"ab"`), nil}, true},
		{cell{[]byte(`"ab"`), &schema{Name: "io.debezium.data.Uuid"}}, true},
		{cell{[]byte(`"` + strings.Repeat("c", maxShared+1) + `"`), nil}, false}, // it would keep the others for long
		{cell{[]byte(`"d\n"`), nil}, false},
		{cell{[]byte(`"AQ=="`), decimal}, false},
		{cell{[]byte(`1`), nil}, false},
		{cell{}, false},
	} {
		if tt.c.shares() != tt.want {
			t.Errorf("%.20q with %v shares: %t", tt.c.json, tt.c.schema, !tt.want)
		}
	}
}

// What the key has and what the row has may be the same text and not the same value.
func TestSameTextOfAnotherType(t *testing.T) {
	const decimal = `"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"0"}`
	of := func(schema, id string) string {
		return `{"schema":{"fields":[{"field":"id",` + schema + `}]},"payload":{"id":` + id + `}}`
	}
	d := mustNew(t, Config{Format: "json", UserID: "id"})
	for _, tt := range []struct{ key, value, user, want string }{
		{`{"id":"AQ=="}`, of(decimal, `"AQ=="`), "", "key_mismatch key"},
		{of(decimal, `"AQ=="`), `{"id":"AQ=="}`, "", "key_mismatch key"},
		{of(decimal, `"AQ=="`), of(decimal, `"AQ=="`), "1", ""},
		{of(decimal, `"AQ=="`), `{"id":1}`, "1", ""},
		{of(`"name":"io.debezium.data.Uuid"`, `"AQ=="`), `{"id":"AQ=="}`, "AQ==", ""},
		{`{"id":"\u0061"}`, `{"id":"\u0061"}`, "a", ""},
	} {
		e, err := d.Decode(&Record{Key: []byte(tt.key), Value: []byte(tt.value)})
		if e.Change.User != tt.user || codeOf(err) != tt.want {
			t.Errorf("key %s, value %s: user %q, error %q; want %q, %q", tt.key, tt.value, e.Change.User, codeOf(err), tt.user, tt.want)
		}
	}
}
