package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"usersync/e2e"
	"usersync/e2e/broker"
	"usersync/e2e/internal/java"
)

const (
	deadLetters = "dead"
	emptyTopic  = "empty"
)

// calm is for a broker that nobody kills: on a busy machine it may be late with its own
// heartbeat, and then has neither groups nor replicas until the next one.
var calm = map[string]string{"broker.session.timeout.ms": "60000"}

// bench is what all contenders share.
type bench struct {
	options
	out       io.Writer // for what is going on
	dir       string
	began     time.Time
	kafka     *broker.Broker
	client    *kgo.Client
	binaries  map[string]string // by package
	classpath string
	cells     int      // so far
	left      []string // why contenders were left out
}

// newBench builds what runs and starts a broker. The caller ends it with close.
func newBench(ctx context.Context, o options, dir string, out io.Writer) (*bench, error) {
	b := &bench{options: o, out: out, dir: dir, began: time.Now(), binaries: map[string]string{}}
	if err := b.build(ctx); err != nil {
		return nil, err
	}
	b.say("starting Kafka")
	data := filepath.Join(dir, "kafka")
	if err := os.Mkdir(data, 0o700); err != nil {
		return nil, err
	}
	var err error
	if b.kafka, err = broker.Start(ctx, broker.Config{Dir: data, Properties: calm}); err != nil {
		return nil, err
	}
	if b.client, err = kgo.NewClient(kgo.SeedBrokers(b.kafka.Addr())); err == nil {
		err = b.prepare(ctx)
	}
	if err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// prepare makes the topics that every run needs.
func (b *bench) prepare(ctx context.Context) error {
	return errors.Join(
		b.createTopic(ctx, emptyTopic),
		b.createTopic(ctx, deadLetters),
		b.coordinate(ctx),
	)
}

// coordinate has Kafka make its topic for groups: a member that is told that there is
// none yet waits for seconds before it asks again.
func (b *bench) coordinate(ctx context.Context) error {
	_, err := b.kafka.Committed(ctx, "anyone")
	return err
}

// createTopic makes a topic whose records stay as they are sent: Kafka Connect does not
// compress unless it is told to.
func (b *bench) createTopic(ctx context.Context, topic string) error {
	return b.kafka.CreateTopic(ctx, topic, b.partitions, map[string]string{"compression.type": "uncompressed"})
}

func (b *bench) close() {
	if b.client != nil {
		b.client.Close()
	}
	b.kafka.Close()
}

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.out, "%7.1f s  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}

// build builds the programs, without the race detector, whoever asks.
func (b *bench) build(ctx context.Context) error {
	b.say("building the contenders")
	packages := []string{vendorsPackage}
	for _, c := range b.contenders {
		packages = append(packages, c.pkg)
	}
	for _, pkg := range packages {
		if pkg == "" || b.binaries[pkg] != "" {
			continue
		}
		var err error
		if b.binaries[pkg], err = e2e.BuildWith(pkg); err != nil {
			return err
		}
	}
	i := slices.IndexFunc(b.contenders, func(c contender) bool { return c.name == nameJava })
	if i < 0 {
		return nil
	}
	err := b.buildJava(ctx)
	if err != nil && b.optional {
		b.left = append(b.left, fmt.Sprintf("%s was left out: %v", nameJava, err))
		b.say("%s", b.left[0])
		b.contenders = slices.Delete(slices.Clone(b.contenders), i, i+1)
		return nil
	}
	return err
}

//go:embed contenders/parallel/pom.xml
var pom []byte

//go:embed contenders/parallel/Parallel.java
var source []byte

// buildJava fetches Parallel Consumer and compiles the class that uses it.
func (b *bench) buildJava(ctx context.Context) error {
	if _, err := exec.LookPath("javac"); err != nil {
		return fmt.Errorf("compile Parallel.java: %w; on Debian: apt-get install default-jdk-headless", err)
	}
	jars, err := java.Fetch(ctx, nameJava, pom)
	if err != nil {
		return err
	}
	classes := filepath.Join(b.dir, "classes")
	file := filepath.Join(classes, "Parallel.java")
	if err := errors.Join(os.Mkdir(classes, 0o700), os.WriteFile(file, source, 0o600)); err != nil {
		return err
	}
	library := filepath.Join(jars, "*")
	// The annotations of its libraries are not there, which is all that it would warn of.
	compile := exec.CommandContext(ctx, "javac", "-nowarn", "-d", classes, "-cp", library, file)
	if out, err := compile.CombinedOutput(); err != nil {
		return fmt.Errorf("compile Parallel.java: %w\n%s", err, out)
	}
	b.classpath = classes + string(filepath.ListSeparator) + library
	return nil
}
