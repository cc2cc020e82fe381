package connect_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"usersync/e2e"
	"usersync/e2e/broker"
	"usersync/e2e/connect"
	"usersync/e2e/postgres"
	"usersync/e2e/worker"
)

// rig is a database whose users end up in a topic.
type rig struct {
	t        *testing.T
	broker   *broker.Broker
	postgres *postgres.Server
	connect  *connect.Worker
}

// One of each serves all; a start takes seconds.
func TestDebezium(t *testing.T) {
	r := &rig{t: t, broker: e2e.Kafka(t, broker.Config{}), postgres: e2e.Postgres(t, postgres.Config{})}
	r.connect = e2e.Connect(t, connect.Config{Dir: t.TempDir(), Brokers: r.broker.Addr()})
	r.exec(`create table public.users (id bigint primary key, full_name text)`)
	r.exec(`create table public.debezium_signal (id text primary key, type text, data text)`)
	r.exec(`insert into users values (1, 'Snapshot')`)

	r.put(nil)
	r.validateExample()
	r.exec(`insert into users values (2, 'Stream')`)
	r.wait("r 1 Snapshot", "c 2 Stream")

	r.exec(`insert into debezium_signal values ('again', 'execute-snapshot', '{"data-collections": ["public.users"]}')`)
	r.wait("r 1 Snapshot", "c 2 Stream", "r 2 Stream")

	before := r.reader()
	if err := r.connect.RestartConnector(t.Context(), "users"); err != nil {
		t.Fatal(err)
	}
	if after := r.reader(); after == before {
		t.Error("the connector still has its old connection to the database")
	}
	r.exec(`insert into users values (3, 'After a restart of the connector')`)
	r.wait("c 3 After a restart of the connector")

	if err := r.connect.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.connect.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.exec(`update users set full_name = 'After a stop' where id = 3`)
	r.wait("u 3 After a stop")
	others := func(change string) bool { return change != "c 3 After a restart of the connector" }
	if n := len(slices.DeleteFunc(r.topic(), others)); n != 1 {
		t.Errorf("a worker that was stopped left a change that was written %d times", n)
	}

	r.connect.Kill()
	r.exec(`insert into users values (4, 'While it was down')`)
	if err := r.connect.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.wait("c 4 While it was down")

	r.put(map[string]string{"tombstones.on.delete": "false"})
	r.exec(`delete from users where id = 4`)
	r.wait("d 4 ")
	if slices.Contains(r.topic(), "tombstone") {
		t.Error("it went on with the old configuration")
	}
	r.restartPostgres()
	r.refuse()
}

// reader waits until the connector reads from the database, and returns the ID of its
// session there.
func (r *rig) reader() (pid int) {
	r.t.Helper()
	worker.Until(r.t, worker.Limit, "the connector streams", func() bool {
		streaming, err := r.postgres.Streaming(r.t.Context(), connect.Slot)
		if err != nil {
			r.t.Fatal(err)
		}
		return streaming
	})
	err := r.postgres.DB.QueryRow(r.t.Context(), "select active_pid from pg_replication_slots").Scan(&pid)
	if err != nil {
		r.t.Fatal(err)
	}
	return pid
}

// restartPostgres stops the database under a connector that reads from it.
func (r *rig) restartPostgres() {
	r.t.Helper()
	if err := r.postgres.Stop(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	if err := r.postgres.Restart(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	r.exec(`insert into users values (5, 'After a restart of the database')`)
	r.wait("c 5 After a restart of the database")
}

// refuse asks for what cannot be had.
func (r *rig) refuse() {
	r.t.Helper()
	wrong := connect.Debezium(r.postgres, map[string]string{"database.port": "1"})
	if err := r.connect.PutConnector(r.t.Context(), "wrong", wrong); err == nil || !strings.Contains(err.Error(), "HTTP 400") {
		r.t.Errorf("a connector to no database: %v, want what Connect says", err)
	}
	if err := r.connect.RestartConnector(r.t.Context(), "typo"); err == nil {
		r.t.Error("restarted a connector that does not exist")
	}
	s, err := r.connect.Status(r.t.Context(), "users")
	if err != nil || s.Connector.State != "RUNNING" || len(s.Tasks) != 1 || s.Tasks[0].State != "RUNNING" {
		r.t.Errorf("the right one: %+v, %v", s, err)
	}
}

func (r *rig) put(more map[string]string) {
	r.t.Helper()
	if err := r.connect.PutConnector(r.t.Context(), "users", connect.Debezium(r.postgres, more)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) exec(sql string) {
	r.t.Helper()
	if _, err := r.postgres.DB.Exec(r.t.Context(), sql); err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
}

// wait waits until the topic holds all changes, each as OPERATION ID NAME.
func (r *rig) wait(want ...string) {
	r.t.Helper()
	worker.Until(r.t, worker.Limit, fmt.Sprint(want), func() bool {
		got := map[string]bool{}
		for _, change := range r.topic() {
			got[change] = true
		}
		return !slices.ContainsFunc(want, func(w string) bool { return !got[w] })
	})
}

// topic returns what is in the topic.
func (r *rig) topic() []string {
	r.t.Helper()
	var all []string
	records, err := r.broker.Read(r.t.Context(), connect.Topic, 0)
	if err != nil {
		return nil // there is none before the first change
	}
	for _, record := range records {
		if record.Value == nil {
			all = append(all, "tombstone")
			continue
		}
		var change struct {
			Op            string
			Before, After map[string]any
		}
		if err := json.Unmarshal(record.Value, &change); err != nil {
			r.t.Fatal(err)
		}
		row := maps.Clone(change.After)
		if row == nil {
			row = map[string]any{"id": change.Before["id"], "full_name": ""}
		}
		all = append(all, fmt.Sprintf("%s %v %s", change.Op, row["id"], row["full_name"]))
	}
	return all
}
