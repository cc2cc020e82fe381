package chaos

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"usersync/consumer/trace"
	"usersync/e2e/ledger"
	"usersync/e2e/vendors"
)

// report is what a round was like. Times are in seconds.
type report struct {
	Seed    uint64         `json:"seed"`
	Seconds float64        `json:"seconds"`
	Changes int64          `json:"changes"`
	Records int64          `json:"records"`
	Calls   map[string]int `json:"calls"`
	// State says whether what was delivered was kept. Unchanged are changes that needed
	// no call; of StateRecords that were ever written compaction has left StateLeft.
	// Audit is how many users are how, by destination, as far as Kafka tells.
	State        bool                      `json:"state"`
	Unchanged    map[string]int            `json:"unchanged"`
	StateRecords int64                     `json:"state_records"`
	StateLeft    int64                     `json:"state_left"`
	Audit        map[string]map[string]int `json:"audit"`
	Faults       map[kind]int              `json:"faults"`
	Wrong        int                       `json:"wrong"` // users
	Lost         int                       `json:"lost"`  // of them, those that a vendor does not know
	Findings     map[string]int            `json:"findings"`
	// BackByKill and BackByLoss are the times that a user was taken back by what no
	// client could have prevented.
	BackByKill int `json:"back_by_kill"`
	BackByLoss int `json:"back_by_loss"`
	// Repeats are calls for a change that had been delivered; of them RepeatsByKill
	// came between a kill and the end of the catching up after it.
	Repeats       int                `json:"repeats"`
	RepeatsByKill int                `json:"repeats_by_kill"`
	Recovery      map[kind]quantiles `json:"recovery"` // from the end of a fault until all of before it is committed
	Drains        quantiles          `json:"drains"`
	Letters       map[string]int     `json:"letters"`
	PeakRSS       int64              `json:"peak_rss_bytes"`     // of one worker
	PeakWaiting   int64              `json:"peak_waiting_bytes"` // of one worker for one destination
	Oldest        float64            `json:"oldest"`             // change that waited at one vendor while the other alone was down
	Quiet         float64            `json:"quiet"`              // from the last change until all was right
}

type quantiles struct {
	N      int     `json:"n"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
}

func quantilesOf(all []time.Duration) quantiles {
	if len(all) == 0 {
		return quantiles{}
	}
	slices.Sort(all)
	return quantiles{len(all), all[len(all)/2].Seconds(), all[len(all)-1].Seconds()}
}

func (q quantiles) String() string {
	return fmt.Sprintf("%d times, median %.1f s, at most %.1f s", q.N, q.Median, q.Max)
}

// String is the report for people.
func (r *report) String() string {
	var b strings.Builder
	say := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-22s %s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(&b, "seed %d: %d changes of %d users in %.0f s\n", r.Seed, r.Changes, users, r.Seconds)
	say("records", "%d", r.Records)
	say("calls", "%d to TapTalk, %d to Haptik", r.Calls[vendors.TapTalk], r.Calls[vendors.Haptik])
	if r.State {
		say("unchanged", "%d for TapTalk, %d for Haptik; %d records of the state topic, %d left by compaction", r.Unchanged[vendors.TapTalk], r.Unchanged[vendors.Haptik], r.StateRecords, r.StateLeft)
		say("audit", "%v", r.Audit)
	}
	say("users wrong, lost", "%d, %d", r.Wrong, r.Lost)
	say("findings", "%v", r.Findings)
	say("taken back", "%d times by a killed worker's last call, %d by a lost reply", r.BackByKill, r.BackByLoss)
	say("repeated calls", "%d, of them %d after a kill (%.0f a kill)", r.Repeats, r.RepeatsByKill, float64(r.RepeatsByKill)/float64(max(1, r.Faults[kill])))
	say("dead letters", "%v", r.Letters)
	say("drains", "%v", r.Drains)
	say("peak memory", "%d MiB of one worker, %d KiB of what waits for a destination", r.PeakRSS>>20, r.PeakWaiting>>10)
	say("isolation", "%.1f s waited the oldest change of one vendor while the other was down", r.Oldest)
	say("quiet", "%.1f s after the last change", r.Quiet)
	for _, k := range slices.Sorted(maps.Keys(r.Faults)) {
		say("fault", "%-42s %3d times; caught up: %v", k, r.Faults[k], r.Recovery[k])
	}
	return b.String()
}

// keep writes the report, and after a failure the merged trace.
func (r *report) keep(t *testing.T, l *ledger.Ledger) {
	t.Helper()
	dir := t.ArtifactDir()
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "report.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Logf("%v", r)
	if !t.Failed() {
		return
	}
	all := l.Events(func(trace.Event) bool { return true })
	if err := os.WriteFile(filepath.Join(dir, "merged.trace"), []byte(ledger.Lines(all)), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Logf("report.json and merged.trace are in %s; -artifacts keeps them", dir)
}
