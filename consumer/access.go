package consumer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/produce"
	"github.com/segmentio/kafka-go/protocol/rawproduce"
)

// AccessError says what the cluster's access rules forbid to this user, and which
// rule is missing.
type AccessError struct {
	Resource  string // "topic" or "group", as Kafka's tools call it
	Name      string
	Operation string // that must be allowed, such as "Read"
	Err       error  // what the broker answered
}

// Error names the resource, the cause and the remedy in one line.
func (e *AccessError) Error() string {
	return fmt.Sprintf("%s %s: access denied: this user needs %s; grant it with kafka-acls.sh --add --operation %[3]s --%[1]s %[2]s",
		e.Resource, e.Name, e.Operation)
}

// Unwrap returns what the broker answered.
func (e *AccessError) Unwrap() error { return e.Err }

// denied returns err as an *AccessError if it is an answer of that kind, else err.
func denied(resource, name, operation string, err error) error {
	if errors.Is(err, kafka.TopicAuthorizationFailed) || errors.Is(err, kafka.GroupAuthorizationFailed) {
		return &AccessError{Resource: resource, Name: name, Operation: operation, Err: err}
	}
	return err
}

// CheckAccess finds out whether this user may do what the worker will do: read some
// topics, write to some, be a member of the groups. It changes nothing. The error joins an *AccessError for everything that is forbidden; what
// cannot be asked now, such as a topic that does not exist yet, is passed over.
//
// Without it a missing rule for reading would show as a worker that is ready and
// does nothing, and one for writing only with the first dead letter.
func (c *Client) CheckAccess(ctx context.Context, read, write, groups []string) error {
	var all []error
	for _, topic := range write {
		if err := denied("topic", topic, "Write", c.produceNothing(ctx, topic)); is[*AccessError](err) {
			all = append(all, err)
		}
	}
	for i, group := range groups {
		codes, err := c.commitNothing(ctx, group, read)
		if err = denied("group", group, "Read", err); is[*AccessError](err) {
			all = append(all, err)
		}
		for _, topic := range read {
			switch code := codes[TopicPartition{Topic: topic}]; {
			case code == kafka.GroupAuthorizationFailed && topic == read[0]:
				all = append(all, denied("group", group, "Read", code))
			case code == kafka.TopicAuthorizationFailed && i == 0:
				all = append(all, denied("topic", topic, "Read", code))
			}
		}
	}
	return errors.Join(all...)
}

// commitNothing asks to commit as a member that never was, which a broker refuses.
// It looks at the access rules first: to commit takes what it takes to read a topic
// and to be in a group.
func (c *Client) commitNothing(ctx context.Context, group string, topics []string) (map[TopicPartition]kafka.Error, error) {
	r := CommitRequest{Group: group, Generation: math.MaxInt32, Member: "usersync-check"}
	for _, topic := range topics {
		r.Partitions = append(r.Partitions, PartitionCommit{TopicPartition: TopicPartition{Topic: topic}})
	}
	return c.Commit(ctx, r)
}

// produceNothing asks to write no records. A broker looks at the access rules first;
// whoever may write is told that this is not how it is done (INVALID_RECORD).
func (c *Client) produceNothing(ctx context.Context, topic string) error {
	if _, err := c.Metadata(ctx, []string{topic}); err != nil {
		return err
	}
	res, err := c.roundTrip(ctx, &rawproduce.Request{
		Acks:    acksAll,
		Timeout: int32(produceWait.Milliseconds()),
		Topics: []rawproduce.RequestTopic{{Topic: topic, Partitions: []rawproduce.RequestPartition{{
			RecordSet: protocol.RawRecordSet{Reader: strings.NewReader("\x00\x00\x00\x00")}, // of no bytes
		}}}},
	})
	if err != nil {
		return fmt.Errorf("produce to %s: %w", topic, err)
	}
	for _, t := range res.(*produce.Response).Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 {
				return kafka.Error(p.ErrorCode)
			}
		}
	}
	return nil
}
