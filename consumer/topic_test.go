package consumer

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// everyRole names a topic for each role.
var everyRole = TopicNames{Sources: []string{"users", "more"}, DeadLetter: "dead", Retry: "retry", Control: "control", State: "state"}

func everyTopic(k *fakeKafka) *Client {
	return k.client("users", "more", "dead", "retry", "control", "state")
}

// settings is values as a checked topic would have them.
func settings(n TopicNeed) map[string]string {
	m := map[string]string{}
	for _, s := range n.Settings {
		m[s.Name] = s.Value
	}
	return m
}

// TestMadeTopicsPassTheChecks: what is made needs no mending, for what topics are made
// as and what the checks ask for is one thing. To make them again changes nothing.
func TestMadeTopicsPassTheChecks(t *testing.T) {
	inKafka(t, func(t *testing.T, k *fakeKafka) {
		c := everyTopic(k)
		for _, source := range everyRole.Sources {
			config := settings(sourceNeed(source))
			config["max.message.bytes"] = "3000000"
			if err := k.CreateTopic(source, 3, config); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			topics, err := everyRole.Look(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range topics[len(everyRole.Sources):] {
				made, err := c.Make(t.Context(), x.TopicNeed, BrokersDefault)
				if err != nil || made != (x.Have == 0) {
					t.Errorf("%s: made: %v (%v), and there were %d partitions", x.Topic, made, err, x.Have)
				}
			}
		}
		topics, err := everyRole.Look(t.Context(), c)
		if err != nil || len(topics) != 6 {
			t.Fatalf("%d topics (%v), want 6", len(topics), err)
		}
		for _, x := range topics {
			if x.Have == 0 || x.AsSource && x.Have != 3 || x.Role == RoleControl && x.Have != 1 || x.Replicas != 2 {
				t.Errorf("%s has %d partitions with %d replicas", x.Topic, x.Have, x.Replicas)
			}
			for _, s := range x.Settings {
				if x.Values[s.Name] != s.Value {
					t.Errorf("%s: %s=%s, want %s", x.Topic, s.Name, x.Values[s.Name], s.Value)
				}
			}
		}
		for _, f := range allFindings(t, c) {
			t.Errorf("a topic that was made is not as it must be: %s", f)
		}
	})
}

func allFindings(t *testing.T, c *Client) []Finding {
	t.Helper()
	n := everyRole
	all, err := Check(t.Context(), c, n.Sources, n.DeadLetter)
	for _, look := range []func() ([]Finding, error){
		func() ([]Finding, error) { return CheckRetries(t.Context(), c, n.Sources, n.Retry) },
		func() ([]Finding, error) { return NewControlTopic(c, n.Control).Check(t.Context()) },
		func() ([]Finding, error) { return CheckState(t.Context(), c, n.Sources, n.State, false) },
	} {
		if err != nil {
			break
		}
		var more []Finding
		more, err = look()
		all = append(all, more...)
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A topic whose partitions are those of the source cannot be made before these are known.
func TestTopicWithoutItsSource(t *testing.T) {
	for name, sources := range map[string]map[string]int32{"missing": {}, "different": {"users": 2, "more": 3}} {
		t.Run(name, func(t *testing.T) {
			inKafka(t, func(t *testing.T, k *fakeKafka) {
				for topic, n := range sources {
					if err := k.CreateTopic(topic, n, nil); err != nil {
						t.Fatal(err)
					}
				}
				c := everyTopic(k)
				topics, err := everyRole.Look(t.Context(), c)
				if err != nil {
					t.Fatal(err)
				}
				for _, x := range topics[len(everyRole.Sources):] {
					made, err := c.Make(t.Context(), x.TopicNeed, BrokersDefault)
					if x.AsSource == (err == nil) || made == x.AsSource {
						t.Errorf("%s: made: %v (%v)", x.Topic, made, err)
					}
				}
			})
		})
	}
}

// What the brokers answer to a request that they refuse names the topic and the reason.
func TestTopicIsRefused(t *testing.T) {
	inKafka(t, func(t *testing.T, k *fakeKafka) {
		c := everyTopic(k)
		made, err := c.Make(t.Context(), controlNeed("control"), 3)
		if made || err == nil || !strings.HasPrefix(err.Error(), "making the topic control: ") || !strings.Contains(err.Error(), "Replication") {
			t.Errorf("three replicas on two brokers: %v, %v", made, err)
		}
		k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: kerr.TopicAuthorizationFailed, Count: -1})
		made, err = c.Make(t.Context(), controlNeed("control"), BrokersDefault)
		if made || !is[*AccessError](err) || !strings.Contains(err.Error(), "needs Create") {
			t.Errorf("without the right to: %v, %v", made, err)
		}
	})
}

// Three replicas are asked for by who wants a record to survive a broker, so an
// acknowledgement of one alone must not do.
func TestReplicasMustAgree(t *testing.T) {
	inKafka(t, func(t *testing.T, k *fakeKafka) {
		c := everyTopic(k)
		if made, err := c.Make(t.Context(), controlNeed("control"), 3); err != nil || !made {
			t.Fatalf("made: %v (%v)", made, err)
		}
		if made, err := c.Make(t.Context(), letterNeed("dead", 0), 2); err != nil || !made {
			t.Fatalf("made: %v (%v)", made, err)
		}
		configs, err := c.topicConfigs(t.Context(), []string{"control", "dead"})
		if err != nil {
			t.Fatal(err)
		}
		for topic, want := range map[string]string{"control": "2", "dead": "1"} {
			if got := configs[topic].values["min.insync.replicas"]; got != want {
				t.Errorf("%s: min.insync.replicas=%q, want %s", topic, got, want)
			}
		}
	}, kfake.NumBrokers(3), kfake.Ports(9092, 9093, 9094))
}
