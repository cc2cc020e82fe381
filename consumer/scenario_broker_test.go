package consumer

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestHungBroker restarts a worker while one of two brokers drops every packet. It
// leads half of 40 partitions; the users of the others are not to wait for it.
func TestHungBroker(t *testing.T) {
	const parts = 40
	inBubble(t, parts, func(b *bubble) {
		w := b.start()
		b.writeAll(numbers(0, parts-1)...)
		b.settles(time.Minute)
		w.stop()
		healthy := b.kafka.CoordinatorFor("usersync.taptalk")
		address := b.kafka.ListenAddrs()[healthy]
		client, err := NewClient(ClientConfig{
			Brokers: []string{address}, Topics: []string{"users", "dead"},
			Dial: func(ctx context.Context, network, to string) (net.Conn, error) {
				if to == address {
					return b.kafka.dial(ctx, network, to)
				}
				<-ctx.Done()
				return nil, ctx.Err()
			},
		})
		if err != nil {
			b.t.Fatal(err)
		}
		b.t.Cleanup(client.Close)
		w = b.start(of(destTaptalk, func(c *Config) { c.Client = client }), of(destHaptik, func(c *Config) { c.Topics = []string{"none"} }))
		var records []*kgo.Record
		var users []string
		for i := range parts {
			if b.kafka.LeaderFor("users", int32(i)) == healthy {
				user := fmt.Sprint(i)
				users = append(users, user)
				records = append(records, &kgo.Record{Partition: int32(i), Key: []byte(keyOf(user)), Value: after(user, name(777))})
			}
		}
		b.raw(records...)
		began := time.Now()
		for _, user := range users {
			b.until(9*time.Second-time.Since(began), "user "+user+" of a healthy partition is delivered", func() bool {
				return b.has(destTaptalk, user) == name(777)
			})
		}
		w.hard() // nothing is on its way
	})
}
