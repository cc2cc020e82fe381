package cdc_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"usersync/e2e/pipeline"
	"usersync/e2e/worker"
)

// world is the database, what happened in it, and what follows for the vendors.
type world struct {
	t        *testing.T
	p        *pipeline.Pipeline
	sessions map[string]*pgx.Conn // by name
	readers  []*reader

	users   int                          // so many were made up
	cases   map[string]string            // the case of each user
	held    map[string]map[string]record // by destination and user, as of the last check
	untold  map[string]string            // a field, by user
	letters map[string]bool              // DESTINATION USER
	settled int                          // times
}

func newWorld(t *testing.T, p *pipeline.Pipeline) *world {
	w := &world{
		users: markers,
		t:     t, p: p, sessions: map[string]*pgx.Conn{}, cases: map[string]string{},
		held: map[string]map[string]record{}, untold: map[string]string{}, letters: map[string]bool{},
	}
	for _, destination := range worker.Destinations {
		w.held[destination] = map[string]record{}
	}
	for _, name := range []string{"a", "b", "c"} {
		conn, err := pgx.Connect(t.Context(), p.Postgres.URL())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(context.Background()) }) // the server ends next
		w.sessions[name] = conn
	}
	return w
}

// exec runs one statement in a session.
func (w *world) exec(session, sql string) {
	w.t.Helper()
	if _, err := w.sessions[session].Exec(w.t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
}

// cast are the users of a case in a table: one of its performances.
type cast struct {
	*example
	table table
	ids   *strings.Replacer
	all   []string
}

// most is how many users a case may have.
const most = 12

// cast gives a case users of its own.
func (w *world) cast(e *example, t table) *cast {
	c := &cast{example: e, table: t}
	replace := []string{"{t}", t.name, "{key}", t.key}
	for i := range most {
		w.users++
		id := t.id(w.users)
		w.cases[id] = fmt.Sprintf("%s, in %s", e.name, t.name)
		c.all = append(c.all, id)
		replace = append(replace, fmt.Sprintf("{%d}", i+1), literal(id))
	}
	c.ids = strings.NewReplacer(replace...)
	return c
}

// play runs a script of the case.
func (w *world) play(c *cast, script string) {
	w.t.Helper()
	for line := range strings.Lines(c.ids.Replace(script)) {
		session, sql := "a", strings.TrimSpace(line)
		if of, other := strings.CutPrefix(sql, "b: "); other {
			session, sql = "b", of
		}
		if sql != "" {
			w.exec(session, sql)
		}
	}
}

func (w *world) setup(c *cast) { w.t.Helper(); w.play(c, c.setup) }

func (w *world) change(c *cast) {
	w.t.Helper()
	w.play(c, c.change)
	if c.table.identity == "default" {
		for n, field := range c.untold {
			w.untold[c.all[n-1]] = field
		}
	}
}

// rows returns a table's rows by user, in composed Unicode but for the IDs.
func (w *world) rows(t table) map[string]map[string]any {
	w.t.Helper()
	found, err := w.p.Postgres.DB.Query(w.t.Context(), "select id::text, normalize((to_jsonb(t) - 'id')::text, nfc) from "+t.name+" t")
	if err != nil {
		w.t.Fatal(err)
	}
	all := map[string]map[string]any{}
	var id, text string
	_, err = pgx.ForEachRow(found, []any{&id, &text}, func() error {
		var row map[string]any
		err := json.Unmarshal([]byte(text), &row)
		all[id] = row
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

// written returns every user that was ever in a table.
func (w *world) written() map[string]bool {
	w.t.Helper()
	found, err := w.p.Postgres.DB.Query(w.t.Context(), "select id from written")
	if err != nil {
		w.t.Fatal(err)
	}
	ids, err := pgx.CollectRows(found, pgx.RowTo[string])
	if err != nil {
		w.t.Fatal(err)
	}
	all := map[string]bool{}
	for _, id := range ids {
		all[id] = true
	}
	return all
}

// markers is how many rows of each table are written last: enough for one in each
// partition of every topic, which covered holds. They are the first users of a table.
const markers = 10

// settle waits until everything that was written has been read and delivered: rows
// that were written last are there, and nothing is uncommitted. There is one in each
// partition, since another's says nothing of what a broker has refused and is sent
// again; and so in each table with rows that have no payload: these are given up when
// a later row has one.
func (w *world) settle() {
	w.t.Helper()
	w.settled++
	name := fmt.Sprintf("Marker %d", w.settled)
	for _, t := range tables {
		var rows []string
		for n := range markers {
			w.cases[t.id(n)] = "the last rows written, in " + t.name
			rows = append(rows, fmt.Sprintf("(%s, %s)", literal(t.id(n)), literal(name)))
		}
		w.exec("a", fmt.Sprintf("insert into %s (id, full_name) values %s on conflict (id) do update set full_name = excluded.full_name",
			t.name, strings.Join(rows, ", ")))
	}
	for _, r := range w.readers {
		for _, destination := range worker.Destinations {
			for _, t := range r.tables {
				for n := range markers {
					worker.Until(w.t, worker.Limit, fmt.Sprintf("%s, %s: row %d of the last of %s is there", r.name, destination, n, t.name), func() bool {
						return r.deployment.Vendors.Name(destination, t.id(n)) == name
					})
				}
			}
			for _, topic := range r.topics() {
				worker.Until(w.t, worker.Limit, fmt.Sprintf("%s, %s: %s is read", r.name, destination, topic), func() bool {
					return worker.Lag(w.t, w.p.Kafka, r.deployment.Group(destination), topic) == 0
				})
			}
		}
	}
}

// covered looks at the topics themselves: each partition must have a marker, and each
// row a record. Which partition a row goes to depends on how its key is written, which
// differs from reader to reader. A row without a record was lost before any worker
// could have seen it.
func (w *world) covered() {
	w.t.Helper()
	for _, r := range w.readers {
		for _, t := range r.tables {
			last, told := map[string]bool{}, map[string]bool{}
			for n := range markers {
				last[t.id(n)] = true
			}
			for p := range int32(partitions) {
				records, err := w.p.Kafka.Read(w.t.Context(), r.topic(t), p)
				if err != nil {
					w.t.Fatal(err)
				}
				marked := false
				for _, record := range records {
					id := idOf(record.Key)
					told[id], marked = true, marked || last[id]
				}
				if !marked {
					w.t.Errorf("%s/%d has none of the last rows: of %d records it is not known whether they were all", r.topic(t), p, len(records))
				}
			}
			untold := 0
			for id := range w.rows(t) {
				if !told[id] {
					untold++
				}
			}
			if untold > 0 {
				w.t.Errorf("%s has no record of %d rows: the harness is at fault, not the worker", r.topic(t), untold)
			}
		}
	}
}

// check settles, and compares every user of every table with what all vendors hold.
func (w *world) check(after string) {
	w.t.Helper()
	w.settle()
	rows := map[string]map[string]map[string]any{}
	for _, t := range tables {
		rows[t.name] = w.rows(t)
	}
	for _, destination := range worker.Destinations {
		held := w.held[destination]
		for _, table := range rows {
			for id, row := range table {
				now := want(destination, id, row)
				if now == nil {
					w.letters[destination+" "+id] = true
					continue
				}
				delete(now, w.untold[id])
				// What is not in the row any more stays as it was.
				if held[id] == nil {
					held[id] = record{}
				}
				maps.Copy(held[id], now)
			}
		}
	}
	written := w.written()
	for _, r := range w.readers {
		for _, destination := range worker.Destinations {
			w.compare(after, r, destination, written)
		}
	}
}

// compare reports what is wrong at one vendor.
func (w *world) compare(after string, r *reader, destination string, written map[string]bool) {
	w.t.Helper()
	users := r.deployment.Vendors.Users(destination)
	var wrong []string
	for id, must := range w.held[destination] {
		if w.cases[id] == "" {
			w.t.Fatalf("user %q is of no case", id)
		}
		if strings.HasSuffix(w.cases[id], " in "+crowd) && len(r.tables) < len(tables) {
			continue
		}
		has := users[id]
		fields := slices.Sorted(maps.Keys(must))
		for _, field := range slices.Sorted(maps.Keys(has)) {
			if _, ok := must[field]; !ok {
				fields = append(fields, field)
			}
		}
		for _, field := range fields {
			if m, h := shown(must, field), shown(has, field); m != h {
				wrong = append(wrong, fmt.Sprintf("%s: user %q, %s: the database has %s, the vendor %s", w.cases[id], id, field, m, h))
			}
		}
	}
	for id := range users {
		if !written[id] {
			wrong = append(wrong, fmt.Sprintf("nobody: user %q was never written, and the vendor has it", id))
		}
	}
	if len(wrong) == 0 {
		return
	}
	n := len(wrong)
	slices.Sort(wrong)
	wrong = slices.CompactFunc(wrong, func(a, b string) bool { // one of each case tells enough
		ofA, _, _ := strings.Cut(a, ": ")
		ofB, _, _ := strings.Cut(b, ": ")
		return ofA == ofB
	})
	w.t.Errorf("after %s, %s, %s: %d fields are wrong, such as\n%s", after, r.name, destination, n, strings.Join(wrong, "\n"))
}

// shown is the start of a field, such that texts that only look the same differ. What
// differs further on differs in the hash behind it.
func shown(r record, field string) string {
	v, ok := r[field]
	if !ok {
		return "nothing"
	}
	const most = 80
	s := fmt.Sprintf("%+q", v)
	if len(s) <= most {
		return s
	}
	return fmt.Sprintf("%s... (%.4x)", s[:most], sha256.Sum256([]byte(s)))
}
