package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/fetch"

	"usersync/consumer/event"
)

// fetch asks the leader of parts, all of which must have the same one.
func (c *Client) fetch(ctx context.Context, cfg fetchConfig, parts []*partition, wait time.Duration) (*fetch.Response, error) {
	req := &fetch.Request{
		ReplicaID:      -1,
		MaxWaitTime:    int32(wait.Milliseconds()),
		MinBytes:       1,
		MaxBytes:       int32(cfg.MaxBytes),
		IsolationLevel: readCommitted,
		SessionEpoch:   -1, // no fetch session: each request stands for itself
	}
	for _, p := range parts {
		// A topic is named again for each run of its partitions: the order counts.
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != p.Topic {
			req.Topics = append(req.Topics, fetch.RequestTopic{Topic: p.Topic})
		}
		t := &req.Topics[len(req.Topics)-1]
		t.Partitions = append(t.Partitions, fetch.RequestPartition{
			Partition:          int32(p.Partition),
			CurrentLeaderEpoch: -1,
			FetchOffset:        p.next,
			LogStartOffset:     -1,
			PartitionMaxBytes:  int32(cfg.MaxBytes),
		})
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	res, err := c.roundTrip(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	return res.(*fetch.Response), nil
}

// errRecordGone says that a record that was read once cannot be read again:
// retention, compaction or an operator removed it, or its bytes have rotted.
var errRecordGone = errors.New("the record is gone")

// refetch reads one record by its position. The error is errRecordGone when it is
// certain that trying again is of no use.
func (c *Client) refetch(ctx context.Context, topic string, partitionID int, offset int64) (*event.Record, error) {
	tp := TopicPartition{topic, partitionID}
	cfg := fetchConfig{MaxBytes: 1 << 20, Timeout: requestTimeout}
	res, err := c.fetch(ctx, cfg, []*partition{{TopicPartition: tp, next: offset}}, 0)
	if err != nil {
		return nil, c.goneIfRotten(ctx, tp, err)
	}
	if res.ErrorCode != 0 {
		return nil, fmt.Errorf("fetch: %w", kafka.Error(res.ErrorCode))
	}
	for _, t := range res.Topics {
		for i := range t.Partitions {
			return c.pick(ctx, tp, offset, &t.Partitions[i])
		}
	}
	return nil, fmt.Errorf("fetch of %s/%d: no answer", topic, partitionID)
}

// pick finds the record at offset in the answer to a fetch from there.
func (c *Client) pick(ctx context.Context, tp TopicPartition, offset int64, answer *fetch.ResponsePartition) (*event.Record, error) {
	switch code := kafka.Error(answer.ErrorCode); code {
	case 0:
	case kafka.OffsetOutOfRange:
		return nil, errRecordGone
	default:
		return nil, c.goneIfRotten(ctx, tp, fmt.Errorf("fetch of %s/%d: %w", tp.Topic, tp.Partition, code))
	}
	records, next, err := decodePartition(tp.Topic, offset, answer)
	switch {
	case err != nil:
		return nil, c.goneIfRotten(ctx, tp, err)
	case len(records) > 0 && records[0].Offset == offset:
		return &records[0], nil
	case next > offset, offset >= answer.HighWatermark:
		return nil, errRecordGone
	default: // a throttled broker sends nothing
		return nil, fmt.Errorf("fetch of %s/%d: the broker sent no data", tp.Topic, tp.Partition)
	}
}

// goneIfRotten turns err into errRecordGone if the record's bytes are to blame.
func (c *Client) goneIfRotten(ctx context.Context, tp TopicPartition, err error) error {
	if undecodable(err) && c.leaderAnswers(ctx, tp) {
		return errRecordGone
	}
	return err
}

// leaderAnswers reports whether the leader of tp can be reached right now, which
// clears the network of what a fetch from there failed with.
func (c *Client) leaderAnswers(ctx context.Context, tp TopicPartition) bool {
	_, err := c.ListOffsets(ctx, tp.Topic, tp.Partition, kafka.FirstOffset)
	return err == nil
}
