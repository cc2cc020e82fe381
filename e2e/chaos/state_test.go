package chaos

import (
	"context"
	"fmt"
	"time"

	"usersync/e2e/connect"
)

// stateTopic is where workers keep what was delivered, in the rounds in which they do.
const stateTopic = "state"

// keeps reports whether the workers of a round keep what was delivered: in all of them
// but every fourth. One that does after one that does not finds a state that was off for
// a while.
func keeps(seed uint64) bool { return seed%4 != 0 }

// compacting makes a log be compacted all the time.
var compacting = map[string]string{"segment.ms": "5000", "min.cleanable.dirty.ratio": "0.01", "delete.retention.ms": "0"}

// logs are the topics that have the partitions of the source.
func (r *round) logs() []string {
	if r.keeps {
		return []string{connect.Topic, stateTopic}
	}
	return []string{connect.Topic}
}

// checkState looks at what is remembered, now that everybody is right.
func (r *round) checkState() {
	if !r.keeps {
		return
	}
	ctx, cancel := context.WithTimeout(r.ctx, time.Minute)
	defer cancel()
	for p := range int32(partitions) {
		_, end, err := r.p.Kafka.Offsets(ctx, stateTopic, p)
		if err != nil {
			r.t.Fatal(err)
		}
		left, err := r.p.Kafka.Read(ctx, stateTopic, p)
		if err != nil {
			r.t.Fatal(err)
		}
		r.report.StateRecords += end
		r.report.StateLeft += int64(len(left))
	}
	r.probes.fed["compacted"] = int(r.report.StateRecords - r.report.StateLeft)
	if err := r.audit(); err != nil {
		r.t.Errorf("seed %d: %v", r.seed, err)
	}
}

// audit has the product compare what is remembered of each user with the newest row. Who
// is taken for something else would be left there by a change to that, which is skipped.
// To know nothing of a user only costs a call.
func (r *round) audit() error {
	all, _, err := r.d.Audit(r.t, r.config)
	if err != nil {
		return err
	}
	r.report.Audit = map[string]map[string]int{}
	for _, d := range all.Destinations {
		r.report.Audit[d.Destination] = d.Counts
		r.probes.fed["audit of "+d.Destination] = d.Counts["in_sync"]
		for _, u := range d.Users {
			if u.Verdict == "differs" {
				return fmt.Errorf("G1: %s: user %s is remembered to have what it does not, as do %d", d.Destination, u.User, d.Counts["differs"])
			}
		}
	}
	return nil
}
