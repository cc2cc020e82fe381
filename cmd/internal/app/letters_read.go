package app

import (
	"context"
	"sync"

	"usersync/consumer"
	"usersync/consumer/event"
)

// readLetters hands each dead letter that there is now to each, one at a time.
func (d *desk) readLetters(ctx context.Context, each func(*consumer.DeadLetter)) error {
	return d.readEach(ctx, d.config.Kafka.DeadLetterTopic, func(r *event.Record) {
		if l, ok := consumer.ReadDeadLetter(r); ok {
			each(&l)
		}
	})
}

// readEach hands each record that a topic has now to each, one at a time. Those of a
// partition come in their order.
func (d *desk) readEach(ctx context.Context, topic string, each func(*event.Record)) error {
	extents, err := d.extents(ctx, topic)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	return d.read(ctx, extents, func(_ int, r *event.Record) error {
		mu.Lock()
		defer mu.Unlock()
		each(r)
		return nil
	})
}

// userOf returns whom a letter is about, "" if that cannot be told. keys reads the key
// of a record; where the record was gone already, the letter has the ID in its place.
func userOf(keys *event.Decoder, l *consumer.DeadLetter) string {
	if user, ok := keys.User(l.Key); ok || l.Original {
		return user
	}
	return string(l.Key)
}
