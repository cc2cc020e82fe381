package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"usersync/e2e/broker"
	"usersync/e2e/vendors"
	"usersync/e2e/worker"
)

// aborted is the first version of a change that no one must ever see.
const aborted = 1_000_000

// TestCompactedTransactionalTopic reads a log with all that a reader can stumble
// over: gaps, batches that compaction has emptied, tombstones, transactions of
// several producers that overlap with each other's aborted ones, and a marker at
// its very end. Another client's view of it says what is right.
func TestCompactedTransactionalTopic(t *testing.T) {
	t.Parallel() // it measures nothing
	const topic = "compacted"
	d := deploy(t, 1, nil)
	d.Config["kafka.topics"] = []string{topic}
	create(t, d.Broker, topic, 1, map[string]string{
		"cleanup.policy":            "compact",
		"min.cleanable.dirty.ratio": "0",
		"segment.ms":                "100",
	})
	transactions(t, d.Broker, topic, 0)
	compact(t, d.Broker, topic)
	transactions(t, d.Broker, topic, 1)

	worker.Until(t, worker.Limit, "the log ends with a marker", func() bool {
		all := batches(t, d.Broker, topic)
		return control(&all[len(all)-1])
	})
	ctx, cancel := context.WithTimeout(t.Context(), worker.Limit)
	defer cancel()
	committed, err := d.Broker.Read(ctx, topic, 0)
	if err != nil {
		t.Fatal(err)
	}
	w := d.Start(t, "worker", nil)
	for _, destination := range worker.Destinations {
		worker.Until(t, worker.Limit, destination+" has read the log to its end", func() bool {
			return worker.Lag(t, d.Broker, d.Group(destination), topic) == 0
		})
		worker.Until(t, worker.Limit, "the metric says so", func() bool {
			lag, series := w.Metric("consumer_lag_records", label("destination", destination))
			return lag == 0 && series == 1
		})
		compare(t, d.Vendors, destination, committed)
	}
	if n := len(deadLetters(t, d)); n != 0 {
		t.Errorf("%d dead letters", n)
	}
	w.Stop()
}

// transactions writes 21 of them by two producers. Every third is aborted, and
// so is the last. Now and then a user is deleted, and written outside of any.
func transactions(t *testing.T, b *broker.Client, topic string, round int) {
	t.Helper()
	for i := range 21 {
		version, end := 1+100*round+i, broker.Commit
		if i%3 == 2 {
			version, end = version+aborted, broker.Abort
		}
		records := []*kgo.Record{
			worker.Change(topic, 1+i%7, version, ""),
			worker.Change(topic, 10+i%5, version, ""),
			{Topic: topic, Key: fmt.Appendf(nil, `{"id":%d}`, 20+i)},
			worker.Change(topic, 20+i+1, version, ""),
		}
		if err := b.Transact(t.Context(), fmt.Sprintf("writer-%d", i%2), end, records...); err != nil {
			t.Fatal(err)
		}
		if i%10 == 1 {
			if err := b.Produce(t.Context(), worker.Change(topic, 1+i%7, version, ""), worker.Change(topic, 90+i, version, "")); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// compact keeps writing, since Kafka rolls a segment only when a record comes and
// never compacts the newest one, until compaction has emptied some batches.
func compact(t *testing.T, b *broker.Client, topic string) {
	t.Helper()
	version := 0
	worker.Until(t, worker.Limit, "compaction has emptied batches", func() bool {
		version++
		if err := b.Produce(t.Context(), worker.Change(topic, 99, version, "")); err != nil {
			t.Fatal(err)
		}
		emptied := 0
		for _, batch := range batches(t, b, topic) {
			if batch.NumRecords == 0 && !control(&batch) {
				emptied++
			}
		}
		return emptied >= 3
	})
}

func batches(t *testing.T, b *broker.Client, topic string) []kmsg.RecordBatch {
	t.Helper()
	all, err := b.Batches(t.Context(), topic, 0)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// control reports whether a batch holds a marker.
func control(b *kmsg.RecordBatch) bool { return b.Attributes&0x20 != 0 }

// compare holds a destination against the committed records of a log: the newest
// of each user is delivered, and nothing that is not among them. A user that was
// deleted may be there in any version before.
func compare(t *testing.T, v *vendors.Vendors, destination string, committed []*kgo.Record) {
	t.Helper()
	versions := map[string][]string{} // names by user, oldest first; "" for a delete
	for _, r := range committed {
		var user int
		if _, err := fmt.Sscanf(string(r.Key), `{"id":%d}`, &user); err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprint(user)
		versions[id] = append(versions[id], afterName(r.Value))
	}
	for id, names := range versions {
		newest := names[len(names)-1]
		if got := v.Name(destination, id); newest != "" && got != newest {
			t.Errorf("%s: user %s has %q, want %q", destination, id, got, newest)
		}
	}
	for id, applied := range v.Applied(destination) {
		for _, a := range applied {
			if name := a.Name(); !slices.Contains(versions[id], name) {
				t.Errorf("%s: user %s was given %q, which is not in the log", destination, id, name)
			}
		}
	}
}

// afterName is the name in a change as worker.Change writes it, "" in a tombstone.
func afterName(value []byte) string {
	var change struct {
		After struct {
			FullName string `json:"full_name"`
		}
	}
	if json.Unmarshal(value, &change) != nil {
		return ""
	}
	return change.After.FullName
}
