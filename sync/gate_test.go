package sync

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

// TestPermitIsAskedRightBeforeTheWrite: the permit is there when the connection is,
// and gone when the write loop gets to run, as after a freeze between the two (G7).
func TestPermitIsAskedRightBeforeTheWrite(t *testing.T) {
	url, bytes, closed := rawServer(t)
	rt := NewTransport()
	defer rt.CloseIdleConnections()
	once := func() func() bool {
		var asked atomic.Int32
		return func() bool { return asked.Add(1) == 1 }
	}
	want := CallError{Verdict: Failed, Code: "lease", Unsent: true}

	_, ce := exchangeOn(t, WithPermit(t.Context(), once()), rt, url)
	if ce == nil || *ce != want {
		t.Fatalf("on a new connection: got %+v, want %+v", ce, want)
	}
	<-closed
	if n := bytes.Load(); n != 0 {
		t.Fatalf("%d bytes reached the server on a new connection", n)
	}

	if _, ce := exchangeOn(t, WithPermit(t.Context(), func() bool { return true }), rt, url); ce != nil {
		t.Fatal(ce)
	}
	before := bytes.Load()
	_, ce = exchangeOn(t, WithPermit(t.Context(), once()), rt, url)
	if ce == nil || *ce != want {
		t.Fatalf("on a used connection: got %+v, want %+v", ce, want)
	}
	<-closed
	if n := bytes.Load(); n != before {
		t.Fatalf("%d bytes reached the server on a used connection", n-before)
	}
}

// TestPermitIsAskedUnderTLS: the same where the connection in hand is not the one
// that writes.
func TestPermitIsAskedUnderTLS(t *testing.T) {
	var calls atomic.Int32
	srv := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	defer srv.Close()
	rt := NewTransport()
	defer rt.CloseIdleConnections()
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	rt.TLSClientConfig = &tls.Config{RootCAs: roots}
	var asked atomic.Int32
	_, ce := exchangeOn(t, WithPermit(t.Context(), func() bool { return asked.Add(1) == 1 }), rt, srv.URL)
	if ce == nil || ce.Code != "lease" || !ce.Unsent || ce.Ambiguous {
		t.Fatalf("got %+v", ce)
	}
	if _, ce := exchangeOn(t, t.Context(), rt, srv.URL); ce != nil {
		t.Fatal(ce)
	}
	if calls.Load() != 1 {
		t.Errorf("%d calls reached the server, want the one with a permit", calls.Load())
	}
}
