package consumer

import (
	"slices"
	"time"
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
// A full window ends the wait: nothing more is read until something is delivered.
func (g *generation) behind(now time.Time) bool {
	if g.lane.Bytes() >= g.Window {
		return false
	}
	return slices.ContainsFunc(g.parts, func(p *owned) bool {
		return p.behind() && now.Sub(p.heardAt) < catchUpLimit
	})
}

// behind reports whether the last owner may have made calls for changes that are
// in the log and not registered yet.
func (p *owned) behind() bool {
	if p.halted || p.aside() || p.front.position >= p.reach {
		return false
	}
	return !p.heard || p.front.position < p.progress.LogEnd
}
