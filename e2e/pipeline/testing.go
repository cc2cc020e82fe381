package pipeline

import (
	"testing"

	"usersync/e2e"
	"usersync/e2e/connect"
	"usersync/e2e/vendors"
	"usersync/e2e/worker"
)

// New starts a pipeline for a test, and ends it with the test.
func New(t testing.TB, c Config) *Pipeline {
	t.Helper()
	e2e.RequireKafka(t)
	e2e.RequireConnect(t)
	e2e.Require(t, "postgres")
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	if c.Report == nil {
		c.Report = func(step string) { t.Log(step) }
	}
	p, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// Deploy returns where a test starts workers: on the pipeline's topic, and with
// vendors that hold no user yet.
func (p *Pipeline) Deploy(t testing.TB) *worker.Deployment {
	t.Helper()
	return &worker.Deployment{Broker: p.Kafka, Vendors: vendors.Start(t), Config: p.WorkerConfig()}
}

// WorkerConfig returns what a worker has to know of the pipeline.
func (p *Pipeline) WorkerConfig() worker.Config {
	return worker.Config{
		"kafka.topics":            []string{connect.Topic},
		"kafka.dead_letter_topic": DeadLetters,
		// The table has no column locale, at which the default would look next, and a
		// column that should be seen at a vendor that has no field for it.
		"destinations.haptik.mapping": map[string]any{"language_code": "language", "custom_data": map[string]any{"bio": "bio"}},
	}
}
