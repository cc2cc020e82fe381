package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	usync "usersync/sync"
)

// allTopics gives a deployment a topic of each role, of which none is there but the
// source, and a dead-letter topic that is compacted.
func allTopics(c *Config) {
	c.Kafka.DeadLetterTopic, c.Kafka.RetryTopic, c.Kafka.ControlTopic, c.Kafka.StateTopic = "compacted", "retry", "control", "state"
	c.Privacy.HashKey = usync.Secret{Value: strings.Repeat("k", 32)}
}

// looked runs the command, and returns each topic as NAME STATUS PARTITIONS and the
// codes of what was found about it.
func (b *bubble) looked(c *Config, o TopicsOptions) ([]string, error) {
	b.t.Helper()
	var out bytes.Buffer
	o.JSON = true
	failed := topics(b.t.Context(), c, o, &out, b.outside())
	var r topicsReport
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		b.t.Fatalf("%v in %s (%v)", err, out.Bytes(), failed)
	}
	var all []string
	for _, x := range r.Topics {
		is := topicShape{}
		if x.Is != nil {
			is = *x.Is
		}
		line := fmt.Sprint(x.Topic, " ", x.Status, " ", is.Partitions)
		for _, f := range x.Findings {
			line += " " + f.Code
		}
		all = append(all, line)
	}
	return all, failed
}

// TestTopics looks, makes, and makes again: what is missing is there then, what is wrong
// stays as it is, and each time the error says that something is wrong.
func TestTopics(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		c := b.config(allTopics)
		for i, tt := range []struct {
			create bool
			want   []string
			err    string
		}{
			{false, []string{"users ok 2", "compacted wrong 1 dead_letter_compacted dead_letter_size", "retry missing 0 missing", "control missing 0 missing", "state missing 0 state_missing"}, "kafka: 4 of 5 topics"},
			{true, []string{"users ok 2", "compacted wrong 1 dead_letter_compacted dead_letter_size", "retry created 2", "control created 1", "state created 2"}, "kafka: 1 of 5 topics"},
			{true, []string{"users ok 2", "compacted wrong 1 dead_letter_compacted dead_letter_size", "retry ok 2", "control ok 1", "state ok 2"}, "kafka: 1 of 5 topics"},
		} {
			got, err := b.looked(c, TopicsOptions{Create: tt.create})
			if !slices.Equal(got, tt.want) || err == nil || !strings.HasPrefix(err.Error(), tt.err) {
				t.Errorf("%d: %q, error %v; want %q, %q", i, got, err, tt.want, tt.err)
			}
		}
		c.Kafka.DeadLetterTopic = "letters"
		got, err := b.looked(c, TopicsOptions{Create: true})
		if want := []string{"users ok 2", "letters created 10", "retry ok 2", "control ok 1", "state ok 2"}; !slices.Equal(got, want) || err != nil {
			t.Errorf("%q (%v), want %q", got, err, want)
		}
	})
}

// Without a source nothing is made that needs its partitions, and that is said; the
// state topic may be left to the workers.
func TestTopicsWithoutASource(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		c := b.config(allTopics)
		c.Kafka.Topics, c.Kafka.DeadLetterTopic, c.Kafka.StateTopicCreate = []string{"later"}, "dead", true
		got, err := b.looked(c, TopicsOptions{})
		want := []string{"later missing 0 missing", "dead ok 1", "retry missing 0 missing", "control missing 0 missing", "state later 0"}
		if !slices.Equal(got, want) || err == nil {
			t.Errorf("%q (%v), want %q", got, err, want)
		}
		got, err = b.looked(c, TopicsOptions{Create: true})
		want[3] = "control created 1"
		if !slices.Equal(got, want) || err == nil || !strings.Contains(err.Error(), "topic retry: it must have as many partitions as the source topics") {
			t.Errorf("%q (%v), want %q", got, err, want)
		}
	})
}

// One topic that may not be made keeps none of the others from being made.
func TestTopicsMakesTheOthers(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		c := b.config(allTopics)
		c.Kafka.DeadLetterTopic = "dead"
		b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Topic: "retry", Err: kerr.TopicAuthorizationFailed, Count: -1})
		got, err := b.looked(c, TopicsOptions{Create: true, Replicas: 1})
		want := []string{"users ok 2", "dead ok 1 dead_letter_size", "retry missing 0 missing", "control created 1", "state created 2"}
		if !slices.Equal(got, want) || err == nil || !strings.Contains(err.Error(), "topic retry: access denied: this user needs Create") {
			t.Errorf("%q (%v), want %q", got, err, want)
		}
	})
}

// A topic that one broker keeps is lost with it, where there are others that could keep
// it too; what is kept by two or more is nobody's worry.
func TestTopicsOfOneBroker(t *testing.T) {
	kafka, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.SeedTopics(2, "users"))
	if err != nil {
		t.Fatal(err)
	}
	defer kafka.Close()
	c := defaults()
	c.Kafka.Brokers, c.Kafka.Topics, c.Kafka.DeadLetterTopic = kafka.ListenAddrs(), []string{"users"}, "dead"
	for _, replicas := range []int{1, 2} {
		var out bytes.Buffer
		c.Kafka.DeadLetterTopic = fmt.Sprint("dead", replicas)
		if err := topics(t.Context(), c, TopicsOptions{Create: true, Replicas: replicas}, &out, network{}); err != nil {
			t.Fatalf("%v\n%s", err, &out)
		}
		said := strings.Contains(out.String(), "warning: topic "+c.Kafka.DeadLetterTopic+": one broker of 3 keeps it")
		if said != (replicas == 1) {
			t.Errorf("%d replicas:\n%s", replicas, &out)
		}
	}
}

// TestTopicsTable: the form for people says what each topic should be, what it is, and
// what to do.
func TestTopicsTable(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		var out bytes.Buffer
		if err := topics(t.Context(), b.config(allTopics), TopicsOptions{}, &out, b.outside()); err == nil {
			t.Error("topics are missing, and there is no error")
		}
		lines := strings.Split(out.String(), "\n")
		for i, line := range lines {
			lines[i] = strings.Join(strings.Fields(line), " ") // columns are as wide as they have to be
		}
		said := strings.Join(lines, "\n")
		for _, want := range []string{
			"\nusers source ok partitions any 2\n",
			"\nretry retry missing partitions 2 -\n",
			"\ncleanup.policy delete -\nretention.ms 604800000 -\n",
			"\ncontrol control missing partitions 1 -\n",
			"error: topic compacted: it is compacted",
			"error: topic retry: it does not exist, or this user may not see it; create it with usersync topics --create, or kafka-topics.sh",
		} {
			if !strings.Contains(said, want) {
				t.Errorf("does not say %q:\n%s", want, said)
			}
		}
	})
}
