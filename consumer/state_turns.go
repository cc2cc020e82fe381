package consumer

import (
	"context"
	"sync"
)

// loadsAtOnce is how many partitions of a topic are asked of one broker at the same time.
const loadsAtOnce = 8

// turns are those of the partitions that load their states. They all begin together, and
// kafka-go takes a connection for each request under way, and megabytes to read an answer of
// small batches: for a thousand partitions, a thousand of each. There are turns for each
// broker, and for what is asked of it: what does not answer must not keep the partitions
// waiting that are elsewhere. They may be used from several goroutines.
type turns struct {
	client *Client
	mu     sync.Mutex
	of     map[turnsOf]chan struct{}
}

type turnsOf struct {
	broker int
	topic  string
}

func newTurns(client *Client) *turns { return &turns{client: client, of: map[turnsOf]chan struct{}{}} }

// take does f, which asks the leader of tp, when it is its turn.
func (t *turns) take(ctx context.Context, tp TopicPartition, f func() error) error {
	found, err := t.client.Metadata(ctx, []string{tp.Topic})
	if err != nil {
		return err
	}
	turns := t.at(turnsOf{leaderOf(found[tp.Topic], tp.Partition), tp.Topic})
	select {
	case turns <- struct{}{}:
		defer func() { <-turns }()
		return f()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *turns) at(place turnsOf) chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.of[place]
	if c == nil {
		c = make(chan struct{}, loadsAtOnce)
		t.of[place] = c
	}
	return c
}
