package consumer

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"usersync/metrics"
)

// stranger is a member of a group that does nothing but join once.
type stranger struct {
	b             *bubble
	group, member string
	joined        chan error
}

// stranger joins a group. Whoever joins after it waits for it until the rebalance
// timeout, for it does not join again.
func (b *bubble) stranger(group string) *stranger {
	s := &stranger{b: b, group: group, joined: make(chan error, 1)}
	meta := kmsg.NewConsumerMemberMetadata()
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.ProtocolType = group, "consumer"
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 300_000, 60_000
	req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: meta.AppendTo(nil)}}
	first, err := req.RequestWith(b.t.Context(), b.out) // says only which ID to use
	if err != nil {
		b.t.Fatal(err)
	}
	req.MemberID, s.member = first.MemberID, first.MemberID
	go func() {
		_, err := req.RequestWith(context.WithoutCancel(b.t.Context()), b.out)
		s.joined <- err
	}()
	return s
}

// leave takes the stranger out of its group.
func (s *stranger) leave() {
	s.b.t.Helper()
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = s.group
	m := kmsg.NewLeaveGroupRequestMember()
	m.MemberID = s.member
	req.Members = append(req.Members, m)
	if _, err := req.RequestWith(s.b.t.Context(), s.b.out); err != nil {
		s.b.t.Fatal(err)
	}
	if err := <-s.joined; err != nil {
		s.b.t.Fatal(err)
	}
}

// TestLeaveWhileJoining: a worker that is told to stop while it waits for the
// others to join does not wait on, and leaves no ghost behind: the next one gets
// the partitions well before a session would end. No goroutine of it is left
// either, or the bubble would not end.
func TestLeaveWhileJoining(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		w := b.start()
		b.write("1", name(1))
		b.settles(30 * time.Second)
		s := b.stranger("usersync." + destTaptalk)
		time.Sleep(10 * time.Second) // both are in
		other := b.start()           // makes them join once more, which the stranger does not
		time.Sleep(10 * time.Second) // so everybody waits for it

		began := time.Now()
		w.stop()
		if took := time.Since(began); took > 26*time.Second {
			t.Errorf("stopping took %v, want no more than a drain and a last commit", took)
		}
		s.leave()
		b.write("1", name(2))
		b.commits(10*time.Second, destTaptalk)
		b.right(destTaptalk)
		other.stop()
	})
}

// TestSecondSignal: it ends at once what the first would have let end.
func TestSecondSignal(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		w := b.start()
		b.write("1", name(1))
		b.settles(30 * time.Second)
		b.latency(9 * time.Second)
		b.write("1", name(2))
		time.Sleep(2 * time.Second) // the call is on its way
		w.end()
		time.Sleep(time.Second)
		select {
		case err := <-w.done:
			t.Fatalf("did not wait for the call: %v", err)
		default:
		}
		began := time.Now()
		w.hard()
		if err := <-w.done; err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("stopping took %v after the second signal", took)
		}
		w.gone()
		b.latency(20 * time.Millisecond)
		b.start()
		b.settles(3 * time.Minute)
	})
}

// topic creates or deletes a topic.
func (k *fakeKafka) topic(client *kgo.Client, name string, exists bool) {
	k.t.Helper()
	var req kmsg.Request
	if exists {
		create := kmsg.NewPtrCreateTopicsRequest()
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 1, 1
		create.Topics = append(create.Topics, topic)
		req = create
	} else {
		remove := kmsg.NewPtrDeleteTopicsRequest()
		topic := kmsg.NewDeleteTopicsRequestTopic()
		topic.Topic = &name
		remove.TopicNames, remove.Topics = []string{name}, append(remove.Topics, topic)
		req = remove
	}
	if _, err := client.Request(k.t.Context(), req); err != nil {
		k.t.Fatal(err)
	}
}

// TestWatchLooksTwice: what one look shows may be a broker that has not heard yet,
// and a rebalance costs every member a pause.
func TestWatchLooksTwice(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		p := NewPipeline(Config{
			Topics: []string{"users", "more"}, Client: b.kafka.client("users", "more"),
			Metrics: metrics.New(nil, "test").For("test"), Log: slog.New(slog.DiscardHandler),
		})
		p.setCounts(map[string]int{"users": 1})
		ctx, cancel := context.WithCancel(b.t.Context())
		done := make(chan struct{})
		began := time.Now()
		var changed []time.Duration
		go func() {
			defer close(done)
			p.watch(ctx, func(counts map[string]int) {
				changed = append(changed, time.Since(began))
				p.setCounts(counts)
			})
		}()
		for at, exists := range []bool{true, false, true} {
			// After each look by one second: seen at 10 s, gone at 15 s, there from 20 s on.
			time.Sleep(time.Until(began.Add(time.Duration(6+5*at) * time.Second)))
			b.kafka.topic(b.out, "more", exists)
		}
		time.Sleep(30 * time.Second)
		cancel()
		<-done
		if want := []time.Duration{25 * time.Second}; !slices.Equal(changed, want) {
			t.Errorf("changes at %v, want one, at %v", changed, want)
		}
	})
}
