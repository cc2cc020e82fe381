package e2e_test

import (
	"slices"
	"strings"
	"testing"

	"usersync/e2e"
	"usersync/e2e/broker"
	"usersync/e2e/vendors"
	"usersync/e2e/worker"
)

// TestTopicRecreated deletes the topic under a running worker and makes it anew,
// with fewer and with more records than the old one had. Kafka tells a client by
// name nothing of that, and forgets the group's offsets at a time of its own. The
// worker may halt, which it must say, or begin anew if the offsets are gone. After
// the documented way out, which is Kafka's own offset tool, nothing is skipped.
func TestTopicRecreated(t *testing.T) {
	t.Parallel() // it measures nothing
	k := e2e.Kafka(t, broker.Config{})
	d := deployOn(t, k, 1, nil)
	t.Run("others are made", func(t *testing.T) { testTopicsAreMade(t, d.Broker) })
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
				resetOffset(t, k, d.Group(destination), topic)
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

// testTopicsAreMade has the product make what a deployment lacks. A real broker refuses
// settings that it does not know, and compares those of the topics with its own defaults.
func testTopicsAreMade(t *testing.T, b *broker.Client) {
	create(t, b, "source", 3, map[string]string{"cleanup.policy": "compact", "min.compaction.lag.ms": "86400000"})
	d := &worker.Deployment{Broker: b, Vendors: vendors.Start(t), Config: worker.Config{
		"kafka.topics": []string{"source"}, "kafka.dead_letter_topic": "made-dead", "kafka.retry_topic": "made-retry",
		"kafka.control_topic": "made-control", "kafka.state_topic": "made-state",
	}}
	if code, out, said := d.Command(t, "topics", nil, "topics"); code != 1 || strings.Count(out, "missing") < 4 {
		t.Errorf("before: exit code %d\n%s%s", code, out, said)
	}
	for _, status := range []string{"created", "ok"} { // the second time there is nothing to do
		code, out, said := d.Command(t, "topics", nil, "topics", "--create", "--replication-factor", "1")
		for _, topic := range []string{"made-dead", "made-retry", "made-control", "made-state"} {
			if !slices.ContainsFunc(strings.Split(out, "\n"), func(line string) bool {
				words := strings.Fields(line)
				return len(words) > 2 && words[0] == topic && words[2] == status
			}) {
				t.Errorf("%s is not %s", topic, status)
			}
		}
		if code != 0 {
			t.Errorf("exit code %d\n%s%s", code, out, said)
		}
	}
	if code, out := d.Check(t, "topics", nil); code != 0 || strings.Contains(out, "warning: topic made-") {
		t.Errorf("check: exit code %d\n%s", code, out)
	}
}

// resetOffset is what docs/architecture.md tells operators to do, once it can be done:
// the tool refuses while the group has a member.
func resetOffset(t *testing.T, k *broker.Broker, group, topic string) {
	t.Helper()
	worker.Until(t, worker.Limit, "Kafka's tool sets the offset of "+group, func() bool {
		said, err := k.ConsumerGroups(t.Context(), "--group", group, "--topic", topic+":0", "--reset-offsets", "--to-earliest", "--execute")
		return err == nil && slices.ContainsFunc(strings.Split(said, "\n"), func(line string) bool {
			return slices.Equal(strings.Fields(line), []string{group, topic, "0", "0"})
		})
	})
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

const haltMessage = "a partition is not read any more"
