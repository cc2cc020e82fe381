package event

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	usync "usersync/sync"
)

// The fixtures are what Debezium 3.7's Postgres connector wrote, a file for
// each way to configure it; texts of more than 300 characters are shortened to
// 100. A file's first line holds what its records share: headers, and the
// schemas, to which a record refers by number. A record without key or value
// has Kafka's null there; "value": null is the JSON text null. In want, a column
// that is not available is "$unavailable", one that the row lacks "$no_column", and an
// integer is an int64.

type fixtureFile struct {
	Connector string
	Headers   map[string]string
	Schemas   []json.RawMessage
}

type fixture struct {
	Name      string
	Topic     string
	Partition int
	Offset    int64
	Headers   map[string]string
	Key       json.RawMessage
	Value     json.RawMessage
	Want      want
	shared    *fixtureFile
}

type want struct {
	Op       string
	Skip     Skip
	Error    string
	User     string
	Delete   bool
	SourceMS int64 `json:"source_ms"`
	Columns  map[string]any
}

var (
	fixtureTables = []string{"public.users", "public.users_full", "public.users_nopk", "public.typed"}
	userColumns   = []string{"full_name", "email", "phone", "username", "avatar_url", "role", "language", "bio", "updated_at", "timezone"}
	typedColumns  = []string{"n", "big", "flag", "d", "ts", "tstz", "t", "j", "arr", "m", "b", "i", "f"}
)

func TestFixtures(t *testing.T) {
	config := Config{Format: "debezium", Tables: fixtureTables, UserID: "id", Placeholder: "__debezium_unavailable_value"}
	config.Columns = userColumns
	users := mustNew(t, config)
	config.Columns = typedColumns
	typed := mustNew(t, config)
	files, records := 0, 0
	for name, fixtures := range loadFixtures(t) {
		files++
		records += len(fixtures)
		t.Run(name, func(t *testing.T) {
			for _, f := range fixtures {
				t.Run(f.Name, func(t *testing.T) {
					d := users
					if strings.HasSuffix(f.Topic, ".typed") {
						d = typed
					}
					f.check(t, d)
				})
			}
		})
	}
	// A file that is no longer found must not pass for one without faults.
	if files != 7 || records != 414 {
		t.Errorf("got %d records in %d files, want 414 in 7", records, files)
	}
}

func (f *fixture) check(t *testing.T, d *Decoder) {
	t.Helper()
	r := f.record(t)
	got, err := d.Decode(r)
	expected := Event{Op: f.Want.Op, Skip: f.Want.Skip}
	if f.Want.User != "" {
		expected.Change = usync.Change{
			User:     f.Want.User,
			Op:       usync.Upsert,
			Columns:  usync.ColumnsOf(columnsOf(t, f.Want.Columns)),
			Position: usync.Position{Topic: f.Topic, Partition: f.Partition, Offset: f.Offset},
		}
		if f.Want.Delete {
			expected.Change.Op, expected.Change.Columns = usync.Delete, usync.Columns{}
		}
		if f.Want.SourceMS != 0 {
			expected.Change.Source = time.UnixMilli(f.Want.SourceMS).UTC()
		}
	}
	if code := codeOf(err); code != f.Want.Error {
		t.Fatalf("error %q, want %q", code, f.Want.Error)
	}
	if !reflect.DeepEqual(got, expected) {
		t.Errorf("got  %#v\nwant %#v", got, expected)
	}
}

func (f *fixture) record(t testing.TB) *Record {
	t.Helper()
	r := &Record{Topic: f.Topic, Partition: f.Partition, Offset: f.Offset, Key: f.expand(t, f.Key), Value: f.expand(t, f.Value)}
	for _, headers := range []map[string]string{f.shared.Headers, f.Headers} {
		for k, v := range headers {
			r.Headers = append(r.Headers, Header{k, []byte(v)})
		}
	}
	return r
}

// expand puts the schema back to which a key or value refers.
func (f *fixture) expand(t testing.TB, raw json.RawMessage) []byte {
	t.Helper()
	if !bytes.HasPrefix(raw, []byte(`{"schema":`)) {
		return raw
	}
	var wrapped struct {
		Schema  int             `json:"schema"`
		Payload json.RawMessage `json:"payload"`
	}
	if err := json.Unmarshal(raw, &wrapped); err != nil {
		t.Fatal(err)
	}
	if wrapped.Payload == nil {
		wrapped.Payload = json.RawMessage("null")
	}
	return fmt.Appendf(nil, `{"schema":%s,"payload":%s}`, f.shared.Schemas[wrapped.Schema], wrapped.Payload)
}

// columnsOf turns columns as a fixture states them into Go values.
func columnsOf(t *testing.T, columns map[string]any) map[string]any {
	t.Helper()
	for name, v := range columns {
		switch v := v.(type) {
		case string:
			if v == "$unavailable" || v == "$no_column" {
				columns[name] = usync.Unavailable{NoColumn: v == "$no_column"}
			}
		case json.Number:
			if n, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
				columns[name] = n
			}
		case map[string]any:
			columns[name] = columnsOf(t, v)
		}
	}
	return columns
}

func loadFixtures(t testing.TB) map[string][]fixture {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string][]fixture)
	for _, path := range paths {
		files[strings.TrimSuffix(filepath.Base(path), ".jsonl")] = loadFile(t, path)
	}
	return files
}

func loadFile(t testing.TB, path string) []fixture {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, len(b)+1)
	shared := new(fixtureFile)
	var fixtures []fixture
	for n := 0; lines.Scan(); n++ {
		dec := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		dec.UseNumber()
		if n == 0 {
			err = dec.Decode(shared)
		} else {
			f := fixture{shared: shared}
			err = dec.Decode(&f)
			fixtures = append(fixtures, f)
		}
		if err != nil {
			t.Fatalf("%s:%d: %v", path, n+1, err)
		}
	}
	return fixtures
}

func mustNew(t testing.TB, c Config) *Decoder {
	t.Helper()
	d, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// codeOf returns the code and field of an *Error, and "" for none.
func codeOf(err error) string {
	if err == nil {
		return ""
	}
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return "not an *Error: " + err.Error()
	}
	return e.Code + " " + e.Field
}
