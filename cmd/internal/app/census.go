package app

import (
	"context"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"usersync/consumer/event"
	usync "usersync/sync"
)

// A census is the newest row of each user in the source topics, as of when it began.
// Of a row it keeps what T makes of it, so that ten million users fit into memory.
type census[T any] struct {
	extents []extent
	mark    marker[T]
	hash    func(id string) userKey

	mu          sync.Mutex
	users       map[userKey]newest[T]
	undecodable int // records, whether their keys name a user or not
	several     int // rows of users who are in more than one partition
}

// marker makes of a record what is kept of it; c is nil if it cannot be decoded. It may be
// called from several goroutines, for deletes too.
type marker[T any] func(r *event.Record, c *usync.Change) T

// newest is where the newest row of a user is.
type newest[T any] struct {
	offset  int64
	written int64    // milliseconds since 1970, by the clock of Kafka or of the producer
	extent  int32    // the index of its partition
	op      usync.Op // or unreadable
	mark    T
}

// unreadable is the op of a record of which only the key can be read.
const unreadable usync.Op = 0

// readers is how many partitions are read at a time: the work is in decoding.
const readers = 8

// read hands each record of the extents to each, and says how far it is. Each partition
// is read by a goroutine of its own, so each is called from several; i is the index of
// the extent.
func (d *desk) read(ctx context.Context, extents []extent, each func(i int, r *event.Record) error) error {
	p := startProgress(d.said, "reading "+topicsOf(extents), length(extents))
	defer p.stop()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	for i, x := range extents {
		group.Go(func() error {
			at := x.start
			err := d.client.Scan(ctx, x.TopicPartition, x.start, x.end, func(r *event.Record) error {
				p.add(1, r.Offset+1-at)
				at = r.Offset + 1
				return each(i, r)
			})
			p.add(0, x.end-at)
			return err
		})
	}
	return group.Wait()
}

// topicsOf names the topics of extents, which are in their order.
func topicsOf(extents []extent) string {
	var names []string
	for _, x := range extents {
		names = append(names, x.Topic)
	}
	return strings.Join(slices.Compact(names), ", ")
}

// take reads the source topics from their starts to their ends.
func take[T any](ctx context.Context, d *desk, decoder *event.Decoder, mark marker[T]) (*census[T], error) {
	extents, err := d.extents(ctx, d.config.Kafka.Topics...)
	if err != nil {
		return nil, err
	}
	c := &census[T]{extents: extents, mark: mark, hash: d.user, users: map[userKey]newest[T]{}}
	return c, d.read(ctx, extents, func(i int, r *event.Record) error {
		c.count(i, decoder, r)
		return nil
	})
}

// count takes a record into account.
func (c *census[T]) count(i int, decoder *event.Decoder, r *event.Record) {
	e, err := decoder.Decode(r)
	if err == nil && e.Skip != "" {
		return
	}
	n := newest[T]{offset: r.Offset, written: r.Time.UnixMilli(), extent: int32(i), op: e.Change.Op}
	named := err == nil
	if err == nil {
		n.mark = c.mark(r, &e.Change)
	} else {
		n.op, n.mark = unreadable, c.mark(r, nil)
		e.Change.User, named = decoder.User(r.Key)
	}
	user := c.hash(e.Change.User)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.undecodable++
	}
	if named {
		c.put(user, n)
	}
}

// put notes a row if it is the newest of its user.
func (c *census[T]) put(user userKey, n newest[T]) {
	// Within a partition the log is the order. Between two, for a user who moved when
	// partitions were added, nothing but the clock tells.
	last, ok := c.users[user]
	if ok && last.extent != n.extent {
		c.several++
		if last.written > n.written {
			return
		}
	}
	c.users[user] = n
}

// position is where the row is.
func (c *census[T]) position(n newest[T]) usync.Position {
	x := c.extents[n.extent]
	return usync.Position{Topic: x.Topic, Partition: x.Partition, Offset: n.offset}
}
