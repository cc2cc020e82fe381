package broker

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// CreateTopic makes a topic, with settings such as {"cleanup.policy": "compact"}.
func (b *Broker) CreateTopic(ctx context.Context, topic string, partitions int, settings map[string]string) error {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = topic, int32(partitions), 1
	for name, value := range settings {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = name, &value
		t.Configs = append(t.Configs, c)
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, b.client)
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
// partition without a commit is absent. It waits for a coordinator that is
// still being made, as for the first group of all, or loading.
func (b *Broker) Committed(ctx context.Context, group string) (map[string]map[int32]Committed, error) {
	for tick := time.Tick(50 * time.Millisecond); ; {
		all, err := b.committed(ctx, group)
		if err == nil {
			return all, nil
		}
		err = fmt.Errorf("committed offsets of %s: %w", group, err)
		if !kerr.IsRetriable(err) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-tick:
		}
	}
}

func (b *Broker) committed(ctx context.Context, group string) (map[string]map[int32]Committed, error) {
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group // no topics: all of them
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Groups = append(req.Groups, g)
	resp, err := req.RequestWith(ctx, b.client)
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
			c := Committed{Offset: p.Offset}
			if p.Metadata != nil {
				c.Metadata = *p.Metadata
			}
			all[t.Topic][p.Partition] = c
		}
	}
	return all, nil
}

// Offsets returns the offset of the first record that partition of topic may
// still hold and the one that its next record will get.
func (b *Broker) Offsets(ctx context.Context, topic string, partition int32) (start, end int64, err error) {
	if start, err = b.offset(ctx, topic, partition, -2); err != nil {
		return 0, 0, err
	}
	if end, err = b.offset(ctx, topic, partition, -1); err != nil {
		return 0, 0, err
	}
	return start, end, nil
}

// offset asks for the offset at a timestamp; -2 and -1 stand for the log's two ends.
func (b *Broker) offset(ctx context.Context, topic string, partition int32, at int64) (int64, error) {
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Partition, p.Timestamp = partition, at
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic, t.Partitions = topic, append(t.Partitions, p)
	req := kmsg.NewPtrListOffsetsRequest()
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, b.client)
	if err != nil {
		return 0, fmt.Errorf("offsets of %s/%d: %w", topic, partition, err)
	}
	got := resp.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(got.ErrorCode); err != nil {
		return 0, fmt.Errorf("offsets of %s/%d: %w", topic, partition, err)
	}
	return got.Offset, nil
}

// Grant lets User do everything with every topic and group.
func (b *Broker) Grant(ctx context.Context) error {
	req := kmsg.NewPtrCreateACLsRequest()
	for _, kind := range []kmsg.ACLResourceType{kmsg.ACLResourceTypeTopic, kmsg.ACLResourceTypeGroup} {
		c := kmsg.NewCreateACLsRequestCreation()
		c.ResourceType, c.ResourceName, c.ResourcePatternType = kind, "*", kmsg.ACLResourcePatternTypeLiteral
		c.Principal, c.Host = "User:"+User, "*"
		c.Operation, c.PermissionType = kmsg.ACLOperationAll, kmsg.ACLPermissionTypeAllow
		req.Creations = append(req.Creations, c)
	}
	resp, err := req.RequestWith(ctx, b.client)
	if err != nil {
		return fmt.Errorf("grant: %w", err)
	}
	for _, r := range resp.Results {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			return fmt.Errorf("grant: %w", err)
		}
	}
	return nil
}
