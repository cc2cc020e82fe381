package cdc_test

import (
	"fmt"
	"strings"
)

// example is a case: what happens to some users of a table, {t}. Each line is a
// statement, and a transaction unless it begins one; those behind "b:" are of a
// second session. {1}, {2} and so on are users of the case alone.
type example struct {
	name          string
	setup, change string
	// untold are fields that no change has told of a user, by its number, where the
	// replica identity is the key: its vendor cannot hold them before the next
	// snapshot.
	untold map[int]string
}

// large is a value that PostgreSQL keeps out of line, so that its log leaves it out
// of changes that don't touch it. What a vendor is given of it tells which one it is.
func large(which string) string { return literal(which + " " + strings.Repeat("lorem ipsum ", 300)) }

var examples = []example{
	{
		name:   "insert",
		change: `insert into {t} (id, full_name, email) values ({1}, 'New', 'New.User@EXAMPLE.Test')`,
	},
	{
		name:   "update",
		setup:  `insert into {t} (id, full_name, email, phone) values ({1}, 'Old', 'old@example.test', '+62 812-3456-7890')`,
		change: `update {t} set full_name = 'New', phone = '+62 812-3456-7891', language = 'pt-BR' where id = {1}`,
	},
	{
		name:   "an update that changes nothing",
		setup:  `insert into {t} (id, full_name, role) values ({1}, 'Same', 'member')`,
		change: `update {t} set full_name = full_name where id = {1}`,
	},
	{
		name:   "an update of a column that is not mapped",
		setup:  `insert into {t} (id, full_name, bio) values ({1}, 'Same', ` + large("first") + `)`,
		change: `update {t} set notes = 'seen' where id = {1}`,
	},
	{
		name:   "delete",
		setup:  `insert into {t} (id, full_name, email, role) values ({1}, 'Leaves', 'leaves@example.test', 'member')`,
		change: `delete from {t} where id = {1}`,
	},
	{
		name:  "delete and insert",
		setup: `insert into {t} (id, full_name, email, bio) values ({1}, 'Leaves', 'old@example.test', ` + large("first") + `)`,
		change: `delete from {t} where id = {1}
			insert into {t} (id, full_name) values ({1}, 'Returns')`,
	},
	{
		name:  "delete and insert in one transaction",
		setup: `insert into {t} (id, full_name, email, bio) values ({1}, 'Leaves', 'old@example.test', ` + large("first") + `)`,
		change: `begin
			delete from {t} where id = {1}
			insert into {t} (id, full_name) values ({1}, 'Returns')
			commit`,
	},
	{
		name: "insert or update",
		change: `insert into {t} (id, full_name) values ({1}, 'First') on conflict (id) do update set full_name = 'Second'
			insert into {t} (id, full_name) values ({1}, 'First') on conflict (id) do update set full_name = 'Second'`,
	},
	{
		name:   "a large column stays",
		setup:  `insert into {t} (id, full_name, bio) values ({1}, 'Old', ` + large("first") + `)`,
		change: `update {t} set full_name = 'New', email = 'new@example.test' where id = {1}`,
	},
	{
		name:  "a large column changes and stays",
		setup: `insert into {t} (id, full_name, bio) values ({1}, 'Old', ` + large("first") + `)`,
		change: `update {t} set bio = ` + large("second") + ` where id = {1}
			update {t} set full_name = 'New' where id = {1}
			update {t} set role = 'admin' where id = {1}`,
	},
	{
		name: "a large column becomes small, and NULL",
		setup: `insert into {t} (id, full_name, bio) values ({1}, 'Small', ` + large("first") + `), ({2}, 'None', ` + large("first") + `)
			insert into {t} (id, full_name) values ({3}, 'Grows')`,
		change: `update {t} set bio = 'small' where id = {1}
			update {t} set bio = null where id = {2}
			update {t} set bio = ` + large("second") + ` where id = {3}
			update {t} set language = 'de' where id in ({1}, {2}, {3})`,
	},
	{
		name:   "the primary key changes",
		setup:  `insert into {t} (id, full_name, email) values ({1}, 'Moves', 'moves@example.test')`,
		change: `update {t} set id = {2} where id = {1}`,
	},
	{
		name:   "the primary key changes and a large column stays",
		setup:  `insert into {t} (id, full_name, bio) values ({1}, 'Moves', ` + large("first") + `)`,
		change: `update {t} set id = {2} where id = {1}`,
		untold: map[int]string{2: "custom_data"},
	},
	{
		name:  "two rows change their primary keys for each other's",
		setup: `insert into {t} (id, full_name, email) values ({1}, 'One', 'one@example.test'), ({2}, 'Two', null)`,
		change: `begin
			update {t} set id = {3} where id = {1}
			update {t} set id = {1} where id = {2}
			update {t} set id = {2} where id = {3}
			commit`,
	},
	{
		name:  "many rows in one transaction",
		setup: `insert into {t} (id, full_name) values ({1}, 'One'), ({2}, 'Two'), ({3}, 'Three')`,
		change: `begin
			update {t} set role = 'admin' where id in ({1}, {2}, {3})
			update {t} set full_name = 'Last' where id = {1}
			insert into {t} (id, full_name) values ({4}, 'Four')
			update {t} set full_name = 'Last' where id in ({2}, {4})
			commit`,
	},
	{
		name:  "interleaved transactions",
		setup: `insert into {t} (id, full_name) values ({1}, 'One'), ({2}, 'Two')`,
		change: `begin
			update {t} set full_name = 'Begun first' where id = {1}
			b: begin
			b: update {t} set full_name = 'Committed first' where id = {2}
			b: commit
			update {t} set email = 'one@example.test' where id = {1}
			commit
			b: update {t} set full_name = 'Committed last' where id = {1}`,
	},
	{
		name:  "rollback",
		setup: `insert into {t} (id, full_name) values ({1}, 'Stays'), ({3}, 'Old')`,
		change: `begin
			update {t} set full_name = 'Never' where id = {1}
			insert into {t} (id, full_name) values ({2}, 'Never')
			rollback
			begin
			savepoint s
			update {t} set full_name = 'Never', role = 'never' where id = {3}
			rollback to s
			update {t} set full_name = 'New' where id = {3}
			commit`,
	},
	{
		name:  "NULL and blank",
		setup: `insert into {t} (id, full_name, first_name, last_name, email, phone, username, avatar_url, language, role, bio) select id, 'Full', 'Given', 'Name', 'full@example.test', '+628123456789', 'full', 'https://cdn.example.test/1.png', 'en_GB', 'member', 'Bio' from unnest(array[{1}, {2}, {3}]::text[]::{key}[]) as id`,
		change: `update {t} set full_name = null, email = null, phone = null, username = null, avatar_url = null, language = null, role = null, bio = null where id = {1}
			update {t} set full_name = '  ', email = '', phone = '', username = ' ', avatar_url = '', language = '', role = '', bio = e'\n' where id = {2}
			update {t} set full_name = '', last_name = null, email = 'nobody', phone = 'none', avatar_url = 'none', language = 'fil' where id = {3}`,
	},
	{
		name:   "a user without a name",
		setup:  `insert into {t} (id, full_name, email) values ({1}, 'Named', 'named@example.test')`,
		change: `update {t} set full_name = null, email = 'nameless@example.test' where id = {1}`,
	},
	{
		name:  "there and back",
		setup: `insert into {t} (id, full_name) values ({1}, 'Here')`,
		change: `update {t} set full_name = 'There' where id = {1}
			update {t} set full_name = 'Here' where id = {1}`,
	},
	{
		name:  "fifty changes at once",
		setup: `insert into {t} (id, full_name, bio) values ({1}, 'None', ` + large("first") + `)`,
		change: `do $$ begin for i in 1..50 loop update {t} set full_name = 'Change ' || i where id = {1}; commit; end loop; end $$
			update {t} set role = 'admin' where id = {1}`,
	},
	texts(),
}

// The column role is missing at first, which a mapping uses, and at last so is
// avatar_url. What a vendor was told of a column stays there without it.
var columnsComeAndGo = example{
	name:  "columns come and go",
	setup: `insert into {t} (id, full_name, username, avatar_url, bio) select id, 'Old', 'old', 'https://cdn.example.test/old.png', ` + large("first") + ` from unnest(array[{1}, {2}, {3}, {4}]::bigint[]) as id`,
}

const (
	columnAdded = `alter table {t} add column role text default 'member'
		insert into {t} (id, full_name, role) values ({7}, 'With a role', 'admin')
		update {t} set full_name = 'New' where id = {1}`
	columnRenamed = `alter table {t} rename column username to handle
		update {t} set full_name = 'Renamed', handle = 'new' where id = {2}
		insert into {t} (id, full_name, handle) values ({8}, 'Renamed', 'new')`
	columnRenamedBack = `alter table {t} rename column handle to username
		update {t} set full_name = 'Back'`
	columnDropped = `alter table {t} add column more text not null default 'x'
		update {t} set full_name = 'More', more = 'y' where id = {3}
		alter table {t} drop column more
		update {t} set full_name = 'No more' where id = {3}
		alter table {t} drop column avatar_url
		update {t} set full_name = 'Dropped', role = 'admin' where id = {4}
		insert into {t} (id, full_name) values ({9}, 'Dropped')`
)

// Nobody can tell a vendor that all rows are gone.
var truncated = example{
	name:  "truncate",
	setup: `insert into {t} (id, full_name, email) values ({1}, 'Leaves', 'a@example.test'), ({2}, 'Returns', 'b@example.test')`,
	change: `truncate {t}
		insert into {t} (id, full_name) values ({2}, 'Returned'), ({3}, 'New')`,
}

// strangeIDs writes users whose IDs somebody might take for another's, or for
// something else. The last one is too long for TapTalk.
func (w *world) strangeIDs() {
	w.t.Helper()
	for _, id := range []string{
		"Zo\u00eb", "Zoe\u0308", " blanks ", "blanks", "007", "7.0", "true", "NULL", `{"id":1}`, "a\tb", "ﬁ", "fi",
		strings.Repeat("é", 51),
	} {
		w.cases[id] = "strange IDs"
		for _, name := range []string{"First", "Second"} {
			w.exec("a", fmt.Sprintf("insert into tagged (id, full_name) values (%s, '%s') on conflict (id) do update set full_name = '%[2]s'", literal(id), name))
		}
	}
}

// texts writes what people call themselves.
func texts() example {
	e := example{name: "text"}
	var setup, change []string
	for i, text := range []string{
		"Zoë composed", "Zoe\u0308 decomposed", "한글 \u1112\u1161\u11ab\u1100\u1173\u11af",
		"👨‍👩‍👧‍👦 of 🇮🇩, 𝒁𝒐ë 𠮷", "\u200fشريف\u200e (مصر) עברית",
		"ﬁ stays, ẛ̣ does as well", `"quoted" \back\u0041 'single' </b>&amp; %s`,
		"tab\there,\r\nline\u2028and\u00a0space\u3000", "nothing\u0001 here\u007f", "\ufeffmark", strings.Repeat("😀", 300),
	} {
		setup = append(setup, fmt.Sprintf(`insert into {t} (id, full_name) values ({%d}, 'Plain')`, i+1))
		change = append(change, fmt.Sprintf(`update {t} set full_name = %[2]s, username = %[2]s, role = %[2]s, bio = %[2]s where id = {%[1]d}`,
			i+1, strings.NewReplacer("\n", `\n`, "\r", `\r`).Replace("e"+literal(strings.ReplaceAll(text, `\`, `\\`)))))
	}
	e.setup, e.change = strings.Join(setup, "\n"), strings.Join(change, "\n")
	return e
}
