package consumer

import (
	"context"
	"fmt"
)

// CheckRetries compares the retry topic with what the worker relies on. The topics
// must be among those of the client's configuration. Source topics that do not exist
// yet are passed over. The error is about asking, and says nothing of the topics.
func CheckRetries(ctx context.Context, c *Client, topics []string, retryTopic string) ([]Finding, error) {
	found, err := c.Metadata(ctx, append([]string{retryTopic}, topics...))
	if err != nil {
		return nil, err
	}
	var findings []Finding
	add := func(s Severity, code, text string, args ...any) {
		findings = append(findings, Finding{s, retryTopic, code, fmt.Sprintf(text, args...)})
	}
	have := len(found[retryTopic])
	want, other := partitionsOf(found, topics)
	if other > 0 {
		add(Error, "retry_sources_differ", "the source topics have different numbers of partitions, %d and %d: what is written here could not go to the partition of its user; give them the same number, or leave kafka.retry_topic out", want, other)
		return findings, nil
	}
	switch {
	case have == 0:
		add(Error, "missing", "it does not exist, or this user may not see it; %s", c.howToMake(retryNeed(retryTopic, want)))
		return findings, nil
	case want > have:
		add(Error, "retry_partitions", "it has %d partitions and the source topics %d, so that what is written for a user would be read by a process that does not own the user; %s",
			have, want, c.howToGrow(retryTopic, want))
	case want > 0 && want < have:
		add(Error, "retry_partitions", "it has %d partitions and the source topics %d, and no topic can be made smaller; delete it (kafka-topics.sh --bootstrap-server %s --delete --topic %s) and %s",
			have, want, c, retryTopic, c.howToMake(retryNeed(retryTopic, want)))
	}
	configs, err := c.topicConfigs(ctx, []string{retryTopic})
	if err != nil {
		return nil, err
	}
	switch cfg := configs[retryTopic]; {
	case cfg.err != nil:
		findings = append(findings, unchecked(retryTopic, cfg.err))
	case cfg.compacted():
		add(Error, "retry_compacted", "it is compacted: what is written for one destination would remove what waits for the other; kafka-configs.sh --bootstrap-server %s --alter --entity-type topics --entity-name %s --add-config cleanup.policy=delete", c, retryTopic)
	}
	return findings, nil
}
