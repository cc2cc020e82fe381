package metrics

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Lane is the stage that decides who is sent when, and whose fault a failure was.
type Lane struct {
	// QueueUsers is how many users have a change waiting.
	QueueUsers prometheus.Gauge
	// QueueBytes is the heap that what waits occupies, as estimated.
	QueueBytes prometheus.Gauge
	// WindowBytes is the heap that may wait; at it reading stops.
	WindowBytes prometheus.Gauge
	// QueueWait is in seconds, from a change's arrival to the start of its first
	// call. A change that replaces a waiting one keeps that one's arrival.
	QueueWait prometheus.Histogram
	// InFlight is how many users have a call in flight: the busy workers.
	InFlight prometheus.Gauge
	// Workers is how many calls may be in flight.
	Workers prometheus.Gauge
	// BackoffUsers is how many users wait for the time of their next attempt.
	BackoffUsers prometheus.Gauge
	// WithheldUsers is how many users wait until their partition is read up to where its
	// last owner may have delivered.
	WithheldUsers prometheus.Gauge
	// AwaitingUsers is how many users wait until another partition's state is loaded, which
	// may say that they need a call after all.
	AwaitingUsers prometheus.Gauge
	// GatheringUsers is how many users wait until more of a backlog is read, which may
	// have newer changes of them.
	GatheringUsers prometheus.Gauge
	// UnmappedUsers is how many users have a row without a payload, while no later
	// record of the topic got one.
	UnmappedUsers prometheus.Gauge
	// RateLimit is the requests a second that this process may make now: its share
	// of the configured rate, less what a destination's 429 took off, or for seconds the
	// end of its outage; 0: no limit.
	RateLimit prometheus.Gauge
	// ThrottleWait counts seconds that calls waited for the limiter or for the
	// end of a Retry-After.
	ThrottleWait prometheus.Counter

	// Attempts counts ended calls by verdict: ok, rejected, failed, refused; or
	// unsent, when the process gave a call up before anything was sent.
	Attempts *Counters
	// Retries counts attempts that will be repeated, by the verdict that made it
	// necessary.
	Retries *Counters
	// Deliveries counts settled changes by their final result.
	Deliveries Deliveries
	// EventDelivery is in seconds, from the source's commit of a change to the
	// answer that it was delivered: the objective that users notice.
	EventDelivery prometheus.Histogram
	// LastSuccess is the Unix time in seconds of the last delivery.
	LastSuccess prometheus.Gauge
	// FieldsOmitted counts fields that a payload was sent without or with an
	// empty value, by field and reason: null, invalid, unavailable,
	// no_column.
	FieldsOmitted *Counters
	// PartitionConflicts counts changes of a user whose other change, waiting or
	// in flight, came from another partition: their order is not known.
	PartitionConflicts prometheus.Counter

	// ControlCalls counts calls that repeat a delivered payload, to learn whether
	// a user or the destination is at fault.
	ControlCalls prometheus.Counter
	// ConfirmCalls counts calls that repeat the newest payload after an ambiguous
	// one may have been applied late.
	ConfirmCalls prometheus.Counter
	// Ambiguous counts calls that the destination may or may not have applied, by
	// error code.
	Ambiguous *Counters
	// AmbiguousUsers is how many users have such a call that may still be applied.
	AmbiguousUsers prometheus.Gauge

	states map[string]prometheus.Gauge
	since  prometheus.Gauge

	mu    sync.Mutex
	state string
}

// Deliveries is settled changes by their final result.
type Deliveries struct {
	Delivered  prometheus.Counter // the destination holds it
	Nothing    prometheus.Counter // it needed no call: a skipped delete
	DeadLetter prometheus.Counter // the dead-letter topic holds it
	Unchanged  prometheus.Counter // it needed no call: the destination is known to hold it
	Stale      prometheus.Counter // it needed no call: the destination is known to hold something newer
	Dropped    prometheus.Counter // its partition was revoked first: the next owner reads it again
}

// The states of a lane; SetState takes them. Rejected, failed and refused are
// the verdicts for which a lane is held.
const (
	StateRunning   = "running"   // calls flow
	StateRejected  = "rejected"  // held: the destination rejects everyone
	StateFailed    = "failed"    // held: the destination fails for everyone
	StateRefused   = "refused"   // held: the destination refuses our credentials, account or URL
	StateThrottled = "throttled" // the destination asked to be left alone for a while
	StateUnmapped  = "unmapped"  // calls flow, but rows have no payload, and no later one shows that it is their own fault
	StatePaused    = "paused"    // an operator wants no calls
	StateLatched   = "latched"   // calls flow, but too many records are at fault to release them
)

func newLane(f factory) *Lane {
	deliveries := f.counterVec("deliveries_total", "Settled changes by their final result.", "outcome")
	state := f.gaugeVec("lane_state", "1 for the state that the lane is in: running, or the reason why it is not.", "reason")
	l := &Lane{
		QueueUsers:  f.gauge("queue_users", "Users with a change waiting."),
		QueueBytes:  f.gauge("queue_bytes", "Estimated heap of what waits."),
		WindowBytes: f.gauge("queue_limit_bytes", "Heap that may wait; at it reading stops."),
		QueueWait: f.histogram("queue_wait_seconds", "Time from a change's arrival to the start of its first call.",
			.001, .005, .01, .05, .1, .5, 1, 5, 10, 30, 60, 300, 900, 3600, 4*3600, 24*3600),
		InFlight:       f.gauge("inflight_users", "Users with a call in flight: busy workers."),
		Workers:        f.gauge("workers", "Calls that may be in flight."),
		BackoffUsers:   f.gauge("backoff_users", "Users that wait for the time of their next attempt."),
		AwaitingUsers:  f.gauge("awaiting_users", "Users that seem to need no call and wait, for 30 seconds at most, until it is loaded what was delivered of another partition, from which they may have moved."),
		WithheldUsers:  f.gauge("withheld_users", "Users that wait until their partition is read up to where its last owner may have delivered: what is read of it so far may be older."),
		UnmappedUsers:  f.gauge("unmapped_users", "Users whose row has no payload, while no later record of the topic got one."),
		RateLimit:      f.gauge("rate_limit_calls_per_second", "Requests a second that this process may make now; 0 for no limit."),
		ThrottleWait:   f.counter("throttle_wait_seconds_total", "Time that calls waited for the limiter or a Retry-After."),
		GatheringUsers: f.gauge("gathering_users", "Users that wait, for two seconds at most, until more of a backlog is read: newer changes of them may be in it."),

		Attempts: f.counters("attempts_total", "Ended calls by verdict.", []string{"verdict"},
			each("ok", "rejected", "failed", "refused", "unsent")...),
		Retries: f.counters("retries_total", "Attempts that will be repeated, by the verdict that made it necessary.", []string{"reason"},
			each("rejected", "failed", "refused")...),
		Deliveries: Deliveries{
			Delivered:  deliveries.WithLabelValues("delivered"),
			Nothing:    deliveries.WithLabelValues("nothing"),
			DeadLetter: deliveries.WithLabelValues("dead_letter"),
			Unchanged:  deliveries.WithLabelValues("unchanged"),
			Stale:      deliveries.WithLabelValues("stale"),
			Dropped:    deliveries.WithLabelValues("dropped"),
		},
		EventDelivery: f.histogram("event_delivery_seconds", "Time from the source's commit of a change to its delivery.",
			.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 4*3600, 24*3600),
		LastSuccess: f.gauge("last_success_timestamp_seconds", "When a change was last delivered; 0 before the first."),
		FieldsOmitted: f.counters("fields_omitted_total",
			"Fields without a value to send, by the destination's name of the field.", []string{"field", "reason"}),
		PartitionConflicts: f.counter("partition_conflicts_total",
			"Changes of a user that came from another partition than the user's earlier ones."),

		ControlCalls: f.counter("control_calls_total", "Calls that repeat a delivered payload to learn who is at fault."),
		ConfirmCalls: f.counter("confirm_calls_total", "Calls that repeat the newest payload since an ambiguous one may have been applied late."),
		Ambiguous: f.counters("ambiguous_calls_total", "Calls that the destination may or may not have applied, by error code.", []string{"code"},
			each("timeout", "canceled", "connection", "tls", "truncated", "too_large", "http_408", "http_502", "http_504")...),
		AmbiguousUsers: f.gauge("ambiguous_users", "Users with a call that may still be applied."),

		states: map[string]prometheus.Gauge{},
		since:  f.gauge("lane_state_timestamp_seconds", "When the lane came into its state."),
		state:  StateRunning,
	}
	for _, s := range []string{StateRunning, StateRejected, StateFailed, StateRefused, StateThrottled, StateUnmapped, StateLatched, StatePaused, other} {
		l.states[s] = state.WithLabelValues(s)
	}
	l.states[l.state].Set(1)
	l.since.SetToCurrentTime()
	return l
}

// SetState shows the state of the lane, one of the State constants; anything
// else is shown as "other". A lane starts as running.
func (l *Lane) SetState(state string) {
	if _, ok := l.states[state]; !ok {
		state = other
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if state == l.state {
		return
	}
	// In this order a scrape in between sees two states rather than none.
	l.states[state].Set(1)
	l.states[l.state].Set(0)
	l.since.SetToCurrentTime()
	l.state = state
}
