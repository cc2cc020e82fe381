// Command ordered is the consumer that people write by hand: a consumer group, one
// record after the other, and a commit after each success.
package main

import (
	"context"

	"github.com/segmentio/kafka-go"

	"usersync/e2e/bench/internal/byhand"
)

func main() { byhand.Main(run) }

func run(ctx context.Context, o byhand.Options) error {
	reader := o.Reader(kafka.ReaderConfig{})
	defer reader.Close()
	client := byhand.NewClient(o.URL, 1)
	for {
		m, err := reader.FetchMessage(ctx)
		if err != nil {
			return err
		}
		if err := client.Deliver(ctx, m.Value); err != nil {
			return err
		}
		if err := reader.CommitMessages(ctx, m); err != nil {
			return err
		}
	}
}
