package sync

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What a reply may cost: none that a destination documents comes near 64 KiB,
// and nobody wants a lane asleep for an hour because a proxy said so.
const (
	maxReply      = 64 << 10
	maxRetryAfter = 5 * time.Minute
)

// permitKey is the context key of the permit.
type permitKey struct{}

// WithPermit returns a context under which [Exchange] asks permit when it has a
// connection in hand and, on a connection of [NewTransport], before each write to
// it. permit is called from several goroutines.
func WithPermit(ctx context.Context, permit func() bool) context.Context {
	return context.WithValue(ctx, permitKey{}, permit)
}

// requestsKey is the context key of the number of requests.
type requestsKey struct{}

// WithRequests returns a context under which [Exchange] counts its requests in n,
// without a lock: a call makes them one after the other.
func WithRequests(ctx context.Context, n *int) context.Context {
	return context.WithValue(ctx, requestsKey{}, n)
}

// Request is one HTTP request. It is sent at most once. URL and Header are only read, so
// that requests may share them.
type Request struct {
	Method string
	URL    *url.URL
	Header http.Header
	Body   []byte
}

// Header returns what each request to a destination says: that it is JSON, as the reply is
// to be, and name and value of its credentials. Replies are a few hundred bytes, so they are
// asked for as they are: without a word of it they may come compressed.
func Header(credentials ...string) http.Header {
	h := http.Header{
		"Content-Type":    {"application/json"},
		"Accept":          {"application/json"},
		"Accept-Encoding": {"identity"},
	}
	for pair := range slices.Chunk(credentials, 2) {
		h.Set(pair[0], pair[1])
	}
	return h
}

// Reply is what came back, whatever it says.
type Reply struct {
	Status     int
	Body       []byte
	RetryAfter time.Duration // at most five minutes; 0 if the reply does not say
}

// NewTransport returns the transport that destinations use by default. It speaks
// HTTP/1 only, where a connection carries one call at a time: a call that lost
// its permit closes its connection and harms no other.
func NewTransport() *http.Transport {
	http1 := new(http.Protocols)
	http1.SetHTTP1(true)
	return &http.Transport{
		Protocols:           http1,
		DialContext:         dialGated,
		Proxy:               http.ProxyFromEnvironment,
		TLSHandshakeTimeout: 10 * time.Second,
		IdleConnTimeout:     90 * time.Second,
		// Every call of a lane goes to one host. By default net/http keeps two idle
		// connections for each, and would dial for nearly every call.
		MaxIdleConnsPerHost: 512,
	}
}

// Exchange sends r once and reads the whole reply, of any status. It has no
// opinion about bodies, never follows a redirect (net/http would take our own
// credential headers along to another host) and never resends.
//
// rt is an HTTP/1 transport such as [NewTransport] gives, or wraps one and passes
// the context on. The error is a *[CallError] whose Verdict is Failed, with one
// of the codes lease, canceled, timeout, dns, tls, connection, truncated
// and too_large. It is Ambiguous if any byte may have left, and Unsent if
// none did and the process itself gave the call up. An unreachable destination is
// neither: nothing left, but the failure counts.
func Exchange(ctx context.Context, rt http.RoundTripper, r Request) (*Reply, error) {
	if n, ok := ctx.Value(requestsKey{}).(*int); ok {
		*n++
	}
	gate := newGate(ctx)
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: gate.gotConn})
	// Not http.NewRequest: it parses the URL each time, and lets net/http rewind the body,
	// to send it again.
	req := (&http.Request{
		Method: r.Method, URL: r.URL, Host: r.URL.Host, Header: r.Header,
		Body: io.NopCloser(bytes.NewReader(r.Body)), ContentLength: int64(len(r.Body)),
	}).WithContext(traced)

	// RoundTrip, not Client.Do: one request, one reply, no redirects, no cookies.
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return nil, gate.failure(ctx, err)
	}
	defer resp.Body.Close()
	reply := &Reply{Status: resp.StatusCode, RetryAfter: retryAfter(resp.Header)}
	reply.Body, err = readBody(resp)
	switch {
	case reply.Status == http.StatusTooManyRequests:
		return reply, nil // the status says all; a broken body does not take it back
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, &CallError{Verdict: Failed, Code: "truncated", Ambiguous: true}
	case err != nil:
		return nil, &CallError{Verdict: Failed, Code: networkCode(ctx, err), Ambiguous: true}
	case len(reply.Body) > maxReply:
		return nil, &CallError{Verdict: Failed, Code: "too_large", Ambiguous: true}
	}
	return reply, nil
}

// readBody reads the body of a reply, but not much more than maxReply.
func readBody(resp *http.Response) ([]byte, error) {
	if n := resp.ContentLength; n > 0 && n <= maxReply {
		body := make([]byte, n)
		came, err := io.ReadFull(resp.Body, body)
		return body[:came], err
	}
	return io.ReadAll(io.LimitReader(resp.Body, maxReply+1))
}

// networkCode names what went wrong without the error's text, which holds
// addresses. ctx goes first: a connection that we tore down ourselves fails with
// whatever error was nearest.
func networkCode(ctx context.Context, err error) string {
	switch {
	case errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		return "timeout"
	case ctx.Err() != nil:
		return "canceled"
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return "dns"
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return "timeout"
	}
	if isTLS(err) {
		return "tls"
	}
	return "connection"
}

// isTLS reports whether a handshake failed: a certificate we don't trust, a peer
// that does not speak TLS, or an alert, which crypto/tls wraps in an OpError.
func isTLS(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	e, ok := errors.AsType[*net.OpError](err)
	return ok && (e.Op == "remote error" || e.Op == "local error")
}

// retryAfter reads a Retry-After header, seconds or an HTTP date.
func retryAfter(h http.Header) time.Duration {
	s := strings.TrimSpace(h.Get("Retry-After"))
	if s == "" {
		return 0 // as nearly always: each way to find that it is no date makes an error
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.Duration(min(max(n, 0), int64(maxRetryAfter/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(s); err == nil {
		return min(max(time.Until(at), 0), maxRetryAfter)
	}
	return 0
}

// Fault is the outcome of a call that was answered with an HTTP status, or with
// one that a body names: the verdict is the destination's, the rest follows from
// the status. A gateway's 502 or 504 and a 408 leave open what happened behind.
func (r *Reply) Fault(v Verdict, status int) *CallError {
	e := &CallError{Verdict: v, Code: statusCode(status), RetryAfter: r.RetryAfter}
	switch status {
	case http.StatusTooManyRequests:
		e.Throttled = true
	case http.StatusRequestTimeout, http.StatusBadGateway, http.StatusGatewayTimeout:
		e.Ambiguous = true
	}
	return e
}

// Transient reports whether the same call may be answered differently by and by.
func Transient(status int) bool {
	return status == http.StatusRequestTimeout || status == http.StatusTooEarly ||
		status == http.StatusTooManyRequests || status >= 500 && status < 600
}

func statusCode(status int) string {
	if status < 100 || status > 599 {
		return "http_other" // a server can put any number there; the set stays bounded
	}
	return "http_" + strconv.Itoa(status)
}

// Endpoint returns the URL of path below base, or an error if base is not an absolute https
// URL without query, fragment and user information. Plain http is for loopback, unless
// allowHTTP. The error never repeats base: it may hold a password.
func Endpoint(base, path string, allowHTTP bool) (*url.URL, error) {
	u, err := url.Parse(base)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "":
		return nil, errors.New("not an absolute URL, such as https://api.example.com")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("the scheme must be https")
	case u.Scheme == "http" && !allowHTTP && !isLoopback(u.Hostname()):
		return nil, errors.New("plain http sends personal data and credentials in the clear: use https, or set allow_http")
	case u.User != nil:
		return nil, errors.New("must not hold a user name or password")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("must not have a query or a fragment")
	}
	u.Host = strings.TrimSuffix(u.Host, ":") // a port that is empty, which is no part of the header Host
	return url.Parse(strings.TrimRight(u.String(), "/") + path)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
