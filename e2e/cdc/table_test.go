package cdc_test

import (
	"fmt"
	"strconv"
	"strings"
)

// table is a table of users. The same happens in tables whose keys and replica
// identities differ; no two of them ever have a user in common.
type table struct {
	name, key string
	identity  string           // REPLICA IDENTITY: what a change tells of the row before
	id        func(int) string // of the nth user
}

// tables are all of them. What happens in the first four is the same.
var tables = []table{
	// Each second one of these is no float64.
	{"people", "bigint", "full", func(n int) string { return strconv.Itoa(1<<53 + n) }},
	{"terse", "bigint", "default", strconv.Itoa},
	{"tagged", "varchar(60)", "full", fifty},
	{"uuids", "uuid", "default", func(n int) string { return fmt.Sprintf("0b5e7a1c-0000-4000-8000-%012x", n) }},

	{"altered", "bigint", "full", func(n int) string { return strconv.Itoa(1_000_000_000 + n) }},
	{"emptied", "bigint", "full", func(n int) string { return strconv.Itoa(2_000_000_000 + n) }},
	{crowd, "bigint", "default", func(n int) string { return strconv.Itoa(3_000_000_000 + n) }},
}

// crowd is the table with many rows, which only one of the connectors captures.
const crowd = "crowd"

// everywhere are the tables in which every case is played.
var everywhere = tables[:4]

// fifty is a text of fifty characters, as many as TapTalk takes, of which some have
// more than one byte and some more than one unit of UTF-16.
func fifty(n int) string {
	id := fmt.Sprintf("ID ü😀/%%2F'\"\\ %d ", n)
	return id + strings.Repeat("x", 50-len([]rune(id)))
}

// sql creates the table. The column notes is mapped to nothing, and bio is stored
// out of line when it is large.
func (t *table) sql() string {
	return strings.NewReplacer("{t}", t.name, "{key}", t.key, "{identity}", t.identity).Replace(`
		create table {t} (id {key} primary key, full_name text, first_name text, last_name text, email text,
			phone text, username text, avatar_url text, language text, role text, bio text, notes text);
		alter table {t} alter bio set storage external;
		alter table {t} replica identity {identity};
		create trigger written after insert or update of id on {t} for each row execute function note_writing();`)
}

// writing notes every user that was ever in a table. What is rolled back was never
// written.
const writing = `
	create table written (id text primary key);
	create function note_writing() returns trigger language plpgsql as $$
	begin
		insert into written values (new.id::text) on conflict do nothing;
		return new;
	end $$;`

// literal quotes a text for SQL.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
