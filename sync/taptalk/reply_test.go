package taptalk

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	usync "usersync/sync"
)

// envelopeOf is TapTalk's reply with a status, an error code and a field number.
func envelopeOf(status int, code, field string) string {
	return fmt.Sprintf(`{"status":%d,"error":{"code":%q,"message":"planted","field":%q},"data":{}}`, status, code, field)
}

// An error means the same whether its status is HTTP's too or only the body's.
func TestClassifyErrors(t *testing.T) {
	for code, c := range map[string]struct {
		status  int
		field   string
		verdict usync.Verdict
		code    string
		named   string
	}{
		"42901": {429, "", usync.Failed, "429xx", ""},
		"50001": {500, "", usync.Failed, "50001", ""},
		"50042": {500, "", usync.Failed, "500xx", ""},
		"40801": {408, "", usync.Failed, "408xx", ""},
		"40001": {400, "", usync.Refused, "40001", ""},
		"40101": {401, "", usync.Refused, "40101", ""},
		"40102": {401, "", usync.Refused, "40102", ""},
		"40103": {401, "", usync.Refused, "40103", ""},
		"40104": {401, "", usync.Refused, "40104", ""},
		"40105": {401, "", usync.Refused, "40105", ""},
		"40106": {401, "", usync.Refused, "40106", ""},
		"40199": {401, "", usync.Refused, "401xx", ""},
		"40301": {403, "", usync.Refused, "40301", ""},
		"49101": {491, "", usync.Refused, "49101", ""},
		"49102": {491, "", usync.Refused, "49102", ""},
		"49103": {491, "", usync.Refused, "49103", ""},
		"49104": {491, "", usync.Refused, "49104", ""},
		"49106": {491, "", usync.Refused, "49106", ""},
		"49201": {492, "", usync.Refused, "49201", ""},
		"49202": {492, "", usync.Refused, "49202", ""},
		"49203": {492, "", usync.Refused, "49203", ""},
		"40401": {404, "", usync.Rejected, "40401", ""},
		"40002": {400, "", usync.Rejected, "40002", ""},
		"40003": {400, "105", usync.Rejected, "400xx", ""},
		"99999": {400, "", usync.Rejected, "99999", ""},
	} {
		for mode, http := range map[string]int{"body200": 200, "mirrored": c.status} {
			t.Run(code+" "+mode, func(t *testing.T) {
				r := &usync.Reply{Status: http, Body: []byte(envelopeOf(c.status, code, c.field))}
				want := usync.CallError{
					Verdict: c.verdict, Code: c.code, Field: c.named,
					Throttled: c.status == 429, Ambiguous: c.status == 408,
				}
				if code == "42901" && mode == "mirrored" {
					want.Code = "http_429"
				}
				if got := classify(r); got == nil || *got != want {
					t.Errorf("got %+v, want %+v", got, want)
				}
			})
		}
	}
}

func TestClassifyFields(t *testing.T) {
	for number, name := range map[string]string{
		"105": "xcUserID", "106": "fullName", "107": "email", "108": "phone", "109": "username",
		"110": "photoThumbnailURL", "111": "photoFullsizeURL", "112": "userRoleCode",
		"": "", "113": "", "planted": "",
	} {
		for _, http := range []int{200, 400} {
			got := classify(&usync.Reply{Status: http, Body: []byte(envelopeOf(400, "40002", number))})
			want := usync.CallError{Verdict: usync.Rejected, Code: "40002", Field: name}
			if got == nil || *got != want {
				t.Errorf("field %q under %d: got %+v, want %+v", number, http, got, want)
			}
		}
	}
	if len(fieldNames) != len(Fields) {
		t.Errorf("%d field numbers for %d fields", len(fieldNames), len(Fields))
	}
	for _, f := range Fields {
		if !slices.Contains(slices.Collect(maps.Values(fieldNames)), f.Name) {
			t.Errorf("no number for %s", f.Name)
		}
	}
}

func TestClassifyRest(t *testing.T) {
	const ok = `{"status":200,"error":{"code":"","message":"","field":""},"data":{"userID":"6"}}`
	html := "<html>Bad Gateway</html>"
	for name, c := range map[string]struct {
		status int
		body   string
		want   *usync.CallError
	}{
		"ok":              {200, ok, nil},
		"ok, number":      {200, `{"status":"200","data":{"userID":6}}`, nil},
		"ok, escaped":     {200, `{"status":"\u0032\u00300","data":{"userID":"6"}}`, nil},
		"ok, 201":         {201, `{"status":201,"error":{"code":""},"data":{"userID":"6"}}`, nil},
		"429":             {429, html, &usync.CallError{Verdict: usync.Failed, Code: "http_429", Throttled: true}},
		"429, code":       {429, envelopeOf(400, "40002", "105"), &usync.CallError{Verdict: usync.Failed, Code: "http_429", Throttled: true}},
		"body 429":        {200, envelopeOf(429, "", ""), &usync.CallError{Verdict: usync.Failed, Code: "http_429", Throttled: true}},
		"408":             {408, "", &usync.CallError{Verdict: usync.Failed, Code: "http_408", Ambiguous: true}},
		"425":             {425, "", &usync.CallError{Verdict: usync.Failed, Code: "http_425"}},
		"500":             {500, html, &usync.CallError{Verdict: usync.Failed, Code: "http_500"}},
		"502":             {502, html, &usync.CallError{Verdict: usync.Failed, Code: "http_502", Ambiguous: true}},
		"504":             {504, html, &usync.CallError{Verdict: usync.Failed, Code: "http_504", Ambiguous: true}},
		"body 504":        {200, envelopeOf(504, "", ""), &usync.CallError{Verdict: usync.Failed, Code: "http_504", Ambiguous: true}},
		"503, body OK":    {503, ok, &usync.CallError{Verdict: usync.Failed, Code: "http_503"}},
		"500, code 40002": {500, envelopeOf(500, "40002", "105"), &usync.CallError{Verdict: usync.Rejected, Code: "40002", Field: "xcUserID"}},
		"401":             {401, html, &usync.CallError{Verdict: usync.Refused, Code: "http_401"}},
		"403":             {403, html, &usync.CallError{Verdict: usync.Refused, Code: "http_403"}},
		"491":             {491, "", &usync.CallError{Verdict: usync.Refused, Code: "http_491"}},
		"492":             {492, "", &usync.CallError{Verdict: usync.Refused, Code: "http_492"}},
		"body 401":        {200, envelopeOf(401, "", ""), &usync.CallError{Verdict: usync.Refused, Code: "http_401"}},
		"301":             {301, "", &usync.CallError{Verdict: usync.Refused, Code: "http_301"}},
		"308":             {308, html, &usync.CallError{Verdict: usync.Refused, Code: "http_308"}},
		"404":             {404, html, &usync.CallError{Verdict: usync.Refused, Code: "http_404"}},
		"405":             {405, "", &usync.CallError{Verdict: usync.Refused, Code: "http_405"}},
		"404 envelope":    {404, envelopeOf(404, "", ""), &usync.CallError{Verdict: usync.Rejected, Code: "http_404"}},
		"400":             {400, html, &usync.CallError{Verdict: usync.Rejected, Code: "http_400"}},
		"413":             {413, html, &usync.CallError{Verdict: usync.Rejected, Code: "http_413"}},
		"no status":       {0, "", &usync.CallError{Verdict: usync.Failed, Code: "http_other"}},
		"HTML under 200":  {200, html, &usync.CallError{Verdict: usync.Failed, Code: "not_an_envelope", Ambiguous: true}},
		"empty":           {200, "", &usync.CallError{Verdict: usync.Failed, Code: "not_an_envelope", Ambiguous: true}},
		"other JSON":      {200, `{"data":{"userID":"6"}}`, &usync.CallError{Verdict: usync.Failed, Code: "not_an_envelope", Ambiguous: true}},
		"trailing text":   {200, ok + ok, &usync.CallError{Verdict: usync.Failed, Code: "not_an_envelope", Ambiguous: true}},
		"unknown code":    {200, envelopeOf(200, "OK", ""), &usync.CallError{Verdict: usync.Failed, Code: "unknown_code", Ambiguous: true}},
		"code below 400":  {200, envelopeOf(200, "20001", ""), &usync.CallError{Verdict: usync.Failed, Code: "unknown_code", Ambiguous: true}},
		"bad status":      {200, `{"status":"fine","data":{"userID":"6"}}`, &usync.CallError{Verdict: usync.Failed, Code: "no_status", Ambiguous: true}},
		"no user ID":      {200, `{"status":200,"data":{}}`, &usync.CallError{Verdict: usync.Failed, Code: "no_user_id", Ambiguous: true}},
		"null user ID":    {200, `{"status":200,"data":{"userID":null}}`, &usync.CallError{Verdict: usync.Failed, Code: "no_user_id", Ambiguous: true}},
	} {
		t.Run(name, func(t *testing.T) {
			got := classify(&usync.Reply{Status: c.status, Body: []byte(c.body)})
			if (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// Whatever a server answers, the outcome is one of a bounded set and holds nothing
// of the reply.
func FuzzClassify(f *testing.F) {
	f.Add(200, `{"status":200,"error":{"code":"","message":"","field":""},"data":{"userID":"6"}}`)
	f.Add(400, envelopeOf(400, "40002", "105"))
	f.Add(200, envelopeOf(429, "42901", ""))
	f.Add(502, "<html>")
	f.Add(200, `{"status":-1e999,"error":{"code":[1],"field":{}},"data":null}`)
	codes := map[string]bool{"not_an_envelope": true, "unknown_code": true, "no_status": true, "no_user_id": true, "999xx": true, "http_other": true}
	for status := 100; status < 600; status++ {
		codes[fmt.Sprintf("http_%d", status)] = true
		codes[fmt.Sprintf("%dxx", status)] = status >= 400
	}
	names := map[string]bool{"": true}
	for _, name := range fieldNames {
		names[name] = true
	}
	f.Fuzz(func(t *testing.T, status int, body string) {
		e := classify(&usync.Reply{Status: status, Body: []byte(body)})
		if e == nil {
			if !success(status) {
				t.Fatalf("status %d is OK", status)
			}
			return
		}
		if e.Verdict == usync.OK || !codes[e.Code] && !documented[e.Code] || !names[e.Field] {
			t.Fatalf("got %+v", e)
		}
	})
}
