package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"usersync/e2e/process"
)

// fresh is how long single changes take to an idle contender: from Kafka's
// acknowledgement to the receipt of the call, in milliseconds.
type fresh struct {
	Contender          string
	Changes            int
	P50, P99, Min, Max float64
}

// warm is how many changes come before those that count: connections are opened once.
const warm = 20

// single measures a contender that is idle before each change.
func (b *bench) single(ctx context.Context, x contender, latency time.Duration, concurrency int) (fresh, error) {
	topic := "fresh-" + x.name
	f, err := b.oneByOne(ctx, x, topic, latency, concurrency)
	if err != nil {
		return fresh{}, fmt.Errorf("%s: %w", topic, err)
	}
	return f, nil
}

func (b *bench) oneByOne(ctx context.Context, x contender, topic string, latency time.Duration, concurrency int) (fresh, error) {
	if err := b.createTopic(ctx, topic); err != nil {
		return fresh{}, err
	}
	v, err := b.startVendor(ctx, topic, latency)
	if err != nil {
		return fresh{}, err
	}
	defer v.Kill()
	j := job{
		cell: cell{Latency: latency, Concurrency: concurrency}, name: topic, topic: topic, group: topic,
		from: make([]int64, b.partitions), to: make([]int64, b.partitions), vendor: v, urls: v.urls, limit: b.limit,
	}
	p, err := b.start(x, j)
	if err != nil {
		return fresh{}, err
	}
	defer p.Kill()
	if _, _, err := b.untilCommitted(ctx, x, j, p); err != nil {
		return fresh{}, err
	}
	acknowledged, err := b.produceSingly(ctx, topic, b.singles, latency)
	if err != nil {
		return fresh{}, err
	}
	if err := b.untilCalled(ctx, p, v, len(acknowledged)); err != nil {
		return fresh{}, err
	}
	waits, err := v.waits(ctx, acknowledged)
	if err != nil {
		return fresh{}, err
	}
	if err := p.End(ctx, syscall.SIGTERM, time.Minute); err != nil {
		return fresh{}, err
	}
	return summariseFresh(x.name, waits), nil
}

// produceSingly writes a change of one user after the other, with a pause in which each is
// delivered, and returns when each was acknowledged.
func (b *bench) produceSingly(ctx context.Context, topic string, changes int, latency time.Duration) (map[string]time.Time, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.kafka.Addr()), kgo.ProducerLinger(0))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	acknowledged := map[string]time.Time{}
	for user := 1; user <= warm+changes; user++ {
		if err := client.ProduceSync(ctx, record(topic, change{user, 1}, false)).FirstErr(); err != nil {
			return nil, err
		}
		acknowledged[strconv.Itoa(user)] = time.Now()
		// Not in step with anything that happens every so many milliseconds.
		pause := latency + 20*time.Millisecond + rand.N(30*time.Millisecond)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return acknowledged, nil
}

// untilCalled waits until a vendor has had so many calls and has answered them.
func (b *bench) untilCalled(ctx context.Context, p *process.Process, v *vendor, calls int) error {
	over, err := wait(ctx, b.limit, p, func(ctx context.Context) (bool, error) {
		s, err := v.stats(ctx)
		return s.Calls >= calls && s.InFlight == 0, err
	})
	if over {
		return fmt.Errorf("not all of %d changes were delivered within %v", calls, b.limit)
	}
	return err
}

// waits returns how long each change that counts took to the vendor.
func (v *vendor) waits(ctx context.Context, acknowledged map[string]time.Time) ([]time.Duration, error) {
	calls, err := v.calls(ctx)
	if err != nil {
		return nil, err
	}
	var all []time.Duration
	for _, c := range calls {
		user, err := strconv.Atoi(c.User)
		if err != nil {
			return nil, fmt.Errorf("a call is about user %q", c.User)
		}
		if user > warm {
			all = append(all, c.Received.Sub(acknowledged[c.User]))
		}
	}
	return all, nil
}

func summariseFresh(contender string, waits []time.Duration) fresh {
	slices.Sort(waits)
	at := func(share float64) float64 {
		return float64(waits[int(share*float64(len(waits)-1))]) / float64(time.Millisecond)
	}
	return fresh{Contender: contender, Changes: len(waits), P50: at(0.5), P99: at(0.99), Min: at(0), Max: at(1)}
}
