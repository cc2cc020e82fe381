package app

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
)

// What a browser may do with the page is to show it and to ask for it again.
func TestStatusHeaders(t *testing.T) {
	w := newStatusTest()
	rec := httptest.NewRecorder()
	w.admin.handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
	page := rec.Body.String()
	between := func(open, end string) string {
		_, rest, _ := strings.Cut(page, open)
		inside, _, _ := strings.Cut(rest, end)
		return inside
	}
	for name, want := range map[string]string{
		"Cache-Control":          "no-store",
		"Content-Type":           "text/html; charset=utf-8",
		"X-Content-Type-Options": "nosniff",
		"Referrer-Policy":        "no-referrer",
		"Content-Security-Policy": fmt.Sprintf("default-src 'none'; style-src '%s'; script-src '%s'; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
			hashOf(between("<style>", "</style>")), hashOf(between("<script>", "</script>"))),
	} {
		if got := rec.Header().Get(name); got != want {
			t.Errorf("%s: %s\nwant %s", name, got, want)
		}
	}
	if between("<style>", "</style>") == "" || between("<script>", "</script>") == "" {
		t.Error("style or script are not in the page")
	}
	if regexp.MustCompile(`(?i)\b(src|href)="?(http|//)`).MatchString(page) || strings.Contains(page, " style=") {
		t.Error("the page needs something from elsewhere, or a style that the policy forbids")
	}
}

// A page that cannot be made is a sentence, and the next one may be fine.
func TestStatusFails(t *testing.T) {
	w := newStatusTest()
	fails := true
	w.admin.metrics.MustRegister(collectorFunc(func(ch chan<- prometheus.Metric) {
		if !fails {
			return
		}
		ch <- prometheus.NewInvalidMetric(prometheus.NewDesc("usersync_broken", "b", nil, nil), errors.New("no value today"))
	}))
	h := w.admin.handler()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
	if want := "the status page could not be made: gathering the metrics: error collecting metric "; rec.Code != http.StatusInternalServerError || !strings.HasPrefix(rec.Body.String(), want) || !strings.Contains(rec.Body.String(), "no value today") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if got := rec.Header().Get("Content-Type"); got != "text/plain; charset=utf-8" {
		t.Errorf("Content-Type %s", got)
	}
	fails = false
	w.page(t)
}

// Pages that pile up would only make each other slower, and the worker.
func TestStatusPagesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStatusTest()
		w.admin.bounds(t, "/", maxPages)
		w.page(t)
	})
}

// collectorFunc is a collector that describes nothing.
type collectorFunc func(chan<- prometheus.Metric)

func (collectorFunc) Describe(chan<- *prometheus.Desc)      {}
func (f collectorFunc) Collect(ch chan<- prometheus.Metric) { f(ch) }
