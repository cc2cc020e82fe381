package broker

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DeleteTopic removes a topic. The broker forgets what groups have committed for
// it some time later.
func (c *Client) DeleteTopic(ctx context.Context, topic string) error {
	t := kmsg.NewDeleteTopicsRequestTopic()
	t.Topic = &topic
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TopicNames, req.Topics = append(req.TopicNames, topic), append(req.Topics, t)
	resp, err := req.RequestWith(ctx, c.kafka)
	if err != nil {
		return fmt.Errorf("delete topic %s: %w", topic, err)
	}
	for _, t := range resp.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return fmt.Errorf("delete topic %s: %w", topic, err)
		}
	}
	return nil
}

// Partitions returns how many partitions a topic has.
func (c *Client) Partitions(ctx context.Context, topic string) (int, error) {
	n := 0
	err := c.poll(ctx, func() error {
		t, err := c.topic(ctx, topic)
		n = len(t.Partitions)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("partitions of %s: %w", topic, err)
	}
	return n, nil
}

// topic returns what the cluster knows of a topic.
func (c *Client) topic(ctx context.Context, name string) (kmsg.MetadataResponseTopic, error) {
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &name
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, c.kafka)
	if err != nil {
		return kmsg.MetadataResponseTopic{}, err
	}
	return resp.Topics[0], kerr.ErrorForCode(resp.Topics[0].ErrorCode)
}

// Coordinator returns the broker that coordinates a group, as soon as there is one,
// and makes Kafka's topic for groups if this is the first of all.
func (c *Client) Coordinator(ctx context.Context, group string) (int32, error) {
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorKeys = []string{group}
	var id int32
	err := c.poll(ctx, func() error {
		resp, err := req.RequestWith(ctx, c.kafka)
		if err != nil {
			return err
		}
		id = resp.Coordinators[0].NodeID
		return kerr.ErrorForCode(resp.Coordinators[0].ErrorCode)
	})
	if err != nil {
		return 0, fmt.Errorf("coordinator of %s: %w", group, err)
	}
	return id, nil
}

// askCoordinator sends a request to a group's coordinator of this moment. Left to
// itself, the client goes on knocking where the coordinator was before it died.
func (c *Client) askCoordinator(ctx context.Context, group string, ask func(kmsg.Requestor) error) error {
	return c.poll(ctx, func() error {
		id, err := c.Coordinator(ctx, group)
		if err != nil {
			return err
		}
		return ask(c.kafka.Broker(int(id)))
	})
}

// SetOffset commits for a group without members, as Kafka's own offset tool does.
func (c *Client) SetOffset(ctx context.Context, group, topic string, partition int32, to Committed) error {
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset, p.Metadata = partition, to.Offset, &to.Metadata
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic, t.Partitions = topic, append(t.Partitions, p)
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Topics = group, append(req.Topics, t)
	err := c.askCoordinator(ctx, group, func(coordinator kmsg.Requestor) error {
		resp, err := req.RequestWith(ctx, coordinator)
		if err != nil {
			return err
		}
		return kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
	})
	if err != nil {
		return fmt.Errorf("set offset of %s: %w", group, err)
	}
	return nil
}

// Read returns the records of a partition, from its start to its present end,
// without those of aborted transactions.
func (c *Client) Read(ctx context.Context, topic string, partition int32) ([]*kgo.Record, error) {
	_, end, err := c.Offsets(ctx, topic, partition)
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(c.addrs...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().AtStart()}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// The last record of a log may be a marker, and shows that the end is reached.
		kgo.KeepControlRecords(),
	)
	if err != nil {
		return nil, fmt.Errorf("read %s/%d: %w", topic, partition, err)
	}
	defer client.Close()
	var all []*kgo.Record
	for next := int64(0); next < end; {
		fetched := client.PollFetches(ctx)
		if err := fetched.Err(); err != nil {
			return nil, fmt.Errorf("read %s/%d at %d of %d: %w", topic, partition, next, end, err)
		}
		for _, r := range fetched.Records() {
			next = r.Offset + 1
			if !r.Attrs.IsControl() {
				all = append(all, r)
			}
		}
	}
	return all, nil
}
