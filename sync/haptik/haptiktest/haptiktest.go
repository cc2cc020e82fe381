// Package haptiktest simulates Haptik's user API: POST registers and PUT updates,
// with knobs for what its documentation contradicts or leaves open.
package haptiktest

import (
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"usersync/sync/vendortest"
)

// What PostExisting and PutMissing can be, besides a status that is an error.
const (
	Update    = "update"    // an update all the same
	Ignore200 = "ignore200" // a 200 that changes nothing and echoes what was there
	Upsert    = "upsert"    // a registration all the same
)

// Knobs are how Haptik behaves where its documentation is silent or contradicts
// itself. The zero value of each is the kindest one.
type Knobs struct {
	// PostExisting answers a POST of a user that exists: Update (if empty),
	// Ignore200, "409" or "400".
	PostExisting string `json:"post_existing"`
	// PutMissing answers a PUT of a user that does not: "404" (if empty), "403",
	// "400" or Upsert.
	PutMissing     string `json:"put_missing"`
	PutEmpty       bool   `json:"put_empty"`       // a PUT is answered with no body
	Merge          bool   `json:"merge"`           // fields that are not sent keep their value; otherwise they are gone
	StrictAlphanum bool   `json:"strict_alphanum"` // auth_id is "alphanumeric", as documented
}

func (k Knobs) check() error {
	var errs []error
	if !slices.Contains([]string{"", Update, Ignore200, "409", "400"}, k.PostExisting) {
		errs = append(errs, errors.New("post_existing must be update, ignore200, 409 or 400"))
	}
	if !slices.Contains([]string{"", "404", "403", "400", Upsert}, k.PutMissing) {
		errs = append(errs, errors.New("put_missing must be 404, 403, 400 or upsert"))
	}
	return errors.Join(errs...)
}

// Server is a Haptik in a box: an http.Handler, a store and a script.
type Server struct {
	*vendortest.Server
	vendor *vendor
}

// New returns a simulator whose knobs the options turn.
func New(options ...func(*Knobs)) *Server {
	v := &vendor{}
	for _, option := range options {
		option(&v.knobs)
	}
	return &Server{Server: vendortest.New(v), vendor: v}
}

// Set turns knobs while the simulator runs.
func (s *Server) Set(options ...func(*Knobs)) {
	s.Change(func() {
		for _, option := range options {
			option(&s.vendor.knobs)
		}
	})
}

// vendor is guarded by the server's lock.
type vendor struct{ knobs Knobs }

func (v *vendor) IDField() string { return "auth_id" }

func (v *vendor) Knobs() any { return v.knobs }

func (v *vendor) SetKnobs(object []byte) error {
	k := v.knobs
	if err := vendortest.Decode(object, &k); err != nil {
		return err
	}
	if err := k.check(); err != nil {
		return err
	}
	v.knobs = k
	return nil
}

// Fault is an error as Haptik reports one; code is its message.
func (v *vendor) Fault(status int, code, field string) vendortest.Reply {
	if status == 0 {
		status = http.StatusBadRequest
	}
	if code == "" {
		code = strings.TrimSpace("simulated " + field)
	}
	return vendortest.JSON(status, map[string]string{"error_message": code})
}

var alphanumeric = regexp.MustCompile(`^[A-Za-z0-9]+$`)

// Judge checks in the order in which a server can: the address, the credentials,
// the body, the user.
func (v *vendor) Judge(c *vendortest.Call, view vendortest.View) (vendortest.Reply, map[string]any) {
	switch {
	case c.Path == "/v1.0/user":
		return vendortest.Reply{Status: http.StatusMovedPermanently, Header: http.Header{"Location": {"/v1.0/user/"}}}, nil
	case c.Path != "/v1.0/user/":
		return vendortest.Reply{Status: http.StatusNotFound, Body: []byte("<h1>Not Found</h1>")}, nil
	case c.Method != http.MethodPost && c.Method != http.MethodPut:
		return vendortest.Reply{Status: http.StatusMethodNotAllowed}, nil
	}
	if fault, ok := v.credentialFault(c.Header, view); ok {
		return fault, nil
	}
	switch {
	case c.User == "":
		return v.Fault(400, "auth_id is required", ""), nil
	case v.knobs.StrictAlphanum && !alphanumeric.MatchString(c.User):
		return v.Fault(400, "auth_id must be alphanumeric", ""), nil
	case !isFlat(c.Body["custom_data"]):
		return v.Fault(400, "custom_data must be valid flat JSON", ""), nil
	}
	old := view.Current(c.User)
	if c.Method == http.MethodPost && old != nil {
		switch v.knobs.PostExisting {
		case Ignore200:
			return echo(old), nil
		case "409":
			return v.Fault(409, "conflict", ""), nil
		case "400":
			return v.Fault(400, "user already exists", ""), nil
		}
	}
	if c.Method == http.MethodPut && old == nil {
		switch v.knobs.PutMissing {
		case "", "404":
			return v.Fault(404, "no such user", ""), nil
		case "403":
			return v.Fault(403, "user is not registered", ""), nil
		case "400":
			return v.Fault(400, "user not found", ""), nil
		}
	}
	next := view.Put(c.User, c.Body, v.knobs.Merge)
	if c.Method == http.MethodPut && v.knobs.PutEmpty {
		return vendortest.Reply{Status: http.StatusOK, OK: true}, next
	}
	return echo(next), next
}

// credentialFault returns what is wrong with the headers. Haptik documents the
// 401; the other texts are those of its sister endpoints, whose status it does
// not state.
func (v *vendor) credentialFault(h http.Header, view vendortest.View) (vendortest.Reply, bool) {
	token, bearer := strings.CutPrefix(h.Get("Authorization"), "Bearer ")
	switch {
	case h.Get("Client-Id") == "":
		return v.Fault(400, "client_id missing in headers", ""), true
	case !bearer || token == "":
		return v.Fault(400, "token missing in headers", ""), true
	case view.Key(h.Get("Client-Id"), token) != vendortest.Valid:
		return v.Fault(401, "invalid authorization details", ""), true
	}
	return vendortest.Reply{}, false
}

func isFlat(custom any) bool {
	entries, ok := custom.(map[string]any)
	if !ok {
		return custom == nil || custom == ""
	}
	for _, v := range entries {
		switch v.(type) {
		case map[string]any, []any:
			return false
		}
	}
	return true
}

// echo is the documented answer to a POST: four fields.
func echo(state map[string]any) vendortest.Reply {
	body := map[string]any{}
	for _, field := range []string{"auth_id", "mobile_no", "email", "name"} {
		body[field] = state[field]
	}
	r := vendortest.JSON(http.StatusOK, body)
	r.OK = true
	return r
}
