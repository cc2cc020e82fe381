// Package broker runs a real Kafka broker (KRaft, one node) on the loopback
// interface. It needs Java 17 and, the first time, Maven to download the jars.
package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

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
	config    Config
	dir       string
	jars      string
	listeners []listener // the controller's first, then the one without security
	security  *Security
	client    *kgo.Client
	process   *process.Process
	starts    int
}

// listener is one address the broker listens on, under the name and with the
// security protocol that Kafka's configuration gives it.
type listener struct{ name, protocol, addr string }

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
	b := &Broker{config: c, dir: dir, jars: jars}
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
	if err := chooseAddresses(ctx, b.listeners); err != nil {
		return err
	}
	var format []string
	if b.config.Secured {
		var err error
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
	args := b.java("kafka.tools.StorageTool", "format", "--cluster-id", clusterID, "--config", b.file("server.properties"))
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

// java returns the arguments that run a class with little memory and quickly.
func (b *Broker) java(class string, args ...string) []string {
	return append([]string{
		"-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
		"-Dlog4j2.configurationFile=" + b.file("log4j2.xml"),
		"-cp", filepath.Join(b.jars, "*"), class,
	}, args...)
}

// chooseAddresses gives each listener a free port below the range from which
// the system takes the ports of outgoing connections: one of those could take a
// port while the broker is down, and a broker keeps its address for life.
func chooseAddresses(ctx context.Context, ls []listener) error {
	const lowest, highest = 20000, 32000
	var listen net.ListenConfig
	port := lowest + int(time.Now().UnixNano()/1000)%(highest-lowest)
	for i := range ls {
		for tries := 0; ls[i].addr == ""; tries++ {
			if tries == highest-lowest {
				return errors.New("no free port")
			}
			if port++; port > highest {
				port = lowest
			}
			addr := fmt.Sprintf("127.0.0.1:%d", port)
			if l, err := listen.Listen(ctx, "tcp", addr); err == nil {
				l.Close()
				ls[i].addr = addr
			}
		}
	}
	return nil
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
		Args: b.java("kafka.Kafka", b.file("server.properties")),
		Logs: b.dir,
	})
	if err != nil {
		return err
	}
	b.process = p
	if err := b.ready(ctx); err != nil {
		p.Kill()
		return fmt.Errorf("start kafka: %w\n%s", err, tail(b.Log()))
	}
	return nil
}

// ready waits until the broker has logged that it is unfenced and listens, and
// then until it answers.
func (b *Broker) ready(ctx context.Context) error {
	if err := b.awaitLog(ctx, "Kafka Server started"); err != nil {
		return err
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

// awaitLog waits until the log of this start contains text.
func (b *Broker) awaitLog(ctx context.Context, text string) error {
	for tick := time.Tick(50 * time.Millisecond); ; {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-b.process.Done():
			return errors.New("it ended by itself")
		case <-tick:
		}
		log, err := os.ReadFile(b.Log())
		if err != nil {
			return err
		}
		if bytes.Contains(log, []byte(text)) {
			return nil
		}
	}
}

// tail returns the last lines of a log, for an error.
func tail(path string) []byte {
	const most = 4096
	log, err := os.ReadFile(path)
	if err != nil {
		return []byte(err.Error())
	}
	return log[max(0, len(log)-most):]
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
