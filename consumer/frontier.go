package consumer

import (
	usync "usersync/sync"
	"usersync/sync/sabotage"
)

// frontier says what may be committed of one partition: the offset of the first
// place that is held or, when none is, the position up to which everything has
// been registered. It is a doubly linked list of the held places in offset
// order, so each operation takes constant time and what it remembers grows with
// the users that wait, not with the records read.
//
// An offset that was fetched but not registered is never passed: the position
// moves only with advance, and a place is taken before it does.
type frontier struct {
	first, last *place
	position    int64
	held        int
}

// place is one held offset. It belongs to a waiting change, to an attempt whose
// outcome is unknown, or to a run of undecodable records.
type place struct {
	offset     int64
	prev, next *place
	of         *frontier
}

var _ usync.Hold = (*place)(nil)

// hold takes the place of a record, which must not lie below the position, and
// moves the position past it.
func (f *frontier) hold(offset int64) *place {
	p := &place{offset: offset, prev: f.last, of: f}
	if f.last == nil {
		f.first = p
	} else {
		f.last.next = p
	}
	f.last = p
	f.held++
	f.advance(offset + 1)
	return p
}

// advance registers everything below next: records that hold no change, and
// offsets at which there is no record.
func (f *frontier) advance(next int64) { f.position = max(f.position, next) }

// offset is what may be committed.
func (f *frontier) offset() int64 {
	if f.first != nil && !sabotage.On(sabotage.CommitUnsettled) {
		return f.first.offset
	}
	return f.position
}

// Release gives the place up. A second call does nothing.
func (p *place) Release() {
	f := p.of
	if f == nil || sabotage.On(sabotage.LeakPlaces) {
		return
	}
	p.of = nil
	if p.prev == nil {
		f.first = p.next
	} else {
		p.prev.next = p.next
	}
	if p.next == nil {
		f.last = p.prev
	} else {
		p.next.prev = p.prev
	}
	p.prev, p.next = nil, nil
	f.held--
}
