// Package connect runs a real Kafka Connect worker with Debezium's PostgreSQL
// connector on the loopback interface. It needs Java 17 and, the first time, Maven
// to download the jars.
package connect

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"usersync/e2e/internal/java"
	"usersync/e2e/internal/loopback"
	"usersync/e2e/process"
)

// Config says what worker to run.
type Config struct {
	// Dir is an existing, empty directory for its configuration and logs.
	Dir string
	// Brokers is the address of the Kafka cluster that it works on and keeps its own
	// state in: a worker with an empty Dir goes on where another one ended.
	Brokers string
	// Properties are put over those the harness sets.
	Properties map[string]string
}

// Worker is a Connect worker that was started at least once. The methods that
// start and stop it are for one goroutine; all others for several.
type Worker struct {
	dir        string
	java       java.Program
	properties string // the path of its configuration
	addr       string
	process    *process.Process
	starts     int
}

// How long a worker or a connector may take.
const (
	startLimit = 2 * time.Minute
	stopLimit  = 60 * time.Second
)

//go:embed pom.xml
var workerPOM []byte

//go:embed debezium.pom.xml
var debeziumPOM []byte

// Fetch returns the directories with the jars of the worker and of the connector.
// The first call on a machine has Maven download them, about 64 MB.
func Fetch(ctx context.Context) (worker, debezium string, err error) {
	if worker, err = java.Fetch(ctx, "connect", workerPOM); err != nil {
		return "", "", err
	}
	debezium, err = java.Fetch(ctx, "debezium", debeziumPOM)
	return worker, debezium, err
}

// Start fetches and starts a worker and returns when it answers. The caller ends
// it with Close.
func Start(ctx context.Context, c Config) (*Worker, error) {
	jars, debezium, err := Fetch(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("start connect: %w", err)
	}
	free, err := loopback.Free(ctx, 1)
	if err != nil {
		return nil, fmt.Errorf("start connect: %w", err)
	}
	w := &Worker{dir: dir, java: java.Program{Jars: jars, Dir: dir, Heap: "512m"}, addr: free[0]}
	if err := w.configure(c, debezium); err != nil {
		return nil, fmt.Errorf("start connect: %w", err)
	}
	if err := w.Restart(ctx); err != nil {
		return nil, err
	}
	return w, nil
}

// configure writes the worker's configuration into its directory.
func (w *Worker) configure(c Config, debezium string) error {
	// Each directory below the plugin path is a plugin with class loaders of its own.
	plugins := filepath.Join(w.dir, "plugins")
	if err := os.Mkdir(plugins, 0o700); err != nil {
		return err
	}
	if err := os.Symlink(debezium, filepath.Join(plugins, "debezium")); err != nil {
		return err
	}
	properties := map[string]string{
		"bootstrap.servers": c.Brokers,
		"listeners":         w.URL(),
		"plugin.path":       plugins,
		// Without it the worker reads every class of every jar at its start.
		"plugin.discovery": "service_load",

		"key.converter":                  "org.apache.kafka.connect.json.JsonConverter",
		"key.converter.schemas.enable":   "false",
		"value.converter":                "org.apache.kafka.connect.json.JsonConverter",
		"value.converter.schemas.enable": "false",

		"group.id":                          "connect",
		"config.storage.topic":              "_connect_configs",
		"config.storage.replication.factor": "1",
		"offset.storage.topic":              "_connect_offsets",
		"offset.storage.replication.factor": "1",
		"offset.storage.partitions":         "1",
		"status.storage.topic":              "_connect_status",
		"status.storage.replication.factor": "1",
		"status.storage.partitions":         "1",

		"offset.flush.interval.ms": "1000",
		// After kill -9 the worker waits for the end of its own old session, 10 s by
		// default, and then for itself to come back, 5 minutes by default.
		"session.timeout.ms":               "5000",
		"heartbeat.interval.ms":            "1000",
		"scheduled.rebalance.max.delay.ms": "0",
	}
	maps.Copy(properties, c.Properties)
	var err error
	w.properties, err = w.java.Configure("connect.properties", properties)
	return err
}

// URL returns the base of the worker's REST API; it stays the same across restarts.
func (w *Worker) URL() string { return "http://" + w.addr }

// Restart starts the worker after Stop or Kill, and returns when it answers. Its
// connectors go on some seconds later.
func (w *Worker) Restart(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("not ready after %v", startLimit))
	defer cancel()
	w.starts++
	p, err := process.Start(process.Command{
		Name: fmt.Sprintf("connect-%d", w.starts),
		Path: "java",
		Args: w.java.Args("org.apache.kafka.connect.cli.ConnectDistributed", w.properties),
		Logs: w.dir,
	})
	if err != nil {
		return err
	}
	w.process = p
	// Its root answers earlier than what needs the group and the topics.
	if err := p.Ready(ctx, func(ctx context.Context) error { return w.get(ctx, "/connectors", nil) }); err != nil {
		p.Kill()
		return fmt.Errorf("start connect: %w", err)
	}
	return nil
}

// Stop ends the worker with SIGTERM, so that its connectors note where they are,
// and returns when it is gone.
func (w *Worker) Stop(ctx context.Context) error {
	return w.process.End(ctx, syscall.SIGTERM, stopLimit)
}

// Kill ends the worker with SIGKILL and returns when it is gone: what its
// connectors wrote since they last noted where they are, they write again.
func (w *Worker) Kill() { w.process.Kill() }

// Close kills the worker, if it runs. The directory stays.
func (w *Worker) Close() { w.process.Kill() }
