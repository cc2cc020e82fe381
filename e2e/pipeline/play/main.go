// Command play runs the whole pipeline for somebody to play with: PostgreSQL with a
// table of users, Debezium, Kafka, workers, and both vendors, simulated. It says
// where everything is, and ends it on Ctrl-C. All of it listens on the loopback
// interface only.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if err := start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func start() error {
	var o options
	flag.IntVar(&o.workers, "workers", 2, "`number` of workers")
	flag.IntVar(&o.users, "users", 1000, "`number` of users in the table at first")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	// Told to end while it was starting is no failure.
	if err := play(ctx, os.Stdout, o); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
