// Command bench runs the worker beside what it could be compared with, on one real broker
// and simulated vendors: a bare loop of HTTP calls, a bare fetch loop, and consumers as
// people write or choose them. It reports what each takes, as ratios first: machines are
// noisy, and what runs in the same round meets the same noise.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// command runs the command line and returns the exit code.
func command(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 2
	}
	r, err := measureAll(ctx, o, stderr)
	if err == nil {
		fmt.Fprint(stdout, r.markdown())
		err = r.write(o)
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}

// measureAll measures every cell, then single changes. What there is so far is written
// after each cell: hours of work should not hang on the last one.
func measureAll(ctx context.Context, o options, out io.Writer) (*report, error) {
	dir, err := os.MkdirTemp("", "usersync-bench-*")
	if err != nil {
		return nil, err
	}
	b, err := newBench(ctx, o, dir, out)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	defer os.RemoveAll(dir) // after close: the broker has its files there
	defer b.close()
	r := newReport(ctx, o.args)
	r.Notes = b.left
	for _, m := range o.matrix() {
		cell, err := b.measure(ctx, m.workload, m.cell)
		if err != nil {
			return nil, err
		}
		r.add(cell)
		if err := r.write(o); err != nil {
			return nil, err
		}
	}
	if o.singles == 0 {
		return r, nil
	}
	for _, x := range b.contenders {
		if x.kind != group {
			continue
		}
		f, err := b.single(ctx, x, o.latencies[0], o.concurrency[0])
		if err != nil {
			return nil, err
		}
		b.say("single changes, %s: %.1f ms at the median, %.1f ms at p99", x.name, f.P50, f.P99)
		r.Fresh = append(r.Fresh, f)
	}
	return r, nil
}
