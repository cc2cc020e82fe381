package consumer

import (
	"context"
	"fmt"
	"io"
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

// TestMuteBroker starts workers whose first broker takes connections and says
// nothing, as one does that hangs, or that is dead behind a proxy: they join by the
// others.
func TestMuteBroker(t *testing.T) {
	for name, take := range map[string]func(server net.Conn){
		"it hangs":     func(server net.Conn) { _, _ = io.Copy(io.Discard, server) },
		"it hangs up":  func(server net.Conn) { _ = server.Close() },
		"it is silent": func(net.Conn) {},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 1, func(b *bubble) {
				const mute = "mute:9092"
				client, err := NewClient(ClientConfig{
					Brokers: append([]string{mute}, b.kafka.ListenAddrs()...), Topics: []string{"users", "dead"},
					Dial: func(ctx context.Context, network, to string) (net.Conn, error) {
						if to != mute {
							return b.kafka.dial(ctx, network, to)
						}
						conn, server := net.Pipe()
						go take(server)
						return conn, nil
					},
				})
				if err != nil {
					b.t.Fatal(err)
				}
				b.t.Cleanup(client.Close)
				b.start(func(c *Config) { c.Client = client })
				b.writeAll("1", "2")
				b.settles(time.Minute)
			})
		})
	}
}
