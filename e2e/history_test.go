package e2e_test

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"usersync/e2e/worker"
)

// step is a user who was taken back from a version to an older one.
type step struct {
	user     string
	from, to int
	at       time.Time
}

func (s step) String() string {
	return fmt.Sprintf("user %s was taken back from version %d to %d", s.user, s.from, s.to)
}

// stale returns every step back in what a destination has applied.
func stale(v *worker.Vendors, book *worker.Book, destination string) []step {
	var all []step
	for user := range book.Users() {
		id, newest := strconv.Itoa(user), 0
		for _, applied := range v.Applied(destination, id) {
			version := worker.VersionOf(worker.NameOf(destination, applied.Body))
			if version < newest {
				all = append(all, step{user: id, from: newest, to: version, at: applied.Applied})
			}
			newest = version
		}
	}
	return all
}

// callers returns which workers have sent a version of a user.
func callers(v *worker.Vendors, destination, user string, version int) []string {
	var all []string
	for _, c := range v.Calls(func(c worker.Call) bool {
		return c.Destination == destination && c.User() == user && c.Name() == worker.NameAt(version)
	}) {
		if !slices.Contains(all, c.Worker) {
			all = append(all, c.Worker)
		}
	}
	return all
}
