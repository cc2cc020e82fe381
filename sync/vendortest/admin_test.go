package vendortest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"usersync/sync/taptalk/taptalktest"
	"usersync/sync/vendortest"
)

// admin sends one request to a simulator and returns the status and the body.
func admin(h http.Handler, method, path, body string) (int, string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w.Code, strings.TrimSpace(w.Body.String())
}

func TestRuleJSON(t *testing.T) {
	full := vendortest.Rule{
		Name: "n", User: "u", Method: "PUT", Where: map[string]string{"f": "v"}, After: time.Second, For: time.Minute,
		Nodes: 4, Probability: 0.5, Rate: 2, First: 1, Last: 2, PerUser: true, Latency: 1500 * time.Millisecond,
		Answer: vendortest.HTML, Status: 429, Code: "c", Field: "f", RetryAfter: time.Second, Apply: true, ApplyAfter: time.Hour,
	}
	v := reflect.ValueOf(full)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Fatalf("%s is not tried", v.Type().Field(i).Name)
		}
	}
	b, err := json.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	var back vendortest.Rule
	if err := json.Unmarshal(b, &back); err != nil || !reflect.DeepEqual(back, full) {
		t.Errorf("%v\ngot  %+v\nwant %+v", err, back, full)
	}
	if !strings.Contains(string(b), `"latency":"1.5s"`) {
		t.Errorf("got %s", b)
	}
}

func TestAdmin(t *testing.T) {
	sim := taptalktest.New()
	defer sim.Close()
	expect := func(method, path, body string, status int, want string) {
		t.Helper()
		if code, got := admin(sim, method, path, body); code != status || !strings.Contains(got, want) {
			t.Errorf("%s %s: got %d %s, want %d %s", method, path, code, got, status, want)
		}
	}
	update := func(body, want string) {
		t.Helper()
		r := httptest.NewRequest(http.MethodPost, "/v1/server/user/update", strings.NewReader(body))
		r.Header.Set("Server-Key", "aWQ6c2VjcmV0") // id:secret
		w := httptest.NewRecorder()
		sim.ServeHTTP(w, r)
		if got, _ := io.ReadAll(w.Body); !strings.Contains(string(got), want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	update(`{"xcUserID":"7","fullName":"Ann","n":12345678901234567890}`, `"status":200`)
	expect("GET", "/_sim/users", "", 200, `{"7":{"fullName":"Ann","n":12345678901234567890,"xcUserID":"7"}}`)
	expect("GET", "/_sim/users/7", "", 200, `"verdict":"applied"`)
	expect("GET", "/_sim/users/8", "", 200, `"history":null`)
	expect("GET", "/_sim/stats", "", 200, `{"calls":1,"applied":1,"users":1,"in_flight":0,"max_in_flight":1,"max_overlap":1}`)

	expect("PUT", "/_sim/rules", `[{"user":"7","code":"49103","latency":"1ms"}]`, 204, "")
	expect("POST", "/_sim/rules", `{"user":"8","code":"50001"}`, 204, "")
	expect("GET", "/_sim/rules", "", 200, `[{"user":"7","code":"49103","latency":"1ms"},{"user":"8","code":"50001"}]`)
	update(`{"xcUserID":"7","fullName":"Bob"}`, `"49103"`)
	update(`{"xcUserID":"8","fullName":"Bob"}`, `"50001"`)
	for _, bad := range []string{`[{"usr":"7"}]`, `[{"latency":"fast"}]`, `{}`, ``} {
		expect("PUT", "/_sim/rules", bad, 400, "")
	}
	expect("PUT", "/_sim/rules", `[]`, 204, "")

	expect("PUT", "/_sim/keys", `[{"id":"id","secret":"other"}]`, 204, "")
	update(`{"xcUserID":"7","fullName":"Cleo"}`, `"49103"`)
	expect("PUT", "/_sim/keys", `[{"id":"id","secret":"other"},{"id":"id","secret":"secret"}]`, 204, "")
	update(`{"xcUserID":"7","fullName":"Cleo"}`, `"status":200`)

	expect("PUT", "/_sim/knobs", `{"merge":true}`, 204, "")
	expect("PUT", "/_sim/knobs", `{"status_mode":"mirrored"}`, 204, "")
	expect("GET", "/_sim/knobs", "", 200, `"status_mode":"mirrored","merge":true`)
	expect("PUT", "/_sim/knobs", `{"status_mode":"odd"}`, 400, "status_mode")
	expect("PUT", "/_sim/knobs", `{"no_such":true}`, 400, "no_such")

	expect("POST", "/_sim/users", "", 405, "")
	expect("GET", "/_sim/user", "", 404, "")
	expect("GET", "/_sim/calls?limit=1", "", 200, `"next":`)
	expect("GET", "/_sim/calls?since=-1", "", 400, "since")
	expect("GET", "/_sim/calls?limit=all", "", 400, "limit")
}

// On a real port a reset is a reset, and a request that is not JSON is kept too.
func TestOnASocket(t *testing.T) {
	sim := taptalktest.New()
	srv := httptest.NewServer(sim)
	defer srv.Close()
	defer sim.Close()
	sim.SetRules(vendortest.Rule{Answer: vendortest.Reset})
	if resp, err := srv.Client().Post(srv.URL+"/v1/server/user/update", "text/plain", strings.NewReader("not JSON")); err == nil {
		resp.Body.Close()
		t.Errorf("got %s", resp.Status)
	}
	h := sim.History("")
	if len(h) != 1 || string(h[0].Body) != `"not JSON"` || h[0].Verdict != vendortest.Lost {
		t.Errorf("got %+v", h)
	}
}
