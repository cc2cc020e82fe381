package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"usersync/sync/haptik/haptiktest"
	"usersync/sync/taptalk/taptalktest"
	"usersync/sync/vendortest"
)

// latency is how long a vendor on a good day takes to answer.
const latency = 20 * time.Millisecond

// simulator is what both simulators can do.
type simulator interface {
	http.Handler
	SetRules(rules ...vendortest.Rule)
	SetKeys(keys ...vendortest.Key)
	Current(id string) map[string]any
	Stats() vendortest.Stats
	Close()
}

// vendor is one destination: a simulator on a port of its own, and the file in
// which the worker finds the key.
type vendor struct {
	destination string // as the worker calls it
	title       string // as people do
	note        string // on what it costs
	sim         simulator
	url         string
	server      *http.Server
	keyFile     string
	want        func(*row) map[string]string // what it must hold of a user

	mu     sync.Mutex
	keys   int               // issued so far
	faults []vendortest.Rule // of troubles that go on
	poison []vendortest.Rule // users that it rejects, for good
}

// startVendors starts both simulators; their key files go to dir.
func startVendors(dir string) ([]*vendor, error) {
	vendors := []*vendor{
		{destination: "taptalk", title: "TapTalk", sim: taptalktest.New(), want: func(r *row) map[string]string {
			return map[string]string{
				"fullName": r.FullName, "email": r.Email, "phone": r.digits(), "username": r.Username,
				"photoThumbnailURL": r.AvatarURL, "photoFullsizeURL": r.AvatarURL,
			}
		}},
		{destination: "haptik", title: "Haptik", note: " (a new user takes two)", sim: haptiktest.New(), want: func(r *row) map[string]string {
			return map[string]string{
				"name": r.FullName, "email": r.Email, "mobile_no": r.digits(), "language_code": r.Language,
			}
		}},
	}
	for i, v := range vendors {
		if err := v.start(dir); err != nil {
			for _, started := range vendors[:i] {
				started.close()
			}
			return nil, fmt.Errorf("%s: %w", v.title, err)
		}
	}
	return vendors, nil
}

func (v *vendor) start(dir string) error {
	v.keyFile = filepath.Join(dir, v.destination+".key")
	v.revoke()
	if err := v.issue(); err != nil {
		return err
	}
	v.script()
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	v.url = "http://" + l.Addr().String()
	v.server = &http.Server{
		Handler:           v.sim,
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, 0), // a killed worker's connections are no news
	}
	go func() { _ = v.server.Serve(l) }() // ends with close
	return nil
}

func (v *vendor) close() {
	_ = v.server.Close()
	v.sim.Close()
}

// revoke makes the vendor accept no key but one that nobody has yet.
func (v *vendor) revoke() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.keys++
	v.sim.SetKeys(vendortest.Key{ID: "demo", Secret: v.secret()})
}

// issue writes the key that the vendor accepts into the worker's file.
func (v *vendor) issue() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	// Under another name first: the worker must not read half a key.
	next := v.keyFile + ".next"
	if err := os.WriteFile(next, []byte(v.secret()), 0o600); err != nil {
		return err
	}
	return os.Rename(next, v.keyFile)
}

func (v *vendor) secret() string { return "secret-" + strconv.Itoa(v.keys) }

// fault makes every call go the way of r, until mend.
func (v *vendor) fault(r vendortest.Rule) {
	v.mu.Lock()
	v.faults = append(v.faults, r)
	v.mu.Unlock()
	v.script()
}

// mend ends the faults of a name.
func (v *vendor) mend(name string) {
	v.mu.Lock()
	var left []vendortest.Rule
	for _, r := range v.faults {
		if r.Name != name {
			left = append(left, r)
		}
	}
	v.faults = left
	v.mu.Unlock()
	v.script()
}

// reject makes the vendor reject a user for good.
func (v *vendor) reject(user int) {
	v.mu.Lock()
	// With a field it is the user's fault. TapTalk's first code for a 400 is about
	// the request's headers.
	v.poison = append(v.poison, vendortest.Rule{Name: "poison", User: strconv.Itoa(user), Status: http.StatusBadRequest, Field: "email"})
	v.mu.Unlock()
	v.script()
}

// script tells the simulator all of it. An outage comes before a judgement.
func (v *vendor) script() {
	v.mu.Lock()
	defer v.mu.Unlock()
	rules := []vendortest.Rule{{Name: "latency", Latency: latency}}
	rules = append(rules, v.faults...)
	v.sim.SetRules(append(rules, v.poison...)...)
}

// right counts the users of which the vendor holds exactly what it must.
func (v *vendor) right(users map[int]row) int {
	n := 0
	for id, r := range users {
		if v.holds(strconv.Itoa(id), &r) {
			n++
		}
	}
	return n
}

func (v *vendor) holds(id string, r *row) bool {
	has := v.sim.Current(id)
	if has == nil {
		return false
	}
	for field, want := range v.want(r) {
		if has[field] != want {
			return false
		}
	}
	return true
}
