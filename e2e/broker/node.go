package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"usersync/e2e/internal/java"
	"usersync/e2e/internal/loopback"
	"usersync/e2e/links"
	"usersync/e2e/process"
)

// node is one Kafka process, a broker and a controller, with its directory. Its
// methods are for one goroutine.
type node struct {
	id         int32
	java       java.Program
	properties string     // the path of its configuration
	listeners  []listener // the controller's first, then the one without security
	security   *Security
	links      []*links.Link // by slot
	process    *process.Process
	starts     int
}

// listener is one address the broker listens on, under the name and with the
// security protocol that Kafka's configuration gives it. Clients are told to come
// to the advertised address, which is the same unless a link leads there.
type listener struct{ name, protocol, addr, advertised string }

// How long a broker may take; the start after a crash is the longest, and three that
// start at once share what the machine has.
const (
	startLimit = 3 * time.Minute
	stopLimit  = 60 * time.Second
)

// newNode chooses the addresses of a node and opens the links to it.
func newNode(ctx context.Context, id int32, program java.Program, c Config) (*node, error) {
	n := &node{id: id, java: program}
	n.listeners = []listener{{name: "CONTROLLER", protocol: "PLAINTEXT"}, {name: "OPEN", protocol: "PLAINTEXT"}}
	if c.Secured {
		n.listeners = append(n.listeners, securedListeners...)
	}
	linked := len(n.listeners)
	for slot := range c.Links {
		n.listeners = append(n.listeners, listener{name: fmt.Sprintf("LINK%d", slot), protocol: "PLAINTEXT"})
	}
	addrs, err := loopback.Free(ctx, len(n.listeners))
	if err != nil {
		return nil, err
	}
	for i := range n.listeners {
		n.listeners[i].addr, n.listeners[i].advertised = addrs[i], addrs[i]
	}
	for i := linked; i < len(n.listeners); i++ {
		l, err := links.Open(ctx, n.listeners[i].addr)
		if err != nil {
			n.close()
			return nil, err
		}
		n.links = append(n.links, l)
		n.listeners[i].advertised = l.Addr()
	}
	return n, nil
}

// format prepares the data directory; the configuration must be there.
func (n *node) format(ctx context.Context, more ...string) error {
	// The ID is any 16 bytes in base64; no two of these Kafkas ever meet.
	const clusterID = "dXNlcnN5bmMtZTJlLTAwMQ"
	args := n.java.Args("kafka.tools.StorageTool", "format", "--cluster-id", clusterID, "--config", n.properties)
	if out, err := exec.CommandContext(ctx, "java", slices.Concat(args, more)...).CombinedOutput(); err != nil {
		return fmt.Errorf("format: %w\n%s", err, out)
	}
	return nil
}

// ConsumerGroups runs what kafka-consumer-groups.sh does, and returns what it said. The
// script itself is in no jar; all that it does is to find this class.
func (n *node) ConsumerGroups(ctx context.Context, args ...string) (string, error) {
	all := n.java.Args("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--bootstrap-server", n.open())
	out, err := exec.CommandContext(ctx, "java", slices.Concat(all, args)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("consumer groups: %w\n%s", err, out)
	}
	return string(out), nil
}

// open returns the address without security.
func (n *node) open() string { return n.listeners[1].addr }

// start starts the process on its data and waits until it is part of the cluster.
func (n *node) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("not ready after %v", startLimit))
	defer cancel()
	n.starts++
	p, err := process.Start(process.Command{
		// A log of its own for each start: what an earlier one wrote says
		// nothing about this one.
		Name: fmt.Sprintf("kafka-%d", n.starts),
		Path: "java",
		Args: n.java.Args("kafka.Kafka", n.properties),
		Logs: n.java.Dir,
	})
	if err != nil {
		return err
	}
	n.process = p
	if err := p.Ready(ctx, n.started); err != nil {
		p.Kill()
		return fmt.Errorf("start kafka: %w", err)
	}
	return nil
}

// started reports whether the broker has logged that it is unfenced and listens.
func (n *node) started(context.Context) error {
	log, err := os.ReadFile(n.Log())
	if err != nil {
		return err
	}
	if !bytes.Contains(log, []byte("Kafka Server started")) {
		return errors.New("not started by its log")
	}
	return nil
}

// Log returns the path of the broker's log since its last start.
func (n *node) Log() string { return n.process.Stdout() }

// Stop ends the broker with SIGTERM, so that it hands over and flushes what it
// has, and returns when it is gone.
func (n *node) Stop(ctx context.Context) error {
	return n.process.End(ctx, syscall.SIGTERM, stopLimit)
}

// Kill ends the broker with SIGKILL and returns when it is gone.
func (n *node) Kill() { n.process.Kill() }

// Freeze stops the broker in its tracks: its sockets stay open and silent.
func (n *node) Freeze() error { return n.process.Signal(syscall.SIGSTOP) }

// Thaw lets a frozen broker go on.
func (n *node) Thaw() error { return n.process.Signal(syscall.SIGCONT) }

// close kills the process, if it runs, and closes the links to it.
func (n *node) close() {
	if n.process != nil {
		n.process.Kill()
	}
	for _, l := range n.links {
		l.Close()
	}
}
