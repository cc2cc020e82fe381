package consumer

import (
	"cmp"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"usersync/consumer/event"
	usync "usersync/sync"
)

// TestChaosWithRetries runs schedules of faults in which operators have changes sent
// again all the time, old ones and new ones, with commands that have looked no further
// than the change itself: every user must be right in the end all the same.
func TestChaosWithRetries(t *testing.T) {
	eachSchedule(t, cmp.Or(*schedules, full(15, 8)), func(b *bubble, s uint64) {
		c := &chaos{bubble: b, rand: rand.New(rand.NewPCG(s, 0))}
		pick := rand.New(rand.NewPCG(s, 1))
		c.edit = func(cfg *Config) { cfg.RetryTopic = "retry" }
		c.between = func() {
			for range pick.IntN(4) {
				c.retryAny(pick)
			}
		}
		c.run(s)
	}, kfake.SeedTopics(3, "retry"))
}

// retryAny has any change sent again, to any destination.
func (c *chaos) retryAny(pick *rand.Rand) {
	if len(c.changes) == 0 {
		return
	}
	r := c.changes[pick.IntN(len(c.changes))]
	again := Retry{
		Destination: both[pick.IntN(2)], Command: []Command{Replay, Resync}[pick.IntN(2)],
		Source:   usync.Position{Topic: r.Topic, Partition: int(r.Partition), Offset: r.Offset},
		Searched: r.Offset + 1, SourceTime: r.Timestamp, Key: r.Key, Value: r.Value,
	}.record()
	c.produce(asRecord("retry", r.Partition, again))
	tp := TopicPartition{"retry", int(r.Partition)}
	c.ends[tp]++
}

// asRecord is r as the other client has it.
func asRecord(topic string, partition int32, r event.Record) *kgo.Record {
	k := &kgo.Record{Topic: topic, Partition: partition, Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		k.Headers = append(k.Headers, kgo.RecordHeader(h))
	}
	return k
}
