package postgres_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"usersync/e2e"
	"usersync/e2e/postgres"
	"usersync/e2e/worker"
)

func TestRowsOutliveRestarts(t *testing.T) {
	s := e2e.Postgres(t, postgres.Config{})
	exec(t, s, "create table users (id bigint primary key)")
	exec(t, s, "insert into users values (1)")
	addr := s.Addr()

	s.Kill()
	worker.Until(t, worker.Limit, "nothing answers", func() bool { return ping(t, s) != nil })
	restart(t, s)
	exec(t, s, "insert into users values (2)")

	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	restart(t, s)
	exec(t, s, "insert into users values (3)")

	var n int
	if err := s.DB.QueryRow(t.Context(), "select count(*) from users").Scan(&n); err != nil || n != 3 {
		t.Errorf("%d rows, %v; want 3", n, err)
	}
	if s.Addr() != addr {
		t.Errorf("it moved from %s to %s", addr, s.Addr())
	}
}

func TestSettings(t *testing.T) {
	s := e2e.Postgres(t, postgres.Config{Settings: map[string]string{"max_wal_senders": "3"}})
	for name, want := range map[string]string{"max_wal_senders": "3", "wal_level": "logical", "listen_addresses": "127.0.0.1"} {
		var got string
		if err := s.DB.QueryRow(t.Context(), "select current_setting($1)", name).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q, %v; want %q", name, got, err, want)
		}
	}
	exec(t, s, "select pg_create_logical_replication_slot('idle', 'pgoutput')")
	if streaming, err := s.Streaming(t.Context(), "idle"); streaming || err != nil {
		t.Errorf("a slot that nobody reads streams: %v, %v", streaming, err)
	}
}

func TestStartSaysWhatIsWrong(t *testing.T) {
	e2e.Require(t, "postgres")
	_, err := postgres.Start(t.Context(), postgres.Config{Logs: t.TempDir(), Settings: map[string]string{"wal_level": "no-such-level"}})
	if err == nil || !strings.Contains(err.Error(), "no-such-level") {
		t.Errorf("Start = %v, want what PostgreSQL says", err)
	}
}

// ping asks the server for an answer.
func ping(t *testing.T, s *postgres.Server) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return s.DB.Ping(ctx)
}

func restart(t *testing.T, s *postgres.Server) {
	t.Helper()
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func exec(t *testing.T, s *postgres.Server, sql string) {
	t.Helper()
	if _, err := s.DB.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}
