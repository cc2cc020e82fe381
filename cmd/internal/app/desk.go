package app

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"time"

	"usersync/consumer"
	usync "usersync/sync"
)

// A desk is where the commands sit that look at a deployment from outside: they have
// its configuration and ask its brokers, and no vendor.
type desk struct {
	config  *Config
	client  *consumer.Client
	targets []target
	user    func(id string) userKey
	hashKey []byte    // privacy.hash_key, if there is one
	said    io.Writer // progress and remarks; the output goes elsewhere
}

// newDesk returns a desk that is connected to nothing yet. id is what the brokers log.
func newDesk(c *Config, id string, said io.Writer, n network) (*desk, error) {
	targets, err := c.targets(func(string) http.RoundTripper { return new(recorder) })
	if err != nil {
		return nil, err
	}
	key, err := c.Privacy.key()
	if err != nil {
		return nil, err
	}
	client, err := c.Kafka.client(id, n.dial)
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return &desk{config: c, client: client, targets: targets, user: newUserKeys(key), hashKey: []byte(key), said: said}, nil
}

// open connects: nothing that follows has to explain what a wrong password looks like.
func (d *desk) open(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return d.client.Probe(ctx)
}

// mayNote returns an error if this user may not write down what workers keep of users and
// of dead letters. What takes both asks first, so that it does not stop halfway.
func (d *desk) mayNote(ctx context.Context) error {
	topics := []string{d.config.Kafka.StateTopic, d.config.Kafka.ControlTopic}
	return d.client.CheckAccess(ctx, nil, slices.DeleteFunc(topics, func(topic string) bool { return topic == "" }), nil)
}

func (d *desk) close() { d.client.Close() }

// extent is a stretch of a partition's log.
type extent struct {
	consumer.TopicPartition
	start, end int64 // end is the offset after the last record
}

// extents returns what the logs of topics hold now. A topic that does not exist is an
// error that names it.
func (d *desk) extents(ctx context.Context, topics ...string) ([]extent, error) {
	found, err := d.client.Metadata(ctx, topics)
	if err != nil {
		return nil, err
	}
	for _, topic := range topics {
		if len(found[topic]) == 0 {
			return nil, fmt.Errorf("topic %s: it does not exist, or this user may not see it; check the configuration", topic)
		}
	}
	var all []extent
	for _, topic := range slices.Sorted(maps.Keys(found)) {
		for _, p := range found[topic] {
			x := extent{TopicPartition: consumer.TopicPartition{Topic: topic, Partition: p.ID}}
			if x.start, x.end, err = d.client.Bounds(ctx, x.TopicPartition); err != nil {
				return nil, err
			}
			all = append(all, x)
		}
	}
	return all, nil
}

// length is how many offsets the extents have.
func length(all []extent) int64 {
	n := int64(0)
	for _, x := range all {
		n += x.end - x.start
	}
	return n
}

// effort says what so many calls cost at a rate limit, in requests a second.
func effort(calls int, rate float64) string {
	switch {
	case calls == 0:
		return "no calls"
	case rate == 0:
		return grouped(int64(calls)) + " calls, without a rate limit"
	}
	took := lasting(calls, rate)
	text := took.String()
	if took >= time.Hour {
		text = fmt.Sprintf("%.1f hours", took.Hours())
	}
	return fmt.Sprintf("%s calls, %s at %g a second", grouped(int64(calls)), text, rate)
}

// lasting is how long so many calls take at a rate limit; 0 without one.
func lasting(calls int, rate float64) time.Duration {
	if rate == 0 {
		return 0
	}
	return time.Duration(math.Ceil(float64(calls)/rate)) * time.Second
}

// incomplete reports whether the source has left one of these columns out of the row.
func incomplete(c *usync.Change, columns []string) bool {
	for _, name := range columns {
		v, _ := c.Columns.Get(name)
		if u, ok := v.(usync.Unavailable); ok && !u.NoColumn {
			return true
		}
	}
	return false
}
