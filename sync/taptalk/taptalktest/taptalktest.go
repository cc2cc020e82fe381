// Package taptalktest simulates TapTalk's server API: the user update, with the
// answers that TapTalk documents, and with knobs for what it leaves open.
package taptalktest

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"usersync/sync/vendortest"
)

// The status modes: whether an error's status is HTTP's too.
const (
	Body200  = "body200"  // always 200, as the documentation of TapTalk's other products shows
	Mirrored = "mirrored" // HTTP's status is the body's
)

// Knobs are how TapTalk behaves where its documentation is silent. The zero value
// of each is the lenient one.
type Knobs struct {
	StatusMode     string   `json:"status_mode"`     // Body200 or Mirrored; Body200 if empty
	Merge          bool     `json:"merge"`           // fields that are not sent keep their value; otherwise they are gone
	StrictPhone    bool     `json:"strict_phone"`    // digits that start with a country code
	StrictURL      bool     `json:"strict_url"`      // absolute, http or https
	Roles          []string `json:"roles"`           // the role codes of the app; any if empty
	UniqueUsername bool     `json:"unique_username"` // no two users share one
}

func (k Knobs) check() error {
	if !slices.Contains([]string{"", Body200, Mirrored}, k.StatusMode) {
		return errors.New("status_mode must be body200 or mirrored")
	}
	return nil
}

// Server is a TapTalk in a box: an http.Handler, a store and a script.
type Server struct {
	*vendortest.Server
	vendor *vendor
}

// New returns a simulator whose knobs the options turn.
func New(options ...func(*Knobs)) *Server {
	v := &vendor{ids: map[string]string{}}
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
type vendor struct {
	knobs Knobs
	ids   map[string]string // TapTalk's own user ID, by ours
}

func (v *vendor) IDField() string { return "xcUserID" }

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

// Fault is an error in TapTalk's envelope. Without a code, the status gets the
// first of its family.
func (v *vendor) Fault(status int, code, field string) vendortest.Reply {
	if n, ok := numbers[field]; ok {
		field = n
	}
	if code == "" && (status == 0 || field != "") {
		code = "40002"
	}
	if status == 0 {
		status = http.StatusBadRequest
		if n, err := strconv.Atoi(code); err == nil && n/100 < 600 {
			status = n / 100
		}
	}
	if code == "" {
		code = strconv.Itoa(status*100 + 1)
	}
	return v.reply(status, code, "simulated", field, map[string]any{})
}

func (v *vendor) reply(status int, code, message, field string, data map[string]any) vendortest.Reply {
	outer := http.StatusOK
	if v.knobs.StatusMode == Mirrored {
		outer = status
	}
	r := vendortest.JSON(outer, map[string]any{
		"status": status,
		"error":  map[string]string{"code": code, "message": message, "field": field},
		"data":   data,
	})
	r.OK = code == ""
	return r
}

// numbers are the fields of an error by name.
var numbers = map[string]string{
	"xcUserID": "105", "fullName": "106", "email": "107", "phone": "108", "username": "109",
	"photoThumbnailURL": "110", "photoFullsizeURL": "111", "userRoleCode": "112",
}

// Judge checks in the order in which a server can: the address, the key, the
// body, the fields.
func (v *vendor) Judge(c *vendortest.Call, view vendortest.View) (vendortest.Reply, map[string]any) {
	if c.Path != "/v1/server/user/update" {
		return vendortest.Reply{Status: http.StatusNotFound, Body: []byte("404 page not found\n")}, nil
	}
	if c.Method != http.MethodPost {
		return vendortest.Reply{Status: http.StatusMethodNotAllowed}, nil
	}
	if code := keyFault(c.Header.Get("Server-Key"), view); code != "" {
		return v.Fault(0, code, ""), nil
	}
	if c.Body == nil {
		return v.Fault(0, "40002", ""), nil
	}
	for _, check := range []struct {
		field string
		bad   bool
	}{
		{"xcUserID", c.User == "" || utf8.RuneCountInString(c.User) > 50},
		{"fullName", strings.TrimSpace(field(c, "fullName")) == ""},
		{"phone", v.knobs.StrictPhone && !phone.MatchString(field(c, "phone"))},
		{"username", v.knobs.UniqueUsername && field(c, "username") != "" && view.Taken("username", field(c, "username"), c.User)},
		{"photoThumbnailURL", v.knobs.StrictURL && !isURL(field(c, "photoThumbnailURL"))},
		{"photoFullsizeURL", v.knobs.StrictURL && !isURL(field(c, "photoFullsizeURL"))},
		{"userRoleCode", !v.knownRole(field(c, "userRoleCode"))},
	} {
		if check.bad {
			return v.Fault(0, "40002", check.field), nil
		}
	}
	id, known := v.ids[c.User]
	if !known {
		// On purpose nothing like ours: nobody should compare them.
		id = strconv.Itoa(900001 + len(v.ids))
		v.ids[c.User] = id
	}
	reply := v.reply(http.StatusOK, "", "", "", map[string]any{"userID": id})
	return reply, view.Put(c.User, c.Body, v.knobs.Merge)
}

// keyFault returns the code of what is wrong with a Server-Key, or "".
func keyFault(header string, view vendortest.View) string {
	if header == "" {
		return "40001"
	}
	pair, err := base64.StdEncoding.DecodeString(header)
	id, secret, ok := strings.Cut(string(pair), ":")
	if err != nil || !ok {
		return "49102"
	}
	switch view.Key(id, secret) {
	case vendortest.Valid:
		return ""
	case vendortest.Expired:
		return "49106"
	case vendortest.Suspended:
		return "49202"
	default:
		return "49103"
	}
}

// Empty is fine everywhere: it is how a value is cleared.
var phone = regexp.MustCompile(`^([1-9][0-9]{5,19})?$`)

func isURL(s string) bool {
	u, err := url.Parse(s)
	return s == "" || err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}

func (v *vendor) knownRole(role string) bool {
	return role == "" || len(v.knobs.Roles) == 0 || slices.Contains(v.knobs.Roles, role)
}

func field(c *vendortest.Call, name string) string {
	s, _ := c.Body[name].(string)
	return s
}
