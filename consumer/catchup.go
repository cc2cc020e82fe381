package consumer

import (
	"slices"
	"time"

	usync "usersync/sync"
)

// catchUpLimit bounds how long calls wait for a partition of which nothing comes.
// One that cannot be read, whatever the reason, must not keep the others from being
// delivered for longer.
const catchUpLimit = 5 * time.Second

// behind reports whether calls have to wait because the last owner of a partition
// may have delivered changes that this one has not read yet. Were an older change
// of the same user sent first, the user would be taken back to it, for as long as
// it takes to read on and call again.
//
// Two places of one user show how it comes to that: v1 at offset 10 and v5 at 9,000
// waited together and were delivered as one, while some other user's place at 20
// was still held. The next owner begins at 20, and finds v2 long before v5.
//
// Once it is over those of the partition itself go on waiting: see withholds. A full
// window ends it as well: see yield.
func (g *generation) behind(now time.Time) bool {
	if g.lane.Bytes() >= g.Window {
		return false
	}
	return slices.ContainsFunc(g.parts, func(p *owned) bool {
		return p.behind() && now.Sub(p.heardAt) < catchUpLimit
	})
}

// withholds reports whether the change at a position waits for what its partition may
// hold behind it. With a leader that is frozen or gone that takes as long as it takes:
// what is read of it already may be older than what its last owner has delivered.
func (g *generation) withholds(at usync.Position) bool {
	p := g.byName[TopicPartition{at.Topic, at.Partition}]
	return p != nil && p.behind() && !p.yields
}

// yield has the users of a partition wait no longer for the rest of it when the window is
// full and nothing more can be read: nobody else is there whose delivery would make room,
// or none did for a while. Of all such partitions it takes the one with the most of them,
// and for good, or they would wait and go on by turns with each delivery. A window that
// others fill, and leave, is no reason.
//
// What it gives up is the order of that partition's users, so it must gain something. The
// window of a vendor that is down stays full, whoever waits in it:
//
//	 0  the vendor is down: the window fills, partitions 0 to 9 withhold in it
//	 5  nothing was registered for a while: partition 0 yields
//	 6  still nothing, for nobody is called: partition 1 yields, and so on
//	20  the vendor is up, and users of all ten are taken back
//
// So it is asked whether the lane lacks users to call, which that one does not, nor one
// that is paused, throttled or at its rate: see Lane.Starved. A lane that is held for
// somebody's own failures does lack them, for only another user can show that. Without a
// lease nobody is called at all. And it takes a while until those who were let go have
// made room: the next partition yields after that.
func (g *generation) yield(now time.Time) {
	switch {
	case g.lane.Bytes() < g.Window, !g.lease.valid(), !g.lane.Starved(now):
		return
	case now.Sub(g.yielded) < catchUpLimit, g.lane.Busy() && now.Sub(g.registered) < catchUpLimit:
		return
	}
	var most *owned
	users := 0
	for _, p := range g.parts {
		if n := g.lane.Withheld(p.at(0)); n > users && p.behind() && !p.yields {
			most, users = p, n
		}
	}
	if most != nil {
		most.yields, g.yielded = true, now
	}
}

// behind reports whether the last owner may have made calls for changes that are
// in the log and not registered yet. What is retried has an order of its own: see
// resubmit.
func (p *owned) behind() bool {
	if p.halt != nil || p.aside() || p.retry || p.loading || p.front.position >= p.reach {
		return false
	}
	return !p.heard || p.front.position < p.progress.LogEnd
}
