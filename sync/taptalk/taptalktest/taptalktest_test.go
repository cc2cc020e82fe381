package taptalktest_test

import (
	"errors"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	usync "usersync/sync"
	"usersync/sync/taptalk"
	"usersync/sync/taptalk/taptalktest"
	"usersync/sync/vendortest"
)

// deliverTo delivers body with the key id:secret through the real client.
func deliverTo(t *testing.T, sim *taptalktest.Server, body string) *usync.CallError {
	t.Helper()
	srv := httptest.NewServer(sim)
	defer srv.Close()
	c, err := taptalk.New(taptalk.Config{
		BaseURL: srv.URL, Transport: srv.Client().Transport,
		ServerKeyID: usync.Secret{Value: "id"}, ServerKeySecret: usync.Secret{Value: "secret"},
	})
	if err != nil {
		t.Fatal(err)
	}
	e, _ := errors.AsType[*usync.CallError](c.Deliver(t.Context(), usync.Payload{Body: []byte(body)}))
	return e
}

// What the simulator rejects, and what the client makes of it, is the same in
// both status modes.
func TestChecks(t *testing.T) {
	const ok = `{"xcUserID":"7","fullName":"Ann"}`
	key := vendortest.Key{ID: "id", Secret: "secret"}
	refused := func(code string) *usync.CallError { return &usync.CallError{Verdict: usync.Refused, Code: code} }
	rejected := func(field string) *usync.CallError {
		return &usync.CallError{Verdict: usync.Rejected, Code: "40002", Field: field}
	}
	strict := func(k *taptalktest.Knobs) { k.StrictPhone, k.StrictURL, k.Roles = true, true, []string{"agent"} }
	unique := func(k *taptalktest.Knobs) { k.UniqueUsername = true }
	for name, c := range map[string]struct {
		keys []vendortest.Key
		knob func(*taptalktest.Knobs)
		body string
		want *usync.CallError
	}{
		"ok":                {nil, nil, ok, nil},
		"ok, with key":      {[]vendortest.Key{{ID: "x", Secret: "y"}, key}, nil, ok, nil},
		"wrong key":         {[]vendortest.Key{{ID: "id", Secret: "y"}}, nil, ok, refused("49103")},
		"expired":           {[]vendortest.Key{{ID: "id", Secret: "secret", State: vendortest.Expired}}, nil, ok, refused("49106")},
		"suspended":         {[]vendortest.Key{{ID: "id", Secret: "secret", State: vendortest.Suspended}}, nil, ok, refused("49202")},
		"no JSON":           {nil, nil, `[]`, rejected("")},
		"no ID":             {nil, nil, `{"fullName":"Ann"}`, rejected("xcUserID")},
		"ID of 50 runes":    {nil, nil, `{"xcUserID":"` + strings.Repeat("é", 50) + `","fullName":"Ann"}`, nil},
		"ID of 51":          {nil, nil, `{"xcUserID":"` + strings.Repeat("é", 51) + `","fullName":"Ann"}`, rejected("xcUserID")},
		"no name":           {nil, nil, `{"xcUserID":"7","fullName":" "}`, rejected("fullName")},
		"lenient":           {nil, nil, `{"xcUserID":"7","fullName":"Ann","phone":"08","photoFullsizeURL":"a.png","userRoleCode":"x"}`, nil},
		"strict, fine":      {nil, strict, `{"xcUserID":"7","fullName":"Ann","phone":"628123456","photoThumbnailURL":"https://e.com/a","userRoleCode":"agent"}`, nil},
		"strict, empty":     {nil, strict, `{"xcUserID":"7","fullName":"Ann","phone":"","photoThumbnailURL":"","userRoleCode":""}`, nil},
		"strict, phone":     {nil, strict, `{"xcUserID":"7","fullName":"Ann","phone":"08123456"}`, rejected("phone")},
		"strict, thumbnail": {nil, strict, `{"xcUserID":"7","fullName":"Ann","photoThumbnailURL":"/a"}`, rejected("photoThumbnailURL")},
		"strict, photo":     {nil, strict, `{"xcUserID":"7","fullName":"Ann","photoFullsizeURL":"ftp://e.com/a"}`, rejected("photoFullsizeURL")},
		"strict, role":      {nil, strict, `{"xcUserID":"7","fullName":"Ann","userRoleCode":"x"}`, rejected("userRoleCode")},
		"unique, own":       {nil, unique, `{"xcUserID":"1","fullName":"Ann","username":"ann"}`, nil},
		"unique, taken":     {nil, unique, `{"xcUserID":"7","fullName":"Ann","username":"ann"}`, rejected("username")},
	} {
		for _, mode := range []string{taptalktest.Body200, taptalktest.Mirrored} {
			t.Run(name+" "+mode, func(t *testing.T) {
				sim := taptalktest.New(func(k *taptalktest.Knobs) { k.StatusMode = mode })
				defer sim.Close()
				if e := deliverTo(t, sim, `{"xcUserID":"1","fullName":"A","username":"ann"}`); e != nil {
					t.Fatal(e)
				}
				if c.knob != nil {
					sim.Set(c.knob)
				}
				sim.SetKeys(c.keys...)
				if got := deliverTo(t, sim, c.body); !reflect.DeepEqual(got, c.want) {
					t.Errorf("got %+v, want %+v", got, c.want)
				}
			})
		}
	}
}

func TestServerKeyHeader(t *testing.T) {
	sim := taptalktest.New()
	defer sim.Close()
	for header, code := range map[string]string{"": "40001", "%%%": "49102", "bm8gY29sb24=": "49102"} {
		r := httptest.NewRequest("POST", "/v1/server/user/update", strings.NewReader(`{"xcUserID":"7","fullName":"A"}`))
		r.Header.Set("Server-Key", header)
		w := httptest.NewRecorder()
		sim.ServeHTTP(w, r)
		if !strings.Contains(w.Body.String(), `"code":"`+code+`"`) || w.Code != 200 {
			t.Errorf("%q: got %d %s, want %s", header, w.Code, w.Body, code)
		}
	}
	for path, status := range map[string]int{"/": 404, "/v1/server/user/update/": 404} {
		w := httptest.NewRecorder()
		sim.ServeHTTP(w, httptest.NewRequest("POST", path, strings.NewReader(`{}`)))
		if w.Code != status {
			t.Errorf("%s: got %d", path, w.Code)
		}
	}
	w := httptest.NewRecorder()
	sim.ServeHTTP(w, httptest.NewRequest("GET", "/v1/server/user/update", nil))
	if w.Code != 405 {
		t.Errorf("GET: got %d", w.Code)
	}
}

func TestMergeAndReplace(t *testing.T) {
	for merge, want := range map[bool]map[string]any{
		false: {"xcUserID": "7", "fullName": "Ann", "email": ""},
		true:  {"xcUserID": "7", "fullName": "Ann", "email": "", "phone": "628"},
	} {
		sim := taptalktest.New(func(k *taptalktest.Knobs) { k.Merge = merge })
		for _, body := range []string{
			`{"xcUserID":"7","fullName":"A","email":"a@e.com","phone":"628"}`, `{"xcUserID":"7","fullName":"Ann","email":""}`,
		} {
			if e := deliverTo(t, sim, body); e != nil {
				t.Fatal(e)
			}
		}
		if got := sim.Current("7"); !reflect.DeepEqual(got, want) {
			t.Errorf("merge %v: got %v, want %v", merge, got, want)
		}
		sim.Close()
	}
}
