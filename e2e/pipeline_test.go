package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"usersync/e2e/connect"
	"usersync/e2e/pipeline"
	"usersync/e2e/worker"
)

// TestPipeline is the whole way of a user, with nothing made up but the vendors: a
// table that has grown for years, read twice and followed while it changes, by two
// workers. In the end both vendors hold what the table does.
func TestPipeline(t *testing.T) {
	t.Parallel() // it measures nothing
	const before, changes = 10_000, 3_000
	p := pipeline.New(t, pipeline.Config{})
	a := &app{t: t, p: p, random: rand.New(rand.NewPCG(1, 2)), deleted: map[string]bool{}}
	d := p.Deploy(t)

	a.insert(before)
	began := time.Now()
	captured := make(chan error, 1)
	go func() { captured <- p.Capture(t.Context(), nil) }()
	first, second := d.Start(t, "first", nil), d.Start(t, "second", nil)
	for i := range changes {
		a.change(i) // also while the table is being read
		if i == changes/2 {
			if err := <-captured; err != nil {
				t.Fatal(err)
			}
			if err := p.Snapshot(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	written := time.Now()
	what := ""
	defer func() {
		if t.Failed() {
			t.Log(what)
		}
	}()
	worker.Until(t, 2*worker.Limit, "both vendors hold the table, and all is committed", func() bool {
		for _, destination := range worker.Destinations {
			// First, since comparing all rows takes what the workers need.
			if lag := worker.Lag(t, p.Broker.Client, d.Group(destination), connect.Topic); lag != 0 {
				what = fmt.Sprintf("%s: lag %d", destination, lag)
				return false
			}
		}
		what = a.wrong(d)
		return what == ""
	})
	t.Logf("%d rows and %d changes: %.1f s since the connector, %.1f s since the last change",
		before, changes, time.Since(began).Seconds(), time.Since(written).Seconds())
	a.alone(d)
	if n := len(deadLetters(t, d)); n != 0 {
		t.Errorf("%d dead letters", n)
	}
	first.Stop()
	second.Stop()
}

// app stands in for the application that owns the table.
type app struct {
	t       *testing.T
	p       *pipeline.Pipeline
	random  *rand.Rand
	rows    int64 // IDs are 1 to rows
	deleted map[string]bool
}

// exec runs a statement with $1 being the given user.
func (a *app) exec(sql string, args ...any) {
	a.t.Helper()
	if _, err := a.p.Postgres.DB.Exec(a.t.Context(), sql, args...); err != nil {
		a.t.Fatalf("%s: %v", sql, err)
	}
}

// insert adds n rows, of which some lack a name, a telephone number or a language.
func (a *app) insert(n int64) {
	a.t.Helper()
	a.exec(`insert into users (full_name, first_name, last_name, email, phone, username, avatar_url, language, bio)
		select case when i % 7 > 0 then 'Nama  ' || i || ' Zoë' end, 'Given', 'Name ' || i,
			case when i % 5 > 0 then 'user' || i || '@Example.Test' end,
			case when i % 3 > 0 then '+62 812-3456-' || lpad((i % 10000)::text, 4, '0') end,
			'user-' || i, case when i % 2 > 0 then 'https://cdn.example.test/' || i || '.png' end,
			(array['en', 'id_ID', 'pt-BR', null])[1 + i % 4], case when i % 11 = 0 then repeat('Lorem ipsum ', 40) end
		from generate_series($1::bigint + 1, $1 + $2) as i`, a.rows, n)
	a.rows += n
}

// change makes one change of a user, or several in one transaction.
func (a *app) change(n int) {
	a.t.Helper()
	id := 1 + a.random.Int64N(a.rows)
	switch n % 10 {
	case 0:
		a.insert(1 + a.random.Int64N(5))
	case 1:
		a.exec(`delete from users where id = $1`, id)
		a.deleted[strconv.FormatInt(id, 10)] = true
	case 2:
		a.exec(`update users set full_name = null, email = null, phone = null where id = $1`, id)
	case 3: // twenty users at once
		a.exec(`update users set language = 'de', updated_at = now() where id between $1 and $1 + 19`, id)
	case 4: // and one that nobody will ever have seen
		tx, err := a.p.Postgres.DB.Begin(a.t.Context())
		if err != nil {
			a.t.Fatal(err)
		}
		if _, err := tx.Exec(a.t.Context(), `update users set full_name = 'Rolled Back' where id = $1`, id); err != nil {
			a.t.Fatal(err)
		}
		if err := tx.Rollback(a.t.Context()); err != nil {
			a.t.Fatal(err)
		}
	default:
		a.exec(`update users set full_name = $2, phone = '+628119900' || lpad($3, 3, '0') where id = $1`,
			id, fmt.Sprintf(" Change  %d", n), strconv.Itoa(n%1000))
	}
}

// table returns all rows.
func (a *app) table() []pipeline.Row {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), worker.Limit)
	defer cancel()
	rows, err := pipeline.Rows(ctx, a.p.Postgres.DB)
	if err != nil {
		a.t.Fatal(err)
	}
	return rows
}

// wrong returns the first user found that a vendor does not hold as the table does,
// "" if there is none.
func (a *app) wrong(d *worker.Deployment) string {
	a.t.Helper()
	rows := a.table()
	for _, destination := range worker.Destinations {
		held := d.Vendors.Users(destination)
		for _, r := range rows {
			got, want := held[r.ID], r.Sent(destination)
			if fmt.Sprint(got) != fmt.Sprint(want) {
				return fmt.Sprintf("%s: user %s is\n%v, want\n%v", destination, r.ID, got, want)
			}
		}
	}
	return ""
}

// alone reports users that are neither in the table nor were deleted from it; no
// vendor can be told of a delete.
func (a *app) alone(d *worker.Deployment) {
	a.t.Helper()
	known := maps.Clone(a.deleted)
	for _, r := range a.table() {
		known[r.ID] = true
	}
	for _, destination := range worker.Destinations {
		for id := range d.Vendors.Users(destination) {
			if !known[id] {
				a.t.Errorf("%s holds user %s, whom nobody wrote", destination, id)
			}
		}
	}
}
