package metrics

import "github.com/prometheus/client_golang/prometheus"

// DeadLetters is the stage that gives records up.
type DeadLetters struct {
	// Written counts records that the dead-letter topic acknowledged, by reason:
	// undecodable, invalid_payload, rejected, refused, retries_exhausted.
	Written *Counters
	// WriteFailures counts attempts to write a dead letter that failed.
	WriteFailures prometheus.Counter
	// Waiting is how many records are eligible and not written yet.
	Waiting prometheus.Gauge
	// Undecodable is how many undecodable records are held, eligible or not.
	Undecodable prometheus.Gauge
	// Latched is 1 while the release latch is closed: more records are eligible
	// than the budget allows, so none is written.
	Latched prometheus.Gauge
}

func newDeadLetters(f factory) *DeadLetters {
	return &DeadLetters{
		Written: f.counters("dead_letters_total", "Dead letters acknowledged, by reason.", []string{"reason"},
			each("undecodable", "invalid_payload", "rejected", "refused", "retries_exhausted")...),
		WriteFailures: f.counter("dead_letter_write_failures_total", "Attempts to write a dead letter that failed."),
		Waiting:       f.gauge("dead_letters_waiting", "Records that are eligible for the dead-letter topic and not written yet."),
		Undecodable:   f.gauge("undecodable_records_waiting", "Undecodable records that are held, eligible for the dead-letter topic or not."),
		Latched:       f.gauge("dead_letters_latched", "1 while more records are eligible than the budget allows, so that none is written."),
	}
}
