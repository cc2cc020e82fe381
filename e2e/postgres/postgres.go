// Package postgres runs a throw-away PostgreSQL server on the loopback interface,
// with logical replication. It needs the distribution's PostgreSQL; a cluster that
// the distribution made is left alone.
package postgres

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"usersync/e2e/internal/loopback"
	"usersync/e2e/process"
)

// The superuser, who needs no password, and the database.
const (
	User     = "postgres"
	Database = "postgres"
)

// Config says what server to run; the zero value with Logs is a good one.
type Config struct {
	// Logs is an existing directory for the server's logs. Its data is in a
	// directory of its own, below os.TempDir: where the tests run as root it belongs
	// to another user, who can't reach into root's directories.
	Logs string
	// Settings are put over those the harness sets.
	Settings map[string]string
}

// Server is a PostgreSQL server that was started at least once. The methods that
// start and stop it are for one goroutine; all others for several.
type Server struct {
	// DB are connections to the server; after a restart it makes new ones.
	DB *pgxpool.Pool

	config  Config
	bin     string // the directory of the programs
	account *syscall.Credential
	dir     string
	addr    string
	process *process.Process
	starts  int
}

// How long a server may take; the start after a crash is the longest.
const (
	startLimit = 60 * time.Second
	stopLimit  = 30 * time.Second
)

// settings make a server that starts and commits quickly. No test cuts the power,
// and a process that is killed has written what it committed, so fsync is of no use.
var settings = map[string]string{
	"listen_addresses":        "127.0.0.1",
	"unix_socket_directories": "",
	"wal_level":               "logical",
	"max_wal_senders":         "10",
	"max_replication_slots":   "10",
	"fsync":                   "off",
	"shared_buffers":          "64MB",
}

// Start makes and starts a server and returns when it answers. The caller ends it
// with Close.
func Start(ctx context.Context, c Config) (*Server, error) {
	bin, err := Programs()
	if err != nil {
		return nil, err
	}
	s := &Server{config: c, bin: bin}
	if err := s.prepare(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("start postgres: %w", err)
	}
	if err := s.Restart(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// prepare chooses the address and makes the data directory.
func (s *Server) prepare(ctx context.Context) error {
	free, err := loopback.Free(ctx, 1)
	if err != nil {
		return err
	}
	s.addr = free[0]
	if s.DB, err = pgxpool.New(ctx, s.URL()+"?sslmode=disable"); err != nil {
		return err
	}
	if s.account, err = account(); err != nil {
		return err
	}
	if err := sweep(os.TempDir()); err != nil {
		return err
	}
	if s.dir, err = os.MkdirTemp("", fmt.Sprintf("%s%d-*", prefix, os.Getpid())); err != nil {
		return err
	}
	if s.account != nil {
		if err := os.Chown(s.dir, int(s.account.Uid), int(s.account.Gid)); err != nil {
			return err
		}
	}
	initdb := exec.CommandContext(ctx, filepath.Join(s.bin, "initdb"), "--pgdata", s.data(),
		"--username", User, "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = s.dir, &syscall.SysProcAttr{Credential: s.account}
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// Addr returns the address, HOST:PORT, which stays the same across restarts.
func (s *Server) Addr() string { return s.addr }

// URL returns the connection string, as psql takes it.
func (s *Server) URL() string { return "postgres://" + User + "@" + s.addr + "/" + Database }

// Restart starts the server on its data after Stop or Kill, and returns when it
// answers.
func (s *Server) Restart(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("not ready after %v", startLimit))
	defer cancel()
	for {
		err := s.start(ctx)
		// The sessions of a server that was killed may still be there, and until they
		// are gone no other one starts.
		if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), "is still in use") {
			return err
		}
	}
}

func (s *Server) start(ctx context.Context) error {
	_, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		return err
	}
	args := []string{"-D", s.data(), "-c", "port=" + port}
	for _, set := range []map[string]string{settings, s.config.Settings} {
		for name, value := range set {
			args = append(args, "-c", name+"="+value)
		}
	}
	s.starts++
	p, err := process.Start(process.Command{
		Name: fmt.Sprintf("postgres-%d", s.starts),
		Path: filepath.Join(s.bin, "postgres"), Args: args,
		Dir: s.dir, Credential: s.account, Logs: s.config.Logs,
	})
	if err != nil {
		return err
	}
	s.process = p
	s.DB.Reset() // those to the process before are gone
	if err := p.Ready(ctx, s.DB.Ping); err != nil {
		p.Kill()
		return fmt.Errorf("start postgres: %w", err)
	}
	return nil
}

// Stop has the server end its sessions, write what it has and leave, and returns
// when it is gone. It waits for a consumer of its log to confirm all of it.
func (s *Server) Stop(ctx context.Context) error {
	return s.process.End(ctx, syscall.SIGINT, stopLimit)
}

// Kill ends the server with SIGKILL and returns when it is gone. Its sessions notice
// that a moment later and end; the next start recovers from its log.
func (s *Server) Kill() { s.process.Kill() }

// Close ends the server, if it runs, and removes its data.
func (s *Server) Close() {
	if s.DB != nil {
		s.DB.Close()
	}
	if s.process != nil {
		// SIGQUIT, since it waits for its children, who write to the directory.
		_ = s.process.End(context.Background(), syscall.SIGQUIT, stopLimit) // fails when it has ended, or has to be killed
		s.process.Kill()
	}
	if s.dir != "" {
		os.RemoveAll(s.dir)
	}
}

// Streaming reports whether somebody reads the changes of a replication slot as
// they come, and not a snapshot before them.
func (s *Server) Streaming(ctx context.Context, slot string) (bool, error) {
	var streaming bool
	err := s.DB.QueryRow(ctx, `select exists (select from pg_replication_slots
		join pg_stat_replication on pid = active_pid where slot_name = $1 and state = 'streaming')`, slot).Scan(&streaming)
	if err != nil {
		return false, fmt.Errorf("replication slot %s: %w", slot, err)
	}
	return streaming, nil
}
