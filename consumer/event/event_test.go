package event

import (
	"reflect"
	"strings"
	"testing"
	"time"

	usync "usersync/sync"
)

const marker = "__debezium_unavailable_value"

func TestNewNamesEverySettingItCannotUse(t *testing.T) {
	_, err := New(Config{Format: "avro", Tables: []string{"public.users", "users"}, UserID: "id +", Placeholder: "hex:zz"})
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{`"avro" is not one of debezium, maxwell, json`, `"users" is not of the form schema.table`, "user_id: ", "unavailable_placeholder: "} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error lacks %q:\n%v", part, err)
		}
	}
	if _, err := New(Config{Format: "json", UserID: `"anybody"`}); err == nil {
		t.Error("a user ID that is the same for every row was accepted")
	}
}

// envelopeOf is an update of a row, as Debezium's envelope has it.
func envelopeOf(after string) string {
	return `{"before":null,"after":` + after + `,"source":{"schema":"public","table":"users","ts_ms":1},"op":"u"}`
}

// null stands for Kafka's null where a test gives a key or value as text.
const null = "\x00null"

func bytesOf(s string) []byte {
	if s == null {
		return nil
	}
	return []byte(s)
}

// badRecord is a record that cannot be decoded, and the code and field of its error.
type badRecord struct{ name, format, key, value, want string }

func TestUndecodable(t *testing.T) {
	const key, row = `{"id":10}`, `{"id":10,"name":"Ada"}`
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, tt := range []badRecord{
		{"empty value", "debezium", key, "", "empty value"},
		{"empty key", "debezium", "", row, "empty key"},
		{"avro value", "debezium", key, "\x00\x00\x00\x00\x03\x50", "not_json value"},
		{"avro key", "debezium", "\x00\x00\x00\x00\x03\x50", row, "not_json key"},
		{"avro key of a tombstone", "debezium", "\x00\x00\x00\x00\x03\x50", null, "not_json key"},
		{"cut off", "debezium", key, row[:len(row)-1], "bad_json value"},
		{"two values", "debezium", key, row + row, "bad_json value"},
		{"white space", "debezium", key, " \n", "bad_json value"},
		{"unquoted key", "debezium", "user-1", row, "bad_json key"},
		{"printed struct as key", "debezium", "Struct{id=10}", null, "bad_json key"},
		{"array", "debezium", key, "[]", "not_object value"},
		{"number", "json", key, "5", "not_object value"},
		{"number for maxwell", "maxwell", key, "5", "not_object value"},
		{"array as key", "debezium", "[10]", row, "not_object key"},
		{"invalid UTF-8", "debezium", key, "{\"id\":10,\"name\":\"\xff\"}", "invalid_utf8 value"},
		{"invalid UTF-8 in the key", "debezium", "{\"id\":\"\xc3\"}", null, "invalid_utf8 key"},
		{"half a surrogate pair in the ID", "debezium", `{"id":"\ud800"}`, null, "invalid_utf8 key"},
		{"too deep", "debezium", key, `{"id":10,"name":` + deep(64) + `}`, "too_deep value"},
		{"much too deep", "debezium", key, strings.Repeat("[", 1<<20), "too_deep value"},
		{"unknown op", "debezium", key, `{"after":` + row + `,"op":"x"}`, "unknown_op value"},
		{"op of another type", "debezium", key, `{"after":` + row + `,"op":null}`, "unknown_op value"},
		{"unknown op, flattened", "debezium", key, `{"id":10,"__op":"x"}`, "unknown_op value"},
		{"unknown op, maxwell", "maxwell", key, `{"type":"upsert","data":` + row + `}`, "unknown_op value"},
		{"no op, maxwell", "maxwell", key, row, "unknown_op value"},
		{"no row", "debezium", key, `{"before":` + row + `,"after":null,"op":"u"}`, "no_row value"},
		{"row that is text", "debezium", key, `{"after":"{}","op":"c"}`, "no_row value"},
		{"no row, maxwell", "maxwell", key, `{"type":"insert"}`, "no_row value"},
		{"schema that is none", "debezium", key, `{"schema":{"fields":1},"payload":` + row + `}`, "bad_schema value"},
		{"decimal that is none", "debezium", key, withSchema(`"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"}`, `"!"`), "bad_column name"},
		{"decimal with two billion zeros", "debezium", key, withSchema(`"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"-2000000000"}`, `"AQ=="`), "bad_column name"},
		{"date that is text", "debezium", key, withSchema(`"name":"io.debezium.time.Date"`, `"today"`), "bad_column name"},
	} {
		tt.run(t)
	}
}

func TestRecordsWithoutOneUser(t *testing.T) {
	const key, row = `{"id":10}`, `{"id":10,"name":"Ada"}`
	for _, tt := range []badRecord{
		{"null key", "debezium", null, envelopeOf(row), "null_key key"},
		{"JSON null key", "debezium", "null", envelopeOf(row), "null_key key"},
		{"null payload as key", "debezium", `{"schema":null,"payload":null}`, envelopeOf(row), "null_key key"},
		{"delete without key", "debezium", null, `{"before":` + row + `,"after":null,"op":"d"}`, "null_key key"},
		{"other user in the key", "debezium", `{"id":11}`, envelopeOf(row), "key_mismatch key"},
		{"other user by a space", "debezium", `{"id":"10 "}`, envelopeOf(row), "key_mismatch key"},
		{"key without the ID", "debezium", `{"uuid":10}`, envelopeOf(row), "no_user_id key"},
		{"delete whose key lacks the ID", "debezium", `{"uuid":10}`, `{"before":` + row + `,"op":"d"}`, "no_user_id key"},
		{"row without the ID", "debezium", key, envelopeOf(`{"name":"Ada"}`), "no_user_id value"},
		{"null ID", "debezium", key, envelopeOf(`{"id":null}`), "no_user_id value"},
		{"blank ID", "debezium", `{"id":" \u00a0\t"}`, envelopeOf(`{"id":" \u00a0\t"}`), "no_user_id key"},
		{"unavailable ID", "debezium", key, envelopeOf(`{"id":"` + marker + `"}`), "no_user_id value"},
		{"ID with a fraction", "debezium", `{"id":1.5}`, null, "bad_user_id key"},
		{"ID with an exponent", "debezium", `{"id":1e3}`, null, "bad_user_id key"},
		{"boolean ID", "debezium", `{"id":true}`, null, "bad_user_id key"},
		{"ID that is an object", "debezium", `{"id":{"a":1}}`, null, "bad_user_id key"},
		{"bare key that is a boolean", "json", "true", null, "bad_user_id key"},
		{"bytes of a number as key", "json", "\x01\x00\x00\x00\x00\x00\x00\x0a", null, "bad_json key"},
		{"broken key", "json", `{"id":`, null, "bad_json key"},
		{"maxwell key without primary key", "maxwell", `{"database":"app","table":"users","_uuid":"x"}`, null, "no_user_id key"},
		{"maxwell key of another shape", "maxwell", `["app","users",1]`, null, "not_object key"},
	} {
		tt.run(t)
	}
}

func (tt badRecord) run(t *testing.T) {
	t.Helper()
	t.Run(tt.name, func(t *testing.T) {
		d := mustNew(t, Config{Format: tt.format, UserID: "id", Placeholder: marker, Columns: []string{"name"}})
		e, err := d.Decode(&Record{Key: bytesOf(tt.key), Value: bytesOf(tt.value)})
		if got := codeOf(err); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
		if !reflect.DeepEqual(e.Change, usync.Change{}) {
			t.Errorf("a change beside the error: %v", e.Change)
		}
	})
}

// withSchema is a flattened row of user 10 with one column, name, whose schema
// has the given members.
func withSchema(members, value string) string {
	return `{"schema":{"type":"struct","fields":[{"type":"int64","field":"id"},{"type":"any",` + members + `,"field":"name"}]},"payload":{"id":10,"name":` + value + `}}`
}

func TestUsers(t *testing.T) {
	long := strings.Repeat("x", 80)
	tests := []struct{ name, format, key, id, want string }{
		{"largest int64", "debezium", `{"id":9223372036854775807}`, `9223372036854775807`, "9223372036854775807"},
		{"smallest int64", "debezium", `{"id":-9223372036854775808}`, `-9223372036854775808`, "-9223372036854775808"},
		{"largest uint64", "debezium", `{"id":18446744073709551615}`, `18446744073709551615`, "18446744073709551615"},
		{"more than 64 bits", "debezium", `{"id":123456789012345678901234567890}`, `123456789012345678901234567890`, "123456789012345678901234567890"},
		{"UUID", "debezium", `{"id":"6f1c2a52-3a53-4b53-9d1c-1f6d0a7a1c11"}`, `"6f1c2a52-3a53-4b53-9d1c-1f6d0a7a1c11"`, "6f1c2a52-3a53-4b53-9d1c-1f6d0a7a1c11"},
		{"more than a vendor takes", "debezium", `{"id":"` + long + `"}`, `"` + long + `"`, long},
		{"spaces around", "debezium", `{"id":" a "}`, `" a "`, " a "},
		{"escapes", "debezium", `{"\u0069d":"\u00e9"}`, `"é"`, "é"},
		{"text and number", "debezium", `{"id":"7"}`, `7`, "7"},
		{"bare number", "debezium", `7`, `7`, "7"},
		{"bare string", "debezium", ` "u7" `, `"u7"`, "u7"},
		{"bare number with schema", "debezium", `{"schema":{"type":"int64"},"payload":7}`, `7`, "7"},
		{"unquoted", "json", `user-7`, `"user-7"`, "user-7"},
		{"unquoted with leading zeros", "json", `007`, `"007"`, "007"},
		{"other columns in the key", "json", `{"tenant":1,"id":7}`, `7`, "7"},
		{"last of two members", "json", `{"id":6,"id":7}`, `7`, "7"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := mustNew(t, Config{Format: tt.format, UserID: "id"})
			for value, op := range map[string]usync.Op{`{"id":` + tt.id + `}`: usync.Upsert, null: usync.Delete, "null": usync.Delete} {
				e, err := d.Decode(&Record{Key: []byte(tt.key), Value: bytesOf(value)})
				if err != nil || e.Change.User != tt.want || e.Change.Op != op {
					t.Errorf("value %.20q: user %q, op %d, error %v; want user %q, op %d", value, e.Change.User, e.Change.Op, err, tt.want, op)
				}
			}
		})
	}
}

func TestUserExpressionOfSeveralColumns(t *testing.T) {
	d := mustNew(t, Config{Format: "debezium", UserID: `tenant + "-" + id`})
	e, err := d.Decode(&Record{Key: []byte(`{"tenant":3,"id":7}`), Value: []byte(`{"id":7,"tenant":3}`)})
	if err != nil || e.Change.User != "3-7" {
		t.Errorf("user %q, error %v", e.Change.User, err)
	}
	_, err = d.Decode(&Record{Key: []byte(`7`)})
	if got := codeOf(err); got != "no_user_id key" {
		t.Errorf("a bare key can be only one column: got %q", got)
	}
}

func TestSkips(t *testing.T) {
	const key = `{"id":10}`
	tests := []struct {
		name, format, key, value string
		headers                  []Header
		want                     Skip
	}{
		{"no key and no value", "debezium", null, null, nil, "keyless_tombstone"},
		{"no key and JSON null", "debezium", null, "null", nil, "keyless_tombstone"},
		{"no key and null payload", "debezium", null, `{"schema":{"type":"struct"},"payload":null}`, nil, "keyless_tombstone"},
		{"no key and no value, json", "json", null, null, nil, "keyless_tombstone"},
		{"truncate", "debezium", null, `{"op":"t","source":{"schema":"public","table":"users"}}`, nil, "truncate"},
		{"message", "debezium", `{"prefix":"p"}`, `{"op":"m","source":{"schema":"","table":""},"message":{}}`, nil, "message"},
		{"heartbeat", "debezium", `{"serverName":"app"}`, `{"ts_ms":1}`, nil, "heartbeat"},
		{"schema change", "debezium", `{"databaseName":"app"}`, `{"source":{},"ts_ms":1,"databaseName":"app","schemaName":null,"ddl":"","tableChanges":[]}`, nil, "schema_change"},
		{"transaction", "debezium", `{"id":"1:2"}`, `{"status":"END","id":"1:2","event_count":1,"data_collections":[],"ts_ms":1}`, nil, "transaction"},
		{"other table", "debezium", key, `{"op":"u","after":{},"source":{"schema":"public","table":"orders"}}`, nil, "other_table"},
		{"other schema", "debezium", key, `{"op":"u","after":{},"source":{"schema":"old","table":"users"}}`, nil, "other_table"},
		{"other table with an op nobody knows", "debezium", key, `{"op":"x","source":{"schema":"public","table":"orders"}}`, nil, "other_table"},
		{"other database", "debezium", key, `{"op":"u","after":{},"source":{"db":"shop","table":"users"}}`, nil, "other_table"},
		{"other table in a field", "debezium", key, `{"id":10,"__table":"orders"}`, nil, "other_table"},
		{"other schema in a field", "debezium", key, `{"id":10,"__table":"users","__schema":"old"}`, nil, "other_table"},
		{"other table in a header", "debezium", key, `{"id":10}`, []Header{{"__table", []byte(`"orders"`)}}, "other_table"},
		{"tombstone of another table", "debezium", key, null, []Header{{"__table", []byte("orders")}}, "other_table"},
		{"maxwell, other table", "maxwell", key, `{"database":"app","table":"orders","type":"insert","data":{}}`, nil, "other_table"},
		{"maxwell, tombstone of another table", "maxwell", `{"database":"public","table":"orders","pk.id":10}`, null, nil, "other_table"},
		{"maxwell, schema change", "maxwell", null, `{"type":"table-alter","database":"public","table":"users","ts":1}`, nil, "schema_change"},
		{"maxwell, bootstrap", "maxwell", null, `{"type":"bootstrap-start","database":"public","table":"users","data":{}}`, nil, "bootstrap"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := mustNew(t, Config{Format: tt.format, UserID: "id", Tables: []string{"public.users"}})
			e, err := d.Decode(&Record{Key: bytesOf(tt.key), Value: bytesOf(tt.value), Headers: tt.headers})
			if err != nil || e.Skip != tt.want {
				t.Errorf("got skip %q, error %v; want %q", e.Skip, err, tt.want)
			}
		})
	}
}

func TestFormats(t *testing.T) {
	ada := usync.Change{User: "10", Op: usync.Upsert, Columns: usync.ColumnsOf(map[string]any{"name": "Ada", "email": nil, "phone": usync.Unavailable{NoColumn: true}})}
	gone := usync.Change{User: "10", Op: usync.Delete}
	const row = `{"id":10,"name":"Ada","email":null}`
	second := time.Unix(1477053217, 0).UTC()
	tests := []struct {
		name, format, key, value, op string
		want                         usync.Change
		source                       time.Time
	}{
		{"envelope without source", "debezium", `{"id":10}`, `{"op":"c","after":` + row + `}`, "create", ada, time.Time{}},
		{"members nobody knows", "debezium", `{"id":10}`, `{"x":{"y":[1,"]}"]},"op":"r","after":` + row + `,"source":{"ts_ms":1477053217000,"z":1}}`, "read", ada, second},
		{"table known by its database", "debezium", `{"id":10}`, `{"op":"u","after":` + row + `,"source":{"db":"app","table":"users"}}`, "update", ada, time.Time{}},
		{"delete, its row not trusted", "debezium", `{"id":10}`, `{"op":"d","before":{"id":11,"name":""},"after":null,"source":{"ts_ms":1477053217000}}`, "delete", gone, second},
		{"flattened, nothing added", "debezium", `{"id":10}`, row, "upsert", ada, time.Time{}},
		{"flattened with a column named op", "debezium", `{"id":10}`, `{"op":"x","source":"web",` + row[1:], "upsert", ada, time.Time{}},
		{"flattened with columns like a wrapper", "debezium", `{"id":10}`, `{"schema":"x","payload":"y",` + row[1:], "upsert", ada, time.Time{}},
		{"flattened with null schema", "debezium", `{"schema":null,"payload":{"id":10}}`, `{"schema":null,"payload":` + row + `}`, "upsert", ada, time.Time{}},
		{"flattened, not deleted", "debezium", `{"id":10}`, `{"__deleted":"false",` + row[1:], "upsert", ada, time.Time{}},
		{"flattened delete", "debezium", `{"id":10}`, `{"__deleted":"true",` + row[1:], "delete", gone, time.Time{}},
		{"flattened delete, another invented ID", "debezium", `{"id":10}`, `{"__deleted":true,"id":0}`, "delete", gone, time.Time{}},
		{"flattened delete by its op", "debezium", `{"id":10}`, `{"__op":"d","__source_ts_ms":1477053217000,` + row[1:], "delete", gone, second},
		{"white space", "debezium", " { \"id\" : 10 } ", "\n{ \"name\" : \"Ada\" ,\t\"email\" : null , \"id\" : 10 } ", "upsert", ada, time.Time{}},
		{"maxwell insert", "maxwell", `{"database":"app","table":"users","pk.id":10}`, `{"database":"app","table":"users","type":"insert","ts":1477053217,"xid":1,"commit":true,"data":` + row + `}`, "create", ada, second},
		{"maxwell bootstrap", "maxwell", `["app","users",[{"id":10}]]`, `{"database":"app","table":"users","type":"bootstrap-insert","data":` + row + `}`, "read", ada, time.Time{}},
		{"maxwell update", "maxwell", `{"pk.id":10}`, `{"type":"update","data":` + row + `,"old":{"name":"A"}}`, "update", ada, time.Time{}},
		{"maxwell delete", "maxwell", `{"pk.id":10}`, `{"type":"delete","data":` + row + `}`, "delete", gone, time.Time{}},
		{"maxwell tombstone", "maxwell", `{"database":"app","table":"users","pk.id":10}`, null, "tombstone", gone, time.Time{}},
		{"maxwell JSON null", "maxwell", `{"pk.id":10}`, " null ", "tombstone", gone, time.Time{}},
		{"json", "json", `10`, row, "upsert", ada, time.Time{}},
		{"json with schema", "json", `{"schema":{"type":"int64"},"payload":10}`, `{"schema":{"type":"struct"},"payload":` + row + `}`, "upsert", ada, time.Time{}},
		{"json null", "json", `10`, "null", "tombstone", gone, time.Time{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := mustNew(t, Config{Format: tt.format, UserID: "id", Tables: []string{"app.users"}, Columns: []string{"name", "email", "phone"}})
			e, err := d.Decode(&Record{Topic: "t", Partition: 3, Offset: 42, Key: bytesOf(tt.key), Value: bytesOf(tt.value)})
			if err != nil {
				t.Fatal(err)
			}
			tt.want.Source = tt.source
			tt.want.Position = usync.Position{Topic: "t", Partition: 3, Offset: 42}
			if expected := (Event{Change: tt.want, Op: tt.op}); !reflect.DeepEqual(e, expected) {
				t.Errorf("got  %#v\nwant %#v", e, expected)
			}
		})
	}
}

func TestMaxwellKeyInLowerCase(t *testing.T) {
	d := mustNew(t, Config{Format: "maxwell", UserID: "userId"})
	for _, key := range []string{
		`{"pk.userid":10}`, `["app","users",[{"userid":10}]]`,
		`{"pk.userid":9,"pk.userId":10}`, `["app","users",[{"userid":8,"userId":9},{"userid":10}]]`,
	} {
		e, err := d.Decode(&Record{Key: []byte(key), Value: []byte(`{"type":"insert","data":{"userId":10}}`)})
		if err != nil || e.Change.User != "10" {
			t.Errorf("key %s: user %q, error %v", key, e.Change.User, err)
		}
	}
}

func TestDecodedChangeSharesNoMemoryWithTheRecord(t *testing.T) {
	d := mustNew(t, Config{Format: "json", UserID: "id", Columns: []string{"v"}})
	r := &Record{Key: []byte(`"u1"`), Value: []byte(`{"id":"u1","v":["ada",{"k":1.5}]}`)}
	e, err := d.Decode(r)
	if err != nil {
		t.Fatal(err)
	}
	clear(r.Key)
	clear(r.Value)
	again, err := d.Decode(&Record{Key: []byte(`"u1"`), Value: []byte(`{"id":"u1","v":["ada",{"k":1.5}]}`)})
	if err != nil || !reflect.DeepEqual(e, again) {
		t.Errorf("got %v, want %v, %v", e, again, err)
	}
}

func TestLargeName(t *testing.T) {
	name := strings.Repeat(`a\"`, 1<<19)
	d := mustNew(t, Config{Format: "json", UserID: "id", Columns: []string{"name"}})
	e, err := d.Decode(&Record{Key: []byte(`1`), Value: []byte(`{"id":1,"name":"` + name + `"}`)})
	if got, _ := column(e, "name").(string); err != nil || len(got) != 1<<20 {
		t.Errorf("got %d bytes, error %v", len(got), err)
	}
}
