package haptik

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	usync "usersync/sync"
)

// step is the answer to one request.
type step struct {
	status int
	body   string
}

// deliver delivers payload to a server that answers with steps, and returns the
// methods it was called with.
func deliver(t *testing.T, ctx context.Context, first string, steps ...step) ([]string, error) {
	t.Helper()
	var methods []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path != "/v1.0/user/" || string(body) != payload || r.Header.Get("Content-Type") != "application/json" ||
			r.Header.Get("Authorization") != "Bearer planted-token" || r.Header.Get("client-id") != "planted-id" {
			t.Errorf("got %s %s %v", r.URL, body, r.Header)
		}
		s := steps[min(len(methods), len(steps)-1)]
		methods = append(methods, r.Method)
		if s.status == 0 {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(s.status)
		io.WriteString(w, s.body)
	}))
	t.Cleanup(srv.Close)
	c, err := New(Config{
		BaseURL: srv.URL, ClientID: usync.Secret{Value: "planted-id"}, Token: usync.Secret{Value: "planted-token"},
		FirstWrite: first, Transport: srv.Client().Transport,
	})
	if err != nil {
		t.Fatal(err)
	}
	err = c.Deliver(ctx, usync.Payload{User: "7", Body: []byte(payload)})
	srv.Close() // waits for the handlers
	return methods, err
}

func TestWhichMethodWhen(t *testing.T) {
	ok := step{200, payload}
	empty := step{200, ""}
	old := step{200, `{"auth_id":"7","name":"Old"}`}
	missing := step{404, `{}`}
	exists := step{409, `{}`}
	down := step{503, ""}
	cut := step{} // no reply at all
	for name, c := range map[string]struct {
		first   string
		steps   []step
		methods []string
		want    *usync.CallError
	}{
		"known user":           {"put", []step{ok}, []string{put}, nil},
		"put is the default":   {"", []step{empty}, []string{put}, nil},
		"new user":             {"put", []step{missing, ok}, []string{put, post}, nil},
		"empty tenant":         {"post", []step{ok}, []string{post}, nil},
		"not that empty":       {"post", []step{exists, empty}, []string{post, put}, nil},
		"POST ignored":         {"post", []step{old, ok}, []string{post, put}, nil},
		"the vendor's own way": {"post", []step{old, old}, []string{post, put}, nil},
		// A user that PUT does not know can't be one that POST ignores.
		"new user, other echo": {"put", []step{missing, old}, []string{put, post}, nil},
		"ping-pong":            {"put", []step{missing, exists}, []string{put, post}, &usync.CallError{Verdict: usync.Rejected, Code: "exists"}},
		"pong-ping":            {"post", []step{exists, missing}, []string{post, put}, &usync.CallError{Verdict: usync.Rejected, Code: "missing"}},
		"wrong URL":            {"put", []step{{404, "<html>"}}, []string{put}, &usync.CallError{Verdict: usync.Refused, Code: "http_404"}},
		"down":                 {"put", []step{down}, []string{put}, &usync.CallError{Verdict: usync.Failed, Code: "http_503"}},
		"down at second":       {"put", []step{missing, down}, []string{put, post}, &usync.CallError{Verdict: usync.Failed, Code: "http_503"}},
		"no reply":             {"put", []step{cut}, []string{put}, &usync.CallError{Verdict: usync.Failed, Code: "connection", Ambiguous: true}},
		"no reply at second":   {"put", []step{missing, cut}, []string{put, post}, &usync.CallError{Verdict: usync.Failed, Code: "connection", Ambiguous: true}},
		// The POST had a 2xx: what it sent may be there.
		"accepted, then down": {"post", []step{old, down}, []string{post, put}, &usync.CallError{Verdict: usync.Failed, Code: "http_503", Ambiguous: true}},
	} {
		t.Run(name, func(t *testing.T) {
			methods, err := deliver(t, t.Context(), c.first, c.steps...)
			if !slices.Equal(methods, c.methods) {
				t.Errorf("called %v, want %v", methods, c.methods)
			}
			e, isCall := errors.AsType[*usync.CallError](err)
			if (err == nil) != (c.want == nil) || err != nil && (!isCall || *e != *c.want) {
				t.Errorf("got %+v, want %+v", e, c.want)
			}
		})
	}
}

// The lease is asked for again before the second request.
func TestNoSecondRequestWithoutPermit(t *testing.T) {
	for name, c := range map[string]struct {
		first string
		step  step
		want  usync.CallError
	}{
		"after a definite no": {"put", step{404, `{}`}, usync.CallError{Verdict: usync.Failed, Code: "lease", Unsent: true}},
		"after a 2xx":         {"post", step{200, `{"name":"Old"}`}, usync.CallError{Verdict: usync.Failed, Code: "lease", Ambiguous: true}},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			ctx := usync.WithPermit(t.Context(), func() bool { asked++; return asked == 1 })
			methods, err := deliver(t, ctx, c.first, c.step)
			if e, ok := errors.AsType[*usync.CallError](err); !ok || *e != c.want || len(methods) != 1 || asked != 2 {
				t.Errorf("got %+v after %v, asked %d times; want %+v", err, methods, asked, c.want)
			}
		})
	}
}

func TestReload(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	write := func(s string) {
		if err := os.WriteFile(file, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("old\n")
	c, err := New(Config{BaseURL: "https://api.example.com", ClientID: usync.Secret{Value: "id"}, Token: usync.Secret{File: file}})
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []struct {
		content, want string
		fails         bool
	}{
		{"new\n", "new", false},
		{"", "new", true},
		{"planted header\nsplit", "new", true},
		{"newer", "newer", false},
	} {
		write(change.content)
		err := c.Reload()
		if got := c.header.Load().Get("Authorization"); (err != nil) != change.fails || got != "Bearer "+change.want {
			t.Errorf("%q: got %v, %q", change.content, err, got)
		}
		if err != nil && strings.Contains(err.Error(), "planted") {
			t.Errorf("the error repeats the token: %v", err)
		}
	}
}

func TestNewReportsAllProblems(t *testing.T) {
	_, err := New(Config{BaseURL: "planted", FirstWrite: "patch"})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"base_url: ", "first_write: ", "client_id: not set", "token: not set"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
	if strings.Contains(err.Error(), "planted") {
		t.Errorf("the error repeats the URL: %v", err)
	}
}

// A server that repeats everything it was sent, as some do, must not make the
// worker repeat it.
func TestErrorsHoldNothingPrivate(t *testing.T) {
	body := `{"auth_id":"planted-7","name":"Planted Name","mobile_no":"628110000042"}`
	for _, status := range []int{200, 301, 400, 401, 404, 409, 429, 500, 502} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			sent, _ := io.ReadAll(r.Body)
			w.Header().Set("Location", "/planted")
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"error_message":%q,"name":"Planted Name"}`, string(sent)+fmt.Sprint(r.Header))
		}))
		c, err := New(Config{
			BaseURL: srv.URL, ClientID: usync.Secret{Value: "planted-id"}, Token: usync.Secret{Value: "planted-token"},
			Transport: srv.Client().Transport,
		})
		if err != nil {
			t.Fatal(err)
		}
		err = c.Deliver(t.Context(), usync.Payload{User: "planted-7", Body: []byte(body)})
		srv.Close()
		if _, ok := errors.AsType[*usync.CallError](err); !ok {
			t.Fatalf("%d: got %v, want a *CallError", status, err)
		}
		var out bytes.Buffer
		fmt.Fprintf(&out, "%v %+v %#v %+v %#v", err, err, err, c, c)
		for _, secret := range []string{"planted", "Planted", "62811"} {
			if strings.Contains(out.String(), secret) {
				t.Errorf("%d: %q is in %s", status, secret, &out)
			}
		}
	}
}

func TestRedirectIsRefusedAndTheTokenStays(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the token went to another host: %s", r.Method)
	}))
	defer other.Close()
	srv := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer srv.Close()
	c, err := New(Config{BaseURL: srv.URL, ClientID: usync.Secret{Value: "id"}, Token: usync.Secret{Value: "t"}})
	if err != nil {
		t.Fatal(err)
	}
	err = c.Deliver(t.Context(), usync.Payload{User: "7", Body: []byte(payload)})
	want := usync.CallError{Verdict: usync.Refused, Code: "http_307"}
	if e, ok := errors.AsType[*usync.CallError](err); !ok || *e != want {
		t.Errorf("got %v", err)
	}
}

func TestDefaultMapping(t *testing.T) {
	m, err := usync.NewMapping(usync.MappingConfig{Fields: Fields, Expressions: DefaultMapping, PhoneRegion: "ID"})
	if err != nil {
		t.Fatal(err)
	}
	row := map[string]any{
		"full_name": nil, "first_name": "Ann", "last_name": "Lee", "username": "ann", "email": "ann@example.com",
		"phone": "08123456789", "language": "english", "locale": "id-ID",
	}
	p, _, err := m.Payload(&usync.Change{User: "7", Op: usync.Upsert, Columns: usync.ColumnsOf(row)})
	want := `{"auth_id":"7","mobile_no":"628123456789","email":"ann@example.com","name":"Ann Lee","language_code":"id"}`
	if err != nil || string(p.Body) != want {
		t.Errorf("%v\ngot  %s\nwant %s", err, p.Body, want)
	}
}
