// Package vendortest is what the simulators of all vendors share: a store that
// keeps every version of every user it was ever given, a script of faults, and an
// HTTP API to read the one and write the other.
//
// A simulator is an http.Handler and nothing else. It opens no socket, reads time
// only from package time, and waits only on timers and channels: it works the
// same behind net/http on a real port and in a testing/synctest bubble.
package vendortest

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
)

// Vendor is what differs between the simulators. The server calls it with its
// lock held: it must not block, and needs no lock of its own.
type Vendor interface {
	// IDField names the field of a body that holds the user's ID.
	IDField() string
	// Judge answers a call. next is the state that it leaves the user in; nil if
	// it changes nothing.
	Judge(c *Call, v View) (r Reply, next map[string]any)
	// Fault is an error as the vendor reports one. Zero values choose a typical one.
	Fault(status int, code, field string) Reply
	// Knobs returns how the vendor behaves, for JSON, and SetKnobs changes what a
	// JSON object names.
	Knobs() any
	SetKnobs(object []byte) error
}

// Call is a request as the vendor sees it.
type Call struct {
	User   string // "" if the body names none
	Method string
	Path   string
	Header http.Header
	Body   map[string]any // nil if it is not a JSON object; numbers are json.Number
}

// Reply is an answer of a vendor.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte
	OK     bool // the client is told that all is well
}

// JSON returns a reply with v as its body.
func JSON(status int, v any) Reply {
	b, err := json.Marshal(v)
	if err != nil {
		return Reply{Status: http.StatusInternalServerError}
	}
	return Reply{Status: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: b}
}

// Decode reads a JSON object into v, strictly: a knob that does not exist must
// not look as if it had been turned.
func Decode(object []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(object))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

// Key is a credential that the vendor issued.
type Key struct {
	ID     string   `json:"id"`
	Secret string   `json:"secret"`
	State  KeyState `json:"state,omitempty"` // Valid when empty
}

// KeyState says what became of a key.
type KeyState string

// The states of a key.
const (
	Valid     KeyState = ""
	Expired   KeyState = "expired"
	Suspended KeyState = "suspended"
	Unknown   KeyState = "unknown" // no such ID, or not its secret
)

// View is what a vendor may see of the store.
type View struct{ s *Server }

// Current returns the state of a user, nil if there is none. It must not be changed.
func (v View) Current(id string) map[string]any {
	if u := v.s.users[id]; u != nil {
		return u.current
	}
	return nil
}

// Taken reports whether another user than id has value in field.
func (v View) Taken(field, value, id string) bool {
	for other, u := range v.s.users {
		if other != id && u.current != nil && u.current[field] == value {
			return true
		}
	}
	return false
}

// Key looks a credential up. While no keys are set, every one is valid.
func (v View) Key(id, secret string) KeyState {
	if len(v.s.keys) == 0 {
		return Valid
	}
	for _, k := range v.s.keys {
		if k.ID == id && k.Secret == secret {
			return k.State
		}
	}
	return Unknown
}

// Put returns what body makes of the current state of a user: with merge, the
// fields that body does not name stay.
func (v View) Put(id string, body map[string]any, merge bool) map[string]any {
	next := make(map[string]any, len(body))
	if merge {
		maps.Copy(next, v.Current(id))
	}
	maps.Copy(next, body)
	return next
}
