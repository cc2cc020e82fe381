package haptik

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"

	usync "usersync/sync"
)

// answer is what a reply means.
type answer struct {
	err error // a *usync.CallError; nil: OK
	// other says that the other method is the right one: PUT for a user that
	// exists, POST for one that does not.
	other bool
}

// Haptik documents one error, 401 with {"error_message":"invalid authorization
// details"}; what it says elsewhere is known from its other endpoints. So words
// are looked for, whole and in lower case.
var (
	aboutCredentials = regexp.MustCompile(`\b(client[_-]id|token|authorization|headers?)\b`)
	aboutMissing     = regexp.MustCompile(`\b(not registered|invalid_user|not found|not exist)\b`)
	aboutExisting    = regexp.MustCompile(`\b(exists?|existing|duplicate)\b`)
)

// Codes of this package; every other one is http_ and a status.
const (
	codeCredentials = "credentials"   // a message about the request's headers
	codeMissing     = "missing"       // no such user
	codeExists      = "exists"        // there is such a user
	codeNotJSON     = "not_json"      // a 2xx that is not Haptik's
	codeOtherUser   = "other_user"    // a 2xx for somebody else
	codeMessage     = "error_message" // a 2xx that reports an error
)

// classify turns the reply to method into what it means.
func classify(method string, r *usync.Reply, s sent) answer {
	body := parse(r.Body)
	if r.Status >= 200 && r.Status < 300 {
		return accepted(method, r, body, s)
	}
	message := s.strip(body.message())
	fault := func(v usync.Verdict, code string, other bool) answer {
		e := r.Fault(v, r.Status)
		if code != "" {
			e.Code = code
		}
		return answer{err: e, other: other}
	}
	switch {
	case usync.Transient(r.Status):
		return fault(usync.Failed, "", false)
	case r.Status == http.StatusUnauthorized:
		return fault(usync.Refused, "", false)
	case aboutCredentials.MatchString(message):
		return fault(usync.Refused, codeCredentials, false)
	case method == http.MethodPut && isMissing(r.Status, body != nil, message):
		return fault(usync.Rejected, codeMissing, true)
	case method == http.MethodPost && isExisting(r.Status, message):
		return fault(usync.Rejected, codeExists, true)
	case r.Status == 403, r.Status == 404, r.Status == 405, r.Status >= 300 && r.Status < 400:
		return fault(usync.Refused, "", false)
	case r.Status >= 400 && r.Status < 500:
		return fault(usync.Rejected, "", false)
	default:
		return fault(usync.Failed, "", false)
	}
}

// isMissing reports whether the answer to a PUT says that there is no such user.
// A 404 without JSON comes from a proxy or another server: a wrong URL.
func isMissing(status int, isJSON bool, message string) bool {
	return status == 404 && isJSON ||
		(status == 400 || status == 403) && aboutMissing.MatchString(message)
}

// isExisting reports whether the answer to a POST says that there is such a user.
func isExisting(status int, message string) bool {
	return status == 409 ||
		status == 400 && aboutExisting.MatchString(message) && !aboutMissing.MatchString(message)
}

// accepted judges a 2xx. What can't be Haptik's word for this user is Failed, and
// ambiguous: it may have been saved all the same.
func accepted(method string, r *usync.Reply, body reply, s sent) answer {
	drift := func(v usync.Verdict, code string) answer {
		return answer{err: &usync.CallError{Verdict: v, Code: code, Ambiguous: true}}
	}
	if body == nil {
		if method == http.MethodPut && len(bytes.TrimSpace(r.Body)) == 0 {
			return answer{} // Haptik does not document what answers a PUT
		}
		return drift(usync.Failed, codeNotJSON)
	}
	if m := text(body["error_message"]); m != "" {
		if aboutCredentials.MatchString(s.strip(m)) {
			return drift(usync.Refused, codeCredentials)
		}
		return drift(usync.Failed, codeMessage)
	}
	if id := text(body["auth_id"]); id != "" && id != s.text("auth_id") {
		return drift(usync.Failed, codeOtherUser)
	}
	// A POST that was ignored, because the user exists, echoes what was there.
	return answer{other: method == http.MethodPost && !s.echoed(body)}
}

// reply is the JSON object of a reply; nil if it is none.
type reply map[string]any

func parse(b []byte) reply {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var r reply
	if d.Decode(&r) != nil || d.More() {
		return nil
	}
	return r
}

// message returns the text of an error. Only error_message is documented; the
// others are where web frameworks put theirs.
func (r reply) message() string {
	for _, key := range []string{"error_message", "error", "message", "detail"} {
		if m := text(r[key]); m != "" {
			return strings.ToLower(m)
		}
	}
	return ""
}

// text returns a JSON string or number as text, and "" for anything else.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	default:
		return ""
	}
}
