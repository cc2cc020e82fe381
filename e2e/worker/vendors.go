package worker

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"usersync/sync/haptik/haptiktest"
	"usersync/sync/taptalk/taptalktest"
	"usersync/sync/vendortest"
)

// The destinations, as the configuration, the groups and the metrics name them.
const (
	TapTalk = "taptalk"
	Haptik  = "haptik"
)

// Destinations are all of them.
var Destinations = []string{TapTalk, Haptik}

// Vendors are both simulators on sockets of the loopback interface. Each worker
// has ports of its own, so that it is known who called.
type Vendors struct {
	TapTalk *taptalktest.Server
	Haptik  *haptiktest.Server

	t     testing.TB
	mu    sync.Mutex
	calls []Call
}

// Call is one request that reached a vendor.
type Call struct {
	Worker      string
	Destination string
	At          time.Time
	body        []byte
}

// User returns the ID of the user that the call was about.
func (c *Call) User() string {
	if c.Destination == TapTalk {
		return field(c.body, "xcUserID")
	}
	return field(c.body, "auth_id")
}

// Name returns the user's name as it was sent.
func (c *Call) Name() string { return NameOf(c.Destination, c.body) }

// NewVendors returns simulators without users. They are closed with the test.
func NewVendors(t testing.TB) *Vendors {
	v := &Vendors{TapTalk: taptalktest.New(), Haptik: haptiktest.New(), t: t}
	t.Cleanup(v.TapTalk.Close)
	t.Cleanup(v.Haptik.Close)
	return v
}

// Latency makes every call to either vendor take d, whatever they did before.
func (v *Vendors) Latency(d time.Duration) {
	v.TapTalk.SetRules(vendortest.Rule{Latency: d})
	v.Haptik.SetRules(vendortest.Rule{Latency: d})
}

// Name returns what a destination holds as the name of a user, "" if it holds
// no such user.
func (v *Vendors) Name(destination, user string) string {
	name, _ := v.Current(destination, user)[nameField(destination)].(string)
	return name
}

// Current returns what a destination holds of a user, nil if it holds none.
func (v *Vendors) Current(destination, user string) map[string]any {
	if destination == TapTalk {
		return v.TapTalk.Current(user)
	}
	return v.Haptik.Current(user)
}

// Users returns the IDs of the users that a destination holds, sorted.
func (v *Vendors) Users(destination string) []string {
	if destination == TapTalk {
		return v.TapTalk.Users()
	}
	return v.Haptik.Users()
}

// Applied returns the names that a destination was given for a user, with the
// times at which it applied them, in that order.
func (v *Vendors) Applied(destination, user string) []vendortest.Version {
	history := v.TapTalk.History // both simulators have the same type of history
	if destination == Haptik {
		history = v.Haptik.History
	}
	all := slices.DeleteFunc(history(user), func(h vendortest.Version) bool { return h.Order == 0 })
	slices.SortFunc(all, func(a, b vendortest.Version) int { return a.Order - b.Order })
	return all
}

// Calls returns every call so far that match accepts, in the order they came.
func (v *Vendors) Calls(match func(Call) bool) []Call {
	v.mu.Lock()
	defer v.mu.Unlock()
	var all []Call
	for _, c := range v.calls {
		if match(c) {
			all = append(all, c)
		}
	}
	return all
}

// Count returns how many calls there were to a destination, by all workers.
func (v *Vendors) Count(destination string) int {
	return len(v.Calls(func(c Call) bool { return c.Destination == destination }))
}

// urls opens a worker's ports and returns their base URLs by destination.
func (v *Vendors) urls(worker string) map[string]string {
	tap := httptest.NewUnstartedServer(v.record(worker, TapTalk, v.TapTalk))
	tap.Config.ConnContext = v.TapTalk.ConnContext
	hap := httptest.NewUnstartedServer(v.record(worker, Haptik, v.Haptik))
	hap.Config.ConnContext = v.Haptik.ConnContext
	urls := map[string]string{}
	for destination, s := range map[string]*httptest.Server{TapTalk: tap, Haptik: hap} {
		s.Start()
		urls[destination] = s.URL
		v.t.Cleanup(func() {
			// A worker that was killed leaves calls that nobody waits for.
			s.CloseClientConnections()
			s.Close()
		})
	}
	return urls
}

// record notes each call and hands it on.
func (v *Vendors) record(worker, destination string, vendor http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at := time.Now()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client went away before it had said anything
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		v.mu.Lock()
		v.calls = append(v.calls, Call{Worker: worker, Destination: destination, At: at, body: body})
		v.mu.Unlock()
		vendor.ServeHTTP(w, r)
	})
}

// NameOf returns the user's name in the body of a call.
func NameOf(destination string, body []byte) string { return field(body, nameField(destination)) }

func nameField(destination string) string {
	if destination == TapTalk {
		return "fullName"
	}
	return "name"
}

// field returns a field of a JSON object as text.
func field(body []byte, name string) string {
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil {
		return ""
	}
	var text string
	if json.Unmarshal(fields[name], &text) == nil {
		return text
	}
	return strings.TrimSpace(string(fields[name])) // a number
}
