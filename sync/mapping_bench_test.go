package sync_test

import (
	"testing"

	usync "usersync/sync"
	"usersync/sync/haptik"
	"usersync/sync/taptalk"
)

// BenchmarkDefaultPayload maps a usual row as each destination does when nothing else
// is configured.
func BenchmarkDefaultPayload(b *testing.B) {
	row := map[string]any{
		"id": int64(42), "full_name": "Ann Lee", "first_name": "Ann", "last_name": "Lee", "username": "ann.lee",
		"email": "ann.lee@example.com", "phone": "08991234567", "avatar_url": "https://cdn.example.com/users/42.png",
		"language": "id", "locale": "id_ID",
	}
	for _, destination := range []struct {
		name        string
		fields      []usync.Field
		expressions map[string]any
	}{
		{"taptalk", taptalk.Fields, taptalk.DefaultMapping},
		{"haptik", haptik.Fields, haptik.DefaultMapping},
	} {
		b.Run(destination.name, func(b *testing.B) {
			m, err := usync.NewMapping(usync.MappingConfig{
				Fields: destination.fields, Expressions: destination.expressions, PhoneRegion: "ID",
			})
			if err != nil {
				b.Fatal(err)
			}
			c := &usync.Change{User: "42", Op: usync.Upsert, Columns: usync.ColumnsOf(row)}
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := m.Payload(c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
