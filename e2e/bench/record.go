package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// nameAt begins the name of every user, and the version ends it.
const nameAt = "Version "

// record returns a change as Debezium writes it, in about 720 bytes, and with schema as
// its converter does by default, which has the schema of the table in each record.
func record(topic string, c change, schema bool) *kgo.Record {
	const ms = 1_767_225_600_000 // the same bytes at each run
	key := fmt.Sprintf(`{"id":%d}`, c.user)
	value := fmt.Sprintf(`{"before":null,"after":{"id":%[1]d,"full_name":%[2]q,"email":"user%[1]d@example.test",`+
		`"phone":"+62812%08[1]d","username":"user%[1]d","avatar_url":"https://cdn.example.test/avatars/%[1]d.png",`+
		`"role":"member","language":"en","bio":"Lorem ipsum","updated_at":"2026-01-01T00:00:00.000000Z"},`+
		`"source":{"version":"3.7.0.Final","connector":"postgresql","name":"app","ts_ms":%[3]d,"snapshot":"false","db":"app",`+
		`"sequence":"[\"24023128\",\"24023184\"]","ts_us":%[3]d000,"ts_ns":%[3]d000000,"schema":"public","table":"users",`+
		`"txId":778,"lsn":24023184,"xmin":null,"origin":null,"origin_lsn":null},"transaction":null,"op":"u",`+
		`"ts_ms":%[3]d,"ts_us":%[3]d000,"ts_ns":%[3]d000000}`, c.user, nameAt+strconv.Itoa(c.version), ms)
	if schema {
		key = `{"schema":` + keySchema + `,"payload":` + key + `}`
		value = `{"schema":` + valueSchema + `,"payload":` + value + `}`
	}
	return &kgo.Record{Topic: topic, Key: []byte(key), Value: []byte(value)}
}

// payload returns the body of the call for a change: what the worker's default mapping
// makes of its record.
func payload(c change) string {
	id := strconv.Itoa(c.user)
	avatar := "https://cdn.example.test/avatars/" + id + ".png"
	return fmt.Sprintf(`{"xcUserID":%q,"fullName":%q,"email":"user%[1]s@example.test","phone":"62812%08[3]d","username":"user%[1]s",`+
		`"photoThumbnailURL":%[4]q,"photoFullsizeURL":%[4]q}`, id, nameAt+strconv.Itoa(c.version), c.user, avatar)
}

// version returns the version that the body of a call is about, 0 if it is none of ours.
func version(body []byte) int {
	var user struct{ FullName string }
	if json.Unmarshal(body, &user) != nil {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimPrefix(user.FullName, nameAt))
	if err != nil {
		return 0
	}
	return n
}

// field is a column of a Kafka Connect schema, or a structure of them.
type field struct {
	Type     string  `json:"type"`
	Fields   []field `json:"fields,omitempty"`
	Optional bool    `json:"optional"`
	Name     string  `json:"name,omitempty"`
	Version  int     `json:"version,omitempty"`
	Field    string  `json:"field,omitempty"`
}

var keySchema = text(field{Type: "struct", Name: "app.public.users.Key", Fields: []field{{Type: "int64", Field: "id"}}})

var valueSchema = text(field{Type: "struct", Name: "app.public.users.Envelope", Version: 2, Fields: []field{
	table("before"),
	table("after"),
	{Type: "struct", Name: "io.debezium.connector.postgresql.Source", Version: 1, Field: "source", Fields: []field{
		{Type: "string", Field: "version"},
		{Type: "string", Field: "connector"},
		{Type: "string", Field: "name"},
		{Type: "int64", Field: "ts_ms"},
		{Type: "string", Optional: true, Name: "io.debezium.data.Enum", Version: 1, Field: "snapshot"},
		{Type: "string", Field: "db"},
		{Type: "string", Optional: true, Field: "sequence"},
		{Type: "int64", Optional: true, Field: "ts_us"},
		{Type: "int64", Optional: true, Field: "ts_ns"},
		{Type: "string", Field: "schema"},
		{Type: "string", Field: "table"},
		{Type: "int64", Optional: true, Field: "txId"},
		{Type: "int64", Optional: true, Field: "lsn"},
		{Type: "int64", Optional: true, Field: "xmin"},
		{Type: "string", Optional: true, Field: "origin"},
		{Type: "int64", Optional: true, Field: "origin_lsn"},
	}},
	{Type: "struct", Optional: true, Name: "event.block", Version: 1, Field: "transaction", Fields: []field{
		{Type: "string", Field: "id"},
		{Type: "int64", Field: "total_order"},
		{Type: "int64", Field: "data_collection_order"},
	}},
	{Type: "string", Field: "op"},
	{Type: "int64", Optional: true, Field: "ts_ms"},
	{Type: "int64", Optional: true, Field: "ts_us"},
	{Type: "int64", Optional: true, Field: "ts_ns"},
}})

// table is a row, as it was or as it is.
func table(name string) field {
	t := field{Type: "struct", Optional: true, Name: "app.public.users.Value", Field: name, Fields: []field{{Type: "int64", Field: "id"}}}
	for _, column := range []string{"full_name", "email", "phone", "username", "avatar_url", "role", "language", "bio"} {
		t.Fields = append(t.Fields, field{Type: "string", Optional: true, Field: column})
	}
	t.Fields = append(t.Fields, field{Type: "string", Optional: true, Name: "io.debezium.time.ZonedTimestamp", Version: 1, Field: "updated_at"})
	return t
}

func text(f field) string {
	b, err := json.Marshal(f)
	if err != nil {
		panic(err) // it is made of text and numbers
	}
	return string(b)
}
