package watch

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"usersync/e2e/prometheus"
)

// limit is how long all alerts may take to fire, and to end: one to two minutes on a machine
// that has nothing else to do.
const limit = 3 * time.Minute

// TestWatch has real workers meet each trouble, each in a namespace of its own. A real
// Prometheus scrapes them and evaluates the rules that are installed, with other
// durations. Each alert fires by its cause, and ends when that does; where nothing is
// wrong none fires; and each query of both dashboards has returned something by then.
func TestWatch(t *testing.T) {
	w := newWorld(t, causes)
	w.raisesAll()
	began := time.Now()
	since := func() float64 { return time.Since(began).Seconds() }
	for _, p := range w.places {
		p.trouble(p)
	}
	seen := alerts{}
	note := func() {
		for _, s := range w.fired() {
			if seen.add(s.Labels) {
				t.Logf("%5.1f s  %s: %s", since(), s.Labels["namespace"], s.Labels["alertname"])
			}
		}
	}
	w.until(limit, func() string { return "these do not fire: " + w.missing(seen) }, func() bool {
		note()
		return w.missing(seen) == ""
	})
	for _, p := range w.places {
		p.mend(p)
	}
	t.Logf("%5.1f s  all troubles are mended", since())
	var left alerts
	w.until(limit, func() string { return fmt.Sprint("these still fire: ", left) }, func() bool {
		note()
		left = w.firing()
		return len(left) == 0
	})
	t.Logf("%5.1f s  nothing fires any more", since())
	if seen["calm"] != nil {
		t.Errorf("where nothing is wrong these have fired: %v", seen["calm"])
	}
	w.everythingIsShown()
	if *pictures != "" {
		w.draw(*pictures)
	}
}

// missing returns what has not fired yet.
func (w *world) missing(seen alerts) string {
	var all []string
	for _, p := range w.places {
		for _, alert := range p.alerts {
			if !seen[p.name][alert] {
				all = append(all, p.name+": "+alert)
			}
		}
	}
	return strings.Join(all, "; ")
}

// raisesAll fails the test if there is an alert that no cause raises.
func (w *world) raisesAll() {
	w.t.Helper()
	raised := map[string]bool{}
	for _, p := range w.places {
		for _, alert := range p.alerts {
			raised[alert] = true
		}
	}
	for _, r := range load(w.t, "alerts.yaml") {
		alert := r.Alert + " " + r.Labels["severity"]
		if !raised[alert] {
			w.t.Errorf("no cause raises %s", alert)
		}
		delete(raised, alert)
	}
}

// everythingIsShown fails the test for each query of a dashboard, and each recording
// rule, that has returned no number since the beginning.
func (w *world) everythingIsShown() {
	w.t.Helper()
	for _, r := range load(w.t, "recording.yaml") {
		w.shown(r.Record, r.Record)
	}
	for name, b := range boards(w.t) {
		b.each(func(p panel) {
			for _, q := range p.Targets {
				w.shown(name+": "+p.Title, q.Expr)
			}
		})
		for _, a := range b.Annotations.List {
			w.shown(name+": "+a.Name, a.Expr)
		}
		for _, v := range b.Templating.List {
			if of, ok := strings.CutPrefix(v.Definition, "label_values("); ok {
				metric, label, _ := strings.Cut(strings.TrimSuffix(of, ")"), "}, ")
				if label == "" {
					metric, label, _ = strings.Cut(strings.TrimSuffix(of, ")"), ", ")
				} else {
					metric += "}"
				}
				w.shown(name+": variable "+v.Name, "group by ("+label+") ("+metric+")")
			}
		}
	}
}

// chosen stands for what Grafana puts in place of the variables when all are chosen.
var chosen = strings.NewReplacer("$__rate_interval", "4s", "$namespace", ".*", "$job", ".*", "$pod", ".*", "$destination", ".*")

// step is how far apart the points of a query over time are.
const step = time.Second

// run evaluates an expression over the whole time of the test.
func (w *world) run(expr string) []prometheus.Series {
	w.t.Helper()
	all, err := w.prometheus.QueryRange(w.t.Context(), chosen.Replace(expr), w.began, time.Now(), step)
	if err != nil {
		w.t.Error(err)
	}
	return all
}

func (w *world) shown(where, expr string) {
	w.t.Helper()
	for _, s := range w.run(expr) {
		if slices.ContainsFunc(s.Points, func(p prometheus.Point) bool { return !math.IsNaN(p.Value) }) {
			return
		}
	}
	w.t.Errorf("%s: nothing was ever returned by %s", where, expr)
}
