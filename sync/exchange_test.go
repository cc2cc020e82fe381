package sync

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// exchange sends one small request to url through a transport of its own.
func exchange(t *testing.T, ctx context.Context, url string) (*Reply, *CallError) {
	t.Helper()
	rt := NewTransport()
	t.Cleanup(rt.CloseIdleConnections)
	return exchangeOn(t, ctx, rt, url)
}

func exchangeOn(t *testing.T, ctx context.Context, rt http.RoundTripper, to string) (*Reply, *CallError) {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := Exchange(ctx, rt, Request{
		Method: http.MethodPost, URL: u, Body: []byte(`{"name":"x"}`),
		Header: http.Header{"Server-Key": {"planted-key"}},
	})
	if err == nil {
		return reply, nil
	}
	ce, ok := errors.AsType[*CallError](err)
	if !ok {
		t.Fatalf("error is %T, want *CallError", err)
	}
	return reply, ce
}

// rawServer counts every byte that arrives and answers each complete request.
func rawServer(t *testing.T) (url string, bytes *atomic.Int64, closed chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	bytes, closed = new(atomic.Int64), make(chan struct{}, 8)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { c.Close(); closed <- struct{}{} }()
				r := bufio.NewReader(io.TeeReader(c, counter{bytes}))
				for {
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					io.Copy(io.Discard, req.Body)
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
				}
			}()
		}
	}()
	return "http://" + l.Addr().String(), bytes, closed
}

type counter struct{ n *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) { c.n.Add(int64(len(p))); return len(p), nil }

func TestWithoutPermitNotOneByteLeaves(t *testing.T) {
	url, bytes, closed := rawServer(t)
	rt := NewTransport()
	defer rt.CloseIdleConnections()
	denied := WithPermit(t.Context(), func() bool { return false })

	_, ce := exchangeOn(t, denied, rt, url)
	if want := (CallError{Verdict: Failed, Code: "lease", Unsent: true}); ce == nil || *ce != want {
		t.Fatalf("got %+v, want %+v", ce, want)
	}
	<-closed // the server saw the connection's end: nothing can follow
	if n := bytes.Load(); n != 0 {
		t.Fatalf("%d bytes reached the server on a new connection", n)
	}

	// On a connection that was used before, net/http is tempted to try again.
	if _, ce := exchangeOn(t, WithPermit(t.Context(), func() bool { return true }), rt, url); ce != nil {
		t.Fatal(ce)
	}
	before := bytes.Load()
	var asked atomic.Int32
	_, ce = exchangeOn(t, WithPermit(t.Context(), func() bool { asked.Add(1); return false }), rt, url)
	if ce == nil || ce.Code != "lease" || !ce.Unsent || ce.Ambiguous {
		t.Fatalf("got %+v", ce)
	}
	<-closed
	if n := bytes.Load(); n != before {
		t.Fatalf("%d bytes reached the server on a used connection", n-before)
	}
	if asked.Load() != 1 {
		t.Fatalf("the permit was asked %d times", asked.Load())
	}
}

// Over HTTP/2 one connection carries many calls, and the one without a permit
// would tear it down under the others.
func TestTransportSpeaksHTTP1(t *testing.T) {
	var proto atomic.Value
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { proto.Store(r.Proto) }))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	rt := NewTransport()
	defer rt.CloseIdleConnections()
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	rt.TLSClientConfig = &tls.Config{RootCAs: roots}
	if _, ce := exchangeOn(t, t.Context(), rt, srv.URL); ce != nil {
		t.Fatal(ce)
	}
	if proto.Load() != "HTTP/1.1" {
		t.Errorf("got %v", proto.Load())
	}
}

func TestUnreachable(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	untrusted.StartTLS()
	defer untrusted.Close()
	noHost := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "api.example.com", IsNotFound: true}}
	}}
	alert := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")}
	}}
	for name, c := range map[string]struct {
		rt   http.RoundTripper
		url  string
		code string
	}{
		"refused":      {NewTransport(), gone.URL, "connection"},
		"no such host": {noHost, "http://api.example.com", "dns"},
		"not trusted":  {NewTransport(), untrusted.URL, "tls"},
		"alert":        {alert, "http://api.example.com", "tls"},
		"no TLS there": {NewTransport(), "https" + strings.TrimPrefix(plain.URL, "http"), "tls"},
	} {
		t.Run(name, func(t *testing.T) {
			_, ce := exchangeOn(t, t.Context(), c.rt, c.url)
			// Neither ambiguous nor unsent: an outage must count against the destination.
			if want := (CallError{Verdict: Failed, Code: c.code}); ce == nil || *ce != want {
				t.Fatalf("got %+v, want %+v", ce, want)
			}
		})
	}
}

// deaf reads and never answers.
func deaf(<-chan struct{}) *http.Transport {
	return &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go io.Copy(io.Discard, theirs)
		return ours, nil
	}}
}

// clogged takes the connection and reads nothing.
func clogged(<-chan struct{}) *http.Transport {
	return &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		ours, _ := net.Pipe()
		return ours, nil
	}}
}

// stuck never gets a connection. net/http goes on dialing when the call is over.
func stuck(release <-chan struct{}) *http.Transport {
	return &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		<-release
		return nil, errors.New("released")
	}}
}

func TestTimeoutAndCancel(t *testing.T) {
	giveUp := errors.New("a cause of our own")
	for name, c := range map[string]struct {
		rt    func(release <-chan struct{}) *http.Transport
		cause error // with which the context is cancelled, before its deadline
		want  CallError
	}{
		"deadline, sent":        {deaf, nil, CallError{Verdict: Failed, Code: "timeout", Ambiguous: true}},
		"deadline, half sent":   {clogged, nil, CallError{Verdict: Failed, Code: "timeout", Ambiguous: true}},
		"deadline, no dial":     {stuck, nil, CallError{Verdict: Failed, Code: "timeout"}},
		"timeout, sent":         {deaf, context.DeadlineExceeded, CallError{Verdict: Failed, Code: "timeout", Ambiguous: true}},
		"timeout, half sent":    {clogged, context.DeadlineExceeded, CallError{Verdict: Failed, Code: "timeout", Ambiguous: true}},
		"timeout, no dial":      {stuck, context.DeadlineExceeded, CallError{Verdict: Failed, Code: "timeout"}},
		"own cancel, sent":      {deaf, giveUp, CallError{Verdict: Failed, Code: "canceled", Ambiguous: true}},
		"own cancel, not sent":  {stuck, giveUp, CallError{Verdict: Failed, Code: "canceled", Unsent: true}},
		"own cancel, half sent": {clogged, giveUp, CallError{Verdict: Failed, Code: "canceled", Ambiguous: true}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
				defer stop()
				ctx, cancel := context.WithCancelCause(ctx)
				defer cancel(nil)
				if c.cause != nil {
					time.AfterFunc(time.Second, func() { cancel(c.cause) })
				}
				release := make(chan struct{})
				defer close(release)
				_, ce := exchangeOn(t, ctx, c.rt(release), "http://localhost/")
				if ce == nil || *ce != c.want {
					t.Fatalf("got %+v, want %+v", ce, c.want)
				}
			})
		})
	}
}

func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for header, want := range map[string]time.Duration{
			"":                     0,
			"7":                    7 * time.Second,
			"\t7":                  7 * time.Second,
			"0":                    0,
			"-5":                   0,
			"soon":                 0,
			"301":                  5 * time.Minute,
			"9223372036854775807":  5 * time.Minute,
			"99999999999999999999": 0, // no number that fits, no date
			time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat):  90 * time.Second,
			time.Now().Add(24 * time.Hour).UTC().Format(http.TimeFormat):    5 * time.Minute,
			time.Now().Add(-90 * time.Second).UTC().Format(http.TimeFormat): 0,
		} {
			if got := retryAfter(http.Header{"Retry-After": {header}}); got != want {
				t.Errorf("%q: got %v, want %v", header, got, want)
			}
		}
	})
}

func TestFault(t *testing.T) {
	r := &Reply{RetryAfter: time.Second}
	for status, want := range map[int]CallError{
		408:  {Code: "http_408", Ambiguous: true},
		429:  {Code: "http_429", Throttled: true},
		500:  {Code: "http_500"},
		502:  {Code: "http_502", Ambiguous: true},
		503:  {Code: "http_503"},
		504:  {Code: "http_504", Ambiguous: true},
		999:  {Code: "http_other"},
		-1:   {Code: "http_other"},
		1e18: {Code: "http_other"},
	} {
		want.Verdict, want.RetryAfter = Failed, time.Second
		if got := r.Fault(Failed, status); *got != want {
			t.Errorf("%d: got %+v, want %+v", status, *got, want)
		}
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	var leaked atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { leaked.Add(1) }))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		reply, ce := against(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL, status)
		})
		if ce != nil || reply.Status != status {
			t.Errorf("%d: got %+v, %+v", status, reply, ce)
		}
	}
	if leaked.Load() != 0 {
		t.Errorf("%d requests, and the key with them, went to another host", leaked.Load())
	}
}

func TestEndpoint(t *testing.T) {
	for base, want := range map[string]string{
		"https://api.example.com":      "https://api.example.com/v1/users/",
		"https://api.example.com/":     "https://api.example.com/v1/users/",
		"https://api.example.com/x/":   "https://api.example.com/x/v1/users/",
		"https://api.example.com:":     "https://api.example.com/v1/users/",
		"https://[2001:db8::1]:/x":     "https://[2001:db8::1]/x/v1/users/",
		"http://localhost:8080":        "http://localhost:8080/v1/users/",
		"http://127.0.0.1:8080":        "http://127.0.0.1:8080/v1/users/",
		"http://[::1]:8080":            "http://[::1]:8080/v1/users/",
		"http://api.example.com":       "",
		"http://localhost.example.com": "",
		"ftp://api.example.com":        "",
		"api.example.com":              "",
		"//api.example.com":            "",
		"https://":                     "",
		"https:api.example.com":        "",
		"https://u:planted@e.com":      "",
		"https://e.com/?planted=1":     "",
		"https://e.com/?":              "",
		"https://e.com/#planted":       "",
		"https://planted\x00.com":      "",
		"":                             "",
	} {
		got, err := Endpoint(base, "/v1/users/", false)
		if err == nil && got.String() != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %v, %v, want %q", base, got, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "planted") {
			t.Errorf("%q: the error repeats it: %v", base, err)
		}
	}
	if got, err := Endpoint("http://api.example.com", "/", true); err != nil || got == nil {
		t.Errorf("allow_http: got %v, %v", got, err)
	}
}
