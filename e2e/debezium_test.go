package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"usersync/e2e/broker"
	"usersync/e2e/vendors"
	"usersync/e2e/worker"
	"usersync/sync/haptik/haptiktest"
	"usersync/sync/taptalk/taptalktest"
)

// fixture is a record that Debezium wrote, and what the decoder's tests expect of
// it; consumer/event/testdata explains the format.
type fixture struct {
	Topic   string
	Offset  int64
	Headers map[string]string
	Key     json.RawMessage
	Value   json.RawMessage
	Want    struct {
		Skip    string
		Error   string
		User    string
		Delete  bool
		Columns map[string]any
	}
}

// TestRealDebeziumRecords has the worker read what Debezium's Postgres connector
// wrote in each of seven configurations, and compares what both vendors hold then
// with what the records of each user add up to. One table's rows are users; the
// one that shares its IDs is read by a worker of its own.
func TestRealDebeziumRecords(t *testing.T) {
	t.Parallel() // it measures nothing
	d := deploy(t, 1, nil)
	paths, err := filepath.Glob("../consumer/event/testdata/*.jsonl")
	if err != nil || len(paths) != 7 {
		t.Fatalf("%d files with records, want 7; %v", len(paths), err)
	}
	for _, path := range paths {
		records, connector := loadFixtures(t, path)
		topics := map[bool][]string{} // by whether they are those of the second table
		for _, topic := range slices.Sorted(maps.Keys(records)) {
			create(t, d.Broker, topic, 1, nil)
			produce(t, d.Broker, records[topic])
			second := strings.HasSuffix(topic, ".users_full")
			topics[second] = append(topics[second], topic)
		}
		for second, topics := range topics {
			t.Run(fmt.Sprintf("%s %v", connector, second), func(t *testing.T) {
				t.Parallel()
				readFixtures(t, d.Broker, fmt.Sprintf("%s-%v", connector, second), topics, records)
			})
		}
	}
}

func readFixtures(t *testing.T, b *broker.Client, name string, topics []string, records map[string][]fixture) {
	d := &worker.Deployment{Broker: b, Vendors: vendors.Start(t), Config: worker.Config{
		"kafka.topics":                topics,
		"kafka.group_id":              name,
		"kafka.dead_letter_topic":     "dead-" + name,
		"events.tables":               []string{"public.users", "public.users_full", "public.users_nopk", "public.typed"},
		"destinations.haptik.mapping": map[string]any{"custom_data": map[string]any{"bio": "bio"}},
	}}
	create(t, b, "dead-"+name, 1, nil)
	// What an event leaves out keeps its value, whether changes met while they
	// waited or were sent one by one.
	d.Vendors.SetKnobs(vendors.TapTalk, taptalktest.Knobs{Merge: true})
	d.Vendors.SetKnobs(vendors.Haptik, haptiktest.Knobs{Merge: true})
	w := d.Launch(t, "worker-"+name, nil)
	for _, topic := range topics {
		for _, destination := range worker.Destinations {
			worker.Until(t, worker.Limit, fmt.Sprintf("%s has read %s", destination, topic), func() bool {
				return worker.Lag(t, b, d.Group(destination), topic) == waiting(destination, records[topic])
			})
		}
	}
	w.Stop()
	for _, destination := range worker.Destinations {
		want := expect(destination, topics, records)
		for user, row := range want.users {
			compareRow(t, d.Vendors, destination, user, row)
		}
		for user, applied := range d.Vendors.Applied(destination) {
			for _, a := range applied {
				if bytes.Contains(a.Body, []byte("__debezium_unavailable_value")) {
					t.Errorf("%s: user %s was given a placeholder", destination, user)
				}
			}
		}
		if got, want := slices.Sorted(maps.Keys(d.Vendors.Users(destination))), slices.Sorted(maps.Keys(want.users)); !slices.Equal(got, want) {
			t.Errorf("%s holds %v, want %v", destination, got, want)
		}
		letters := map[string]string{}
		for _, l := range deadLetters(t, d) {
			if l["usersync.destination"] == destination {
				letters[l["usersync.source.topic"]+"@"+l["usersync.source.offset"]] = l["usersync.reason"]
			}
		}
		if !maps.Equal(letters, want.letters) {
			t.Errorf("%s: dead letters %v, want %v", destination, letters, want.letters)
		}
	}
}

// sum is what a destination must hold, and what must be a dead letter.
type sum struct {
	users   map[string]map[string]any // the newest row of each user
	letters map[string]string         // reasons by TOPIC@OFFSET
}

// unknown reports whether a fixture says of a column that its record does not tell it.
func unknown(v any) bool { return v == "$unavailable" || v == "$no_column" }

// expect adds up the records of each user: the newest row counts, what it leaves
// out is as it was before, and a deleted user is sent nowhere.
func expect(destination string, topics []string, records map[string][]fixture) sum {
	o := sum{users: map[string]map[string]any{}, letters: map[string]string{}}
	newest := map[string]string{}
	for _, topic := range topics {
		for _, f := range records[topic][:len(records[topic])-int(waiting(destination, records[topic]))] {
			at := fmt.Sprintf("%s@%d", topic, f.Offset)
			switch {
			case f.Want.Error != "":
				o.letters[at] = "undecodable"
			case f.Want.Delete:
				delete(o.users, f.Want.User)
			case f.Want.User != "":
				for name, v := range o.users[f.Want.User] {
					if unknown(f.Want.Columns[name]) {
						f.Want.Columns[name] = v
					}
				}
				o.users[f.Want.User], newest[f.Want.User] = f.Want.Columns, at
			}
		}
	}
	for user, row := range o.users {
		if destination == worker.TapTalk && !named(row) {
			delete(o.users, user)
			o.letters[newest[user]] = "invalid_payload"
		}
	}
	return o
}

// compareRow compares what a destination holds of a user with the user's row.
func compareRow(t *testing.T, v *vendors.Vendors, destination, user string, row map[string]any) {
	t.Helper()
	held := v.Current(destination, user)
	if held == nil {
		return // the list of users says so
	}
	columns := map[string]string{"fullName": "full_name", "email": "email", "phone": "phone", "username": "username"}
	if destination == worker.Haptik {
		columns = map[string]string{"name": "full_name", "email": "email", "mobile_no": "phone", "bio": "bio"}
		custom, _ := held["custom_data"].(map[string]any)
		held["bio"] = custom["bio"]
	}
	for field, column := range columns {
		want, known := row[column]
		switch {
		case !known || unknown(want):
			want = nil
		case want == nil, column == "phone":
			want = "" // as on_null says; and no number in the records is one that can be called
		default:
			want = strings.TrimSpace(want.(string))
		}
		if got := held[field]; got != want {
			t.Errorf("%s: user %s has %s %v, want %v", destination, user, field, got, want)
		}
	}
}

// waiting is how many records are still uncommitted when all is done: from the
// first one on that cannot be decoded, or has no payload, with no row after it that
// can be decoded or has one. No fixture has a delete after a row without a payload.
func waiting(destination string, records []fixture) int64 {
	first := len(records)
	read, mapped := false, destination != worker.TapTalk
	for i, f := range slices.Backward(records) {
		row := f.Want.User != "" && !f.Want.Delete
		mapped = mapped || row && named(f.Want.Columns)
		read = read || row
		if row && !mapped || f.Want.Error != "" && !read {
			first = i
		}
	}
	return int64(len(records) - first)
}

// named reports whether a row has the name that TapTalk requires: what is unknown is
// not made up.
func named(row map[string]any) bool {
	name, ok := row["full_name"].(string)
	return ok && !unknown(name)
}

// produce writes records in the order of their offsets.
func produce(t *testing.T, b *broker.Client, fixtures []fixture) {
	t.Helper()
	var records []*kgo.Record
	for _, f := range fixtures {
		r := &kgo.Record{Topic: f.Topic, Key: f.Key, Value: f.Value}
		for k, v := range f.Headers {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: k, Value: []byte(v)})
		}
		records = append(records, r)
	}
	if err := b.Produce(t.Context(), records...); err != nil {
		t.Fatal(err)
	}
}

// loadFixtures reads a file of records, by topic, and the name of the connector's
// configuration.
func loadFixtures(t *testing.T, path string) (map[string][]fixture, string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var shared struct {
		Headers map[string]string
		Schemas []json.RawMessage
	}
	records := map[string][]fixture{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, len(text)+1)
	for n := 0; lines.Scan(); n++ {
		if n == 0 {
			err = json.Unmarshal(lines.Bytes(), &shared)
		} else {
			var f fixture
			err = json.Unmarshal(lines.Bytes(), &f)
			headers := maps.Clone(shared.Headers)
			maps.Copy(headers, f.Headers)
			f.Headers, f.Key, f.Value = headers, expand(t, f.Key, shared.Schemas), expand(t, f.Value, shared.Schemas)
			records[f.Topic] = append(records[f.Topic], f)
		}
		if err != nil {
			t.Fatalf("%s:%d: %v", path, n+1, err)
		}
	}
	return records, strings.TrimSuffix(filepath.Base(path), ".jsonl")
}

// expand puts a schema back to which a key or value refers by number.
func expand(t *testing.T, raw json.RawMessage, schemas []json.RawMessage) json.RawMessage {
	t.Helper()
	if !bytes.HasPrefix(raw, []byte(`{"schema":`)) {
		return raw
	}
	var wrapped struct {
		Schema  int
		Payload json.RawMessage
	}
	if err := json.Unmarshal(raw, &wrapped); err != nil {
		t.Fatal(err)
	}
	if wrapped.Payload == nil {
		wrapped.Payload = json.RawMessage("null")
	}
	return fmt.Appendf(nil, `{"schema":%s,"payload":%s}`, schemas[wrapped.Schema], wrapped.Payload)
}
