// Package sync brings the copies of a company's users that outside services
// hold up to date: it decides which change of which user is sent when, what the
// answer means and whose fault a failure was. It knows nothing of Kafka.
//
// Everything that decides is a state machine without goroutines, I/O or a clock
// of its own: an input and the time go in, actions come out. One loop owns them,
// so none needs a lock.
package sync

import "time"

// Op says what happened to a user's row.
type Op uint8

// The operations. A snapshot read, an insert and an update are all Upsert: each
// carries the full row.
const (
	Upsert Op = iota + 1
	Delete
)

// Position is the place of a record in Kafka. Positions compare only within one
// topic and partition.
type Position struct {
	Topic     string
	Partition int
	Offset    int64
}

// SamePartition reports whether p and q can be ordered by offset.
func (p Position) SamePartition(q Position) bool {
	return p.Partition == q.Partition && p.Topic == q.Topic
}

// Unavailable stands for a column whose value the source did not send: it is in
// the database, but not in this event (Postgres leaves an unchanged large column
// out of the replication stream), or the table has no such column.
type Unavailable struct {
	// NoColumn says that the row has no such column. No other row of that table tells
	// it either, so an older change can have filled it in only while the column was
	// being dropped.
	NoColumn bool
}

// Change is the newest known state of one user, or the news that it is gone.
type Change struct {
	User string
	Op   Op
	// Force says that an operator wants the user sent although the destination is known
	// to hold it: it was edited there, or restored.
	Force    bool
	Columns  Columns   // the mapped ones only; a Delete has none
	Position Position  // of the row's own record, also if an operator has it sent once more
	Written  time.Time // by the clock of Kafka or of the record's producer
	// Source is when the source database committed the change; zero if unknown.
	Source time.Time
}

// fillFrom takes each unavailable column of c from older, the state of the same
// user before it: what an event leaves out has not changed. Nothing is taken from
// before a delete, which has no columns itself.
func (c *Change) fillFrom(older *Change) {
	for i, name := range c.Columns.names {
		if _, ok := c.Columns.values[i].(Unavailable); !ok {
			continue
		}
		if old, ok := older.Columns.Get(name); ok {
			c.Columns.values[i] = old
		}
	}
}

// newerThan reports whether c comes after older, of the same partition, or repeats it.
func (c *Change) newerThan(older *Change) bool {
	return c.Position.Offset > older.Position.Offset || c.Position.Offset == older.Position.Offset && c.Force
}

// Heap estimates the heap bytes that c occupies while it waits.
func (c *Change) Heap() int {
	const (
		user  = 576 // c itself, what the lane knows of the user, and the place that is held
		value = 16  // an interface
	)
	n := user + len(c.User)
	for _, v := range c.Columns.values {
		n += value + heapOf(v)
	}
	return n
}

func heapOf(v any) int {
	switch v := v.(type) {
	case string:
		return 16 + len(v)
	case []any:
		n := 16 * len(v)
		for _, e := range v {
			n += heapOf(e)
		}
		return n
	case map[string]any:
		n := 0
		for k, e := range v {
			n += 64 + len(k) + heapOf(e)
		}
		return n
	default:
		return 16
	}
}
