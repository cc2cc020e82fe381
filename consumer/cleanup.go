package consumer

import (
	"context"
	"fmt"
	"time"
)

// Cleanup is how Kafka removes records of a topic.
type Cleanup struct {
	Compacted bool // of the records of a key only the newest is sure to stay
	Deletes   bool // by age
	// Retention is how old a record becomes that is removed by age, by the clock of
	// whoever wrote it; negative: it stays for ever, unless the topic has a size.
	Retention time.Duration
}

// Cleanup asks for the topic's settings. Of a topic that this user may not describe
// they are not known, which is an error.
func (c *Client) Cleanup(ctx context.Context, topic string) (Cleanup, error) {
	configs, err := c.topicConfigs(ctx, []string{topic})
	if err != nil {
		return Cleanup{}, err
	}
	cfg := configs[topic]
	if cfg.err != nil {
		return Cleanup{}, fmt.Errorf("settings of topic %s: %w", topic, denied("topic", topic, "DescribeConfigs", cfg.err))
	}
	return Cleanup{Compacted: cfg.compacted(), Deletes: cfg.deleting(), Retention: cfg.duration("retention.ms")}, nil
}
