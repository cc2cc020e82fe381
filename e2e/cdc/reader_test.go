package cdc_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"usersync/e2e/connect"
	"usersync/e2e/pipeline"
	"usersync/e2e/vendors"
	"usersync/e2e/worker"
	"usersync/sync/haptik/haptiktest"
	"usersync/sync/taptalk/taptalktest"
)

// reader is one way for the same rows to reach the vendors: a connector, the topics
// that it writes, and a worker with vendors of its own.
type reader struct {
	name      string
	connector map[string]string // over what all have
	tables    []table
	also      []string // topics that hold no rows
	ops       []string // the kinds of records in the topics

	deployment *worker.Deployment
	worker     *worker.Worker
}

// schemas turns Kafka Connect's schemas on.
var schemas = map[string]string{
	"key.converter":                  "org.apache.kafka.connect.json.JsonConverter",
	"key.converter.schemas.enable":   "true",
	"value.converter":                "org.apache.kafka.connect.json.JsonConverter",
	"value.converter.schemas.enable": "true",
}

// addFields names what a flattened record tells beside the row.
const addFields = "transforms.flat.add.fields"

// bare leaves nothing but the row, the key and the mark of a deleted row to go by.
var bare = map[string]string{addFields: ""}

// newReaders returns all of them: the envelope and the flattened row with each way to
// write a delete, with and without schemas.
func newReaders() []*reader {
	readers := []*reader{
		{
			name:      "envelope",
			connector: map[string]string{"provide.transaction.metadata": "true"},
			tables:    tables,
			also:      []string{"__debezium-heartbeat.envelope", "envelope.transaction", "envelope.message"},
			ops:       []string{"delete", "tombstone", "truncate", "heartbeat", "transaction", "message"},
		},
		{name: "envelope-schemas", connector: schemas, ops: []string{"delete", "tombstone", "truncate"}},
		flat("drop", nil),
		flat("tombstone", schemas, "tombstone"),
		flat("delete-to-tombstone", nil, "tombstone"),
		flat("rewrite", bare, "delete"),
		flat("rewrite-with-tombstone", nil, "delete", "tombstone"),
	}
	for _, r := range readers {
		if added, flat := r.connector[addFields]; flat && added == "" {
			r.ops = append(r.ops, "upsert")
			continue
		}
		r.ops = append(r.ops, "create", "update", "read")
	}
	for _, r := range readers[1:] {
		r.tables = tables[:len(tables)-1]
	}
	return readers
}

func flat(deletes string, more map[string]string, ops ...string) *reader {
	r := &reader{name: "flat-" + deletes, ops: ops, connector: map[string]string{
		"transforms":           "flat",
		"transforms.flat.type": "io.debezium.transforms.ExtractNewRecordState",
		"transforms.flat.delete.tombstone.handling.mode": deletes,
		addFields: "op,schema,table,source.ts_ms",
	}}
	maps.Copy(r.connector, more)
	return r
}

func (r *reader) topic(t table) string  { return r.name + ".public." + t.name }
func (r *reader) letters() string       { return r.name + ".dead" }
func (r *reader) notifications() string { return r.name + ".notifications" }
func (r *reader) topics() (all []string) {
	for _, t := range r.tables {
		all = append(all, r.topic(t))
	}
	return all
}

// config is that of the connector.
func (r *reader) config(p *pipeline.Pipeline) map[string]string {
	config := connect.Debezium(p.Postgres, map[string]string{
		"topic.prefix":                    r.name,
		"slot.name":                       strings.ReplaceAll(r.name, "-", "_"),
		"publication.name":                publication,
		"publication.autocreate.mode":     "disabled",
		"table.include.list":              strings.Join(r.include(), ","),
		"skipped.operations":              "none",
		"incremental.snapshot.chunk.size": "500",
		"notification.enabled.channels":   "sink",
		"notification.sink.topic.name":    r.notifications(),
	})
	maps.Copy(config, r.connector)
	return config
}

func (r *reader) include() (all []string) {
	for _, t := range r.tables {
		all = append(all, "public."+t.name)
	}
	return all
}

// partitions is how many each topic with rows has.
const partitions = 2

// create makes the topics. A worker that looks at once may not see them yet.
func (r *reader) create(t *testing.T, p *pipeline.Pipeline) {
	t.Helper()
	counts := map[string]int{r.letters(): 1, r.notifications(): 1}
	for _, topic := range append(r.topics(), r.also...) {
		counts[topic] = partitions
	}
	for topic, n := range counts {
		if err := p.Kafka.CreateTopic(t.Context(), topic, n, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// start starts the worker.
func (r *reader) start(t *testing.T, p *pipeline.Pipeline) {
	t.Helper()
	// A vendor that keeps what it is not told of: whatever is left out of a call
	// must be there from before.
	v := vendors.Start(t)
	v.SetKnobs(vendors.TapTalk, taptalktest.Knobs{Merge: true})
	v.SetKnobs(vendors.Haptik, haptiktest.Knobs{Merge: true})
	r.deployment = &worker.Deployment{Broker: p.Kafka, Vendors: v, Config: worker.Config{
		"kafka.topics":            append(r.topics(), r.also...),
		"kafka.group_id":          r.name,
		"kafka.dead_letter_topic": r.letters(),
		"events.tables":           r.include(),
		"destinations.taptalk.mapping": map[string]any{
			"fullName": `first(full_name, trim(first_name + " " + last_name))`, "userRoleCode": "role",
		},
		"destinations.haptik.mapping": map[string]any{
			"language_code": "language", "custom_data": map[string]any{"bio": "bio"},
		},
	}}
	r.worker = r.deployment.Start(t, r.name, nil)
}

// checkEvents compares the kinds of records that the worker has seen with those that
// the connector writes.
func (r *reader) checkEvents(t *testing.T) {
	t.Helper()
	for _, op := range []string{"create", "update", "read", "upsert", "delete", "tombstone", "truncate", "heartbeat", "transaction", "message", "unknown"} {
		n, _ := r.worker.Metric("events_total", fmt.Sprintf("op=%q", op))
		if want := slices.Contains(r.ops, op); want != (n > 0) {
			t.Errorf("%s: %v records are %s, want any: %v", r.name, n, op, want)
		}
	}
	for _, reason := range []string{"other_table", "keyless_tombstone"} {
		if n, _ := r.worker.Metric("events_skipped_total", fmt.Sprintf("reason=%q", reason)); n > 0 {
			t.Errorf("%s: %v records are skipped as %s", r.name, n, reason)
		}
	}
}
