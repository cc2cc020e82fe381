package ledger

import (
	"testing"
	"time"

	"usersync/consumer/trace"
)

// What an outage from 10 to 20 takes, of a change before it, three in it and one after it.
func TestOutageCost(t *testing.T) {
	times := func(seconds ...float64) (all []time.Time) {
		for _, s := range seconds {
			all = append(all, at(s))
		}
		return all
	}
	o := Outage{
		Began: at(10), Ended: at(20),
		Wrote: []trace.Event{
			event(9, Wrote, on(0)), event(11, Wrote, on(1)), event(12, Wrote, on(2), of("8")), event(13, Wrote, on(3)),
			event(21, Wrote, on(4), of("9")),
		},
		// The newest of user 7, as one; and the probe that ends it, of user 8.
		Broken: Seen{times(9, 11, 15, 22, 23, 24, 40), []trace.Event{applied(9.25, 0), applied(22.5, 2, of("8")), applied(24.5, 3), applied(40, 4, of("9"))}},
		Other:  Seen{nil, []trace.Event{applied(9.25, 0), applied(11.25, 1), applied(12.125, 2, of("8")), applied(13.75, 3), applied(21, 4, of("9"))}},
	}
	want := Cost{
		Changes: 3, Touched: 2, Meanwhile: 2, Back: 2500 * time.Millisecond, Right: 4500 * time.Millisecond, After: 3, Further: 1,
		Ramp: [rampSeconds]int{1, 1}, Typical: 250 * time.Millisecond, Late: 750 * time.Millisecond, Worst: 750 * time.Millisecond,
	}
	if got := o.Cost(); got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	o.Broken.Applied = o.Broken.Applied[:2]
	if got := o.Cost().Missed; got != 2 {
		t.Errorf("%d changes were never held, want 2", got)
	}
}
