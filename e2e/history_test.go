package e2e_test

import (
	"fmt"
	"strconv"
	"time"

	"usersync/e2e/vendors"
	"usersync/e2e/worker"
)

// step is a user who was taken back from a version to an older one.
type step struct {
	user     string
	from, to int
	at       time.Time
	by       string // the worker whose call it was that was applied
}

func (s step) String() string {
	return fmt.Sprintf("user %s was taken back from version %d to %d by %s", s.user, s.from, s.to, s.by)
}

// stale returns every step back in what a destination has applied.
func stale(v *vendors.Vendors, book *worker.Book, destination string) []step {
	var all []step
	applied := v.Applied(destination)
	for user := range book.Users() {
		id, newest := strconv.Itoa(user), 0
		for _, a := range applied[id] {
			version := worker.VersionOf(a.Name())
			if version < newest {
				all = append(all, step{user: id, from: newest, to: version, at: a.Applied, by: a.Caller})
			}
			newest = version
		}
	}
	return all
}
