package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"usersync/consumer"
)

// topicsTimeout bounds Topics: what was made takes a while to be seen.
const topicsTimeout = 2 * time.Minute

// TopicsOptions say what is done about topics that are missing.
type TopicsOptions struct {
	Create   bool // make them; those of the source are the connector's
	Replicas int  // of what is made; 0: as many as the brokers give a topic
	JSON     bool
}

// Topics writes to w which topics c needs, what each should be and what is there. The
// error says that something is missing, or not as it must be. No topic that exists is
// changed.
func Topics(ctx context.Context, c *Config, o TopicsOptions, w io.Writer) error {
	return topics(ctx, c, o, w, network{})
}

func topics(ctx context.Context, c *Config, o TopicsOptions, w io.Writer, n network) error {
	ctx, cancel := context.WithTimeout(ctx, topicsTimeout)
	defer cancel()
	client, err := c.Kafka.client("usersync-topics", n.dial)
	if err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	defer client.Close()
	if err := client.Probe(ctx); err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	x := &topicsWork{Kafka: c.Kafka, client: client, made: map[string]bool{}}
	if err := x.look(ctx); err != nil {
		return err
	}
	var failed error // what could not be made is said beside what there is
	if o.Create {
		failed = x.make(ctx, o.Replicas)
		if err := x.look(ctx); err != nil {
			return errors.Join(failed, err)
		}
	}
	findings, err := c.Kafka.findings(ctx, client)
	r := x.report(findings)
	if err := publish(w, o.JSON, r); err != nil {
		return err
	}
	return errors.Join(failed, err, r.problem())
}

// topicsWork is what Topics knows.
type topicsWork struct {
	Kafka
	client  *consumer.Client
	brokers int
	found   []consumer.Topic
	made    map[string]bool
}

func (x *topicsWork) look(ctx context.Context) (err error) {
	x.found, err = consumer.TopicNames{
		Sources: x.Topics, DeadLetter: x.DeadLetterTopic, Retry: x.RetryTopic, Control: x.ControlTopic, State: x.StateTopic,
	}.Look(ctx, x.client)
	if err == nil {
		x.brokers, err = x.client.Brokers(ctx)
	}
	if err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	return nil
}

// make makes all that is missing, whatever becomes of one of them.
func (x *topicsWork) make(ctx context.Context, replicas int) error {
	if replicas == 0 {
		replicas = consumer.BrokersDefault
	}
	var problems []error
	for _, t := range x.found {
		if t.Have > 0 || t.Role == consumer.RoleSource {
			continue
		}
		made, err := x.client.Make(ctx, t.TopicNeed, replicas)
		if err != nil {
			problems = append(problems, fmt.Errorf("kafka: %w", err))
		}
		x.made[t.Topic] = made
	}
	return errors.Join(problems...)
}

// The statuses of a topic.
const (
	topicOK      = "ok"
	topicCreated = "created" // just now
	topicLater   = "later"   // the workers make it
	topicMissing = "missing"
	topicWrong   = "wrong"
)

// report puts together what there is and what was found about it.
func (x *topicsWork) report(findings []consumer.Finding) *topicsReport {
	r := &topicsReport{Topics: []topicReport{}}
	for _, t := range x.found {
		y := newTopicReport(t)
		for _, f := range findings {
			if f.Topic == t.Topic {
				y.Findings = append(y.Findings, topicFinding{string(f.Severity), f.Code, f.Text})
			}
		}
		if t.Replicas == 1 && x.brokers > 1 {
			y.Findings = append(y.Findings, topicFinding{string(consumer.Warning), "one_replica", fmt.Sprintf(
				"one broker of %d keeps it: without that one it cannot be used, and what it holds is lost with it; give it more with kafka-reassign-partitions.sh", x.brokers)})
		}
		wrong := slices.ContainsFunc(y.Findings, func(f topicFinding) bool { return f.Severity == string(consumer.Error) })
		switch {
		case t.Have == 0 && t.Role == consumer.RoleState && x.StateTopicCreate:
			y.Status = topicLater
		case t.Have == 0:
			y.Status = topicMissing
		case wrong:
			y.Status = topicWrong
		case x.made[t.Topic]:
			y.Status = topicCreated
		default:
			y.Status = topicOK
		}
		r.Topics = append(r.Topics, y)
	}
	return r
}
