package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"unicode/utf16"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// offsetsTopic is where Kafka keeps what groups commit. Whoever leads the group's
// partition of it is the group's coordinator.
const offsetsTopic = "__consumer_offsets"

// Leader returns the broker that leads a partition, as soon as there is one. It is
// what one of the brokers says; after a change the others hear of it a moment later.
func (k *Cluster) Leader(ctx context.Context, topic string, partition int32) (int32, error) {
	var leader int32
	err := k.poll(ctx, func() error {
		p, err := k.partition(ctx, topic, partition)
		leader = p.Leader
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("leader of %s/%d: %w", topic, partition, err)
	}
	return leader, nil
}

// Synced waits until each partition of a topic has a leader and all replicas in sync.
func (k *Cluster) Synced(ctx context.Context, topic string) error {
	err := k.poll(ctx, func() error {
		t, err := k.topic(ctx, topic)
		if err != nil {
			return err
		}
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return err
			}
			if len(p.ISR) < len(p.Replicas) {
				return fmt.Errorf("%w: partition %d has replicas %v in sync", errNotYet, p.Partition, p.ISR)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("replicas of %s: %w", topic, err)
	}
	return nil
}

// MoveLeader makes a broker, whose replica must be in sync, the leader of a
// partition: it puts that replica first, where the preferred leader is, and has the
// cluster elect it. It returns when the first one of them knows, see Leader.
func (k *Cluster) MoveLeader(ctx context.Context, topic string, partition, id int32) error {
	err := k.poll(ctx, func() error {
		p, err := k.partition(ctx, topic, partition)
		if err != nil || p.Leader == id {
			return err
		}
		if err := k.prefer(ctx, topic, p, id); err != nil {
			return err
		}
		if err := k.elect(ctx, topic, partition); err != nil {
			return err
		}
		return fmt.Errorf("%w: broker %d leads", errNotYet, p.Leader)
	})
	if err != nil {
		return fmt.Errorf("make broker %d lead %s/%d: %w", id, topic, partition, err)
	}
	return nil
}

// MoveCoordinator makes a broker the coordinator of a group, and of the other
// groups in the same partition of Kafka's own topic.
func (k *Cluster) MoveCoordinator(ctx context.Context, group string, id int32) error {
	partition, err := k.offsetsPartition(ctx, group)
	if err != nil {
		return err
	}
	return k.MoveLeader(ctx, offsetsTopic, partition, id)
}

// offsetsPartition returns the partition that a group's commits are in: by Java's
// hash of its name, as Kafka chooses it.
func (k *Cluster) offsetsPartition(ctx context.Context, group string) (int32, error) {
	if _, err := k.Coordinator(ctx, group); err != nil { // makes the topic, if this is the first group
		return 0, err
	}
	partitions, err := k.Partitions(ctx, offsetsTopic)
	if err != nil {
		return 0, err
	}
	var hash int32
	for _, unit := range utf16.Encode([]rune(group)) {
		hash = 31*hash + int32(unit)
	}
	return max(hash, -hash) % int32(partitions), nil
}

func (k *Cluster) partition(ctx context.Context, topic string, partition int32) (kmsg.MetadataResponseTopicPartition, error) {
	t, err := k.topic(ctx, topic)
	if err != nil {
		return kmsg.MetadataResponseTopicPartition{}, err
	}
	i := slices.IndexFunc(t.Partitions, func(p kmsg.MetadataResponseTopicPartition) bool { return p.Partition == partition })
	if i < 0 {
		return kmsg.MetadataResponseTopicPartition{}, fmt.Errorf("it has %d partitions", len(t.Partitions))
	}
	return t.Partitions[i], kerr.ErrorForCode(t.Partitions[i].ErrorCode)
}

// prefer puts a broker first among the replicas of a partition.
func (k *Cluster) prefer(ctx context.Context, topic string, p kmsg.MetadataResponseTopicPartition, id int32) error {
	rp := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
	rp.Partition = p.Partition
	rp.Replicas = append([]int32{id}, slices.DeleteFunc(slices.Clone(p.Replicas), func(r int32) bool { return r == id })...)
	t := kmsg.NewAlterPartitionAssignmentsRequestTopic()
	t.Topic, t.Partitions = topic, append(t.Partitions, rp)
	req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, k.kafka)
	if err != nil {
		return err
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
}

// elect has the first of its replicas lead a partition.
func (k *Cluster) elect(ctx context.Context, topic string, partition int32) error {
	t := kmsg.NewElectLeadersRequestTopic()
	t.Topic, t.Partitions = topic, append(t.Partitions, partition)
	req := kmsg.NewPtrElectLeadersRequest()
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, k.kafka)
	if err != nil {
		return err
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return err
	}
	err = kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
	if errors.Is(err, kerr.ElectionNotNeeded) { // it happened by itself
		return nil
	}
	return err
}
