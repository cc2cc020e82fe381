package haptik

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"pgregory.net/rapid"

	usync "usersync/sync"
)

const payload = `{"auth_id":"7","mobile_no":"6281","email":"a@example.com","name":"Ann"}`

func message(m string) string {
	b, _ := json.Marshal(map[string]string{"error_message": m})
	return string(b)
}

// The classification table, row by row.
func TestClassify(t *testing.T) {
	const put, post = http.MethodPut, http.MethodPost
	html := "<html>Bad Gateway</html>"
	type want struct {
		verdict   usync.Verdict
		code      string
		ambiguous bool
		other     bool
	}
	for name, c := range map[string]struct {
		method string
		status int
		body   string
		want   want
	}{
		"429":                {put, 429, html, want{usync.Failed, "http_429", false, false}},
		"429 before words":   {put, 429, message("invalid token"), want{usync.Failed, "http_429", false, false}},
		"408":                {put, 408, "", want{usync.Failed, "http_408", true, false}},
		"425":                {put, 425, "", want{usync.Failed, "http_425", false, false}},
		"500":                {put, 500, message("x"), want{usync.Failed, "http_500", false, false}},
		"500 before words":   {put, 500, message("invalid token"), want{usync.Failed, "http_500", false, false}},
		"502":                {put, 502, html, want{usync.Failed, "http_502", true, false}},
		"503":                {put, 503, html, want{usync.Failed, "http_503", false, false}},
		"504":                {put, 504, html, want{usync.Failed, "http_504", true, false}},
		"401":                {put, 401, message("invalid authorization details"), want{usync.Refused, "http_401", false, false}},
		"401 bare":           {post, 401, "", want{usync.Refused, "http_401", false, false}},
		"client_id missing":  {put, 400, message("client_id missing in headers"), want{usync.Refused, "credentials", false, false}},
		"client_id invalid":  {post, 403, message("invalid client_id in headers"), want{usync.Refused, "credentials", false, false}},
		"token missing":      {put, 404, message("token missing in headers"), want{usync.Refused, "credentials", false, false}},
		"token invalid":      {put, 400, message("Invalid Token provided"), want{usync.Refused, "credentials", false, false}},
		"authorization":      {put, 422, message("Authorization required"), want{usync.Refused, "credentials", false, false}},
		"header":             {put, 400, message("bad header"), want{usync.Refused, "credentials", false, false}},
		"words under 200":    {put, 200, message("invalid token provided"), want{usync.Refused, "credentials", true, false}},
		"tokenised":          {put, 400, message("push_token tokenised"), want{usync.Rejected, "http_400", false, false}},
		"404 JSON":           {put, 404, `{"detail":"Not found."}`, want{usync.Rejected, "missing", false, true}},
		"403 not registered": {put, 403, message("user is not registered"), want{usync.Rejected, "missing", false, true}},
		"403 Invalid_User":   {put, 403, message("Invalid_User"), want{usync.Rejected, "missing", false, true}},
		"400 not registered": {put, 400, message("User not registered"), want{usync.Rejected, "missing", false, true}},
		"400 not found":      {put, 400, message("user not found"), want{usync.Rejected, "missing", false, true}},
		"400 does not exist": {put, 400, message("user does not exist"), want{usync.Rejected, "missing", false, true}},
		"missing to POST":    {post, 403, message("user is not registered"), want{usync.Refused, "http_403", false, false}},
		"404 JSON to POST":   {post, 404, `{}`, want{usync.Refused, "http_404", false, false}},
		"POST 409":           {post, 409, "", want{usync.Rejected, "exists", false, true}},
		"POST exist":         {post, 400, message("user already exists"), want{usync.Rejected, "exists", false, true}},
		"POST duplicate":     {post, 400, message("Duplicate auth_id"), want{usync.Rejected, "exists", false, true}},
		"POST not exist":     {post, 400, message("team does not exist"), want{usync.Rejected, "http_400", false, false}},
		"PUT 409":            {put, 409, message("exists"), want{usync.Rejected, "http_409", false, false}},
		"403 other":          {put, 403, message("forbidden"), want{usync.Refused, "http_403", false, false}},
		"403 HTML":           {put, 403, html, want{usync.Refused, "http_403", false, false}},
		"301":                {put, 301, "", want{usync.Refused, "http_301", false, false}},
		"308":                {post, 308, html, want{usync.Refused, "http_308", false, false}},
		"404 HTML":           {put, 404, html, want{usync.Refused, "http_404", false, false}},
		"404 empty":          {put, 404, "", want{usync.Refused, "http_404", false, false}},
		"405 HTML":           {post, 405, html, want{usync.Refused, "http_405", false, false}},
		"400 other":          {put, 400, message("custom_data must be flat"), want{usync.Rejected, "http_400", false, false}},
		"413":                {put, 413, html, want{usync.Rejected, "http_413", false, false}},
		"422":                {post, 422, message("email"), want{usync.Rejected, "http_422", false, false}},
		"unknown 4xx":        {put, 418, "", want{usync.Rejected, "http_418", false, false}},
		"no status at all":   {put, 0, "", want{usync.Failed, "http_other", false, false}},
		"200":                {put, 200, payload, want{}},
		"200 number":         {put, 200, `{"auth_id":7}`, want{}},
		"200 no auth_id":     {put, 200, `{}`, want{}},
		"200 null auth_id":   {put, 200, `{"auth_id":null}`, want{}},
		"201":                {post, 201, payload, want{}},
		"empty PUT":          {put, 200, " \n", want{}},
		"204 PUT":            {put, 204, "", want{}},
		"empty POST":         {post, 200, "", want{usync.Failed, "not_json", true, false}},
		"HTML under 200":     {put, 200, html, want{usync.Failed, "not_json", true, false}},
		"array":              {put, 200, `[]`, want{usync.Failed, "not_json", true, false}},
		"null":               {put, 200, `null`, want{usync.Failed, "not_json", true, false}},
		"two objects":        {put, 200, `{}{}`, want{usync.Failed, "not_json", true, false}},
		"error under 200":    {put, 200, message("try later"), want{usync.Failed, "error_message", true, false}},
		"somebody else":      {put, 200, `{"auth_id":"8"}`, want{usync.Failed, "other_user", true, false}},
		"POST echo differs":  {post, 200, `{"auth_id":"7","name":"Old"}`, want{other: true}},
		"POST echo is blank": {post, 200, `{"auth_id":"7","email":null}`, want{other: true}},
		"PUT echo differs":   {put, 200, `{"auth_id":"7","name":"Old"}`, want{}},
	} {
		t.Run(name, func(t *testing.T) {
			a := classify(c.method, &usync.Reply{Status: c.status, Body: []byte(c.body)}, readSent([]byte(payload)))
			got := want{other: a.other}
			if a.err != nil {
				e, ok := errors.AsType[*usync.CallError](a.err)
				if !ok {
					t.Fatalf("error is %T", a.err)
				}
				got.verdict, got.code, got.ambiguous = e.Verdict, e.Code, e.Ambiguous
				if e.Throttled != (c.status == 429) {
					t.Errorf("throttled: %v", e.Throttled)
				}
			}
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// Words that a user brought along are not Haptik's.
func TestSentValuesAreNotWords(t *testing.T) {
	for name, c := range map[string]struct {
		name, message string
		code          string
	}{
		"a name":            {"Token", "name Token is too short", "http_400"},
		"in another case":   {"Token", "NAME TOKEN IS TOO SHORT", "http_400"},
		"quoted":            {"user already exists", `bad name "user already exists"`, "http_400"},
		"part of a word":    {"e", "user already exists", "exists"},
		"twice":             {"header", "header and header", "http_400"},
		"next to a bracket": {"header", "(header)", "http_400"},
		"not only a name":   {"header", "header: bad header_x token", "credentials"},
	} {
		t.Run(name, func(t *testing.T) {
			body, _ := json.Marshal(map[string]any{"auth_id": "7", "name": c.name})
			a := classify(http.MethodPost, &usync.Reply{Status: 400, Body: []byte(message(c.message))}, readSent(body))
			e, _ := errors.AsType[*usync.CallError](a.err)
			if e == nil || e.Code != c.code {
				t.Errorf("got %v, want %s", a.err, c.code)
			}
		})
	}
	custom := readSent([]byte(`{"auth_id":"7","custom_data":{"token":"header","n":401}}`))
	if got := strings.Fields(custom.strip("custom_data token must not be header or 401")); strings.Join(got, " ") != "custom_data must not be or" {
		t.Errorf("got %q", got)
	}
}

// A value that stands alone goes, and nothing that a value is only a part of.
func TestStripModel(t *testing.T) {
	word := rapid.SampledFrom([]string{"a", "ab", "aba", "token", "tok", "é", "x_y", "x"})
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOf(word).Draw(t, "words")
		value := word.Draw(t, "value")
		var want []string
		for _, w := range words {
			if w != value {
				want = append(want, w)
			}
		}
		got := strings.Fields(stripOne(strings.Join(words, " "), value))
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}

// Whatever a server answers, the outcome is one of a bounded set and holds nothing
// of the reply.
func FuzzClassify(f *testing.F) {
	f.Add(true, 200, payload)
	f.Add(true, 403, message("user is not registered"))
	f.Add(false, 409, message("planted-value exists"))
	f.Add(false, 200, `{"auth_id":"7","name":["planted-value"]}`)
	f.Add(true, 404, "<html>")
	codes := map[string]bool{codeCredentials: true, codeMissing: true, codeExists: true, codeNotJSON: true, codeOtherUser: true, codeMessage: true}
	s := readSent([]byte(`{"auth_id":"7","name":"planted-value"}`))
	f.Fuzz(func(t *testing.T, put bool, status int, body string) {
		method := http.MethodPost
		if put {
			method = http.MethodPut
		}
		a := classify(method, &usync.Reply{Status: status, Body: []byte(body)}, s)
		if a.err == nil {
			if status < 200 || status > 299 {
				t.Fatalf("status %d is OK", status)
			}
			return
		}
		e, ok := errors.AsType[*usync.CallError](a.err)
		if !ok || e.Verdict == usync.OK || e.Field != "" {
			t.Fatalf("got %#v", a.err)
		}
		if n, isHTTP := strings.CutPrefix(e.Code, "http_"); !codes[e.Code] && (!isHTTP || len(n) != 3 && n != "other") {
			t.Fatalf("code %q", e.Code)
		}
	})
}
