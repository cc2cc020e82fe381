package broker

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Produce writes records, each to the partition that its key hashes to, and
// returns when all are acknowledged. Each call is a producer of its own to
// Kafka, with its own producer ID.
func (c *Client) Produce(ctx context.Context, records ...*kgo.Record) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(c.addrs...))
	if err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	defer client.Close()
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	return nil
}

// Follow hands the records of a topic, from now on those of its start, to take, each
// partition's in their order, until ctx ends.
func (c *Client) Follow(ctx context.Context, topic string, take func(*kgo.Record)) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(c.addrs...),
		kgo.ConsumeTopics(topic),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// A broker that dies is noticed by its partitions' new leaders.
		kgo.MetadataMinAge(250*time.Millisecond),
		kgo.RequestTimeoutOverhead(5*time.Second),
	)
	if err != nil {
		return fmt.Errorf("follow %s: %w", topic, err)
	}
	defer client.Close()
	for {
		fetched := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		fetched.EachRecord(take)
		// What a broker says while it comes or goes passes; a reset to another offset
		// is no error of a fetch, and take sees it.
		for _, e := range fetched.Errors() {
			if !passing(e.Err) {
				return fmt.Errorf("follow %s/%d: %w", topic, e.Partition, e.Err)
			}
		}
	}
}

// Commit and Abort are how a transaction ends.
const (
	Commit = kgo.TryCommit
	Abort  = kgo.TryAbort
)

// Transact writes records in one transaction of the producer called id and
// ends it. Either way the records are in the log, and a marker after them.
func (c *Client) Transact(ctx context.Context, id string, end kgo.TransactionEndTry, records ...*kgo.Record) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(c.addrs...), kgo.TransactionalID(id))
	if err != nil {
		return fmt.Errorf("transaction: %w", err)
	}
	defer client.Close()
	if err := client.BeginTransaction(); err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("produce in transaction: %w", err)
	}
	if err := client.EndTransaction(ctx, end); err != nil {
		return fmt.Errorf("end transaction: %w", err)
	}
	return nil
}

// Batches returns the batches of a partition as they are in the log, control
// batches and those that compaction has emptied among them, which no ordinary
// consumer shows. Their records stay encoded.
func (c *Client) Batches(ctx context.Context, topic string, partition int32) ([]kmsg.RecordBatch, error) {
	next, end, err := c.Offsets(ctx, topic, partition)
	if err != nil {
		return nil, err
	}
	var all []kmsg.RecordBatch
	for next < end {
		raw, err := c.fetch(ctx, topic, partition, next)
		if err != nil {
			return nil, fmt.Errorf("fetch %s/%d at %d: %w", topic, partition, next, err)
		}
		batches, err := split(raw)
		if err != nil {
			return nil, fmt.Errorf("fetch %s/%d at %d: %w", topic, partition, next, err)
		}
		if len(batches) == 0 {
			break // compaction took what was there when the end was asked for
		}
		all = append(all, batches...)
		last := batches[len(batches)-1]
		next = last.FirstOffset + int64(last.LastOffsetDelta) + 1
	}
	return all, nil
}

func (c *Client) fetch(ctx context.Context, topic string, partition int32, offset int64) ([]byte, error) {
	const most = 1 << 20
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, offset, most
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.Partitions = topic, append(t.Partitions, p)
	req := kmsg.NewPtrFetchRequest()
	req.MaxBytes, req.Topics = most, append(req.Topics, t)
	resp, err := req.RequestWith(ctx, c.kafka)
	if err != nil {
		return nil, err
	}
	got := resp.Topics[0].Partitions[0]
	return got.RecordBatches, kerr.ErrorForCode(got.ErrorCode)
}

// split cuts a partition's bytes into its batches; the last one may be cut off
// by the broker's limit and is left out.
func split(raw []byte) ([]kmsg.RecordBatch, error) {
	const header = 12 // the first offset and the length of what follows
	var all []kmsg.RecordBatch
	for len(raw) >= header {
		size := header + int(binary.BigEndian.Uint32(raw[8:]))
		if size > len(raw) {
			break
		}
		var batch kmsg.RecordBatch
		if err := batch.ReadFrom(raw[:size]); err != nil {
			return nil, err
		}
		all = append(all, batch)
		raw = raw[size:]
	}
	return all, nil
}
