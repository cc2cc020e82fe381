package taptalk

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	usync "usersync/sync"
)

const okReply = `{"status":200,"error":{"code":"","message":"","field":""},"data":{"userID":"6"}}`

func client(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	c, err := New(Config{
		BaseURL:     srv.URL + "/",
		ServerKeyID: usync.Secret{Value: "planted-id"}, ServerKeySecret: usync.Secret{Value: "planted-secret"},
		Transport: srv.Client().Transport,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRequest(t *testing.T) {
	body := `{"xcUserID":"7","fullName":"Ann <&>"}`
	calls := 0
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		calls++
		got, _ := io.ReadAll(r.Body)
		key, _ := base64.StdEncoding.DecodeString(r.Header.Get("Server-Key"))
		if r.Method != http.MethodPost || r.URL.Path != "/v1/server/user/update" || string(got) != body ||
			string(key) != "planted-id:planted-secret" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("got %s %s %s %v", r.Method, r.URL, got, r.Header)
		}
		io.WriteString(w, okReply)
	})
	if err := c.Deliver(t.Context(), usync.Payload{User: "7", Body: []byte(body)}); err != nil {
		t.Error(err)
	}
	if calls != 1 {
		t.Errorf("%d calls", calls)
	}
}

func TestReload(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	write := func(s string) {
		if err := os.WriteFile(file, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("old\n")
	c, err := New(Config{
		BaseURL:     "https://api.example.com",
		ServerKeyID: usync.Secret{Value: "id"}, ServerKeySecret: usync.Secret{File: file},
	})
	if err != nil {
		t.Fatal(err)
	}
	holds := func(want string) {
		t.Helper()
		if got, _ := base64.StdEncoding.DecodeString(c.header.Load().Get("Server-Key")); string(got) != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	holds("id:old")
	write("new\n")
	if err := c.Reload(); err != nil {
		t.Error(err)
	}
	holds("id:new")
	write("")
	if err := c.Reload(); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v, want an error that names the file", err)
	}
	holds("id:new")
}

func TestNewReportsAllProblems(t *testing.T) {
	_, err := New(Config{BaseURL: "http://planted.example.com", ServerKeySecret: usync.Secret{File: "/no/such/file"}})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"base_url: ", "server_key_id: not set", "server_key_secret: ", "/no/such/file"} {
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
	body := `{"xcUserID":"planted-7","fullName":"Planted Name","phone":"628110000042"}`
	secrets := []string{"planted", "Planted", "62811", base64.StdEncoding.EncodeToString([]byte("planted-id:planted-secret"))}
	for _, status := range []int{200, 301, 400, 401, 404, 429, 500, 502} {
		c := client(t, func(w http.ResponseWriter, r *http.Request) {
			sent, _ := io.ReadAll(r.Body)
			echo := fmt.Sprintf(`{"status":400,"error":{"code":"Planted Name","message":%q,"field":"planted-7 %s"},"data":{}}`, sent, r.Header.Get("Server-Key"))
			w.Header().Set("Location", "/planted")
			w.WriteHeader(status)
			io.WriteString(w, echo)
		})
		err := c.Deliver(t.Context(), usync.Payload{User: "planted-7", Body: []byte(body)})
		if _, ok := errors.AsType[*usync.CallError](err); !ok {
			t.Fatalf("%d: got %v, want a *CallError", status, err)
		}
		var out bytes.Buffer
		fmt.Fprintf(&out, "%v %+v %#v %+v %#v", err, err, err, c, c)
		for _, secret := range secrets {
			if strings.Contains(out.String(), secret) {
				t.Errorf("%d: %q is in %s", status, secret, &out)
			}
		}
	}
}

func TestRedirectIsRefusedAndTheKeyStays(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the key went to another host: %s", r.Method)
	}))
	defer other.Close()
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	})
	err := c.Deliver(t.Context(), usync.Payload{User: "7", Body: []byte(`{}`)})
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
	row := func(changed ...any) map[string]any {
		r := map[string]any{
			"full_name": "Ann Lee", "first_name": "Ann", "last_name": nil, "username": "ann",
			"email": "ann@Example.com", "phone": "08123456789", "avatar_url": "https://e.com/a.png", "role": "x",
		}
		for i := 0; i < len(changed); i += 2 {
			r[changed[i].(string)] = changed[i+1]
		}
		return r
	}
	long := strings.Repeat("é", 101)
	rest := `,"email":"ann@example.com","phone":"628123456789","username":"ann","photoThumbnailURL":"https://e.com/a.png","photoFullsizeURL":"https://e.com/a.png"}`
	for name, c := range map[string]struct {
		row  map[string]any
		want string
	}{
		"full name":     {row(), `{"xcUserID":"7","fullName":"Ann Lee"` + rest},
		"half a name":   {row("full_name", " "), `{"xcUserID":"7","fullName":"Ann"` + rest},
		"user name":     {row("full_name", nil, "first_name", nil), `{"xcUserID":"7","fullName":"ann"` + rest},
		"nothing":       {row("full_name", nil, "first_name", nil, "username", nil), `{"xcUserID":"7","fullName":"Guest User"` + strings.Replace(rest, `"ann"`, `""`, 1)},
		"long username": {row("username", long), `{"xcUserID":"7","fullName":"Ann Lee"` + strings.Replace(rest, `"ann"`, `""`, 1)},
		"username, 100": {row("username", long[:200]), `{"xcUserID":"7","fullName":"Ann Lee"` + strings.Replace(rest, `"ann"`, `"`+long[:200]+`"`, 1)},
	} {
		p, _, err := m.Payload(&usync.Change{User: "7", Op: usync.Upsert, Columns: usync.ColumnsOf(c.row)})
		if err != nil || string(p.Body) != c.want {
			t.Errorf("%s: %v\ngot  %s\nwant %s", name, err, p.Body, c.want)
		}
	}
}
