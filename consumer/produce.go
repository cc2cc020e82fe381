package consumer

import (
	"context"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/produce"

	"usersync/consumer/event"
)

const (
	// produceWait is how long the brokers may take to replicate what is written.
	produceWait = 5 * time.Second
	acksAll     = -1
)

// produce writes records to a partition as one batch and returns the offset of the
// first, once all replicas in sync have them. After an error they may be there or
// not. They get the time of writing: retention counts from there, and a broker may
// refuse a record that is as old as the one it was made of.
func (c *Client) produce(ctx context.Context, tp TopicPartition, records ...event.Record) (int64, error) {
	batch := make([]protocol.Record, len(records))
	for i, r := range records {
		batch[i] = protocol.Record{Key: protocol.NewBytes(r.Key), Value: protocol.NewBytes(r.Value)}
		for _, h := range r.Headers {
			batch[i].Headers = append(batch[i].Headers, protocol.Header(h))
		}
	}
	res, err := c.roundTrip(ctx, &produce.Request{
		Acks:    acksAll,
		Timeout: int32(produceWait.Milliseconds()),
		Topics: []produce.RequestTopic{{Topic: tp.Topic, Partitions: []produce.RequestPartition{{
			Partition: int32(tp.Partition),
			RecordSet: protocol.RecordSet{Records: protocol.NewRecordReader(batch...)},
		}}}},
	})
	if err != nil {
		return 0, fmt.Errorf("produce to %s/%d: %w", tp.Topic, tp.Partition, err)
	}
	// One partition was asked, so one answers.
	topics := res.(*produce.Response).Topics
	if len(topics) == 0 || len(topics[0].Partitions) == 0 {
		return 0, fmt.Errorf("produce to %s/%d: no answer", tp.Topic, tp.Partition)
	}
	answer := topics[0].Partitions[0]
	if answer.ErrorCode != 0 {
		return 0, fmt.Errorf("produce to %s/%d: %w", tp.Topic, tp.Partition, kafka.Error(answer.ErrorCode))
	}
	return answer.BaseOffset, nil
}
