package cdc_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"usersync/e2e/worker"
)

// rowsInCrowd is how many rows the largest snapshot has.
const rowsInCrowd = 10_000

// create makes the tables.
func (w *world) create() {
	w.t.Helper()
	sql := []string{writing}
	for _, t := range tables {
		sql = append(sql, t.sql())
	}
	sql = append(sql, "alter table altered drop column role;", "create publication "+publication+" for all tables")
	if _, err := w.p.Postgres.DB.Exec(w.t.Context(), strings.Join(sql, "\n")); err != nil {
		w.t.Fatal(err)
	}
}

// fill writes the crowd.
func (w *world) fill() {
	w.t.Helper()
	t := tables[len(tables)-1]
	w.exec("a", fmt.Sprintf(`insert into crowd (id, full_name, email, phone, language)
		select %s + i, 'Member ' || i, 'member' || i || '@example.test', '+62 812-3456-' || lpad((i %% 10000)::text, 4, '0'), 'id'
		from generate_series(1, %d) as i`, t.id(0), rowsInCrowd))
	for i := range rowsInCrowd {
		w.cases[t.id(i+1)] = "many rows, in " + crowd
	}
}

// castAll gives every case users of its own in each of the tables.
func (w *world) castAll() (all []*cast) {
	for i := range examples {
		for _, t := range everywhere {
			all = append(all, w.cast(&examples[i], t))
		}
	}
	return all
}

// launch starts all readers.
func (w *world) launch() {
	w.t.Helper()
	w.readers = newReaders()
	for _, r := range w.readers {
		r.create(w.t, w.p)
	}
	var connectors errgroup.Group
	for _, r := range w.readers {
		connectors.Go(func() error { return w.p.Connect.PutConnector(w.t.Context(), r.name, r.config(w.p)) })
	}
	err := connectors.Wait()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range w.readers {
		r.start(w.t, w.p)
	}
}

type tableUser struct {
	table table
	id    string
}

// busy returns users of every table for the writer, and writes them.
func (w *world) busy() (users []tableUser) {
	w.t.Helper()
	e := example{name: "changes meanwhile", setup: `insert into {t} (id, full_name, bio) values ({1}, 'One', ` + large("first") + `), ({2}, 'Two', null)`}
	for _, t := range everywhere {
		for range 5 {
			c := w.cast(&e, t)
			w.setup(c)
			users = append(users, tableUser{t, c.all[0]}, tableUser{t, c.all[1]})
		}
	}
	t := tables[len(tables)-1]
	for i := range len(users) {
		users = append(users, tableUser{t, t.id(1 + i*rowsInCrowd/len(users))})
	}
	return users
}

// meanwhile changes users, one after the other, until f has returned, and returns how
// many rows of each table it has written.
func (w *world) meanwhile(users []tableUser, f func()) map[string]int {
	w.t.Helper()
	written := map[string]int{}
	stop := make(chan struct{})
	var writer errgroup.Group
	writer.Go(func() error {
		random := rand.New(rand.NewPCG(1, 2))
		for tick, n := time.Tick(5*time.Millisecond), 0; ; n++ {
			select {
			case <-stop:
				return nil
			case <-tick:
			}
			u := users[random.IntN(len(users))]
			set := []string{"role = 'role %[3]d'", "email = 'user%[3]d@Example.Test'", "bio = " + large("change %[3]d")}[n%3]
			if u.table.name == crowd {
				set = "phone = null" // it has no large values
			}
			sql := fmt.Sprintf("insert into %[1]s (id, full_name) values (%[2]s, 'Inserted %[3]d') on conflict (id) do update set full_name = 'Change %[3]d', "+set,
				u.table.name, literal(u.id), n)
			if _, err := w.sessions["c"].Exec(w.t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
				return fmt.Errorf("%s: %w", sql, err)
			}
			written[u.table.name]++
		}
	})
	f()
	close(stop)
	if err := writer.Wait(); err != nil {
		w.t.Fatal(err)
	}
	return written
}

// readAgain has all connectors read all tables again while they change, and waits
// until they have.
func (w *world) readAgain(users []tableUser) {
	w.t.Helper()
	var all []string
	for _, t := range tables {
		all = append(all, fmt.Sprintf(`"public.%s"`, t.name))
	}
	w.meanwhile(users, func() {
		w.exec("a", fmt.Sprintf(`insert into debezium_signal values ('again', 'execute-snapshot', '{"type": "incremental", "data-collections": [%s]}')`,
			strings.Join(all, ", ")))
		for _, r := range w.readers {
			worker.Until(w.t, worker.Limit, r.name+": all tables are read again", func() bool {
				told, err := w.p.Kafka.Read(w.t.Context(), r.notifications(), 0)
				if err != nil {
					w.t.Fatal(err)
				}
				for _, n := range told {
					if bytes.Contains(n.Value, []byte("Incremental Snapshot")) && bytes.Contains(n.Value, []byte(`"COMPLETED"`)) {
						return true
					}
				}
				return false
			})
		}
	})
	clear(w.untold)
}

// killConnect kills the connectors amid changes and starts them again. No change may be
// missing from their topics, and some must be there twice: else the case shows nothing.
func (w *world) killConnect(users []tableUser) {
	w.t.Helper()
	before := w.ends()
	written := w.meanwhile(users, func() {
		// Not before changes are being sent: Connect notes where it is once a second.
		t := tables[0]
		worker.Until(w.t, worker.Limit, "changes are sent", func() bool {
			return w.ends()[w.readers[0].topic(t)] > before[w.readers[0].topic(t)]+20
		})
		w.p.Connect.Kill()
		if err := w.p.Connect.Restart(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
	})
	w.check("Connect was killed")
	for _, t := range tables {
		written[t.name] += markers
	}
	after, twice := w.ends(), int64(0)
	for _, r := range w.readers {
		for _, t := range r.tables {
			more := after[r.topic(t)] - before[r.topic(t)] - int64(written[t.name])
			if more < 0 {
				w.t.Errorf("%s has lost %d changes: the harness is at fault, not the worker", r.topic(t), -more)
			}
			twice += more
		}
	}
	if twice == 0 {
		w.t.Error("no change was sent twice: nothing is shown")
	}
	w.t.Logf("%v rows, %d records sent twice", written, twice)
}

// ends returns how many records there ever were in each topic.
func (w *world) ends() map[string]int64 {
	w.t.Helper()
	all := map[string]int64{}
	for _, r := range w.readers {
		for _, topic := range r.topics() {
			for p := range int32(partitions) {
				_, end, err := w.p.Kafka.Offsets(w.t.Context(), topic, p)
				if err != nil {
					w.t.Fatal(err)
				}
				all[topic] += end
			}
		}
	}
	return all
}
