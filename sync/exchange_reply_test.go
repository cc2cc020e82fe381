package sync

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
)

// against runs one exchange against f and returns its outcome.
func against(t *testing.T, f http.HandlerFunc) (*Reply, *CallError) {
	t.Helper()
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	return exchange(t, t.Context(), srv.URL)
}

func TestRepliesThatCannotBeRead(t *testing.T) {
	reset := func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		c, _, _ := w.(http.Hijacker).Hijack()
		c.Close()
	}
	truncated := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(status)
			io.WriteString(w, `{"status":`)
		}
	}
	for name, c := range map[string]struct {
		f    http.HandlerFunc
		want CallError
	}{
		"connection lost": {reset, CallError{Verdict: Failed, Code: "connection", Ambiguous: true}},
		"truncated":       {truncated(200), CallError{Verdict: Failed, Code: "truncated", Ambiguous: true}},
		"too large": {
			func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, maxReply+1)) },
			CallError{Verdict: Failed, Code: "too_large", Ambiguous: true},
		},
		"too large, and says so": {
			func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", strconv.Itoa(maxReply+1))
				w.Write(make([]byte, maxReply+1))
			},
			CallError{Verdict: Failed, Code: "too_large", Ambiguous: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, ce := against(t, c.f)
			if ce == nil || *ce != c.want {
				t.Fatalf("got %+v, want %+v", ce, c.want)
			}
		})
	}
	t.Run("a broken 429 is still a 429", func(t *testing.T) {
		reply, ce := against(t, truncated(429))
		if ce != nil || reply.Status != 429 || string(reply.Body) != `{"status":` {
			t.Fatalf("got %+v, %+v", reply, ce)
		}
	})
}

// A reply is read to its end, whether its length is said or not: only then is its connection
// used for the next call.
func TestRepliesAreReadWhole(t *testing.T) {
	for name, c := range map[string]struct {
		size int
		said bool
	}{
		"short":              {10, false},
		"short, and says so": {10, true},
		"none":               {0, true},
		"largest":            {maxReply, false},
		"largest, says so":   {maxReply, true},
	} {
		t.Run(name, func(t *testing.T) {
			connections := map[string]bool{}
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				connections[r.RemoteAddr] = true
				if c.said {
					w.Header().Set("Content-Length", strconv.Itoa(c.size))
				} else {
					w.(http.Flusher).Flush()
				}
				w.Write(bytes.Repeat([]byte("x"), c.size))
			}))
			defer srv.Close()
			rt := NewTransport()
			defer rt.CloseIdleConnections()
			for range 3 {
				reply, ce := exchangeOn(t, t.Context(), rt, srv.URL)
				if ce != nil || string(reply.Body) != strings.Repeat("x", c.size) {
					t.Fatalf("got %v", ce)
				}
			}
			if len(connections) != 1 {
				t.Errorf("three calls took %d connections", len(connections))
			}
		})
	}
}
