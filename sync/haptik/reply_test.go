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

const (
	put  = http.MethodPut
	post = http.MethodPost
	html = "<html>Bad Gateway</html>"
)

// meaning is an answer in a form that compares.
type meaning struct {
	verdict   usync.Verdict
	code      string
	ambiguous bool
	other     bool
}

// classification is the table, row by row.
var classification = map[string]struct {
	method string
	status int
	body   string
	want   meaning
}{
	"429":                {put, 429, html, meaning{usync.Failed, "http_429", false, false}},
	"429 before words":   {put, 429, message("invalid token"), meaning{usync.Failed, "http_429", false, false}},
	"408":                {put, 408, "", meaning{usync.Failed, "http_408", true, false}},
	"425":                {put, 425, "", meaning{usync.Failed, "http_425", false, false}},
	"500":                {put, 500, message("x"), meaning{usync.Failed, "http_500", false, false}},
	"500 before words":   {put, 500, message("invalid token"), meaning{usync.Failed, "http_500", false, false}},
	"502":                {put, 502, html, meaning{usync.Failed, "http_502", true, false}},
	"503":                {put, 503, html, meaning{usync.Failed, "http_503", false, false}},
	"504":                {put, 504, html, meaning{usync.Failed, "http_504", true, false}},
	"401":                {put, 401, message("invalid authorization details"), meaning{usync.Refused, "http_401", false, false}},
	"401 bare":           {post, 401, "", meaning{usync.Refused, "http_401", false, false}},
	"client_id missing":  {put, 400, message("client_id missing in headers"), meaning{usync.Refused, "credentials", false, false}},
	"client_id invalid":  {post, 403, message("invalid client_id in headers"), meaning{usync.Refused, "credentials", false, false}},
	"token missing":      {put, 404, message("token missing in headers"), meaning{usync.Refused, "credentials", false, false}},
	"token invalid":      {put, 400, message("Invalid Token provided"), meaning{usync.Refused, "credentials", false, false}},
	"authorization":      {put, 422, message("Authorization required"), meaning{usync.Refused, "credentials", false, false}},
	"header":             {put, 400, message("bad header"), meaning{usync.Refused, "credentials", false, false}},
	"words under 200":    {put, 200, message("invalid token provided"), meaning{usync.Refused, "credentials", true, false}},
	"tokenised":          {put, 400, message("push_token tokenised"), meaning{usync.Rejected, "http_400", false, false}},
	"404 JSON":           {put, 404, `{"detail":"Not found."}`, meaning{usync.Rejected, "missing", false, true}},
	"403 not registered": {put, 403, message("user is not registered"), meaning{usync.Rejected, "missing", false, true}},
	"403 Invalid_User":   {put, 403, message("Invalid_User"), meaning{usync.Rejected, "missing", false, true}},
	"400 not registered": {put, 400, message("User not registered"), meaning{usync.Rejected, "missing", false, true}},
	"400 not found":      {put, 400, message("user not found"), meaning{usync.Rejected, "missing", false, true}},
	"400 does not exist": {put, 400, message("user does not exist"), meaning{usync.Rejected, "missing", false, true}},
	"missing to POST":    {post, 403, message("user is not registered"), meaning{usync.Refused, "http_403", false, false}},
	"404 JSON to POST":   {post, 404, `{}`, meaning{usync.Refused, "http_404", false, false}},
	"POST 409":           {post, 409, "", meaning{usync.Rejected, "exists", false, true}},
	"POST exist":         {post, 400, message("user already exists"), meaning{usync.Rejected, "exists", false, true}},
	"POST duplicate":     {post, 400, message("Duplicate auth_id"), meaning{usync.Rejected, "exists", false, true}},
	"POST not exist":     {post, 400, message("team does not exist"), meaning{usync.Rejected, "http_400", false, false}},
	"PUT 409":            {put, 409, message("exists"), meaning{usync.Rejected, "http_409", false, false}},
	"403 other":          {put, 403, message("forbidden"), meaning{usync.Refused, "http_403", false, false}},
	"403 HTML":           {put, 403, html, meaning{usync.Refused, "http_403", false, false}},
	"301":                {put, 301, "", meaning{usync.Refused, "http_301", false, false}},
	"308":                {post, 308, html, meaning{usync.Refused, "http_308", false, false}},
	"404 HTML":           {put, 404, html, meaning{usync.Refused, "http_404", false, false}},
	"404 empty":          {put, 404, "", meaning{usync.Refused, "http_404", false, false}},
	"405 HTML":           {post, 405, html, meaning{usync.Refused, "http_405", false, false}},
	"400 other":          {put, 400, message("custom_data must be flat"), meaning{usync.Rejected, "http_400", false, false}},
	"413":                {put, 413, html, meaning{usync.Rejected, "http_413", false, false}},
	"422":                {post, 422, message("email"), meaning{usync.Rejected, "http_422", false, false}},
	"unknown 4xx":        {put, 418, "", meaning{usync.Rejected, "http_418", false, false}},
	"no status at all":   {put, 0, "", meaning{usync.Failed, "http_other", false, false}},
	"200":                {put, 200, payload, meaning{}},
	"200 number":         {put, 200, `{"auth_id":7}`, meaning{}},
	"200 no auth_id":     {put, 200, `{}`, meaning{}},
	"200 null auth_id":   {put, 200, `{"auth_id":null}`, meaning{}},
	"201":                {post, 201, payload, meaning{}},
	"empty PUT":          {put, 200, " \n", meaning{}},
	"204 PUT":            {put, 204, "", meaning{}},
	"empty POST":         {post, 200, "", meaning{usync.Failed, "not_json", true, false}},
	"HTML under 200":     {put, 200, html, meaning{usync.Failed, "not_json", true, false}},
	"array":              {put, 200, `[]`, meaning{usync.Failed, "not_json", true, false}},
	"null":               {put, 200, `null`, meaning{usync.Failed, "not_json", true, false}},
	"two objects":        {put, 200, `{}{}`, meaning{usync.Failed, "not_json", true, false}},
	"error under 200":    {put, 200, message("try later"), meaning{usync.Failed, "error_message", true, false}},
	"somebody else":      {put, 200, `{"auth_id":"8"}`, meaning{usync.Failed, "other_user", true, false}},
	"POST echo differs":  {post, 200, `{"auth_id":"7","name":"Old"}`, meaning{other: true}},
	"POST echo is blank": {post, 200, `{"auth_id":"7","email":null}`, meaning{other: true}},
	"PUT echo differs":   {put, 200, `{"auth_id":"7","name":"Old"}`, meaning{}},
}

func TestClassify(t *testing.T) {
	for name, c := range classification {
		t.Run(name, func(t *testing.T) {
			a := classify(c.method, &usync.Reply{Status: c.status, Body: []byte(c.body)}, readSent([]byte(payload)))
			got := meaning{other: a.other}
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
