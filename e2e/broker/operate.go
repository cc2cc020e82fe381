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
func (b *Broker) DeleteTopic(ctx context.Context, topic string) error {
	t := kmsg.NewDeleteTopicsRequestTopic()
	t.Topic = &topic
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TopicNames, req.Topics = append(req.TopicNames, topic), append(req.Topics, t)
	resp, err := req.RequestWith(ctx, b.client)
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
func (b *Broker) Partitions(ctx context.Context, topic string) (int, error) {
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &topic
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, b.client)
	if err != nil {
		return 0, fmt.Errorf("partitions of %s: %w", topic, err)
	}
	if err := kerr.ErrorForCode(resp.Topics[0].ErrorCode); err != nil {
		return 0, fmt.Errorf("partitions of %s: %w", topic, err)
	}
	return len(resp.Topics[0].Partitions), nil
}

// SetOffset commits an offset for a group without members, as Kafka's own offset
// tool does.
func (b *Broker) SetOffset(ctx context.Context, group, topic string, partition int32, offset int64) error {
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset = partition, offset
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic, t.Partitions = topic, append(t.Partitions, p)
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Topics = group, append(req.Topics, t)
	resp, err := req.RequestWith(ctx, b.client)
	if err != nil {
		return fmt.Errorf("set offset of %s: %w", group, err)
	}
	if err := kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode); err != nil {
		return fmt.Errorf("set offset of %s: %w", group, err)
	}
	return nil
}

// Read returns the records of a partition, from its start to its present end,
// without those of aborted transactions.
func (b *Broker) Read(ctx context.Context, topic string, partition int32) ([]*kgo.Record, error) {
	_, end, err := b.Offsets(ctx, topic, partition)
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(b.Addr()),
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
