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
	"github.com/segmentio/kafka-go/protocol/describeconfigs"
)

// Severity says whether a finding forbids to start.
type Severity string

// The severities.
const (
	Error   Severity = "error"   // records could not be read, or would be lost
	Warning Severity = "warning" // it works, until something happens
)

// Finding is something about a topic that its owner should know.
type Finding struct {
	Severity Severity
	Topic    string
	Code     string // a constant, for scripts
	Text     string // what it means and what to do
}

// String is the finding in one line.
func (f Finding) String() string {
	return fmt.Sprintf("%s: topic %s: %s (%s)", f.Severity, f.Topic, f.Text, f.Code)
}

const (
	// readAgain is how long a change should stay in its topic after it was
	// written: about the longest that a worker stays down unnoticed.
	readAgain = 24 * time.Hour
	// headerRoom is what the headers of a dead letter add to a record.
	headerRoom   = 1024
	topicConfigs = 2 // the resource type in a describe-configs request
)

// Check compares the topics with what the worker relies on. The topics must be
// among those of the client's configuration. The error is about asking, and says
// nothing of the topics.
func Check(ctx context.Context, c *Client, topics []string, deadLetterTopic string) ([]Finding, error) {
	all := append(slices.Clone(topics), deadLetterTopic)
	var findings []Finding
	add := func(s Severity, topic, code, text string, args ...any) {
		findings = append(findings, Finding{s, topic, code, fmt.Sprintf(text, args...)})
	}
	if slices.Contains(topics, deadLetterTopic) {
		add(Error, deadLetterTopic, "dead_letter_is_source", "it is read and written as the dead-letter topic: every dead letter would come back as a change")
		return findings, nil
	}
	var existing []string
	for _, topic := range all {
		found, err := c.Metadata(ctx, []string{topic}) // by itself: one that is forbidden must not hide the others
		partitions := found[topic]
		switch {
		case is[*AccessError](err):
			add(Error, topic, "forbidden", "this user may not see it, so nothing of it was checked: %v", err)
			continue
		case err != nil:
			return nil, err
		case len(partitions) == 0 && topic != deadLetterTopic: // the connector may be about to create it
			add(Warning, topic, "missing", "it is not there yet, or this user may not see it; `usersync run` waits for it")
			continue
		case len(partitions) == 0:
			add(Error, topic, "missing", "it does not exist, or this user may not see it, and it is never created by itself; %s", c.howToMake(letterNeed(topic, 0)))
			continue
		}
		existing = append(existing, topic)
		if n := count(partitions, func(p PartitionInfo) bool { return p.Leader < 0 }); n > 0 {
			add(Warning, topic, "no_leader", "%d of %d partitions have no leader and cannot be used now", n, len(partitions))
		}
	}
	configs, err := c.topicConfigs(ctx, existing)
	if err != nil {
		return nil, err
	}
	largest := int64(0)
	for _, topic := range existing {
		cfg := configs[topic]
		switch {
		case cfg.err != nil:
			findings = append(findings, unchecked(topic, cfg.err))
		case topic != deadLetterTopic:
			largest = max(largest, cfg.number("max.message.bytes"))
			checkSource(cfg, func(s Severity, code, text string, args ...any) { add(s, topic, code, text, args...) })
		default:
			checkDeadLetters(cfg, largest, func(s Severity, code, text string, args ...any) { add(s, topic, code, text, args...) })
		}
	}
	return findings, nil
}

func count[T any](list []T, match func(T) bool) int {
	n := 0
	for _, v := range list {
		if match(v) {
			n++
		}
	}
	return n
}

type adder func(s Severity, code, text string, args ...any)

// checkSource looks for ways in which a change can vanish before it is read.
func checkSource(cfg topicConfig, add adder) {
	if cfg.compacted() {
		if lag := cfg.duration("min.compaction.lag.ms"); lag < readAgain {
			add(Warning, "compaction_lag", "it is compacted after %v: a change may be gone whose value a later one only refers to (an unchanged large column), and dead letters lose their originals; set min.compaction.lag.ms to %d or more", lag, readAgain.Milliseconds())
		}
		if kept := cfg.duration("delete.retention.ms"); kept < readAgain {
			add(Warning, "delete_retention", "deletes are kept for %v: a worker that is down longer never learns of them; set delete.retention.ms to %d or more", kept, readAgain.Milliseconds())
		}
	}
	if kept := cfg.duration("retention.ms"); cfg.deleting() && kept >= 0 && kept < readAgain {
		add(Warning, "retention", "changes are kept for %v: a worker that is down longer loses them; set retention.ms to %d or more", kept, readAgain.Milliseconds())
	}
}

// checkDeadLetters makes sure that a dead letter stays readable. largest is the
// largest record that a source topic allows.
func checkDeadLetters(cfg topicConfig, largest int64, add adder) {
	if cfg.compacted() {
		add(Error, "dead_letter_compacted", "it is compacted: of a user's dead letters only the last would stay, and of a delete none; set cleanup.policy=delete")
	}
	if kept := cfg.duration("retention.ms"); cfg.deleting() && kept >= 0 && kept < 7*readAgain {
		add(Warning, "dead_letter_retention", "dead letters are kept for %v, which may be over before someone looks; set retention.ms to %d or more", kept, (7 * readAgain).Milliseconds())
	}
	if limit := cfg.number("max.message.bytes"); limit < largest+headerRoom {
		add(Warning, "dead_letter_size", "it takes records of %d bytes, the source topics of %d: larger ones are written without their original value; set max.message.bytes to %d or more", limit, largest, largest+headerRoom)
	}
}

// topicConfig is the configuration of a topic; err says why it is not known.
type topicConfig struct {
	values map[string]string
	err    error
}

func (c topicConfig) has(policy string) bool {
	return slices.Contains(strings.Split(strings.ReplaceAll(c.values["cleanup.policy"], " ", ""), ","), policy)
}
func (c topicConfig) compacted() bool { return c.has("compact") }
func (c topicConfig) deleting() bool  { return c.has("delete") }

// keeps reports whether the newest record of each key stays for ever, and no other.
func (c topicConfig) keeps() bool { return c.compacted() && !c.deleting() }

// unchecked says that a topic's configuration could not be looked at.
func unchecked(topic string, err error) Finding {
	return Finding{Warning, topic, "config_unreadable", fmt.Sprintf("its configuration cannot be read, so it was not checked: %v", err)}
}

// partitionsOf returns how many partitions the topics that exist have. Where they
// differ, other is the first number that is another one.
func partitionsOf(found map[string][]PartitionInfo, topics []string) (n, other int) {
	for _, topic := range topics {
		switch have := len(found[topic]); {
		case n == 0:
			n = have
		case have > 0 && have != n:
			return n, have
		}
	}
	return n, 0
}

// number returns a numeric setting; brokers give each of them a value.
func (c topicConfig) number(name string) int64 {
	n, _ := strconv.ParseInt(c.values[name], 10, 64)
	return n
}

func (c topicConfig) duration(name string) time.Duration {
	ms := c.number(name)
	const most = int64(1<<63-1) / int64(time.Millisecond)
	return time.Duration(min(ms, most)) * time.Millisecond
}

// topicConfigs reads the settings that Check looks at.
func (c *Client) topicConfigs(ctx context.Context, topics []string) (map[string]topicConfig, error) {
	req := &describeconfigs.Request{}
	for _, topic := range topics {
		req.Resources = append(req.Resources, describeconfigs.RequestResource{
			ResourceType: topicConfigs, ResourceName: topic,
			ConfigNames: []string{"cleanup.policy", "min.compaction.lag.ms", "delete.retention.ms", "retention.ms", "max.message.bytes", "min.insync.replicas"},
		})
	}
	if len(topics) == 0 {
		return nil, nil
	}
	res, err := c.roundTrip(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("describe topics: %w", err)
	}
	configs := map[string]topicConfig{}
	for _, topic := range topics {
		configs[topic] = topicConfig{err: errors.New("no answer")}
	}
	for _, r := range res.(*describeconfigs.Response).Resources {
		cfg := topicConfig{values: map[string]string{}}
		if r.ErrorCode != 0 {
			cfg.err = kafka.Error(r.ErrorCode)
		}
		for _, e := range r.ConfigEntries {
			cfg.values[e.ConfigName] = e.ConfigValue
		}
		configs[r.ResourceName] = cfg
	}
	return configs, nil
}
