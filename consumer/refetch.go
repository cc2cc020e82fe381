package consumer

import (
	"context"
	"errors"
	"fmt"
	"math"
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
	records, next, err := c.reread(ctx, TopicPartition{topic, partitionID}, offset)
	switch {
	case err != nil:
		return nil, err
	case len(records) > 0 && records[0].Offset == offset:
		return &records[0], nil
	case next > offset:
		return nil, errRecordGone
	default: // a throttled broker sends nothing
		return nil, fmt.Errorf("fetch of %s/%d: the broker sent no data", topic, partitionID)
	}
}

// nothingLeft is an offset that no log reaches.
const nothingLeft = math.MaxInt64

// reread reads what one fetch, of about 1 MiB, brings of a partition from offset on.
// Every record below next that can be read at all is among records; next is
// nothingLeft if there is none at or above offset, and offset if the broker sent no
// data this time.
func (c *Client) reread(ctx context.Context, tp TopicPartition, offset int64) (records []event.Record, next int64, err error) {
	cfg := fetchConfig{MaxBytes: 1 << 20, Timeout: requestTimeout}
	res, err := c.fetch(ctx, cfg, []*partition{{TopicPartition: tp, next: offset}}, 0)
	if err != nil {
		return c.passRotten(ctx, tp, offset, err)
	}
	if res.ErrorCode != 0 {
		return nil, 0, fmt.Errorf("fetch: %w", kafka.Error(res.ErrorCode))
	}
	if len(res.Topics) == 0 || len(res.Topics[0].Partitions) == 0 { // one was asked, so one answers
		return nil, 0, fmt.Errorf("fetch of %s/%d: no answer", tp.Topic, tp.Partition)
	}
	answer := &res.Topics[0].Partitions[0]
	switch code := kafka.Error(answer.ErrorCode); code {
	case 0:
	case kafka.OffsetOutOfRange:
		start, err := c.ListOffsets(ctx, tp.Topic, tp.Partition, kafka.FirstOffset)
		if err == nil && start <= offset {
			start = nothingLeft // so it was above the end
		}
		return nil, start, err
	default:
		return c.passRotten(ctx, tp, offset, fmt.Errorf("fetch of %s/%d: %w", tp.Topic, tp.Partition, code))
	}
	records, next, err = decodePartition(tp.Topic, offset, answer)
	switch {
	case err != nil:
		return c.passRotten(ctx, tp, offset, err)
	case next == offset && offset >= answer.HighWatermark:
		return nil, nothingLeft, nil
	}
	return records, next, nil
}

// passRotten passes over the record at offset if its bytes are to blame for err.
func (c *Client) passRotten(ctx context.Context, tp TopicPartition, offset int64, err error) ([]event.Record, int64, error) {
	if undecodable(err) && c.leaderAnswers(ctx, tp) {
		return nil, offset + 1, nil
	}
	return nil, 0, err
}

// leaderAnswers reports whether the leader of tp can be reached right now, which
// clears the network of what a fetch from there failed with.
func (c *Client) leaderAnswers(ctx context.Context, tp TopicPartition) bool {
	_, err := c.ListOffsets(ctx, tp.Topic, tp.Partition, kafka.FirstOffset)
	return err == nil
}
