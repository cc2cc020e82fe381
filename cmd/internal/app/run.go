package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"

	"golang.org/x/sync/errgroup"

	"usersync/consumer"
	"usersync/metrics"
	usync "usersync/sync"
)

// Run is the worker. It brings every destination of c up to date until ctx ends;
// then it reads no more, lets calls in flight end, commits and leaves the groups.
// When hard ends it stops at once: what was in flight is done again by the next
// owner of the partitions. It logs to logs, and writes a trace of what it does to
// traces unless that is nil: each event with one Write, which must not block. It
// may run several times in a process.
//
// The error says why it could not start, what ended it, or that hard did.
func Run(ctx, hard context.Context, c *Config, logs, traces io.Writer) error {
	return run(ctx, hard, c, logs, traces, network{})
}

// errHard is what a stop without a drain ends with.
var errHard = errors.New("stopped before calls in flight had ended; the next owner of the partitions makes them again")

// network is how the worker reaches others and is reached; nil is the real one.
type network struct {
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
	listen func(ctx context.Context, address string) (net.Listener, error)
}

func run(ctx, hard context.Context, c *Config, logs, traces io.Writer, n network) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	defer context.AfterFunc(hard, end)() // to stop at once is to stop

	w, err := newWorker(c, newLogger(logs, c.Log.Level, c.Log.Format), traces, n)
	if err != nil {
		return err
	}
	defer w.close()
	l, err := w.listen(ctx, c.HTTP.Listen)
	if err != nil {
		return err
	}
	w.log.Info("listening", "address", l.Addr().String())

	// Waited for below: with nothing in flight a drain may be over before this has begun,
	// and the process ended without the word that it was told to.
	said := make(chan struct{})
	running := context.AfterFunc(ctx, func() {
		defer close(said)
		w.log.Info("stopping", "drain_timeout", short(c.Shutdown.DrainTimeout))
	})
	group, ctx := errgroup.WithContext(ctx)
	// The metrics of a drain are those that are read most.
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	group.Go(func() error { return w.admin.serve(serving, l) })
	group.Go(func() error {
		defer stopServing()
		return w.work(ctx, hard)
	})
	err = group.Wait()
	if !running() {
		<-said
	}
	if err != nil {
		return err
	}
	if hard.Err() != nil {
		return errHard
	}
	w.log.Info("stopped")
	return nil
}

// worker is one process: the admin server, and a pipeline for each destination.
type worker struct {
	config    *Config
	log       *slog.Logger
	listen    func(ctx context.Context, address string) (net.Listener, error)
	admin     *admin
	pipelines []*consumer.Pipeline
	clients   []*consumer.Client // one for each pipeline
	closers   []func()
}

// newWorker makes everything and connects to nothing.
func newWorker(c *Config, log *slog.Logger, traces io.Writer, n network) (*worker, error) {
	version, revision := Build()
	w := &worker{config: c, log: log, admin: &admin{metrics: newRegistry(), status: newStatusPage(version), log: log}}
	if w.listen = n.listen; w.listen == nil {
		w.listen = w.admin.listen
	}
	key, err := c.Privacy.key()
	if err != nil {
		return nil, err
	}
	hash := newUserHash(key)
	tell := tracer(traces, hash, log)

	m := metrics.New(w.admin.metrics)
	m.Build(version, revision)
	targets, err := c.targets(func(destination string) http.RoundTripper {
		t := usync.NewTransport()
		if n.dial != nil {
			t.DialContext = n.dial
		}
		w.closers = append(w.closers, t.CloseIdleConnections)
		return m.For(destination).Calls.Transport(t)
	})
	if err != nil {
		return nil, err
	}
	log.Info("starting", "version", version, "revision", revision, "brokers", c.Kafka.Brokers)
	for _, t := range targets {
		// Each has a client of its own, so that neither waits for the other's requests.
		client, err := c.Kafka.client("usersync", n.dial)
		if err != nil {
			return nil, fmt.Errorf("kafka: %w", err)
		}
		w.clients = append(w.clients, client)
		w.closers = append(w.closers, client.Close)
		p := consumer.NewPipeline(c.pipeline(t, consumer.Config{
			State:    c.state(t, key, program()),
			Version:  version,
			Client:   client,
			Metrics:  m.For(t.name),
			Log:      log.With("destination", t.name),
			HashUser: hash,
			Trace:    tell,
		}))
		w.pipelines = append(w.pipelines, p)
		w.admin.live = append(w.admin.live, p.Alive)
		w.admin.ready = append(w.admin.ready, p.Ready)
		w.admin.status.lanes = append(w.admin.status.lanes, statusLane{
			name: t.name, group: c.Kafka.group(t.name), rateLimit: t.RateLimit, budget: c.DeadLetters.Budget,
			remembers: c.Kafka.StateTopic != "", alive: p.Alive, joined: p.Joined, stateful: p.Remembers, member: p.Member, failures: m.For(t.name).Failures,
		})
	}
	return w, nil
}

// state says how it is kept what was delivered to t; key is that of the hashes, program
// what stands for this one.
func (c *Config) state(t target, key, program string) consumer.StateConfig {
	return consumer.StateConfig{
		Topic: c.Kafka.StateTopic, Create: c.Kafka.StateTopicCreate, Key: []byte(key),
		BaseURL: t.BaseURL, Epoch: t.StateEpoch, Program: program, Users: t.StateUsers,
	}
}

// pipeline fills in what c says of the pipeline to t, and logs what it will do.
func (c *Config) pipeline(t target, p consumer.Config) consumer.Config {
	p.Destination = t.name
	p.Group = c.Kafka.group(t.name)
	p.Topics = c.Kafka.Topics
	p.StartFrom = c.Kafka.StartFrom
	p.DeadLetterTopic = c.Kafka.DeadLetterTopic
	p.ControlTopic = c.Kafka.ControlTopic
	p.RetryTopic = c.Kafka.RetryTopic
	p.SessionTimeout = c.Kafka.SessionTimeout
	p.RebalanceTimeout = c.Kafka.RebalanceTimeout
	p.DrainTimeout = c.Shutdown.DrainTimeout
	p.RateLimit = t.RateLimit
	p.Window = t.WindowBytes
	p.Sends = t.sends(c.Events, p.State.Program)
	p.Decoder = t.decoder
	p.Target = t.destination
	p.Lane = usync.LaneConfig{
		Mapper:      t.mapping,
		Concurrency: t.Concurrency,
		Timeout:     t.Timeout,
		Retry: usync.Retry{
			Initial:       c.Retry.InitialInterval,
			Multiplier:    c.Retry.Multiplier,
			Randomization: c.Retry.Randomization,
			Max:           c.Retry.MaxInterval,
			GiveUpAfter:   c.Retry.GiveUpAfter,
			ConfirmAfter:  c.Retry.ConfirmAfter,
		},
		Release: usync.Release{Budget: c.DeadLetters.Budget, Settle: c.DeadLetters.Settle},
	}
	p.Log.Info("pipeline", "group", p.Group, "topics", p.Topics, "start_from", printStart(p.StartFrom),
		"dead_letter_topic", p.DeadLetterTopic, "state_topic", p.State.Topic, "host", host(t.BaseURL),
		"rate_limit", t.RateLimit, "concurrency", t.Concurrency, "timeout", short(t.Timeout))
	return p
}

// host is all of a base URL that a log needs.
func host(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return "" // a client was made of it, so this cannot be
	}
	return u.Host
}

func (w *worker) close() {
	for _, f := range w.closers {
		f()
	}
}

// work starts what it can rely on: whoever cannot log in or cannot keep dead
// letters must not join and take partitions from those who can.
func (w *worker) work(ctx, hard context.Context) error {
	// Told to stop meanwhile, it is no failure, and the pipelines end at once.
	if err := w.ask(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx) // when one fails for good, the others drain
	for _, p := range w.pipelines {
		group.Go(func() error { return p.Run(ctx, hard) })
	}
	return group.Wait()
}

// ask asks the brokers what must be right from the start. The source topics may
// still be missing: the connector creates them, and the pipelines wait.
func (w *worker) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	client := w.clients[0] // all have the same brokers and credentials
	if err := client.Probe(ctx); err != nil {
		return err
	}
	k := w.config.Kafka
	findings, err := k.inspect(ctx, client, w.config.groups())
	if err != nil {
		return err
	}
	for _, f := range findings {
		if key, own := k.own(f.Topic); own && f.Severity == consumer.Error {
			return fmt.Errorf("%s: topic %s: %s", key, f.Topic, f.Text)
		}
		w.log.Warn("topic", "topic", f.Topic, "code", f.Code, "finding", f.Text)
	}
	return nil
}
