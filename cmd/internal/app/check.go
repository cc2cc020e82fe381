package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"usersync/consumer"
)

// connectTimeout bounds a look at the brokers, however many of them don't answer.
const connectTimeout = 15 * time.Second

// Connect asks the brokers of c, with its credentials, whether the topics are
// there and set up as the worker needs them, and prints to w what it finds, a
// line each. The error says that they could not be asked, or that a finding
// forbids to start.
func Connect(ctx context.Context, c *Config, w io.Writer) error {
	client, err := c.Kafka.client("usersync-check", nil)
	if err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if err := client.Probe(ctx); err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	findings, err := c.Kafka.inspect(ctx, client, c.groups())
	if err != nil {
		return err
	}
	for _, f := range findings {
		if _, err := fmt.Fprintln(w, f); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(findings, func(f consumer.Finding) bool { return f.Severity == consumer.Error }) {
		return errors.New("kafka: the topics are not as they must be")
	}
	_, err = fmt.Fprintln(w, "kafka: ok")
	return err
}

// inspect finds out what is forbidden, which is an error, and what is not as it
// should be with the topics.
func (k Kafka) inspect(ctx context.Context, client *consumer.Client, groups []string) ([]consumer.Finding, error) {
	if err := client.CheckAccess(ctx, k.Topics, k.DeadLetterTopic, groups); err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	findings, err := consumer.Check(ctx, client, k.Topics, k.DeadLetterTopic)
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return findings, nil
}
