package consumer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/fetch"

	"usersync/consumer/event"
)

// fetch asks the leader of parts, all of which must have the same one.
func (c *Client) fetch(ctx context.Context, cfg fetchConfig, parts []*partition, wait time.Duration) (*fetch.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	res, err := c.roundTrip(ctx, fetchRequest(cfg, parts, wait))
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	return res.(*fetch.Response), nil
}

func fetchRequest(cfg fetchConfig, parts []*partition, wait time.Duration) *fetch.Request {
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
	return req
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

// rereadBytes is about how much one fetch brings, and at least a batch. kafka-go takes
// a page of 64 KiB for each batch of a response, be it ever so small: of records that
// were written one by one, 1 MiB would take half a GiB.
const rereadBytes = 64 << 10

// reread reads what one fetch, of rereadBytes, brings of a partition from offset on.
// Every record below next that can be read at all is among records; next is
// nothingLeft if there is none at or above offset, and offset if the broker sent no
// data this time.
func (c *Client) reread(ctx context.Context, tp TopicPartition, offset int64) (records []event.Record, next int64, err error) {
	records, next, err = c.readOn(ctx, tp, offset, rereadBytes)
	if err != nil && undecodable(err) && c.leaderAnswers(ctx, tp) { // its bytes are to blame
		return nil, offset + 1, nil
	}
	return records, next, err
}

// readOn is reread for a log of which every record counts: one that cannot be read is
// an error. A fetch brings about as much as most says.
func (c *Client) readOn(ctx context.Context, tp TopicPartition, offset int64, most int) (records []event.Record, next int64, err error) {
	cfg := fetchConfig{MaxBytes: most, Timeout: requestTimeout}
	res, err := c.fetch(ctx, cfg, []*partition{{TopicPartition: tp, next: offset}}, 0)
	if err != nil {
		return nil, 0, err
	}
	if res.ErrorCode != 0 {
		return nil, 0, fmt.Errorf("fetch: %w", kafka.Error(res.ErrorCode))
	}
	if len(res.Topics) == 0 || len(res.Topics[0].Partitions) == 0 { // one was asked, so one answers
		return nil, 0, fmt.Errorf("fetch of %s/%d: no answer: %w", tp.Topic, tp.Partition, io.ErrUnexpectedEOF)
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
		return nil, 0, fmt.Errorf("fetch of %s/%d: %w", tp.Topic, tp.Partition, code)
	}
	records, next, err = decodePartition(tp.Topic, offset, answer)
	if err == nil && next == offset && offset >= answer.HighWatermark {
		next = nothingLeft
	}
	return records, next, err
}

// leaderAnswers reports whether the leader of tp can be reached right now, which
// clears the network of what a fetch from there failed with.
func (c *Client) leaderAnswers(ctx context.Context, tp TopicPartition) bool {
	_, err := c.ListOffsets(ctx, tp.Topic, tp.Partition, kafka.FirstOffset)
	return err == nil
}

// PastCorrupt returns the first offset, from one on, at which a partition can be read or
// ends. Where a batch is corrupt nobody knows how many offsets it has but by asking for
// each: a broker answers for any of them with the same batch.
func (c *Client) PastCorrupt(ctx context.Context, tp TopicPartition, offset int64) (int64, error) {
	for {
		records, next, err := c.reread(ctx, tp, offset)
		switch {
		case err != nil:
			return 0, err
		case next == offset:
			return 0, fmt.Errorf("fetch of %s/%d: the broker sent no data", tp.Topic, tp.Partition)
		case len(records) > 0 || next != offset+1:
			return offset, nil
		}
		offset++
	}
}
