package sync

import "time"

// evidence is a record that says something of its topic's format: where it
// stands, and when it was written.
type evidence struct {
	at      Position
	written time.Time
}

func (c *Change) evidence() evidence { return evidence{c.Position, c.Written} }

func (e evidence) partition() partition { return partition{e.at.Topic, e.at.Partition} }

// after reports whether e comes later in its topic than o. Within a partition the
// offsets say so; between two only the timestamps can. A partition that is read
// an hour behind shows nothing of what is written now.
func (e evidence) after(o evidence) bool {
	if e.at.SamePartition(o.at) {
		return e.at.Offset > o.at.Offset
	}
	return e.at.Topic == o.at.Topic && !e.written.Before(o.written)
}

// or returns the later of two of one partition, or o if e is nothing yet; timestamps
// need not go up there.
func (e evidence) or(o evidence) evidence {
	if e.at.Topic == "" {
		return o
	}
	if o.at.Offset > e.at.Offset {
		e.at = o.at
	}
	if o.written.After(e.written) {
		e.written = o.written
	}
	return e
}
