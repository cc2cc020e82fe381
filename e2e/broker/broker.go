// Package broker runs a real Kafka broker (KRaft, one node) on the loopback
// interface. It needs Java 17 and, the first time, Maven to download the jars.
package broker

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"usersync/e2e/internal/java"
	"usersync/e2e/internal/loopback"
	"usersync/e2e/process"
)

// Config says what broker to run; the zero value with a Dir is a good one.
type Config struct {
	// Dir is an existing, empty directory for its data, configuration and logs.
	Dir string
	// Secured adds listeners with TLS and SASL, and access rules; see Security.
	Secured bool
	// Properties are put over those the harness sets.
	Properties map[string]string
}

// Broker is a Kafka broker that was started at least once. The methods that
// start, stop and signal it are for one goroutine; all others for several.
type Broker struct {
	config     Config
	dir        string
	java       java.Program
	properties string     // the path of its configuration
	listeners  []listener // the controller's first, then the one without security
	security   *Security
	client     *kgo.Client
	process    *process.Process
	starts     int
}

// listener is one address the broker listens on, under the name and with the
// security protocol that Kafka's configuration gives it.
type listener struct{ name, protocol, addr string }

//go:embed pom.xml
var pom []byte

// Fetch returns the directory with the broker's jars. The first call on a machine
// has Maven download them, about 44 MB.
func Fetch(ctx context.Context) (string, error) { return java.Fetch(ctx, "kafka", pom) }

// How long a broker may take; the start after a crash is the longest.
const (
	startLimit = 90 * time.Second
	stopLimit  = 60 * time.Second
)

// Start fetches, formats and starts a broker and returns when it answers.
// The caller ends it with Close.
func Start(ctx context.Context, c Config) (*Broker, error) {
	jars, err := Fetch(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("start kafka: %w", err)
	}
	b := &Broker{config: c, dir: dir, java: java.Program{Jars: jars, Dir: dir}}
	if err := b.prepare(ctx); err != nil {
		return nil, fmt.Errorf("start kafka: %w", err)
	}
	if err := b.Restart(ctx); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// prepare chooses the addresses, writes the configuration and formats the data
// directory.
func (b *Broker) prepare(ctx context.Context) error {
	b.listeners = []listener{{name: "CONTROLLER", protocol: "PLAINTEXT"}, {name: "OPEN", protocol: "PLAINTEXT"}}
	if b.config.Secured {
		b.listeners = append(b.listeners, securedListeners...)
	}
	free, err := loopback.Free(ctx, len(b.listeners))
	if err != nil {
		return err
	}
	for i, addr := range free {
		b.listeners[i].addr = addr
	}
	var format []string
	if b.config.Secured {
		if b.security, err = newSecurity(b.dir, b.listeners[2:]); err != nil {
			return err
		}
		format = scramUsers
	}
	if err := b.configure(); err != nil {
		return err
	}
	// The ID is any 16 bytes in base64; no two of these brokers ever meet.
	const clusterID = "dXNlcnN5bmMtZTJlLTAwMQ"
	args := b.java.Args("kafka.tools.StorageTool", "format", "--cluster-id", clusterID, "--config", b.properties)
	out, err := exec.CommandContext(ctx, "java", append(args, format...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("format: %w\n%s", err, out)
	}
	b.client, err = kgo.NewClient(
		kgo.SeedBrokers(b.Addr()),
		// Later requests name topics by ID; the names are what tests have.
		kgo.MaxVersions(kversion.V3_0_0()),
	)
	return err
}

// Addr returns the address that needs no credentials; it stays the same across
// restarts.
func (b *Broker) Addr() string { return b.listeners[1].addr }

// Log returns the path of the broker's log since its last start.
func (b *Broker) Log() string { return b.process.Stdout() }

// Restart starts the broker on its data after Stop or Kill, and returns when
// it answers.
func (b *Broker) Restart(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("not ready after %v", startLimit))
	defer cancel()
	b.starts++
	p, err := process.Start(process.Command{
		// A log of its own for each start: what an earlier one wrote says
		// nothing about this one.
		Name: fmt.Sprintf("kafka-%d", b.starts),
		Path: "java",
		Args: b.java.Args("kafka.Kafka", b.properties),
		Logs: b.dir,
	})
	if err != nil {
		return err
	}
	b.process = p
	if err := p.Ready(ctx, b.answers); err != nil {
		p.Kill()
		return fmt.Errorf("start kafka: %w", err)
	}
	return nil
}

// answers reports whether the broker has logged that it is unfenced and listens,
// and answers.
func (b *Broker) answers(ctx context.Context) error {
	log, err := os.ReadFile(b.Log())
	if err != nil {
		return err
	}
	if !bytes.Contains(log, []byte("Kafka Server started")) {
		return errors.New("not started by its log")
	}
	resp, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, b.client)
	if err != nil {
		return err
	}
	if len(resp.Brokers) == 0 || resp.ControllerID < 0 {
		return errors.New("metadata names no broker or no controller")
	}
	return nil
}

// Stop ends the broker with SIGTERM, so that it hands over and flushes what it
// has, and returns when it is gone.
func (b *Broker) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, stopLimit, fmt.Errorf("still there after %v", stopLimit))
	defer cancel()
	if err := b.process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	_, err := b.process.Wait(ctx)
	return err
}

// Kill ends the broker with SIGKILL and returns when it is gone.
func (b *Broker) Kill() { b.process.Kill() }

// Freeze stops the broker in its tracks: its sockets stay open and silent.
func (b *Broker) Freeze() error { return b.process.Signal(syscall.SIGSTOP) }

// Thaw lets a frozen broker go on.
func (b *Broker) Thaw() error { return b.process.Signal(syscall.SIGCONT) }

// Close kills the broker, if it runs, and drops the connections to it. The
// directory stays.
func (b *Broker) Close() {
	if b.process != nil {
		b.process.Kill()
	}
	b.client.Close()
}
