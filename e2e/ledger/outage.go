package ledger

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"usersync/consumer/trace"
)

// Outage is a time in which one destination took no calls and the other was well, while
// users went on changing before, in and after it.
type Outage struct {
	Began, Ended time.Time
	Wrote        []trace.Event // all changes, those of each user in order
	Broken       Seen
	Other        Seen
}

// Seen is what a destination saw, in order.
type Seen struct {
	Calls   []time.Time   // when each request came
	Applied []trace.Event // what it saved
}

// rampSeconds are shown of how calls begin again.
const rampSeconds = 15

// Cost is what an outage took.
type Cost struct {
	Changes, Touched int // written in the outage, and of how many users
	Meanwhile        int // requests to the broken destination in the outage
	// Back is when it answered again as it should, and Right when it held the newest of
	// all that was written in the outage, both from the outage's end.
	Back, Right time.Duration
	After       int              // requests to it from the end of the outage to Right
	Further     int              // changes that were written in that time
	Ramp        [rampSeconds]int // requests in each second from Back on
	// Typical, Late and Worst are how long the other one took to save what was written in
	// the outage, or something newer of the user: the median, p99 and the most.
	Typical, Late, Worst time.Duration
	Missed               int // changes of the outage that one of the two never held, nor anything newer
}

// Cost returns what the outage took.
func (o Outage) Cost() Cost {
	var c Cost
	in := func(at time.Time) bool { return !at.Before(o.Began) && at.Before(o.Ended) }
	broken, other := heldAt(o.Wrote, o.Broken.Applied), heldAt(o.Wrote, o.Other.Applied)
	users, right := map[string]bool{}, o.Ended
	var fresh []time.Duration
	for i, w := range o.Wrote {
		if !in(w.At) {
			continue
		}
		c.Changes++
		users[w.User] = true
		if broken[i].IsZero() || other[i].IsZero() {
			c.Missed++
			continue
		}
		if broken[i].After(right) {
			right = broken[i]
		}
		fresh = append(fresh, other[i].Sub(w.At))
	}
	c.Touched, c.Right = len(users), right.Sub(o.Ended)
	if slices.Sort(fresh); len(fresh) > 0 {
		c.Typical, c.Late, c.Worst = fresh[len(fresh)/2], fresh[len(fresh)*99/100], fresh[len(fresh)-1]
	}
	back := o.Ended
	if i := slices.IndexFunc(o.Broken.Applied, func(e trace.Event) bool { return e.At.After(o.Ended) }); i >= 0 {
		back = o.Broken.Applied[i].At
	}
	c.Back = back.Sub(o.Ended)
	for _, at := range o.Broken.Calls {
		switch {
		case in(at):
			c.Meanwhile++
		case !at.Before(o.Ended) && !at.After(right):
			c.After++
		}
		if since := at.Sub(back); since >= 0 && since < rampSeconds*time.Second {
			c.Ramp[since/time.Second]++
		}
	}
	for _, w := range o.Wrote {
		if !w.At.Before(o.Ended) && !w.At.After(right) {
			c.Further++
		}
	}
	return c
}

// heldAt returns of each change when it was held, or something newer of its user: zero if
// it never was.
func heldAt(wrote, applied []trace.Event) []time.Time {
	held := make([]time.Time, len(wrote))
	waiting := map[string][]int{} // by user, in order
	for i, w := range wrote {
		waiting[w.User] = append(waiting[w.User], i)
	}
	for _, e := range applied {
		list := waiting[e.User]
		for len(list) > 0 && wrote[list[0]].Offset <= e.Offset {
			held[list[0]], list = e.At, list[1:]
		}
		waiting[e.User] = list
	}
	return held
}

// String is the cost as a table.
func (c Cost) String() string {
	var b strings.Builder
	row := func(what, format string, args ...any) {
		fmt.Fprintf(&b, "| %s | %s |\n", what, fmt.Sprintf(format, args...))
	}
	b.WriteString("| | |\n|---|--:|\n")
	row("changes in the outage", "%d", c.Changes)
	row("users touched by them", "%d", c.Touched)
	row("requests in the outage, of which all but those of the first seconds are probes", "%d", c.Meanwhile)
	row("from its end to the first success", "%.1f s", c.Back.Seconds())
	row("from its end until every user was right", "%.1f s", c.Right.Seconds())
	row("requests from its end until then", "%d", c.After)
	row("changes from its end until then", "%d", c.Further)
	row("requests in each second from the first success on", "%s", strings.Trim(fmt.Sprint(c.Ramp), "[]"))
	row("the other one, from change to saved: median", "%d ms", c.Typical.Milliseconds())
	row("p99", "%d ms", c.Late.Milliseconds())
	row("most", "%d ms", c.Worst.Milliseconds())
	return b.String()
}
