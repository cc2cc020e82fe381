package e2e_test

import (
	"slices"
	"testing"

	"usersync/e2e/vendors"
	"usersync/e2e/worker"
)

// TestTopicRecreated deletes the topic under a running worker and makes it anew,
// with fewer and with more records than the old one had. Kafka tells a client by
// name nothing of that, and forgets the group's offsets at a time of its own. The
// worker may halt, which it must say, or begin anew if the offsets are gone. After
// the documented way out, which is Kafka's own offset tool, nothing is skipped.
func TestTopicRecreated(t *testing.T) {
	d := deploy(t, 1, nil)
	for _, tt := range []struct {
		name          string
		before, after int
	}{
		{"fewer records", 300, 100},
		{"more records", 100, 300},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := &worker.Deployment{Broker: d.Broker, Vendors: vendors.Start(t)}
			topic := map[bool]string{true: "shorter", false: "longer"}[tt.after < tt.before]
			d.Config = worker.Config{"kafka.topics": []string{topic}, "kafka.group_id": topic}
			create(t, d.Broker, topic, 1, nil)
			old := worker.NewBook(topic)
			old.Write(t, d.Broker, old.Shuffled(tt.before, tt.before)...)
			w := d.Start(t, "before", nil)
			old.Settle(t, d)

			if err := d.Broker.DeleteTopic(t.Context(), topic); err != nil {
				t.Fatal(err)
			}
			// The name is free only when the broker has put the old log away.
			worker.Until(t, worker.Limit, "the topic is there again", func() bool {
				return d.Broker.CreateTopic(t.Context(), topic, 1, nil) == nil
			})
			// At once: in a log that grows before its eyes the worker would see an end
			// below its own position.
			users := make([]int, tt.after)
			for i := range users {
				users[i] = 1001 + i
			}
			fresh := worker.NewBook(topic)
			fresh.Write(t, d.Broker, users...)
			var halted []string
			for _, destination := range worker.Destinations {
				worker.Until(t, worker.Limit, destination+" has halted, or has begun anew", func() bool {
					if halts(w, destination) {
						halted = append(halted, destination)
						return true
					}
					return fresh.Wrong(d.Vendors, destination) == ""
				})
			}
			for _, l := range w.Lines(haltMessage) {
				t.Logf("%s halted: %s", l.Destination, l.Reason)
			}
			w.Stop()
			for _, destination := range halted {
				if err := d.Broker.SetOffset(t.Context(), d.Group(destination), topic, 0, 0); err != nil {
					t.Fatal(err)
				}
			}
			d.Start(t, "after", nil)
			worker.Until(t, worker.Limit, "nothing was skipped", func() bool {
				return !slices.ContainsFunc(worker.Destinations, func(destination string) bool {
					return fresh.Wrong(d.Vendors, destination) != "" || worker.Lag(t, d.Broker, d.Group(destination), topic) != 0
				})
			})
		})
	}
}

// halts reports whether a destination's partition is halted: in the log, and in
// the metric that an alert reads.
func halts(w *worker.Worker, destination string) bool {
	said := slices.ContainsFunc(w.Lines(haltMessage), func(l worker.Line) bool {
		return l.Destination == destination && l.Level == "ERROR" && l.Reason != ""
	})
	shown, _ := w.Metric("consumer_partition_halted", label("destination", destination))
	return said && shown == 1
}

const haltMessage = "a partition is not read any more; nothing of it is committed until an operator sets the group's offset with Kafka's own tool and restarts the workers"
