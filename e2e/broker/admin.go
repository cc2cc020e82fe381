package broker

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// CreateTopic makes a topic, with settings such as {"cleanup.policy": "compact"}.
func (c *Client) CreateTopic(ctx context.Context, topic string, partitions int, settings map[string]string) error {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = topic, int32(partitions), c.replicas
	for name, value := range settings {
		setting := kmsg.NewCreateTopicsRequestTopicConfig()
		setting.Name, setting.Value = name, &value
		t.Configs = append(t.Configs, setting)
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, c.kafka)
	if err != nil {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	for _, t := range resp.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return fmt.Errorf("create topic %s: %w", topic, err)
		}
	}
	return nil
}

// Committed is what a group has committed for one partition.
type Committed struct {
	Offset   int64
	Metadata string
}

// Committed returns what group has committed, by topic and partition. A
// partition without a commit is absent. The first time of all makes the coordinator.
func (c *Client) Committed(ctx context.Context, group string) (map[string]map[int32]Committed, error) {
	var all map[string]map[int32]Committed
	err := c.askCoordinator(ctx, group, func(coordinator kmsg.Requestor) (err error) {
		all, err = committed(ctx, coordinator, group)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("committed offsets of %s: %w", group, err)
	}
	return all, nil
}

func committed(ctx context.Context, coordinator kmsg.Requestor, group string) (map[string]map[int32]Committed, error) {
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group // no topics: all of them
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Groups = append(req.Groups, g)
	resp, err := req.RequestWith(ctx, coordinator)
	if err != nil {
		return nil, err
	}
	if err := kerr.ErrorForCode(resp.Groups[0].ErrorCode); err != nil {
		return nil, err
	}
	all := make(map[string]map[int32]Committed)
	for _, t := range resp.Groups[0].Topics {
		all[t.Topic] = make(map[int32]Committed)
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return nil, fmt.Errorf("%s/%d: %w", t.Topic, p.Partition, err)
			}
			one := Committed{Offset: p.Offset}
			if p.Metadata != nil {
				one.Metadata = *p.Metadata
			}
			all[t.Topic][p.Partition] = one
		}
	}
	return all, nil
}

// Offsets returns the offset of the first record that partition of topic may
// still hold and the one that its next record will get.
func (c *Client) Offsets(ctx context.Context, topic string, partition int32) (start, end int64, err error) {
	if start, err = c.offset(ctx, topic, partition, -2); err != nil {
		return 0, 0, err
	}
	if end, err = c.offset(ctx, topic, partition, -1); err != nil {
		return 0, 0, err
	}
	return start, end, nil
}

// offset asks for the offset at a timestamp; -2 and -1 stand for the log's two ends.
func (c *Client) offset(ctx context.Context, topic string, partition int32, at int64) (int64, error) {
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Partition, p.Timestamp = partition, at
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic, t.Partitions = topic, append(t.Partitions, p)
	req := kmsg.NewPtrListOffsetsRequest()
	req.Topics = append(req.Topics, t)
	offset := int64(0)
	err := c.poll(ctx, func() error {
		resp, err := req.RequestWith(ctx, c.kafka)
		if err != nil {
			return err
		}
		offset = resp.Topics[0].Partitions[0].Offset
		return kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
	})
	if err != nil {
		return 0, fmt.Errorf("offsets of %s/%d: %w", topic, partition, err)
	}
	return offset, nil
}

// Configure changes settings of a topic, and leaves its other ones.
func (c *Client) Configure(ctx context.Context, topic string, settings map[string]string) error {
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	for name, value := range settings {
		setting := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		setting.Name, setting.Op, setting.Value = name, kmsg.IncrementalAlterConfigOpSet, &value
		r.Configs = append(r.Configs, setting)
	}
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Resources = append(req.Resources, r)
	resp, err := req.RequestWith(ctx, c.kafka)
	if err != nil {
		return fmt.Errorf("configure topic %s: %w", topic, err)
	}
	for _, r := range resp.Resources {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			return fmt.Errorf("configure topic %s: %w", topic, err)
		}
	}
	return nil
}
