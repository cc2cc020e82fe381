package consumer

import (
	"context"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/describegroups"
)

// CommitsOf is CommittedOffsets for whoever looks from outside: a group that does not
// exist, or not any more, has committed nothing, and there is no entry.
func (c *Client) CommitsOf(ctx context.Context, group string, topics map[string][]int) (map[TopicPartition]Committed, error) {
	commits, err := c.CommittedOffsets(ctx, group, topics)
	if errors.Is(err, kafka.GroupIdNotFound) {
		return nil, nil
	}
	return commits, err
}

// Members returns how many processes are members of a group now. A group that does not
// exist has none.
func (c *Client) Members(ctx context.Context, group string) (int, error) {
	res, err := c.roundTrip(ctx, &describegroups.Request{Groups: []string{group}})
	if err != nil {
		return 0, fmt.Errorf("members of group %q: %w", group, err)
	}
	groups := res.(*describegroups.Response).Groups
	if len(groups) == 0 {
		return 0, fmt.Errorf("members of group %q: no answer", group)
	}
	switch code := kafka.Error(groups[0].ErrorCode); code {
	case 0:
		return len(groups[0].Members), nil
	case kafka.GroupIdNotFound:
		return 0, nil
	default:
		return 0, fmt.Errorf("members of group %q: %w", group, denied("group", group, "Describe", code))
	}
}
