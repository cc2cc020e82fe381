package consumer

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"

	"usersync/consumer/event"
)

// Bounds returns where the log of a partition starts and the offset after its last
// record that can be read, which is not in an open transaction.
func (c *Client) Bounds(ctx context.Context, tp TopicPartition) (start, end int64, err error) {
	if start, err = c.ListOffsets(ctx, tp.Topic, tp.Partition, kafka.FirstOffset); err != nil {
		return 0, 0, err
	}
	end, err = c.listOffsets(ctx, tp, kafka.LastOffset, readCommitted)
	return start, end, err
}

// scanTries is how often in a row a request of a scan may fail: half a minute, enough
// for a partition to get another leader.
const scanTries = 10

// Scan calls each with every committed record of a partition from offset from up to
// the offset to, which the log must reach, in order. What was removed is passed over,
// and so is what cannot be read at all. An error of each ends it, and so does a log that
// stays shorter than that: a leader that has just been elected may not know for a moment
// how far everybody has it, and says that it ends before.
func (c *Client) Scan(ctx context.Context, tp TopicPartition, from, to int64, each func(*event.Record) error) error {
	for from < to {
		records, next, err := c.insist(ctx, tp, from, to)
		if err != nil {
			return err
		}
		for i := range records {
			if records[i].Offset >= to {
				break
			}
			if err := each(&records[i]); err != nil {
				return err
			}
		}
		from = next
	}
	return nil
}

// Pick calls each with the committed records that are left of those at offsets, which
// are in order. Records that lie together are fetched together, so it never takes more
// requests than a scan of all that lies between them.
func (c *Client) Pick(ctx context.Context, tp TopicPartition, offsets []int64, each func(*event.Record) error) error {
	for len(offsets) > 0 {
		records, next, err := c.insist(ctx, tp, offsets[0], 0)
		if err != nil {
			return err
		}
		for i := range records {
			if _, wanted := slices.BinarySearch(offsets, records[i].Offset); !wanted {
				continue
			}
			if err := each(&records[i]); err != nil {
				return err
			}
		}
		done, _ := slices.BinarySearch(offsets, next)
		offsets = offsets[done:]
	}
	return nil
}

// insist is reread, again and again until the broker has sent something, or until the log
// has reached to.
func (c *Client) insist(ctx context.Context, tp TopicPartition, from, to int64) (records []event.Record, next int64, err error) {
	for tries := 1; ; tries++ {
		records, next, err = c.reread(ctx, tp, from)
		if err == nil && next == from {
			err = fmt.Errorf("the broker sent no data of %s/%d", tp.Topic, tp.Partition)
		}
		if err == nil && next == nothingLeft && from < to {
			err = fmt.Errorf("%s/%d ends before offset %d", tp.Topic, tp.Partition, to)
		}
		if err == nil {
			return records, next, nil
		}
		err = denied("topic", tp.Topic, "Read", err)
		if is[*AccessError](err) || tries == scanTries || !sleep(ctx, time.Duration(tries)*500*time.Millisecond) {
			return nil, 0, fmt.Errorf("reading %s/%d from offset %d on: %w", tp.Topic, tp.Partition, from, err)
		}
	}
}
