// Command loop makes the calls and nothing else: no Kafka, no decoding, no mapping. The
// bodies are the lines of a file. It is what a call costs at least, and how long so many
// take at least.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"sync"

	"golang.org/x/sync/errgroup"

	"usersync/e2e/bench/internal/byhand"
)

func main() { byhand.Main(run) }

func run(ctx context.Context, o byhand.Options) error {
	file, err := os.Open(flag.Arg(0))
	if err != nil {
		return err
	}
	defer file.Close()
	bodies := lines{r: bufio.NewReader(file)}
	client := byhand.NewClient(o.URL, o.Concurrency)
	calls, inTime := errgroup.WithContext(ctx)
	for range o.Concurrency {
		calls.Go(func() error {
			for {
				body, err := bodies.next()
				if errors.Is(err, io.EOF) {
					return nil
				}
				if err == nil {
					err = client.Post(inTime, body)
				}
				if err != nil {
					return err
				}
			}
		})
	}
	if err := calls.Wait(); err != nil {
		return err
	}
	return byhand.Done(ctx, struct{}{})
}

// lines hands out one line after the other.
type lines struct {
	mu sync.Mutex
	r  *bufio.Reader
}

func (l *lines) next() ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	line, err := l.r.ReadBytes('\n')
	return bytes.TrimSuffix(line, []byte("\n")), err
}
