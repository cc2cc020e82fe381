package main

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"usersync/sync/vendortest"
)

// verdict is what a vendor has seen of a contender.
type verdict struct {
	calls int
	first time.Time     // the first call's receipt
	wall  time.Duration // from then to the last one's end
	stale int           // writes of an older version than one that the vendor had of the user already
	wrong int           // users that it does not hold as their newest change says
}

// judge looks at all calls to a vendor, and at what it must hold in the end.
func judge(calls []vendortest.Version, newest map[int]int) verdict {
	v := verdict{calls: len(calls)}
	if len(calls) > 0 {
		last := calls[0].Ended
		v.first = calls[0].Received
		for _, c := range calls {
			if c.Received.Before(v.first) {
				v.first = c.Received
			}
			if c.Ended.After(last) {
				last = c.Ended
			}
		}
		v.wall = last.Sub(v.first)
	}
	saved := slices.DeleteFunc(slices.Clone(calls), func(c vendortest.Version) bool { return c.Order == 0 })
	slices.SortFunc(saved, func(a, b vendortest.Version) int { return cmp.Compare(a.Order, b.Order) })
	had, holds := map[string]int{}, map[string]string{}
	for _, c := range saved {
		n := version(c.Body)
		if n < had[c.User] {
			v.stale++
		}
		had[c.User], holds[c.User] = max(had[c.User], n), string(c.Body)
	}
	for user, n := range newest {
		if holds[strconv.Itoa(user)] != payload(change{user, n}) {
			v.wrong++
		}
	}
	return v
}
