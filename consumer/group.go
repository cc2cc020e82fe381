package consumer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

const (
	heartbeatEvery = 3 * time.Second
	lookEvery      = 5 * time.Second // at topics and partition counts
	leaveLimit     = 5 * time.Second
)

// errTopics ends a membership: the set of topics that exist has changed, and a
// member subscribes when it joins.
var errTopics = errors.New("the set of topics has changed")

// look counts the partitions of the configured topics that exist. The retry topic is
// among them only if it fits.
func (p *Pipeline) look(ctx context.Context) (map[string]int, error) {
	topics := p.cfg.Topics
	if p.cfg.RetryTopic != "" {
		topics = append(slices.Clone(topics), p.cfg.RetryTopic)
	}
	found, err := p.cfg.Client.Metadata(ctx, topics)
	if err != nil {
		p.cfg.Metrics.Consumer.Errors.Of("metadata").Inc()
		return nil, err
	}
	counts := map[string]int{}
	for topic, partitions := range found {
		if len(partitions) > 0 {
			counts[topic] = len(partitions)
		}
	}
	p.fitRetries(counts)
	return counts, nil
}

// existing waits until at least one of the topics exists. A member that asks for
// a missing topic gets nothing of the others either.
// It returns nil when ctx ends.
func (p *Pipeline) existing(ctx context.Context) []string {
	for {
		counts, err := p.look(ctx)
		if err == nil && len(counts) > 0 {
			p.setCounts(counts)
			return slices.Sorted(maps.Keys(counts))
		}
		if err == nil {
			err = fmt.Errorf("no such topic: %v; create it or check kafka.topics", p.cfg.Topics)
		}
		if ctx.Err() == nil {
			p.missing(err)
			p.cfg.Log.Warn("waiting for topics", "error", err)
		}
		if !sleep(ctx, lookEvery) {
			return nil
		}
	}
}

func (p *Pipeline) setCounts(counts map[string]int) {
	p.cfg.Metrics.Consumer.Topics(counts)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts = counts
}

func (p *Pipeline) partitionCounts() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.counts)
}

// watch looks at the topics until ctx ends. It calls changed with what is there
// now once two looks in a row agree that something changed: the group's leader
// may ask another broker, which hears of it a moment later. kafka-go's own watch
// stays off; with a missing topic it ends a generation hundreds of times a second.
func (p *Pipeline) watch(ctx context.Context, changed func(map[string]int)) {
	var before map[string]int
	for sleep(ctx, lookEvery) {
		now, err := p.look(ctx)
		if err != nil {
			continue
		}
		if !maps.Equal(now, p.partitionCounts()) && maps.Equal(now, before) {
			changed(now)
		}
		before = now
	}
}

// member is a member of the group until ctx ends or the set of topics changes.
// It returns when it has left.
func (p *Pipeline) member(ctx, hard context.Context, topics []string) error {
	cut := newCutter(p.cfg.Client)
	dialer := *p.cfg.Client.dialer
	dialer.DialFunc = cut.dialContext
	cg, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: p.cfg.Group, Brokers: p.cfg.Client.brokers, Topics: topics, Dialer: &dialer,
		SessionTimeout: p.cfg.SessionTimeout, RebalanceTimeout: p.cfg.RebalanceTimeout,
		HeartbeatInterval: min(heartbeatEvery, p.cfg.SessionTimeout/3), Timeout: requestTimeout,
		StartOffset:      kafka.FirstOffset,
		JoinGroupBackoff: time.Second,
		ErrorLogger: kafka.LoggerFunc(func(format string, args ...any) {
			p.cfg.Log.Debug("kafka-go says", "message", fmt.Sprintf(format, args...))
		}),
		GroupBalancers: []kafka.GroupBalancer{ranges{}},
	})
	if err != nil {
		return err
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)

	var wg sync.WaitGroup
	regroup := make(chan struct{}, 1) // asks the generation to end, so that the group assigns anew
	wg.Go(func() {
		p.watch(ctx, func(counts map[string]int) {
			p.cfg.Log.Info("topics have changed", "partitions", counts)
			was := p.partitionCounts()
			p.setCounts(counts)
			if !slices.Equal(slices.Sorted(maps.Keys(was)), slices.Sorted(maps.Keys(counts))) {
				end(errTopics)
				return
			}
			signal(regroup)
		})
	})
	member := ""
	wg.Go(func() {
		<-ctx.Done()
		p.leave(hard, cg, cut)
	})
	for {
		gen, err := cg.Next(context.WithoutCancel(ctx))
		if errors.Is(err, kafka.ErrGroupClosed) {
			break
		}
		if err != nil {
			err = denied("group", p.cfg.Group, "Read", err)
			p.missing(fmt.Errorf("joining group %s: %w", p.cfg.Group, err))
			p.cfg.Metrics.Consumer.Errors.Of("join").Inc()
			p.cfg.Log.Warn("joining the group failed", "group", p.cfg.Group, "error", err)
			continue
		}
		member = gen.MemberID
		gen.Start(func(g context.Context) { p.generation(g, hard, gen, regroup) })
	}
	wg.Wait()
	if member != "" {
		p.signOff(ctx, member)
	}
	p.missing(errors.New("left the group"))
	return nil
}

// signOff tells the group that member is gone, whether or not it was told before:
// kafka-go leaves the group from some of its ways out only. A ghost would hold its
// partitions for a session timeout; leaving twice does no harm.
func (p *Pipeline) signOff(ctx context.Context, member string) {
	bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveLimit)
	defer cancel()
	if err := p.cfg.Client.LeaveGroup(bye, p.cfg.Group, member); err != nil {
		p.cfg.Metrics.Consumer.Errors.Of("leave").Inc()
		p.cfg.Log.Warn("leaving the group failed; its partitions are handed on when the session ends", "error", err)
	}
}

// leave closes cg, which drains the generation and leaves the group. A join that
// is under way can hold that up for a rebalance timeout, so after the drain's
// time, or when hard ends, the connections are cut.
func (p *Pipeline) leave(hard context.Context, cg *kafka.ConsumerGroup, cut *cutter) {
	closed := make(chan struct{})
	go func() {
		_ = cg.Close() // it has no error to return
		close(closed)
	}()
	limit := time.NewTimer(p.cfg.DrainTimeout + commitLimit)
	defer limit.Stop()
	select {
	case <-closed:
		return
	case <-limit.C:
	case <-hard.Done():
	}
	cut.cut()
	<-closed
}

// sleep waits for d and reports whether ctx is still there.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
