package app

import (
	"context"
	"fmt"
	"sync"
	"time"

	"usersync/consumer"
	"usersync/consumer/event"
	usync "usersync/sync"
)

// sighting is a record that is about the user who was searched for.
type sighting struct {
	record event.Record
	event  event.Event
	err    error // it cannot be decoded, and the key names the user
	extent extent
}

// search is what was found of one user in the source topics.
type search struct {
	newest  *sighting                         // nil: there is none
	topics  map[string]holding                // what each topic has about the user, if anything
	last    map[consumer.TopicPartition]int64 // the offset of the last one of each partition that has any
	extents []extent
}

// holding is what a topic has of a user.
type holding struct {
	records int
	newest  usync.Position
	written time.Time // the newest
}

// add counts a record that was written then.
func (h *holding) add(at usync.Position, written time.Time) {
	if h.records++; !written.Before(h.written) {
		h.newest, h.written = at, written
	}
}

// records is how many are about the user.
func (s *search) records() (n int) {
	for _, h := range s.topics {
		n += h.records
	}
	return n
}

// find searches the source topics, up to their ends, for the newest change of a user.
// All of it is read: which partition a user is in only the connector knows.
func (d *desk) find(ctx context.Context, user string) (*search, error) {
	decoder, err := d.decoder()
	if err != nil {
		return nil, err
	}
	s := &search{topics: map[string]holding{}, last: map[consumer.TopicPartition]int64{}}
	if s.extents, err = d.extents(ctx, d.config.Kafka.Topics...); err != nil {
		return nil, err
	}
	var mu sync.Mutex
	return s, d.read(ctx, s.extents, func(i int, r *event.Record) error {
		e, err := decoder.Decode(r)
		id := e.Change.User
		if err != nil {
			id, _ = decoder.User(r.Key)
		}
		if id != user || e.Skip != "" {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		s.see(&sighting{*r, e, err, s.extents[i]})
		return nil
	})
}

// see notes a record of the user, in the order that a census has.
func (s *search) see(x *sighting) {
	h := s.topics[x.record.Topic]
	h.add(x.position(), x.record.Time)
	s.topics[x.record.Topic] = h
	s.last[x.extent.TopicPartition] = x.record.Offset
	if last := s.newest; last != nil && last.extent != x.extent && last.record.Time.After(x.record.Time) {
		return
	}
	s.newest = x
}

// position is that of the record.
func (x *sighting) position() usync.Position { return positionOf(&x.record) }

func positionOf(r *event.Record) usync.Position {
	return usync.Position{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}
}

// to returns what the record says to one destination: where it cannot be decoded, a column
// may be at fault that only another one uses.
func (x *sighting) to(t *target) (event.Event, error) {
	if x.err == nil {
		return x.event, nil
	}
	return t.decoder.Decode(&x.record)
}

// nobody is the error of a search without a find. It does not repeat the ID.
func (s *search) nobody() error {
	return fmt.Errorf("no record of %s is about this user: check the ID, which is what events.user_id gives; the row's record may have been removed, and a snapshot brings it back", topicsOf(s.extents))
}
