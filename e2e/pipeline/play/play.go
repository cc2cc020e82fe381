package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"usersync/e2e"
	"usersync/e2e/connect"
	"usersync/e2e/internal/loopback"
	"usersync/e2e/internal/rest"
	"usersync/e2e/pipeline"
	"usersync/e2e/process"
	"usersync/e2e/worker"
)

type options struct{ workers, users int }

// session is all that runs, in the order in which it was started.
type session struct {
	out      io.Writer
	began    time.Time
	dir      string
	pipeline *pipeline.Pipeline
	vendors  *server
	workers  []*server
}

// server is a process and where it listens.
type server struct {
	*process.Process
	name, url string
}

// play starts everything, says on out where it is, and ends it when ctx ends or a
// worker does.
func play(ctx context.Context, out io.Writer, o options) error {
	dir, err := os.MkdirTemp("", "usersync-pipeline-*")
	if err != nil {
		return err
	}
	s := &session{out: out, began: time.Now(), dir: dir}
	var watching sync.WaitGroup
	defer watching.Wait()
	defer s.end()
	if err := s.start(ctx, o); err != nil {
		return err
	}
	s.introduce()
	ended := make(chan *server, len(s.workers))
	for _, w := range s.workers {
		watching.Go(func() {
			<-w.Done() // at the latest when end ends it
			ended <- w
		})
	}
	select {
	case <-ctx.Done():
		return nil
	case w := <-ended:
		text, err := os.ReadFile(w.Stderr())
		return errors.Join(fmt.Errorf("%s has ended by itself:\n%s", w.name, text[max(0, len(text)-4096):]), err)
	}
}

func (s *session) report(step string) {
	fmt.Fprintf(s.out, "%5.1f s  %s\n", time.Since(s.began).Seconds(), step)
}

func (s *session) start(ctx context.Context, o options) error {
	var err error
	if s.pipeline, err = pipeline.Start(ctx, pipeline.Config{Dir: s.dir, Report: s.report}); err != nil {
		return err
	}
	if _, err := s.pipeline.Postgres.DB.Exec(ctx, `insert into users (full_name, email, phone, username, language)
		select 'User ' || i, 'user' || i || '@example.test', '+62812345' || lpad((i % 100000)::text, 5, '0'), 'user' || i, 'en'
		from generate_series(1, $1) as i`, o.users); err != nil {
		return fmt.Errorf("insert users: %w", err)
	}
	if err := s.pipeline.Capture(ctx, nil); err != nil {
		return err
	}
	s.report("building and starting the vendors and the workers")
	if s.vendors, err = s.launch(ctx, "vendors", "usersync/e2e/vendors/usersync-vendors", "/", func(addr string) ([]string, error) {
		return []string{"-listen", addr}, nil
	}); err != nil {
		return err
	}
	d := worker.Deployment{Broker: s.pipeline.Broker.Client, Config: s.pipeline.WorkerConfig()}
	for i := range o.workers {
		name := fmt.Sprintf("worker-%d", i+1)
		w, err := s.launch(ctx, name, "usersync/cmd/usersync", "/readyz", func(addr string) ([]string, error) {
			return s.configure(ctx, &d, name, addr)
		})
		if err != nil {
			return err
		}
		s.workers = append(s.workers, w)
	}
	return nil
}

// configure writes a worker's configuration and returns the arguments that have the
// worker use it.
func (s *session) configure(ctx context.Context, d *worker.Deployment, name, addr string) ([]string, error) {
	// Ports of its own, so that the vendors know who called.
	var urls map[string]string
	if err := rest.Call(ctx, http.MethodPut, s.vendors.url+"/callers/"+name, nil, &urls); err != nil {
		return nil, err
	}
	text, err := d.File(urls, worker.Config{"http.listen": addr})
	if err != nil {
		return nil, err
	}
	file := filepath.Join(s.dir, name+".yaml")
	return []string{"run", "-c", file}, os.WriteFile(file, text, 0o600)
}

// launch builds a command and starts it with the arguments that args returns for
// its address. It returns when the command answers at path.
func (s *session) launch(ctx context.Context, name, pkg, path string, args func(addr string) ([]string, error)) (*server, error) {
	binary, err := e2e.Build(pkg)
	if err != nil {
		return nil, err
	}
	free, err := loopback.Free(ctx, 1)
	if err != nil {
		return nil, err
	}
	a, err := args(free[0])
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p, err := process.Start(process.Command{Name: name, Path: binary, Args: a, Logs: s.dir})
	if err != nil {
		return nil, err
	}
	w := &server{Process: p, name: name, url: "http://" + free[0]}
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("not ready within a minute"))
	defer cancel()
	if err := p.Ready(ctx, func(ctx context.Context) error { return rest.Call(ctx, http.MethodGet, w.url+path, nil, nil) }); err != nil {
		p.Kill()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return w, nil
}

// introduce says where everything is, and what to try.
func (s *session) introduce() {
	s.report("all is ready")
	psql := "psql " + s.pipeline.Postgres.URL()
	say := func(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }
	say("\nPostgreSQL     %s", psql)
	say("Kafka          %s, topic %s, dead letters in %s", s.pipeline.Broker.Addr(), connect.Topic, pipeline.DeadLetters)
	say("Kafka Connect  %s/connectors?expand=status", s.pipeline.Connect.URL())
	say("the vendors    %s says how to break them", s.vendors.url)
	for _, w := range s.workers {
		say("%-13s  %s/metrics, configured in %s", w.name, w.url, filepath.Join(s.dir, w.name+".yaml"))
	}
	say("logs           %s, until the end", s.dir)
	say("\nChange a user, and see what the vendors hold:\n")
	say(`  %s -c "update users set full_name = 'Ada Lovelace' where id = 1"`, psql)
	say("  curl %s/users/1", s.vendors.url)
	say("\nBreak a vendor, change somebody else, and mend it:\n")
	say(`  curl -d '{"status": 503}' %s/taptalk/rules`, s.vendors.url)
	say("  curl -X PUT -d '[]' %s/taptalk/rules", s.vendors.url)
	say("\nCtrl-C ends everything.")
}

// end ends everything, the workers as an orchestrator would.
func (s *session) end() {
	s.report("ending")
	for _, w := range s.workers {
		_ = w.Signal(syscall.SIGTERM) // fails when it has ended by itself
	}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	for _, w := range s.workers {
		_, _ = w.Wait(ctx) // it is killed next if it is still there
		w.Kill()
	}
	if s.vendors != nil {
		s.vendors.Kill()
	}
	if s.pipeline != nil {
		s.pipeline.Close()
	}
	os.RemoveAll(s.dir)
}
