package event

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
)

// BenchmarkDecode decodes a record of each format and, as valid, does no more with the same
// bytes than json.Valid does: judge the first by the second, in one run.
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
	// The same row as the JDBC connector writes it with schemas on.
	flat := records["flat_tombstone_schema"]
	records["json_schema"] = &Record{Key: flat.Key, Value: flat.Value}
	for _, name := range slices.Sorted(maps.Keys(records)) {
		r := records[name]
		format, _, _ := strings.Cut(name, "_")
		if format != "json" && format != "maxwell" {
			format = "debezium"
		}
		d := mustNew(b, Config{
			Format: format, UserID: "id", Placeholder: marker, Tables: []string{"public.users", "app.users"},
			Columns: []string{"full_name", "email", "phone", "username", "avatar_url", "role", "language"},
		})
		b.Run(name+"/decode", func(b *testing.B) {
			b.SetBytes(int64(len(r.Key) + len(r.Value)))
			b.ReportAllocs()
			for b.Loop() {
				if e, err := d.Decode(r); err != nil || e.Change.User == "" {
					b.Fatal(e, err)
				}
			}
		})
		b.Run(name+"/valid", func(b *testing.B) {
			b.SetBytes(int64(len(r.Key) + len(r.Value)))
			for b.Loop() {
				if !json.Valid(r.Key) || !json.Valid(r.Value) {
					b.Fatal("not JSON")
				}
			}
		})
	}
}
