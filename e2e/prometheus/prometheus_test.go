package prometheus_test

import (
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"usersync/e2e"
	"usersync/e2e/prometheus"
)

// A target's series arrive with its labels, a rule is evaluated, and what is asked comes
// back: an infinity too, which JSON does not have.
func TestScrapeAndAsk(t *testing.T) {
	e2e.RequirePrometheus(t)
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "answer 42\nforever +Inf\n")
	}))
	defer target.Close()
	rules := filepath.Join(t.TempDir(), "rules.yaml")
	text := "groups: [{name: g, rules: [{alert: Known, expr: answer == 42, annotations: {summary: 'in {{ $labels.namespace }}'}}]}]"
	if err := os.WriteFile(rules, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	addr := target.Listener.Addr().(*net.TCPAddr).String()
	began := time.Now()
	s := e2e.Prometheus(t, prometheus.Config{
		Interval: 100 * time.Millisecond, Rules: []string{rules},
		Targets: []prometheus.Target{{Addr: addr, Labels: map[string]string{"namespace": "here"}}},
	})
	limit := time.After(30 * time.Second)
	for tick := time.Tick(50 * time.Millisecond); ; {
		alerts, err := s.Alerts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(alerts) == 1 && alerts[0].State == "firing" {
			if got := alerts[0].Annotations["summary"]; got != "in here" {
				t.Errorf("summary %q", got)
			}
			break
		}
		select {
		case <-tick:
		case <-limit:
			t.Fatalf("nothing fires: %v", alerts)
		}
	}
	// Until later than now, or the last step may be before the only scrape.
	all, err := s.QueryRange(t.Context(), `forever{job="usersync", namespace="here"}`, began, time.Now().Add(time.Second), 100*time.Millisecond)
	if err != nil || len(all) != 1 || !math.IsInf(all[0].Points[0].Value, 1) {
		t.Errorf("QueryRange = %v, %v", all, err)
	}
	if all, err := s.Query(t.Context(), "absence"); err != nil || len(all) != 0 {
		t.Errorf("Query = %v, %v, want nothing", all, err)
	}
	if _, err := s.Query(t.Context(), "sum("); err == nil {
		t.Error("half an expression counts as one")
	}
}
