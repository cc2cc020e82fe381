package delivered_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"usersync/e2e/connect"
	"usersync/e2e/pipeline"
	"usersync/e2e/worker"
)

// limit is how long the largest step may take, on a machine that is busy.
const limit = 8 * time.Minute

// world is a table, all that reads it, and both vendors.
type world struct {
	t          *testing.T
	p          *pipeline.Pipeline
	deployment *worker.Deployment
	snapshots  int // so far
}

func newWorld(t *testing.T) *world {
	t.Helper()
	p := pipeline.New(t, pipeline.Config{})
	d := p.Deploy(t)
	maps.Copy(d.Config, worker.Config{
		"kafka.state_topic":        state,
		"kafka.state_topic_create": true,
		// It is empty at first, and one request is enough for whoever it has.
		"destinations.haptik.first_write": "post",
	})
	for _, destination := range worker.Destinations {
		d.Config["destinations."+destination+".concurrency"] = 64
	}
	d.OneAddress()
	d.Patient()
	return &world{t: t, p: p, deployment: d}
}

// exec runs a statement.
func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.p.Postgres.DB.Exec(w.t.Context(), sql, args...); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
}

// insert fills the table.
func (w *world) insert() {
	w.t.Helper()
	w.exec(`insert into users (full_name, email, phone, username, avatar_url, language, bio)
		select 'Nama  ' || i || ' Zoë', case when i % 5 > 0 then 'user' || i || '@Example.Test' end,
			case when i % 3 > 0 then '+62 812-3456-' || lpad((i % 10000)::text, 4, '0') end, 'user-' || i,
			case when i % 2 > 0 then 'https://cdn.example.test/' || i || '.png' end,
			(array['en', 'id_ID', 'pt-BR', null])[1 + i % 4], case when i % 11 = 0 then repeat('Lorem ipsum ', 10) end
		from generate_series(1, $1::bigint) as i`, users)
}

// records is how many there ever were in the topic.
func (w *world) records() (all int64) {
	w.t.Helper()
	partitions, err := w.p.Kafka.Partitions(w.t.Context(), connect.Topic)
	if err != nil {
		w.t.Fatal(err)
	}
	for p := range int32(partitions) {
		_, end, err := w.p.Kafka.Offsets(w.t.Context(), connect.Topic, p)
		if err != nil {
			w.t.Fatal(err)
		}
		all += end
	}
	return all
}

// settle waits until both groups have committed all that is in the topic.
func (w *world) settle() {
	w.t.Helper()
	for _, destination := range worker.Destinations {
		worker.Until(w.t, limit, destination+": all is committed", func() bool {
			return worker.Lag(w.t, w.p.Kafka, w.deployment.Group(destination), connect.Topic) == 0
		})
	}
}

// user is one at a destination, such as "taptalk 7".
func user(destination, id string) string { return destination + " " + id }

// differ compares the table with both vendors, user by user: these, and no others, are
// not held as their rows say.
func (w *world) differ(want []string) {
	w.t.Helper()
	rows, err := pipeline.Rows(w.t.Context(), w.p.Postgres.DB)
	if err != nil {
		w.t.Fatal(err)
	}
	if len(rows) != users {
		w.t.Errorf("the table has %d rows, want %d", len(rows), users)
	}
	var got []string
	for _, destination := range worker.Destinations {
		held := w.deployment.Vendors.Users(destination)
		for _, r := range rows {
			if !reflect.DeepEqual(held[r.ID], r.Sent(destination)) {
				got = append(got, user(destination, r.ID))
			}
			delete(held, r.ID)
		}
		for id := range held {
			w.t.Errorf("%s holds user %s, who has no row", destination, id)
		}
	}
	w.same("at the vendors", got, want)
}

// audit has the product look for users who are not in sync: these, and no others, each
// with the verdict, such as "taptalk 7 differs".
func (w *world) audit(want []string) {
	w.t.Helper()
	began := time.Now()
	all, fine, err := w.deployment.Audit(w.t, nil, "--show-ids")
	took := time.Since(began)
	if err != nil {
		w.t.Fatal(err)
	}
	var got []string
	for _, d := range all.Destinations {
		for _, u := range d.Users {
			got = append(got, user(d.Destination, u.User)+" "+u.Verdict)
		}
		if n := d.Counts["in_sync"]; n+len(d.Users) != users {
			w.t.Errorf("audit: %s: %d in sync and %d not, of %d users", d.Destination, n, len(d.Users), users)
		}
	}
	w.t.Logf("audit of %d users: %d not in sync, %.1f s", all.Users, len(got), took.Seconds())
	if fine != (len(want) == 0) || all.Users != users || len(all.Destinations) != len(worker.Destinations) {
		w.t.Errorf("audit: everybody in sync is %t, %d users, %d destinations", fine, all.Users, len(all.Destinations))
	}
	if len(all.Remarks) > 0 {
		w.t.Errorf("audit: %q", all.Remarks)
	}
	w.same("by the audit", got, want)
}

// same compares who was found to be wrong.
func (w *world) same(where string, got, want []string) {
	w.t.Helper()
	slices.Sort(got)
	want = slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		const most = 20
		w.t.Errorf("%s %d are wrong, want %d:\n%s\nwant\n%s", where, len(got), len(want),
			fmt.Sprint(got[:min(len(got), most)]), fmt.Sprint(want[:min(len(want), most)]))
	}
}
