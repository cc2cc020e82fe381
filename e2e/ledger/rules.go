package ledger

import (
	"time"

	"usersync/consumer/trace"
)

// How real processes are judged.
//
// In a bubble there is one clock, and an event is noted at the very moment at which
// it happens. Of real processes the ledger knows what each has said, and when. Four
// rules bridge the difference; none of them excuses what a worker could have
// avoided.
//
// A killed process. Its trace ends in the middle: calls that it began have no end.
// They are forgotten when it is known to be dead, and do not count as calls in
// flight beside those of the next owner. A vendor may still apply the last of them,
// for no client can fence a request that has left. If that takes a user back, the
// regression probe counts it and finds nothing wrong, as long as the user is brought
// forward again.
//
// A frozen process. Its calls in flight are as good as lost to it: the vendor has
// answered, or never will, while the process learns of it much later. So they count
// no more beside those of others. And it may have been frozen between asking for its
// lease and writing that a call begins; when it thaws it writes the line, asks again,
// and stops. So a call for a partition of another is a fault of such a process only
// if it ended otherwise than unsent. Likewise it may have been frozen between the
// coordinator's answer and writing what it was assigned, and write that when the next
// generation has long begun: it has got nothing by it.
//
// A late answer. The coordinator refuses the commit of a member of an older
// generation. So one that was accepted was accepted before the next generation
// began, however late the answer was read. A commit is therefore judged within its
// own generation, and whether it went back only against those of the same one and
// of older ones.
//
// Two clocks. What one process does because of what another did comes after it, by
// one machine's clock. The clock may be slewed or stepped meanwhile, and two
// machines never quite agree. So where events of two processes are within the tick,
// what ends goes before what begins: a call, or an assignment. What a vendor has
// applied ends nothing, and never goes before the call that brought it.

// Tick is how far the clocks of processes on one machine are taken to be apart.
const Tick = time.Millisecond

// Merge puts traces into one, in the order of time; each keeps its own order.
func Merge(tick time.Duration, traces ...[]trace.Event) []trace.Event {
	var all []trace.Event
	for {
		next := -1
		for i, t := range traces {
			if len(t) > 0 && (next < 0 || before(tick, t[0], traces[next][0])) {
				next = i
			}
		}
		if next < 0 {
			return all
		}
		all = append(all, traces[next][0])
		traces[next] = traces[next][1:]
	}
}

// before reports whether a, of one trace, goes before b of another.
func before(tick time.Duration, a, b trace.Event) bool {
	applied := a.Kind == Applied || b.Kind == Applied
	if d := a.At.Sub(b.At).Abs(); d <= tick && !applied && begins(a) != begins(b) {
		return begins(b)
	}
	return a.At.Before(b.At)
}

// begins reports whether something begins with e.
func begins(e trace.Event) bool { return e.Kind == trace.Call || e.Kind == trace.Assigned }
