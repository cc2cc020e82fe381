// Command pool is what people make of a consumer that is too slow: the records go to a
// pool of goroutines, in no order, and offsets are committed as calls succeed, once a
// second.
package main

import (
	"context"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"usersync/e2e/bench/internal/byhand"
)

func main() { byhand.Main(run) }

func run(ctx context.Context, o byhand.Options) error {
	// A commit for each record would be what takes the time.
	reader := o.Reader(kafka.ReaderConfig{CommitInterval: time.Second})
	defer reader.Close()
	client := byhand.NewClient(o.URL, o.Concurrency)
	messages := make(chan kafka.Message)
	group, ctx := errgroup.WithContext(ctx)
	for range o.Concurrency {
		group.Go(func() error {
			for m := range messages {
				if err := client.Deliver(ctx, m.Value); err != nil {
					return err
				}
				if err := reader.CommitMessages(ctx, m); err != nil {
					return err
				}
			}
			return nil
		})
	}
	group.Go(func() error {
		defer close(messages)
		for {
			m, err := reader.FetchMessage(ctx)
			if err != nil {
				return err
			}
			select {
			case messages <- m:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	return group.Wait()
}
