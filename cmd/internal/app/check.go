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
	for _, f := range findings {
		if _, err := fmt.Fprintln(w, f); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	if slices.ContainsFunc(findings, func(f consumer.Finding) bool { return f.Severity == consumer.Error }) {
		return errors.New("kafka: the topics are not as they must be")
	}
	_, err = fmt.Fprintln(w, "kafka: ok")
	return err
}

// inspect finds out what is forbidden, which is an error, and what is not as it
// should be with the topics. What one of its looks meets keeps it from none of the
// others: whoever has to mend things should not have to come back for each.
func (k Kafka) inspect(ctx context.Context, client *consumer.Client, groups []string) ([]consumer.Finding, error) {
	read, write := slices.Clone(k.Topics), []string{k.DeadLetterTopic}
	if k.RetryTopic != "" {
		read = append(read, k.RetryTopic)
	}
	if k.ControlTopic != "" {
		read = append(read, k.ControlTopic)
	}
	if k.StateTopic != "" {
		read, write = append(read, k.StateTopic), append(write, k.StateTopic)
	}
	var forbidden error
	if err := client.CheckAccess(ctx, read, write, groups); err != nil {
		forbidden = fmt.Errorf("kafka: %w", err)
	}
	findings, err := k.findings(ctx, client)
	return findings, errors.Join(forbidden, err)
}

// findings is the part of inspect that is about how the topics are.
func (k Kafka) findings(ctx context.Context, client *consumer.Client) ([]consumer.Finding, error) {
	var findings []consumer.Finding
	var problems []error
	note := func(more []consumer.Finding, err error) {
		findings = append(findings, more...)
		if err != nil {
			problems = append(problems, fmt.Errorf("kafka: %w", err))
		}
	}
	note(consumer.Check(ctx, client, k.Topics, k.DeadLetterTopic))
	if k.RetryTopic != "" {
		note(consumer.CheckRetries(ctx, client, k.Topics, k.RetryTopic))
	}
	if k.ControlTopic != "" {
		note(consumer.NewControlTopic(client, k.ControlTopic).Check(ctx))
	}
	if k.StateTopic != "" {
		note(consumer.CheckState(ctx, client, k.Topics, k.StateTopic, k.StateTopicCreate))
	}
	return findings, errors.Join(problems...)
}
