package metrics

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Calls is the stage that sends HTTP requests. One call of a lane may need more
// than one request.
type Calls struct {
	requests *Counters
	duration prometheus.Histogram
}

func newCalls(f factory) *Calls {
	return &Calls{
		requests: f.counters("http_requests_total", `HTTP requests by the reply's status, or "error" when there was none.`, []string{"code"},
			each("error", "200", "201", "204", "400", "401", "403", "404", "408", "409", "413", "422", "429", "500", "502", "503", "504")...),
		duration: f.histogram("http_request_duration_seconds", "Time from the start of an HTTP request to the reply's headers or the error.",
			.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20, 40),
	}
}

// Transport counts and times what next sends. The time includes waiting for a
// connection, but not reading the reply's body.
func (c *Calls) Transport(next http.RoundTripper) http.RoundTripper {
	return &transport{c, next}
}

type transport struct {
	calls *Calls
	next  http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	start := time.Now()
	resp, err := t.next.RoundTrip(req)
	t.calls.duration.Observe(time.Since(start).Seconds())
	code := "error"
	if err == nil {
		code = strconv.Itoa(resp.StatusCode)
	}
	t.calls.requests.Of(code).Inc()
	return resp, err
}
