// Package broker runs a real Kafka (KRaft) on the loopback interface: one broker,
// or a cluster of three. It needs Java 17 and, the first time, Maven to download
// the jars.
package broker

import (
	"context"
	_ "embed"
	"fmt"
	"path/filepath"

	"usersync/e2e/internal/java"
	"usersync/e2e/links"
)

// Config says what to run; the zero value with a Dir is a good one.
type Config struct {
	// Dir is an existing, empty directory for its data, configuration and logs.
	Dir string
	// Secured adds listeners with TLS and SASL, and access rules; see Security.
	// Only a single broker can have them.
	Secured bool
	// Links is how many slots, from 0, have ways of their own to each broker. Who
	// starts from a slot's addresses is sent on to that slot's links by the brokers
	// themselves, so a fault there meets nobody else.
	Links int
	// Properties are put over those the harness sets.
	Properties map[string]string
}

// Broker is a Kafka broker that was started at least once. The methods that
// start, stop and signal it are for one goroutine; all others for several.
type Broker struct {
	*Client
	*node
}

//go:embed pom.xml
var pom []byte

// Fetch returns the directory with the broker's jars. The first call on a machine
// has Maven download them, about 44 MB.
func Fetch(ctx context.Context) (string, error) { return java.Fetch(ctx, "kafka", pom) }

// Start fetches, formats and starts a broker and returns when it answers.
// The caller ends it with Close.
func Start(ctx context.Context, c Config) (*Broker, error) {
	b, err := prepare(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("start kafka: %w", err)
	}
	if err := b.Restart(ctx); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// prepare does all that comes before the first start.
func prepare(ctx context.Context, c Config) (*Broker, error) {
	jars, err := Fetch(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, err
	}
	n, err := newNode(ctx, 1, java.Program{Jars: jars, Dir: dir, Heap: "512m"}, c)
	if err != nil {
		return nil, err
	}
	client, err := newClient([]string{n.open()})
	if err != nil {
		n.close()
		return nil, err
	}
	b := &Broker{client, n}
	if err := b.format(ctx, c); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// format writes the configuration and prepares the data directory.
func (b *Broker) format(ctx context.Context, c Config) error {
	var users []string
	if c.Secured {
		var err error
		if b.security, err = newSecurity(b.java.Dir, b.listeners[2:]); err != nil {
			return err
		}
		users = scramUsers
	}
	if err := b.configure([]*node{b.node}, c.Properties); err != nil {
		return err
	}
	return b.node.format(ctx, users...)
}

// Addr returns the address that needs no credentials; it stays the same across
// restarts.
func (b *Broker) Addr() string { return b.open() }

// Link returns a slot's way to the broker; its own address is where the slot
// starts from.
func (b *Broker) Link(slot int) *links.Link { return b.links[slot] }

// Restart starts the broker on its data after Stop or Kill, and returns when
// it answers.
func (b *Broker) Restart(ctx context.Context) error {
	if err := b.start(ctx); err != nil {
		return err
	}
	if err := b.ready(ctx, b.id); err != nil {
		return fmt.Errorf("start kafka: %w", err)
	}
	return nil
}

// Close kills the broker, if it runs, and drops the connections to it. The
// directory stays.
func (b *Broker) Close() {
	b.close()
	b.kafka.Close()
}
