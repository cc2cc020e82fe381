package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/createpartitions"
)

// CheckState compares the state topic with what the worker relies on: it has the
// partitions of the source topics, and is compacted and nothing else. create says that
// the worker makes what is missing. Topics that do not exist yet are passed over. The
// topics must be among those of the client's configuration. The error is about asking,
// and says nothing of the topics.
func CheckState(ctx context.Context, c *Client, topics []string, state string, create bool) ([]Finding, error) {
	found, err := c.Metadata(ctx, append(slices.Clone(topics), state))
	if err != nil {
		return nil, err
	}
	have := len(found[state])
	var findings []Finding
	add := func(code, text string, args ...any) {
		findings = append(findings, Finding{Error, state, code, fmt.Sprintf(text, args...)})
	}
	want, other := partitionsOf(found, topics)
	if other > 0 {
		add("state_sources", "the source topics have different numbers of partitions, %d and %d, so no worker would own all that one partition of it is about; grow the smaller ones with kafka-topics.sh --alter --topic NAME --partitions %d", want, other, max(want, other))
		return findings, nil
	}
	switch {
	case have == 0 && !create:
		add("state_missing", "it does not exist, or this user may not see it; %s, or set kafka.state_topic_create", c.howToMake(stateNeed(state, want)))
	case have > 0 && want > have && !create:
		add("state_partitions", "it has %d partitions and the source topics have %d; %s, or set kafka.state_topic_create", have, want, c.howToGrow(state, want))
	case have > want && want > 0:
		add("state_partitions", "it has %d partitions and the source topics have %d; name another topic, or delete it, which costs a call for each user, and %s", have, want, c.howToMake(stateNeed(state, want)))
	}
	if have == 0 {
		return findings, nil
	}
	switch err := c.compactedOnly(ctx, state); {
	case is[*policyError](err):
		add("state_policy", "%v", err)
	case err != nil:
		findings = append(findings, unchecked(state, err))
	}
	return findings, nil
}

// policyError says that a state topic would lose entries, or keep all of them.
type policyError struct{ topic, policy string }

func (e *policyError) Error() string {
	return fmt.Sprintf("its cleanup.policy is %q: entries of users who do not change would be deleted, or those of all changes kept; set it with kafka-configs.sh --alter --entity-type topics --entity-name %s --add-config cleanup.policy=compact",
		e.policy, e.topic)
}

// compactedOnly returns a *policyError if a topic's clean-up is not compaction alone.
func (c *Client) compactedOnly(ctx context.Context, topic string) error {
	configs, err := c.topicConfigs(ctx, []string{topic})
	if err != nil {
		return err
	}
	cfg := configs[topic]
	if cfg.err == nil && !cfg.keeps() {
		return &policyError{topic, cfg.values["cleanup.policy"]}
	}
	return cfg.err
}

const (
	topicWait = 15 * time.Second // for a topic that was made to be seen
	topicLook = 200 * time.Millisecond
)

// stateLook is what the partitions of one generation know of the state topic. They load
// side by side, and one look serves all: with hundreds of partitions each rebalance
// would be a storm of requests otherwise. It may be used from several goroutines.
type stateLook struct {
	*states
	turns *turns
	turn  chan struct{} // a lock, for which one can wait no longer than ctx
	at    time.Time     // when it was looked last; zero: not yet
	have  int           // partitions
	err   error         // the topic cannot be asked about, or is not as it must be
	// unmade is why the topic, or partitions that it lacks, could not be made since.
	unmade error
}

func newStateLook(s *states, client *Client) *stateLook {
	return &stateLook{states: s, turns: newTurns(client), turn: make(chan struct{}, 1)}
}

// ensure makes sure that the state topic has the partition that belongs to tp, and is
// compacted. count is how many partitions the topic of tp has. What was seen less than
// loadAgain ago is still true.
func (l *stateLook) ensure(ctx context.Context, tp TopicPartition, count int) error {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if time.Since(l.at) >= loadAgain {
		l.have, l.err = l.look(ctx)
		l.at, l.unmade = time.Now(), nil
	}
	switch {
	case l.err != nil || l.have > tp.Partition:
		return l.err
	case !l.cfg.Create:
		return l.missing(tp, count, l.have)
	case l.unmade == nil:
		l.have, l.unmade = l.make(ctx, tp, count, l.have)
	}
	return l.unmade
}

// look returns how many partitions the topic has; 0: there is none.
func (s *states) look(ctx context.Context) (int, error) {
	have, err := s.partitions(ctx)
	if err != nil || have == 0 {
		return 0, err
	}
	if err := s.client.compactedOnly(ctx, s.cfg.Topic); is[*policyError](err) {
		return 0, fmt.Errorf("topic %s: %w", s.cfg.Topic, err)
	}
	return have, nil // where its configuration may not be read, the check at the start has said so
}

// missing says what an operator has to make.
func (s *states) missing(tp TopicPartition, count, have int) error {
	if have == 0 {
		return fmt.Errorf("topic %s does not exist, or this user may not see it; %s", s.cfg.Topic, s.client.howToMake(stateNeed(s.cfg.Topic, count)))
	}
	return fmt.Errorf("topic %s has %d partitions, and this is number %d; %s", s.cfg.Topic, have, tp.Partition, s.client.howToGrow(s.cfg.Topic, count))
}

// make creates the topic or, if it has too few partitions, grows it. It returns how many
// there are then.
func (s *states) make(ctx context.Context, tp TopicPartition, count, have int) (int, error) {
	var err error
	if have == 0 {
		err = s.create(ctx, tp, count)
	} else {
		err = s.client.grow(ctx, s.cfg.Topic, count)
	}
	if err != nil {
		return have, fmt.Errorf("making the topic %s: %w", s.cfg.Topic, err)
	}
	return s.client.awaitPartitions(ctx, s.cfg.Topic, have, tp.Partition+1)
}

// partitions is how many the state topic has.
func (s *states) partitions(ctx context.Context) (int, error) {
	found, err := s.client.Metadata(ctx, []string{s.cfg.Topic})
	return len(found[s.cfg.Topic]), err
}

// create makes the state topic, with as many replicas as the topic of tp has.
func (s *states) create(ctx context.Context, tp TopicPartition, count int) error {
	found, err := s.client.Metadata(ctx, []string{tp.Topic})
	if err != nil {
		return err
	}
	replicas := 1
	for _, p := range found[tp.Topic] {
		replicas = max(replicas, p.Replicas)
	}
	_, err = s.client.createTopic(ctx, stateNeed(s.cfg.Topic, count), replicas)
	return err
}

// grow gives a topic as many partitions, if it does not have them already.
func (c *Client) grow(ctx context.Context, topic string, count int) error {
	res, err := c.roundTrip(ctx, &createpartitions.Request{
		TimeoutMs: int32(requestTimeout.Milliseconds()),
		Topics:    []createpartitions.RequestTopic{{Name: topic, Count: int32(count)}},
	})
	if err != nil {
		return err
	}
	for _, t := range res.(*createpartitions.Response).Results {
		code := kafka.Error(t.ErrorCode)
		if code != 0 && !errors.Is(code, kafka.InvalidPartitionNumber) { // another worker was faster
			return denied("topic", t.Name, "Alter", code)
		}
	}
	return nil
}
