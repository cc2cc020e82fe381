// Package pipeline runs all that is between a row and a worker: PostgreSQL with a
// table of users, Debezium, and Kafka, each a real one.
package pipeline

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"usersync/e2e/broker"
	"usersync/e2e/connect"
	"usersync/e2e/postgres"
)

// DeadLetters is the topic for them.
const DeadLetters = "dead"

// connector is the name of Debezium's connector.
const connector = "users"

// captureLimit is how long the snapshot of a large table may take.
const captureLimit = 5 * time.Minute

// Config says what pipeline to run; the zero value with a Dir is a good one.
type Config struct {
	// Dir is an existing, empty directory for configurations, logs and Kafka's data.
	Dir string
	// Partitions is how many the topic has, 3 if it is 0.
	Partitions int
	// Cluster makes Kafka three brokers of which any one may be missing, instead of
	// one; Links are as in broker.Config.
	Cluster bool
	Links   int
	// DeadLetters are settings of that topic, over the harness's own.
	DeadLetters map[string]string
	// Report is told what begins, one step at a time, unless it is nil.
	Report func(step string)
}

// Pipeline is a running one. Its parts may be stopped, killed and started again.
type Pipeline struct {
	Kafka    *broker.Client  // of the broker or the cluster
	Broker   *broker.Broker  // nil in a cluster
	Cluster  *broker.Cluster // nil with a single broker
	Postgres *postgres.Server
	Connect  *connect.Worker

	config Config
}

//go:embed schema.sql
var schema string

// Start starts everything but the connector, so that there can be rows for its
// snapshot. The caller ends it with Close.
func Start(ctx context.Context, c Config) (*Pipeline, error) {
	if c.Partitions == 0 {
		c.Partitions = 3
	}
	if c.Report == nil {
		c.Report = func(string) {}
	}
	p := &Pipeline{config: c}
	if err := p.start(ctx); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func (p *Pipeline) start(ctx context.Context) error {
	p.config.Report("fetching Kafka, Kafka Connect and Debezium; 110 MB the first time")
	if _, err := broker.Fetch(ctx); err != nil {
		return err
	}
	if _, _, err := connect.Fetch(ctx); err != nil {
		return err
	}
	dirs := map[string]string{}
	for _, part := range []string{"kafka", "connect", "postgres"} {
		dirs[part] = filepath.Join(p.config.Dir, part)
		if err := os.Mkdir(dirs[part], 0o700); err != nil {
			return fmt.Errorf("start the pipeline: %w", err)
		}
	}

	p.config.Report("starting PostgreSQL and Kafka")
	// Not bound to each other: what has been started is closed by the caller.
	var both errgroup.Group
	both.Go(func() (err error) {
		p.Postgres, err = postgres.Start(ctx, postgres.Config{Logs: dirs["postgres"]})
		return err
	})
	both.Go(func() error { return p.startKafka(ctx, dirs["kafka"]) })
	if err := both.Wait(); err != nil {
		return err
	}
	if _, err := p.Postgres.DB.Exec(ctx, schema); err != nil {
		return fmt.Errorf("create the tables: %w", err)
	}
	if err := p.createTopics(ctx); err != nil {
		return err
	}

	p.config.Report("starting Kafka Connect")
	state := map[string]string{}
	if p.Cluster != nil {
		for _, topic := range []string{"config", "offset", "status"} {
			state[topic+".storage.replication.factor"] = "3"
		}
	}
	var err error
	p.Connect, err = connect.Start(ctx, connect.Config{Dir: dirs["connect"], Brokers: strings.Join(p.Kafka.Addrs(), ","), Properties: state})
	return err
}

func (p *Pipeline) startKafka(ctx context.Context, dir string) error {
	c := broker.Config{Dir: dir, Links: p.config.Links}
	var err error
	if p.config.Cluster {
		if p.Cluster, err = broker.StartCluster(ctx, c); err != nil {
			return err
		}
		p.Kafka = p.Cluster.Client
		return nil
	}
	if p.Broker, err = broker.Start(ctx, c); err != nil {
		return err
	}
	p.Kafka = p.Broker.Client
	return nil
}

func (p *Pipeline) createTopics(ctx context.Context) error {
	// Debezium would make the topic, but with one partition.
	if err := p.Kafka.CreateTopic(ctx, connect.Topic, p.config.Partitions, nil); err != nil {
		return err
	}
	// Room for the largest record and the headers of its letter.
	// Room for the largest record and the headers of its letter.
	settings := map[string]string{"max.message.bytes": "2097152"}
	maps.Copy(settings, p.config.DeadLetters)
	if err := p.Kafka.CreateTopic(ctx, DeadLetters, 1, settings); err != nil {
		return err
	}
	// A new broker has no coordinator until someone asks for one, and a worker that is
	// told so waits five seconds before it joins.
	_, err := p.Kafka.Committed(ctx, "anyone")
	return err
}

// Capture starts the connector, or gives it another configuration, and returns when
// it has read the table and follows its changes. What more names goes over
// connect.Debezium.
func (p *Pipeline) Capture(ctx context.Context, more map[string]string) error {
	p.config.Report("starting Debezium's connector")
	ctx, cancel := context.WithTimeoutCause(ctx, captureLimit, fmt.Errorf("no snapshot within %v", captureLimit))
	defer cancel()
	config := connect.Debezium(p.Postgres, more)
	if err := p.Connect.PutConnector(ctx, connector, config); err != nil {
		return err
	}
	for tick := time.Tick(50 * time.Millisecond); ; {
		streaming, err := p.Postgres.Streaming(ctx, config["slot.name"])
		if streaming || err != nil {
			return err
		}
		s, err := p.Connect.Status(ctx, connector)
		if err != nil {
			return err
		}
		if err := s.Failed(); err != nil {
			return fmt.Errorf("connector %s: %w", connector, err)
		}
		select {
		case <-tick:
		case <-ctx.Done():
			return fmt.Errorf("connector %s: %w", connector, context.Cause(ctx))
		}
	}
}

// Pause stops the connector. The next Capture has it go on.
func (p *Pipeline) Pause(ctx context.Context) error { return p.Connect.StopConnector(ctx, connector) }

// Snapshot asks the connector to read the table once more while it goes on with the
// changes, and returns at once.
func (p *Pipeline) Snapshot(ctx context.Context) error {
	_, err := p.Postgres.DB.Exec(ctx, "insert into "+connect.Signals+" values (gen_random_uuid(), "+
		"'execute-snapshot', '{\"data-collections\": [\"public.users\"]}')")
	if err != nil {
		return fmt.Errorf("ask for a snapshot: %w", err)
	}
	return nil
}

// Close ends everything that was started. The directory stays.
func (p *Pipeline) Close() {
	if p.Connect != nil {
		p.Connect.Close()
	}
	if p.Broker != nil {
		p.Broker.Close()
	}
	if p.Cluster != nil {
		p.Cluster.Close()
	}
	if p.Postgres != nil {
		p.Postgres.Close()
	}
}
