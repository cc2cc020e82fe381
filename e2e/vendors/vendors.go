// Package vendors runs both simulated vendors as a process of their own: they
// share no memory, no garbage collector and no scheduler with the test, and can
// be reached by whatever the test runs.
package vendors

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"testing"
	"time"

	"usersync/sync/vendortest"
)

// The destinations, as the configuration, the groups and the metrics name them.
const (
	TapTalk = "taptalk"
	Haptik  = "haptik"
)

// Destinations are all of them.
var Destinations = []string{TapTalk, Haptik}

// Vendors is a running process with both simulators. Its methods fail the test
// where the process does not answer, so they are for the test's own goroutine.
type Vendors struct {
	t     testing.TB
	admin string // base URL
}

// For returns the same vendors with another test to fail, such as a subtest, in whose
// goroutine the methods are then called.
func (v *Vendors) For(t testing.TB) *Vendors { return &Vendors{t: t, admin: v.admin} }

// Call is one request that reached a vendor, and what became of it.
type Call struct {
	Destination string
	vendortest.Version
}

// Name returns the user's name as it was sent.
func (c *Call) Name() string {
	var body map[string]any
	if json.Unmarshal(c.Body, &body) != nil {
		return ""
	}
	return NameOf(c.Destination, body)
}

// NameOf returns the user's name in what a destination holds or was sent.
func NameOf(destination string, user map[string]any) string {
	field := "name"
	if destination == TapTalk {
		field = "fullName"
	}
	name, _ := user[field].(string)
	return name
}

// URLs returns the base URLs of a worker by destination: ports of its own, so that
// it is known who called. They are the same whenever a worker of that name asks.
func (v *Vendors) URLs(worker string) map[string]string {
	v.t.Helper()
	var urls map[string]string
	v.put("/callers/"+url.PathEscape(worker), nil, &urls)
	return urls
}

// Latency makes every call to either vendor take d, whatever they did before.
func (v *Vendors) Latency(d time.Duration) {
	v.t.Helper()
	for _, destination := range Destinations {
		v.SetRules(destination, vendortest.Rule{Latency: d})
	}
}

// SetRules replaces the script of a vendor.
func (v *Vendors) SetRules(destination string, rules ...vendortest.Rule) {
	v.t.Helper()
	v.put("/"+destination+"/rules", rules, nil)
}

// SetKeys makes keys the only valid ones, from the next call on; with none, every
// key is valid.
func (v *Vendors) SetKeys(destination string, keys ...vendortest.Key) {
	v.t.Helper()
	v.put("/"+destination+"/keys", keys, nil)
}

// SetKnobs turns a vendor's knobs: a taptalktest.Knobs or a haptiktest.Knobs.
func (v *Vendors) SetKnobs(destination string, knobs any) {
	v.t.Helper()
	v.put("/"+destination+"/knobs", knobs, nil)
}

// Current returns what a destination holds of a user, nil if it holds none.
func (v *Vendors) Current(destination, user string) map[string]any {
	v.t.Helper()
	var answer struct {
		Current map[string]any
	}
	v.get("/"+destination+"/users/"+url.PathEscape(user), &answer)
	return answer.Current
}

// Name returns what a destination holds as the name of a user, "" if it holds
// no such user.
func (v *Vendors) Name(destination, user string) string {
	v.t.Helper()
	return NameOf(destination, v.Current(destination, user))
}

// Users returns what a destination holds of each of its users.
func (v *Vendors) Users(destination string) map[string]map[string]any {
	v.t.Helper()
	var users map[string]map[string]any
	v.get("/"+destination+"/users", &users)
	return users
}

// Stats returns a destination's counts.
func (v *Vendors) Stats(destination string) vendortest.Stats {
	v.t.Helper()
	var stats vendortest.Stats
	v.get("/"+destination+"/stats", &stats)
	return stats
}

// Count returns how many calls there were to a destination, by all workers.
func (v *Vendors) Count(destination string) int {
	v.t.Helper()
	return v.Stats(destination).Calls
}

// pageSize bounds one answer: about 5 MB.
const pageSize = 10_000

// Feed returns the calls to a destination that came or changed since a cursor, each
// as it is now, and the cursor to go on from; 0 is the beginning. A call is there
// again, with the same Seq, when its user was saved and when it has ended.
func (v *Vendors) Feed(destination string, since int) (calls []Call, next int) {
	v.t.Helper()
	for next = since; ; {
		var page struct {
			Calls []vendortest.Version
			Next  int
		}
		v.get(fmt.Sprintf("/%s/calls?since=%d&limit=%d", destination, next, pageSize), &page)
		for _, version := range page.Calls {
			calls = append(calls, Call{Destination: destination, Version: version})
		}
		next = page.Next
		if len(page.Calls) < pageSize {
			return calls, next
		}
	}
}

// Calls returns every call so far that match accepts, in the order they came.
func (v *Vendors) Calls(match func(Call) bool) []Call {
	v.t.Helper()
	var all []Call
	for _, destination := range Destinations {
		feed, _ := v.Feed(destination, 0)
		newest := map[int]Call{} // by Seq
		for _, c := range feed {
			newest[c.Seq] = c
		}
		for _, c := range newest {
			if match(c) {
				all = append(all, c)
			}
		}
	}
	slices.SortFunc(all, func(a, b Call) int { return a.Received.Compare(b.Received) })
	return all
}

// Applied returns the calls that a destination has saved, by user, in the order in
// which it did.
func (v *Vendors) Applied(destination string) map[string][]Call {
	v.t.Helper()
	byUser := map[string][]Call{}
	for _, c := range v.Calls(func(c Call) bool { return c.Destination == destination && c.Order > 0 }) {
		byUser[c.User] = append(byUser[c.User], c)
	}
	for calls := range maps.Values(byUser) {
		slices.SortFunc(calls, func(a, b Call) int { return a.Order - b.Order })
	}
	return byUser
}
