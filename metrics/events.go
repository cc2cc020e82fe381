package metrics

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// unknown is the operation of a record that could not be decoded.
const unknown = "unknown"

// Events is the stage that turns records into changes and drops those that need
// no call.
type Events struct {
	// Coalesced counts changes that a newer change of the same user replaced
	// while they waited: each is a call saved.
	Coalesced prometheus.Counter
	// Stale counts changes that are older than what was already delivered.
	Stale prometheus.Counter
	// OldestPending is the Unix time in seconds at which the source committed the
	// oldest change that is not settled; 0 when none waits.
	OldestPending prometheus.Gauge

	total       *Counters
	skipped     *Counters
	undecodable *Counters
	retries     *Counters
}

func newEvents(f factory) *Events {
	deduplicated := f.counterVec("events_deduplicated_total", "Changes that needed no call of their own: calls saved.", "reason")
	known := slices.Concat(
		with("decoded", "create", "update", "read", "delete", "upsert", "tombstone"),
		with("skipped", "delete", "truncate", "message", "heartbeat", "schema_change", "transaction", "bootstrap"),
		with("undecodable", unknown))
	return &Events{
		Coalesced: deduplicated.WithLabelValues("coalesced"),
		Stale:     deduplicated.WithLabelValues("stale"),
		OldestPending: f.gauge("oldest_pending_event_timestamp_seconds",
			"When the source committed the oldest change that is not settled; 0 when none waits."),
		total: f.counters("events_total", "Records by operation and what became of them.", []string{"op", "outcome"}, known...),
		skipped: f.counters("events_skipped_total", "Records that a stated rule skips, by the rule.", []string{"reason"},
			each("delete", "truncate", "message", "heartbeat", "schema_change", "transaction", "bootstrap",
				"other_table", "keyless_tombstone")...),
		undecodable: f.counters("events_undecodable_total", "Records that could not be decoded, by error code.", []string{"code"},
			each("empty", "not_json", "bad_json", "not_object", "invalid_utf8", "too_deep", "bad_schema", "unknown_op",
				"no_row", "null_key", "no_user_id", "bad_user_id", "key_mismatch", "bad_column")...),
		retries: f.counters("retry_records_total", "Records of the retry topic, by what became of them.", []string{"outcome"},
			each("submitted", "superseded", "mended", "settled", "outdated", "undecodable", "skipped", "malformed", "other_destination")...),
	}
}

// Decoded counts a record that became a change; op is what happened to the row.
func (e *Events) Decoded(op string) { e.total.Of(op, "decoded").Inc() }

// Skipped counts a record that a rule skips; op is its kind if it is no row.
func (e *Events) Skipped(op, reason string) {
	e.total.Of(op, "skipped").Inc()
	e.skipped.Of(reason).Inc()
}

// Undecodable counts a record that could not be decoded.
func (e *Events) Undecodable(code string) {
	e.total.Of(unknown, "undecodable").Inc()
	e.undecodable.Of(code).Inc()
}

// Retried counts a record of the retry topic.
func (e *Events) Retried(outcome string) { e.retries.Of(outcome).Inc() }
