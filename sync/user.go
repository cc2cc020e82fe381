package sync

import (
	"time"

	"usersync/sync/sabotage"
)

// Hold keeps a place in what may be committed: as long as it is not released, the
// offset of its record, and all above it, are not.
type Hold interface{ Release() }

// Place is a hold together with where it stands: that is at the change itself or, if
// an operator has it sent once more, at the record that says so.
type Place struct {
	At   Position
	Hold Hold
}

// Sent says whether a former owner of the partition may have sent a change.
type Sent struct {
	Possibly bool
	// Until is when that call has been applied or never will be. It may be over, but
	// then the call may have been applied.
	Until time.Time
	// Remapped says that another mapping made what it sent, which is not known then.
	Remapped bool
}

// pending is one change on its way to the destination. There is one for each user who
// waits, so what it takes is most of what an outage costs.
type pending struct {
	change Change
	body   []byte  // of its payload, set when it is first sent
	places []Place // one for each partition that the user's changes came from
	heap   int     // bytes that count against the window
	since  time.Time
	source time.Time // of the oldest change that this one stands for, without repeats
	doubt  *doubt    // of an attempt whose outcome is unknown: p's place passes to it

	attempts  int
	charged   int  // of those, failures shown to be this change's own
	repeat    bool // an operator has it sent once more, and nothing new is among what it stands for
	retrial   bool // it is to be sent once more, whatever was known before
	dropped   bool // its partition was forgotten while it was in flight
	confirm   bool // a delivered payload, sent once more: see doubt.go
	control   bool // a delivered payload, sent to have someone to compare with: see control.go
	announced bool // of a remembered payload: the next owner would know of a call
}

// absorb lets p stand for older, a change of the same user that was not
// delivered. p keeps older's place, the lower bound of both: the newer offset
// must not be all that remains of the older one if p is never delivered.
func (p *pending) absorb(older *pending) {
	if sabotage.On(sabotage.OlderWins) {
		p.change = older.change
	}
	own := p.places
	p.places = older.places
	older.places = nil
next:
	for _, mine := range own {
		for _, his := range p.places {
			if his.At.SamePartition(mine.At) {
				mine.Hold.Release()
				continue next
			}
		}
		p.places = append(p.places, mine)
	}
	p.change.Force = p.change.Force || older.change.Force
	if p.doubt == nil || older.doubt != nil && older.doubt.until.After(p.doubt.until) {
		p.doubt = older.doubt
	}
	p.source = earliest(p.source, older.source)
	p.repeat = p.repeat && older.repeat
	p.since = older.since
}

// release gives up p's places: it is settled. While the outcome of an attempt
// of p is unknown, the places pass to that doubt: a new owner has to read p
// again to know that the attempt may still land.
func (p *pending) release() {
	if p.doubt != nil && p.doubt.open {
		p.doubt.places = append(p.doubt.places, p.places...)
	} else {
		releaseAll(p.places)
	}
	p.places = nil
}

func releaseAll(places []Place) {
	for _, pl := range places {
		pl.Hold.Release()
	}
}

// state says where a user's current change is.
type state uint8

const (
	idle     state = iota // no change; an open doubt or a memory of failures keeps the user here
	ready                 // in a queue
	resting               // in backoff, until due
	parked                // its turn came, and its change is withheld
	awaiting              // its turn came, and its change seems to need no call: see trust.go
	calling               // in flight
	unmapped              // has no payload, and nothing shows yet that it is its own fault
	eligible              // given up, its dead letter waits for release
	writing               // its dead letter is being written
)

// user is everything known of one user. cur is its current change, at most one
// in flight; next is a newer one that must not touch cur: it is in flight, or
// must be judged first.
type user struct {
	id        string
	at        Position // of the newest change seen
	state     state
	cur, next *pending

	due       time.Time  // when resting: the end of it
	ambiguity *ambiguity // nil: there was none; see doubt.go

	fault  *fault // since its last success, nil: it has not failed; see blame.go
	group  *group // when unmapped
	lacks  error  // when unmapped: what the mapper said
	letter *Letter
}

// failures is how often u has failed in a row.
func (u *user) failures() int {
	if u.fault == nil {
		return 0
	}
	return u.fault.failures
}

// newest is the newest change that waits or is in flight.
func (u *user) newest() *pending {
	if u.next != nil {
		return u.next
	}
	return u.cur
}

// partitions lists those whose new owner would meet u, some more than once; the
// offsets mean nothing.
func (u *user) partitions() []Position {
	all := []Position{u.at}
	add := func(places []Place) {
		for _, pl := range places {
			all = append(all, pl.At)
		}
	}
	for _, p := range []*pending{u.cur, u.next} {
		if p != nil {
			add(p.places)
		}
	}
	for _, d := range u.ambiguity.open() {
		add(d.places)
	}
	return all
}
