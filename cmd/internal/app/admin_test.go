package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"usersync/metrics"
)

func newTestAdmin() *admin {
	return &admin{metrics: newRegistry(), log: slog.New(slog.DiscardHandler)}
}

func TestProbes(t *testing.T) {
	fine := func() error { return nil }
	stuck := func() error { return errors.New("taptalk: the loop has not turned for 31s") }
	missing := func() error { return errors.New("haptik: topic app.public.users does not exist") }
	const both = "taptalk: the loop has not turned for 31s\nhaptik: topic app.public.users does not exist\n"
	tests := []struct {
		name        string
		live, ready []probe
		path        string
		status      int
		body        string
	}{
		{"no probes", nil, nil, "/livez", 200, "ok\n"},
		{"all fine", []probe{fine}, []probe{fine, fine}, "/readyz", 200, "ok\n"},
		{"stuck", []probe{fine, stuck}, nil, "/livez", 503, "taptalk: the loop has not turned for 31s\n"},
		{"each failure", nil, []probe{stuck, fine, missing}, "/readyz", 503, both},
		{"not ready is no reason to be killed", []probe{fine}, []probe{missing}, "/livez", 200, "ok\n"},
		{"stuck says nothing of ready", []probe{stuck}, []probe{fine}, "/readyz", 200, "ok\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := newTestAdmin()
			a.live, a.ready = tt.live, tt.ready
			w := httptest.NewRecorder()
			a.handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, tt.path, nil))
			if w.Code != tt.status || w.Body.String() != tt.body {
				t.Errorf("got %d %q, want %d %q", w.Code, w.Body, tt.status, tt.body)
			}
			if got := w.Header().Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control %q, want no-store", got)
			}
		})
	}
}

// A probe is asked each time: an answer may not stick.
func TestProbeRecovers(t *testing.T) {
	err := errors.New("not joined")
	a := newTestAdmin()
	a.ready = []probe{func() error { return err }}
	h := a.handler()
	for _, want := range []int{503, 200, 503} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		if w.Code != want {
			t.Errorf("status %d, want %d", w.Code, want)
		}
		if err == nil {
			err = errors.New("not joined")
		} else {
			err = nil
		}
	}
}

func TestMetricsEndpoint(t *testing.T) {
	a := newTestAdmin()
	metrics.New(a.metrics, "taptalk").Build("v1.2.3", "abcdef")
	tests := []struct {
		name, accept, contentType, tail string
	}{
		{"text", "text/plain", "text/plain; version=0.0.4", ""},
		{"OpenMetrics", "application/openmetrics-text; version=1.0.0", "application/openmetrics-text; version=1.0.0", "# EOF\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
			r.Header.Set("Accept", tt.accept)
			w := httptest.NewRecorder()
			a.handler().ServeHTTP(w, r)
			if got := w.Header().Get("Content-Type"); w.Code != 200 || !strings.HasPrefix(got, tt.contentType) {
				t.Errorf("got %d %s, want 200 %s", w.Code, got, tt.contentType)
			}
			body := w.Body.String()
			for _, want := range []string{
				"usersync_build_info{", `version="v1.2.3"`, `usersync_lease_valid{destination="taptalk"} 0`,
				"go_goroutines ", "process_start_time_seconds ",
			} {
				if !strings.Contains(body, want) {
					t.Errorf("%q is missing", want)
				}
			}
			if !strings.HasSuffix(body, tt.tail) {
				t.Errorf("the end %q is missing", tt.tail)
			}
		})
	}
}

// Scrapes that pile up would only make each other slower.
func TestScrapesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { newTestAdmin().bounds(t, "/metrics", maxScrapes) })
}

// bounds holds that so many may ask for a path at a time, however long each takes, and no
// more.
func (a *admin) bounds(t *testing.T, path string, most int) {
	t.Helper()
	release := make(chan struct{})
	a.metrics.MustRegister(collectorFunc(func(chan<- prometheus.Metric) { <-release }))
	h := a.handler()
	ask := func() int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Code
	}
	codes := make(chan int, most)
	for range most {
		go func() { codes <- ask() }()
	}
	synctest.Wait()
	if got := ask(); got != http.StatusServiceUnavailable {
		t.Errorf("%s, one too many: %d, want 503", path, got)
	}
	close(release)
	for range most {
		if got := <-codes; got != http.StatusOK {
			t.Errorf("%s: %d, want 200", path, got)
		}
	}
}

func TestOnlyReadsAreAnswered(t *testing.T) {
	for _, tt := range []struct {
		method, path string
		want         int
	}{
		{http.MethodHead, "/livez", 200},
		{http.MethodPost, "/livez", 405},
		{http.MethodDelete, "/metrics", 405},
		{http.MethodGet, "/debug/pprof/", 404},
		{http.MethodGet, "/", 200},
		{http.MethodHead, "/", 200},
		{http.MethodPost, "/", 405},
		{http.MethodGet, "/status", 404},
	} {
		w := httptest.NewRecorder()
		newTestAdmin().handler().ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, nil))
		if w.Code != tt.want {
			t.Errorf("%s %s: %d, want %d", tt.method, tt.path, w.Code, tt.want)
		}
	}
}

// On a real socket: it serves, and ends with its context, request by request.
func TestServe(t *testing.T) {
	a := newTestAdmin()
	asked, answer := make(chan struct{}), make(chan struct{})
	a.ready = []probe{func() error {
		close(asked)
		<-answer
		return nil
	}}
	l, err := a.listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + l.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.serve(ctx, l) }()

	if body := get(t, url+"/livez"); body != "ok\n" {
		t.Errorf("got %q, want ok", body)
	}

	// A request is under way when the context ends: it has its answer.
	body := make(chan string, 1)
	go func() { body <- get(t, url+"/readyz") }()
	select {
	case <-asked:
	case got := <-body:
		t.Fatalf("got %q before the probe was asked", got)
	}
	cancel()
	select {
	case err := <-done:
		t.Fatalf("serve ended with a request under way: %v", err)
	default:
	}
	close(answer)
	if got := <-body; got != "ok\n" {
		t.Errorf("got %q, want ok", got)
	}
	if err := <-done; err != nil {
		t.Errorf("serve: %v", err)
	}
	if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
		c.Close()
		t.Error("the port is still open")
	}
}

func get(t *testing.T, url string) string {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Error(err)
		return ""
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return string(body)
}

func TestListenFailsWhereThePortIsTaken(t *testing.T) {
	a := newTestAdmin()
	l, err := a.listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if second, err := a.listen(t.Context(), l.Addr().String()); err == nil {
		second.Close()
		t.Error("listened twice on one port")
	}
}

func TestServeReportsABrokenListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := newTestAdmin().serve(t.Context(), l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("serve: %v, want %v", err, net.ErrClosed)
	}
}

// pipeListener accepts the connections given to it; it needs no socket, so it
// works in a bubble.
type pipeListener struct{ conns chan net.Conn }

func (l *pipeListener) Accept() (net.Conn, error) {
	if c, ok := <-l.conns; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (l *pipeListener) Close() error   { close(l.conns); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// Whoever says nothing, or does not read the answer, holds a connection for a
// bounded time only, and the end of the process not at all.
func TestSlowClients(t *testing.T) {
	tests := []struct {
		name   string
		send   string
		reads  bool // what the server answers
		cancel bool
		after  time.Duration
	}{
		{"never asks", "", true, false, adminReadTimeout},
		{"stops in the headers", "GET /livez HTTP/1.1\r\nHo", true, false, adminReadTimeout},
		{"does not read", "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", false, false, adminWriteTimeout},
		{"idle after an answer", "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", true, false, adminIdleTimeout},
		{"does not read at the end", "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", false, true, adminShutdown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &pipeListener{conns: make(chan net.Conn, 1)}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- newTestAdmin().serve(ctx, l) }()

				ours, client := net.Pipe()
				conn := &watched{Conn: ours, closed: make(chan struct{})}
				l.conns <- conn
				if tt.reads {
					go io.Copy(io.Discard, client)
				}
				if _, err := io.WriteString(client, tt.send); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				start := time.Now()
				if tt.cancel {
					cancel()
				}
				<-conn.closed
				if took := time.Since(start); took != tt.after {
					t.Errorf("held the connection for %v, want %v", took, tt.after)
				}
				cancel()
				if err := <-done; err != nil {
					t.Errorf("serve: %v", err)
				}
				client.Close()
			})
		})
	}
}

// watched tells when the server closes the connection.
type watched struct {
	net.Conn
	closed chan struct{}
}

func (w *watched) Close() error {
	select {
	case <-w.closed:
	default:
		close(w.closed)
	}
	return w.Conn.Close()
}
