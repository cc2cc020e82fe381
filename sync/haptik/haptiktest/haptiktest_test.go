package haptiktest_test

import (
	"errors"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	usync "usersync/sync"
	"usersync/sync/haptik"
	"usersync/sync/haptik/haptiktest"
	"usersync/sync/vendortest"
)

// deliverTo delivers body through the real client, credentials id and secret.
func deliverTo(t *testing.T, sim *haptiktest.Server, first, body string) *usync.CallError {
	t.Helper()
	srv := httptest.NewServer(sim)
	defer srv.Close()
	c, err := haptik.New(haptik.Config{
		BaseURL: srv.URL, Transport: srv.Client().Transport, FirstWrite: first,
		ClientID: usync.Secret{Value: "id"}, Token: usync.Secret{Value: "secret"},
	})
	if err != nil {
		t.Fatal(err)
	}
	e, _ := errors.AsType[*usync.CallError](c.Deliver(t.Context(), usync.Payload{User: "7", Body: []byte(body)}))
	return e
}

// Whatever Haptik does where its pages contradict each other, a new user is
// registered and a known one updated, with two requests at most.
func TestEveryKindOfHaptikConverges(t *testing.T) {
	for _, first := range []string{"put", "post"} {
		for _, post := range []string{haptiktest.Update, haptiktest.Ignore200, "409", "400"} {
			for _, put := range []string{"404", "403", "400", haptiktest.Upsert} {
				t.Run(strings.Join([]string{first, "post", post, "put", put}, " "), func(t *testing.T) {
					sim := haptiktest.New(func(k *haptiktest.Knobs) { k.PostExisting, k.PutMissing = post, put })
					defer sim.Close()
					for _, name := range []string{"Ann", "Ann Lee"} {
						before := sim.Calls()
						if e := deliverTo(t, sim, first, `{"auth_id":"7","name":"`+name+`"}`); e != nil {
							t.Fatal(e)
						}
						if got := sim.Current("7")["name"]; got != name {
							t.Errorf("Haptik holds %v, want %s", got, name)
						}
						if n := sim.Calls() - before; n > 2 {
							t.Errorf("%d requests", n)
						}
					}
				})
			}
		}
	}
}

func TestChecks(t *testing.T) {
	const ok = `{"auth_id":"7","name":"Ann"}`
	rejected := &usync.CallError{Verdict: usync.Rejected, Code: "http_400"}
	for name, c := range map[string]struct {
		knob func(*haptiktest.Knobs)
		body string
		want *usync.CallError
	}{
		"ok":             {func(*haptiktest.Knobs) {}, ok, nil},
		"empty reply":    {func(k *haptiktest.Knobs) { k.PutEmpty, k.PutMissing = true, haptiktest.Upsert }, ok, nil},
		"no ID":          {func(*haptiktest.Knobs) {}, `{"name":"Ann"}`, rejected},
		"no JSON":        {func(*haptiktest.Knobs) {}, `[]`, rejected},
		"dash":           {func(*haptiktest.Knobs) {}, `{"auth_id":"a-7"}`, nil},
		"dash, strict":   {func(k *haptiktest.Knobs) { k.StrictAlphanum = true }, `{"auth_id":"a-7"}`, rejected},
		"custom":         {func(*haptiktest.Knobs) {}, `{"auth_id":"7","custom_data":{"plan":"gold"}}`, nil},
		"no custom":      {func(*haptiktest.Knobs) {}, `{"auth_id":"7","custom_data":null}`, nil},
		"nested custom":  {func(*haptiktest.Knobs) {}, `{"auth_id":"7","custom_data":{"plan":{"name":"gold"}}}`, rejected},
		"array in there": {func(*haptiktest.Knobs) {}, `{"auth_id":"7","custom_data":{"plan":["gold"]}}`, rejected},
	} {
		t.Run(name, func(t *testing.T) {
			sim := haptiktest.New(c.knob)
			defer sim.Close()
			if got := deliverTo(t, sim, "put", c.body); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestKeys(t *testing.T) {
	sim := haptiktest.New()
	defer sim.Close()
	const body = `{"auth_id":"7","name":"Ann"}`
	sim.SetKeys(vendortest.Key{ID: "id", Secret: "old"})
	if e := deliverTo(t, sim, "put", body); e == nil || *e != (usync.CallError{Verdict: usync.Refused, Code: "http_401"}) {
		t.Errorf("wrong token: got %v", e)
	}
	sim.SetKeys(vendortest.Key{ID: "id", Secret: "old"}, vendortest.Key{ID: "id", Secret: "secret"})
	if e := deliverTo(t, sim, "put", body); e != nil {
		t.Errorf("rotated: got %v", e)
	}
	for want, headers := range map[string]map[string]string{
		"client_id missing in headers": {"Authorization": "Bearer secret"},
		"token missing in headers":     {"client-id": "id"},
	} {
		r := httptest.NewRequest("PUT", "/v1.0/user/", strings.NewReader(body))
		for k, v := range headers {
			r.Header.Set(k, v)
		}
		w := httptest.NewRecorder()
		sim.ServeHTTP(w, r)
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("got %s, want %s", w.Body, want)
		}
	}
}

func TestAddressAndEcho(t *testing.T) {
	sim := haptiktest.New()
	defer sim.Close()
	for _, c := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"PUT", "/v1.0/user", 301, ""},
		{"PUT", "/v1/user/", 404, ""},
		{"PATCH", "/v1.0/user/", 405, ""},
		{"POST", "/v1.0/user/", 200, `{"auth_id":"7","email":null,"mobile_no":"628","name":"Ann"}`},
	} {
		r := httptest.NewRequest(c.method, c.path, strings.NewReader(`{"auth_id":"7","name":"Ann","mobile_no":"628","language_code":"id"}`))
		r.Header.Set("Authorization", "Bearer secret")
		r.Header.Set("client-id", "id")
		w := httptest.NewRecorder()
		sim.ServeHTTP(w, r)
		if w.Code != c.status || c.body != "" && w.Body.String() != c.body {
			t.Errorf("%s %s: got %d %s", c.method, c.path, w.Code, w.Body)
		}
	}
}

func TestMergeReplaceAndIgnored(t *testing.T) {
	for merge, want := range map[bool]map[string]any{
		false: {"auth_id": "7", "name": "Ann"},
		true:  {"auth_id": "7", "name": "Ann", "mobile_no": "628"},
	} {
		sim := haptiktest.New(func(k *haptiktest.Knobs) { k.Merge, k.PostExisting = merge, haptiktest.Ignore200 })
		for _, body := range []string{`{"auth_id":"7","name":"A","mobile_no":"628"}`, `{"auth_id":"7","name":"Ann"}`} {
			if e := deliverTo(t, sim, "post", body); e != nil {
				t.Fatal(e)
			}
		}
		if got := sim.Current("7"); !reflect.DeepEqual(got, want) {
			t.Errorf("merge %v: got %v, want %v", merge, got, want)
		}
		var verdicts []any
		for _, v := range sim.History("7") {
			verdicts = append(verdicts, v.Method, v.Verdict)
		}
		if w := []any{"POST", vendortest.Applied, "POST", vendortest.Ignored, "PUT", vendortest.Applied}; !reflect.DeepEqual(verdicts, w) {
			t.Errorf("got %v, want %v", verdicts, w)
		}
		sim.Close()
	}
}
