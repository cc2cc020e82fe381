package app

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"usersync/metrics"
)

// The page is one file without assets: it has to work through a port-forward, on a
// network without any way out. What it may run is its own style and script, by their
// hashes, so that nothing that came in with a name could run even if it was not
// escaped.
var (
	//go:embed status/page.html
	statusHTML string
	//go:embed status/page.css
	statusCSS string
	//go:embed status/page.js
	statusJS string

	statusTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
		"style":  func() template.CSS { return template.CSS(statusCSS) },
		"script": func() template.JS { return template.JS(statusJS) },
	}).Parse(statusHTML))

	statusPolicy = "default-src 'none'; style-src '" + hashOf(statusCSS) + "'; script-src '" + hashOf(statusJS) +
		"'; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

// hashOf is how a content security policy names an inline style or script.
func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// statusPage is what an operator looks at first: for each destination whether its
// users are in sync, and if not why, and what helps. All that moves is read from the
// metrics, so that the page and the dashboards cannot contradict each other; what
// failed last is the exception, since no series can say it.
type statusPage struct {
	started       time.Time
	version, host string
	lanes         []statusLane
}

func newStatusPage(version string) statusPage {
	host, err := os.Hostname()
	if err != nil {
		host = "a host without a name"
	}
	return statusPage{started: time.Now(), version: version, host: host}
}

// statusLane is what the page has to know of a destination beside its metrics.
type statusLane struct {
	name, group string
	rateLimit   float64
	budget      int
	remembers   bool          // in a state topic
	member      func() string // by what ID the group knows this worker
	failures    *metrics.Failures

	alive, joined, stateful probe
}

// maxPages is how many pages are made at a time. Each costs what a scrape costs.
const maxPages = 4

// handler answers with the page, made of what g says now.
func (s *statusPage) handler(g prometheus.Gatherer) http.Handler {
	slots := make(chan struct{}, maxPages)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", statusPolicy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		default:
			http.Error(w, fmt.Sprintf("%d pages are being made already; reload in a moment", maxPages), http.StatusServiceUnavailable)
			return
		}
		page, err := s.render(g)
		if err != nil {
			http.Error(w, "the status page could not be made: "+err.Error()+"; /readyz and /livez may still answer", http.StatusInternalServerError)
			return
		}
		h.Set("Content-Type", "text/html; charset=utf-8")
		if r.Method != http.MethodHead {
			_, _ = io.Copy(w, page) // whoever hung up needs no answer
		}
	})
}

// render makes the whole page before any of it is sent.
func (s *statusPage) render(g prometheus.Gatherer) (*bytes.Buffer, error) {
	v, err := s.view(g, time.Now())
	if err != nil {
		return nil, err
	}
	var page bytes.Buffer
	return &page, statusTemplate.Execute(&page, v)
}

// statusView is the page in words and numbers.
type statusView struct {
	Title, Worker, Now string
	Lanes              []laneStatus
}

// laneStatus is a destination on the page, the most important first.
type laneStatus struct {
	Name       string
	Mark       mark
	Headline   string
	Problems   []problem
	Facts      []fact
	Failures   []failureRow
	Owns       string
	Partitions []partitionRow
	More       string // of partitions that are left out
}

type fact struct{ Name, Value string }

type failureRow struct{ Last, What, Code, Field, Count string }

type partitionRow struct{ Name, Is, Lag, Uncommitted, Frontier, Headroom string }

func (s *statusPage) view(g prometheus.Gatherer, now time.Time) (*statusView, error) {
	all, err := readSeries(g)
	if err != nil {
		return nil, err
	}
	v := &statusView{
		Title:  "usersync",
		Worker: fmt.Sprintf("%s on %s, up for %s", s.version, s.host, span(now.Sub(s.started))),
		Now:    clock(now),
	}
	worst := inSyncMark
	for _, l := range s.lanes {
		r := read(all[l.name], now)
		shown := l.show(r)
		v.Lanes = append(v.Lanes, shown)
		worst = max(worst, shown.Mark)
	}
	if len(v.Lanes) > 0 {
		v.Title = worst.String() + " · usersync" // for a browser's tab
	}
	return v, nil
}

// show puts into words what was read.
func (l *statusLane) show(r *reading) laneStatus {
	failures := l.failures.Newest()
	problems := l.problems(r, failures)
	shown := laneStatus{Name: l.name, Problems: problems, Facts: l.facts(r), Owns: l.owns(r)}
	shown.Mark, shown.Headline = r.headline(problems)
	for _, f := range failures {
		shown.Failures = append(shown.Failures, failureRow{
			Last: since(f.Last, r.now), What: f.What, Code: clip(f.Code), Field: clip(f.Field), Count: number(float64(f.Count)),
		})
	}
	for i := range r.partitions[:min(len(r.partitions), maxRows)] {
		shown.Partitions = append(shown.Partitions, r.partitions[i].row())
	}
	if more := len(r.partitions) - maxRows; more > 0 {
		var lag float64
		for _, p := range r.partitions[maxRows:] {
			lag += p.lag
		}
		shown.More = fmt.Sprintf("And %s with less lag, %s records together; /metrics has all.", plural(float64(more), "more partition"), number(lag))
	}
	return shown
}

// maxRows is how many partitions the page shows of a destination.
const maxRows = 50

// clip shortens what would make a page unreadable. Codes and fields are short; one
// that is not is a mistake elsewhere.
func clip(s string) string {
	const most = 64
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
