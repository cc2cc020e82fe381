package consumer

import (
	"context"
	"fmt"

	"github.com/segmentio/kafka-go"

	"usersync/consumer/event"
)

// ControlTopic is where operators tell all processes of a deployment what to do. It has
// one partition and is compacted, so it stays small, and whoever reads it from its
// start knows everything that holds. Its methods may be called from several goroutines.
type ControlTopic struct {
	client *Client
	name   string
}

// NewControlTopic returns the control topic of that name, which must be among the
// client's.
func NewControlTopic(client *Client, topic string) *ControlTopic {
	return &ControlTopic{client: client, name: topic}
}

// partition is the only one.
func (t *ControlTopic) partition() TopicPartition { return TopicPartition{Topic: t.name} }

// Read returns what the topic says now.
func (t *ControlTopic) Read(ctx context.Context) (*Controls, error) {
	c, _, err := t.read(ctx)
	return c, err
}

// read returns what the topic says, and the offset after the last record of that.
func (t *ControlTopic) read(ctx context.Context) (*Controls, int64, error) {
	start, end, err := t.client.Bounds(ctx, t.partition())
	if err != nil {
		return nil, 0, t.failed("Read", err)
	}
	c, err := t.readOn(ctx, nil, start, end)
	return c, end, err
}

// readOn returns known with the records from offset from up to the offset to.
func (t *ControlTopic) readOn(ctx context.Context, known *Controls, from, to int64) (*Controls, error) {
	c := known.clone()
	err := t.client.Scan(ctx, t.partition(), from, to, func(r *event.Record) error {
		c.apply(string(r.Key), r.Value)
		return nil
	})
	if err != nil {
		return nil, t.failed("Read", err)
	}
	return c, nil
}

// end returns the offset after the last record.
func (t *ControlTopic) end(ctx context.Context) (int64, error) {
	end, err := t.client.listOffsets(ctx, t.partition(), kafka.LastOffset, readCommitted)
	return end, t.failed("Read", err)
}

// Put writes records. After an error any of them may be there or not; to write them
// again does no harm.
func (t *ControlTopic) Put(ctx context.Context, records ...ControlRecord) error {
	batch := make([]event.Record, len(records))
	for i, r := range records {
		value, err := encodeControl(r)
		if err != nil {
			return err
		}
		batch[i] = event.Record{Key: []byte(r.key()), Value: value}
	}
	return t.write(ctx, batch)
}

// Remove writes that there are no such records any more; of each only what makes its
// key counts. After an error it may have been written or not.
func (t *ControlTopic) Remove(ctx context.Context, records ...ControlRecord) error {
	batch := make([]event.Record, len(records))
	for i, r := range records {
		batch[i] = event.Record{Key: []byte(r.key())}
	}
	return t.write(ctx, batch)
}

func (t *ControlTopic) write(ctx context.Context, batch []event.Record) error {
	found, err := t.client.Metadata(ctx, []string{t.name})
	if err == nil && len(found[t.name]) == 0 {
		err = kafka.UnknownTopicOrPartition // and not created by asking for it
	}
	if err == nil {
		_, err = t.client.produce(ctx, t.partition(), batch...)
	}
	return t.failed("Write", err)
}

func (t *ControlTopic) failed(operation string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("control topic %s: %w", t.name, denied("topic", t.name, operation, err))
}

// Check compares the topic with what it must be. The error is an *[AccessError] if this
// user may not write to it, else it is about asking and says nothing of the topic.
func (t *ControlTopic) Check(ctx context.Context) ([]Finding, error) {
	found, err := t.client.Metadata(ctx, []string{t.name})
	if err != nil {
		return nil, err
	}
	var findings []Finding
	add := func(s Severity, code, text string, args ...any) {
		findings = append(findings, Finding{s, t.name, code, fmt.Sprintf(text, args...)})
	}
	switch n := len(found[t.name]); n {
	case 0:
		add(Error, "missing", "it does not exist, or this user may not see it; %s", t.client.howToMake(controlNeed(t.name)))
		return findings, nil
	case 1:
	default:
		add(Error, "control_partitions", "it has %d partitions, and what operators say has an order in one only; delete it (kafka-topics.sh --bootstrap-server %s --delete --topic %s) and %s", n, t.client, t.name, t.client.howToMake(controlNeed(t.name)))
	}
	if err := t.failed("Write", t.client.produceNothing(ctx, t.name)); is[*AccessError](err) {
		return nil, err
	}
	configs, err := t.client.topicConfigs(ctx, []string{t.name})
	if err != nil {
		return nil, err
	}
	switch cfg := configs[t.name]; {
	case cfg.err != nil:
		findings = append(findings, unchecked(t.name, cfg.err))
	case !cfg.keeps():
		add(Error, "control_not_compacted", "its cleanup.policy is %s, so that a pause would be forgotten with time; kafka-configs.sh --bootstrap-server %s --alter --entity-type topics --entity-name %s --add-config cleanup.policy=compact",
			cfg.values["cleanup.policy"], t.client, t.name)
	}
	return findings, nil
}
