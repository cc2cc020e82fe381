package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/createtopics"
)

// Role is what a deployment uses a topic for.
type Role string

// The roles.
const (
	RoleSource     Role = "source"
	RoleDeadLetter Role = "dead_letter"
	RoleRetry      Role = "retry"
	RoleControl    Role = "control"
	RoleState      Role = "state"
)

// TopicNeed is what a topic must be for its role. Topics are made like this, and what
// the checks advise follows from it; a topic that somebody else has made may have other
// settings that do as well, which the checks know.
type TopicNeed struct {
	Topic      string
	Role       Role
	AsSource   bool // it must have the partitions of the source topics, else it may have any number
	Partitions int  // 0: any number or, as long as there is no source topic, not known yet
	Settings   []TopicSetting
}

// TopicSetting is a setting of a topic, as Kafka names and prints it.
type TopicSetting struct{ Name, Value string }

const (
	// letterSize is what the dead-letter topic takes at least: a little more than a
	// topic does by default.
	letterSize  = 1_100_000
	letterKept  = 30 * 24 * time.Hour
	retriesKept = 7 * 24 * time.Hour
	sourceKept  = 7 * 24 * time.Hour
)

func setting(name string, value any) TopicSetting { return TopicSetting{name, fmt.Sprint(value)} }

var (
	compacted = setting("cleanup.policy", "compact")
	byAge     = setting("cleanup.policy", "delete")
)

// sourceNeed is of a topic with changes: the newest of each user stays, and everything
// long enough to be read.
func sourceNeed(topic string) TopicNeed {
	return TopicNeed{Topic: topic, Role: RoleSource, Settings: []TopicSetting{
		compacted, setting("min.compaction.lag.ms", sourceKept.Milliseconds()), setting("delete.retention.ms", sourceKept.Milliseconds()),
	}}
}

// letterNeed is of the dead-letter topic; largest is the largest record that a source
// topic allows, 0 if that is not known.
func letterNeed(topic string, largest int64) TopicNeed {
	return TopicNeed{Topic: topic, Role: RoleDeadLetter, Settings: []TopicSetting{
		byAge, setting("retention.ms", letterKept.Milliseconds()), setting("max.message.bytes", max(letterSize, largest+headerRoom)),
	}}
}

// retryNeed is of the retry topic; partitions is how many the source topics have.
func retryNeed(topic string, partitions int) TopicNeed {
	return TopicNeed{Topic: topic, Role: RoleRetry, AsSource: true, Partitions: partitions, Settings: []TopicSetting{
		byAge, setting("retention.ms", retriesKept.Milliseconds()),
	}}
}

// controlNeed is of the control topic: what operators say has one order, and stays.
func controlNeed(topic string) TopicNeed {
	return TopicNeed{Topic: topic, Role: RoleControl, Partitions: 1, Settings: []TopicSetting{compacted}}
}

// stateNeed is of the state topic; partitions is how many the source topics have.
func stateNeed(topic string, partitions int) TopicNeed {
	return TopicNeed{Topic: topic, Role: RoleState, AsSource: true, Partitions: partitions, Settings: []TopicSetting{compacted}}
}

// howToMake says how an operator makes a topic that is missing.
func (c *Client) howToMake(n TopicNeed) string {
	partitions := ""
	switch {
	case n.Partitions > 0:
		partitions = " --partitions " + strconv.Itoa(n.Partitions)
	case n.AsSource:
		partitions = " --partitions (as many as the source topic will have)"
	}
	var settings strings.Builder
	for _, s := range n.Settings {
		settings.WriteString(" --config " + s.Name + "=" + s.Value)
	}
	return fmt.Sprintf("create it with usersync topics --create, or kafka-topics.sh --bootstrap-server %s --create --topic %s%s%s",
		c, n.Topic, partitions, settings.String())
}

// howToGrow says how an operator gives a topic more partitions.
func (c *Client) howToGrow(topic string, partitions int) string {
	return fmt.Sprintf("grow it with kafka-topics.sh --bootstrap-server %s --alter --topic %s --partitions %d", c, topic, partitions)
}

// TopicNames are the topics of a deployment, which must be those of its client. A name
// that is empty stands for no topic.
type TopicNames struct {
	Sources                           []string
	DeadLetter, Retry, Control, State string
}

// Topic is a topic that a deployment needs, and what there is of it.
type Topic struct {
	TopicNeed
	Have     int               // partitions; 0: it does not exist, or this user may not see it
	Replicas int               // of a partition, at least
	Values   map[string]string // of the settings; nil: they are not known
}

// Look finds out what topics are needed and what there is. That a topic may not be seen
// is no error: it is the checks' to say so.
func (t TopicNames) Look(ctx context.Context, c *Client) ([]Topic, error) {
	found := map[string][]PartitionInfo{}
	var existing []string
	for _, n := range t.needs(0, 0) {
		seen, err := c.Metadata(ctx, []string{n.Topic}) // by itself: one that is forbidden must not hide the others
		if err != nil && !is[*AccessError](err) {
			return nil, err
		}
		if len(seen[n.Topic]) > 0 {
			found[n.Topic], existing = seen[n.Topic], append(existing, n.Topic)
		}
	}
	configs, err := c.topicConfigs(ctx, existing)
	if err != nil {
		return nil, err
	}
	largest := int64(0)
	for _, s := range t.Sources {
		largest = max(largest, configs[s].number("max.message.bytes"))
	}
	partitions, other := partitionsOf(found, t.Sources)
	if other > 0 {
		partitions = 0 // none would be right
	}
	var all []Topic
	for _, n := range t.needs(partitions, largest) {
		x := Topic{TopicNeed: n, Have: len(found[n.Topic])}
		for i, p := range found[n.Topic] {
			if i == 0 || p.Replicas < x.Replicas {
				x.Replicas = p.Replicas
			}
		}
		if cfg := configs[n.Topic]; cfg.err == nil {
			x.Values = cfg.values
		}
		all = append(all, x)
	}
	return all, nil
}

// needs lists the topics that are needed, of sources with so many partitions.
func (t TopicNames) needs(partitions int, largest int64) []TopicNeed {
	var all []TopicNeed
	for _, s := range t.Sources {
		all = append(all, sourceNeed(s))
	}
	all = append(all, letterNeed(t.DeadLetter, largest), retryNeed(t.Retry, partitions), controlNeed(t.Control), stateNeed(t.State, partitions))
	return slices.DeleteFunc(all, func(n TopicNeed) bool { return n.Topic == "" })
}

// BrokersDefault has the brokers decide how many replicas a topic gets.
const BrokersDefault = -1

// Make makes a topic that is missing, with so many replicas, and returns when the
// brokers show it. One that exists is left as it is. It reports whether it has made it.
func (c *Client) Make(ctx context.Context, n TopicNeed, replicas int) (bool, error) {
	if n.AsSource && n.Partitions == 0 {
		return false, fmt.Errorf("topic %s: it must have as many partitions as the source topics, and nobody knows how many these are: they are missing, or differ; see to them first", n.Topic)
	}
	if replicas >= 3 { // else the brokers may call a record written that one of them alone has
		n.Settings = append(slices.Clone(n.Settings), setting("min.insync.replicas", 2))
	}
	made, err := c.createTopic(ctx, n, replicas)
	if err == nil && made {
		_, err = c.awaitPartitions(ctx, n.Topic, 0, max(n.Partitions, 1))
	}
	if err != nil {
		return made, fmt.Errorf("making the topic %s: %w", n.Topic, err)
	}
	return made, nil
}

// createTopic asks for a topic, and reports whether it was this that made it.
func (c *Client) createTopic(ctx context.Context, n TopicNeed, replicas int) (bool, error) {
	t := createtopics.RequestTopic{Name: n.Topic, NumPartitions: int32(n.Partitions), ReplicationFactor: int16(replicas)}
	if n.Partitions == 0 {
		t.NumPartitions = BrokersDefault
	}
	for _, s := range n.Settings {
		t.Configs = append(t.Configs, createtopics.RequestConfig{Name: s.Name, Value: s.Value})
	}
	res, err := c.roundTrip(ctx, &createtopics.Request{TimeoutMs: int32(requestTimeout.Milliseconds()), Topics: []createtopics.RequestTopic{t}})
	if err != nil {
		return false, err
	}
	for _, t := range res.(*createtopics.Response).Topics {
		switch code := kafka.Error(t.ErrorCode); {
		case code == 0:
		case errors.Is(code, kafka.TopicAlreadyExists): // somebody else was faster
			return false, nil
		case t.ErrorMessage != "":
			return false, fmt.Errorf("%w (%s)", denied("topic", t.Name, "Create", code), t.ErrorMessage)
		default:
			return false, denied("topic", t.Name, "Create", code)
		}
	}
	return true, nil
}

// awaitPartitions waits until the brokers show that many partitions of a topic that was
// made or grown, and returns how many they show. They have shown have.
func (c *Client) awaitPartitions(ctx context.Context, topic string, have, want int) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, topicWait)
	defer cancel()
	for have < want {
		if !sleep(ctx, topicLook) {
			return have, fmt.Errorf("topic %s was made, and the brokers do not show it yet", topic)
		}
		found, err := c.Metadata(ctx, []string{topic})
		if err != nil {
			return have, err
		}
		have = len(found[topic])
	}
	return have, nil
}
