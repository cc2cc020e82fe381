package metrics

import "github.com/prometheus/client_golang/prometheus"

// State is the stage that keeps what was delivered. Its series stay 0 where that is
// not configured.
type State struct {
	// Entries is how many users are remembered.
	Entries prometheus.Gauge
	// Loading is how many owned partitions wait for their state.
	Loading prometheus.Gauge
	// Loaded counts the records read while loading.
	Loaded prometheus.Counter
	// Writes counts versions by what became of writing them; one that failed is
	// written again.
	Writes Writes
	// Pending is how many versions are not written yet: offsets wait for them.
	Pending prometheus.Gauge
	// Unknown counts versions that became unknown, by cause.
	Unknown *Counters
}

// Writes is the versions written, by outcome.
type Writes struct{ Success, Error prometheus.Counter }

func newState(f factory) *State {
	writes := f.counterVec("state_writes_total", "Delivered versions written to the state topic, by outcome.", "outcome")
	return &State{
		Entries: f.gauge("state_entries", "Users of whom it is remembered what was delivered."),
		Loading: f.gauge("state_loading_partitions", "Owned partitions that wait until their state is loaded."),
		Loaded:  f.counter("state_loaded_records_total", "Records of the state topic that were loaded."),
		Writes:  Writes{Success: writes.WithLabelValues("success"), Error: writes.WithLabelValues("error")},
		Pending: f.gauge("state_pending_writes", "Delivered versions that are not in the state topic yet; the offsets that depend on them wait."),
		Unknown: f.counters("state_unknown_total", "Times that it became unknown what a user's version is, by cause.", []string{"cause"},
			each("attempted", "possibly_sent", "doubt", "dead_letter", "conflict", "moved", "resync")...),
	}
}
