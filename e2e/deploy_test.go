package e2e_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"usersync/e2e"
	"usersync/e2e/broker"
	"usersync/e2e/vendors"
	"usersync/e2e/worker"
)

// deploy starts a broker with the topics of a deployment.
func deploy(t *testing.T, partitions int, settings map[string]string) *worker.Deployment {
	t.Helper()
	return deployOn(t, e2e.Kafka(t, broker.Config{}), partitions, settings)
}

// deployOn does so on a broker that runs.
func deployOn(t *testing.T, k *broker.Broker, partitions int, settings map[string]string) *worker.Deployment {
	t.Helper()
	d := &worker.Deployment{Broker: k.Client, Vendors: vendors.Start(t), Config: worker.Config{}}
	create(t, d.Broker, "users", partitions, settings)
	create(t, d.Broker, "dead", 1, nil)
	// A new broker has no coordinator until someone asks for one, and a worker that
	// is told so waits five seconds before it joins.
	if _, err := d.Broker.Committed(t.Context(), "anyone"); err != nil {
		t.Fatal(err)
	}
	return d
}

func create(t *testing.T, b *broker.Client, topic string, partitions int, settings map[string]string) {
	t.Helper()
	if err := b.CreateTopic(t.Context(), topic, partitions, settings); err != nil {
		t.Fatal(err)
	}
}

// deadLetters returns the headers of the dead letters so far, and the value of each
// under "value".
func deadLetters(t *testing.T, d *worker.Deployment) []map[string]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	topic := "dead"
	if name, ok := d.Config["kafka.dead_letter_topic"]; ok {
		topic = name.(string)
	}
	records, err := d.Broker.Read(ctx, topic, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]string
	for _, r := range records {
		headers := map[string]string{"value": string(r.Value)}
		for _, h := range r.Headers {
			headers[h.Key] = string(h.Value)
		}
		all = append(all, headers)
	}
	return all
}

// label is a label of a series, as Prometheus writes it.
func label(name, value string) string { return fmt.Sprintf("%s=%q", name, value) }
