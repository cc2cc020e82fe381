package metrics

import (
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
)

var update = flag.Bool("update", false, "rewrite the golden file")

// The golden file is what dashboards, rules and operators build on: a name, a
// type, a label or a series that goes away must show up in review.
func TestExposition(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	m := New(reg, "taptalk", "haptik")
	m.Build("v1.2.3", "abcdef")
	use(m.For("taptalk"))

	got := describe(t, gather(t, reg))
	const golden = "testdata/series.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the series changed; if that is meant, run: go test ./metrics -update\n%s", got)
	}
}

func TestLint(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	m := New(reg, "taptalk", "haptik")
	m.Build("v1.2.3", "abcdef")
	use(m.For("taptalk"))
	problems, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// Each destination is a consumer group: a series without the label would add up
// two groups that have nothing in common.
func TestEverySeriesNamesItsDestination(t *testing.T) {
	reg := prometheus.NewRegistry()
	use(New(reg, "taptalk", "haptik").For("taptalk"))
	for _, family := range gather(t, reg) {
		for _, series := range family.Metric {
			if d := labels(series)["destination"]; d != "taptalk" && d != "haptik" {
				t.Errorf("%s%v: destination %q", family.GetName(), labels(series), d)
			}
		}
	}
}

func TestNoUserIDIsALabel(t *testing.T) {
	allowed := []string{
		"destination", "topic", "partition", "op", "outcome", "reason", "code", "verdict", "field", "cause",
		"version", "revision", "goversion",
	}
	reg := prometheus.NewRegistry()
	m := New(reg, "taptalk")
	m.Build("v1.2.3", "abcdef")
	use(m.For("taptalk"))
	for _, family := range gather(t, reg) {
		for _, series := range family.Metric {
			for name := range labels(series) {
				if !slices.Contains(allowed, name) {
					t.Errorf("%s has the label %q", family.GetName(), name)
				}
			}
		}
	}
}

func TestUnknownDestinationIsAdded(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := New(reg, "taptalk")
	if m.For("taptalk") != m.For("taptalk") {
		t.Error("For gave two different answers for one destination")
	}
	m.For("elsewhere").Consumer.Generations.Inc()
	if got := value(t, reg, "usersync_consumer_generations_total", "elsewhere"); got != 1 {
		t.Errorf("counted %v for a destination that New did not name, want 1", got)
	}
	if got := value(t, reg, "usersync_consumer_generations_total", "taptalk"); got != 0 {
		t.Errorf("counted %v for another destination, want 0", got)
	}
}

func TestWithoutRegistry(t *testing.T) {
	m := New(nil)
	m.Build("v1.2.3", "abcdef")
	d := m.For("taptalk")
	use(d)
	if got := testutil.ToFloat64(d.Lane.Deliveries.Delivered); got != 1 {
		t.Errorf("counted %v, want 1", got)
	}
}

// The client library panics on a label that is not UTF-8.
func TestOddNames(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := New(reg, "odd\xff")
	m.Build("v1\xff", "\xff")
	d := m.For("odd\xff")
	d.Consumer.Assign("topic\xff", 0).Observe(Progress{LogEnd: 7}, time.Unix(0, 0))
	if got := value(t, reg, "usersync_consumer_lag_records", "odd?", "topic", "topic?"); got != 7 {
		t.Errorf("lag %v, want 7", got)
	}
	d.Consumer.Revoke("topic\xff", 0)
	if got := value(t, reg, "usersync_consumer_lag_records", "odd?"); !math.IsNaN(got) {
		t.Errorf("lag %v after the revoke, want none", got)
	}
}

// use writes to every stage as a running pipeline does.
func use(d *Destination) {
	c := d.Consumer
	c.Generations.Inc()
	c.Errors.Of("fetch").Inc()
	c.Commits.Success.Inc()
	c.Commits.Stale.Inc()
	c.Commits.Error.Inc()
	c.CommitDuration.Observe(.01)
	c.LastCommit.SetToCurrentTime()
	c.LeaseValid.Set(1)
	c.Drains.Complete.Inc()
	c.Drains.Cut.Inc()
	c.DrainDuration.Observe(1)
	c.EndAheadWaits.Inc()
	c.ControlUnreadable.Set(1)
	c.Topics(map[string]int{"app.public.users": 6})
	p := c.Assign("app.public.users", 3)
	p.Records.Inc()
	p.Observe(Progress{LogStart: 5, Frontier: 10, Position: 15, LogEnd: 20}, time.Unix(0, 0))
	p.Halt("corrupt")
	p.Wait(WaitsForOlder)

	d.Events.Decoded("update")
	d.Events.Skipped("heartbeat", "heartbeat")
	d.Events.Undecodable("bad_json")
	d.Events.Coalesced.Inc()
	d.Events.Stale.Inc()
	d.Events.OldestPending.Set(1)

	l := d.Lane
	for _, g := range []prometheus.Gauge{
		l.QueueUsers, l.QueueBytes, l.WindowBytes, l.InFlight, l.Workers, l.BackoffUsers, l.GatheringUsers, l.UnmappedUsers,
		l.RateLimit, l.LastSuccess, l.AmbiguousUsers,
	} {
		g.Set(1)
	}
	for _, c := range []prometheus.Counter{
		l.ThrottleWait, l.Deliveries.Delivered, l.Deliveries.Nothing, l.Deliveries.DeadLetter,
		l.Deliveries.Dropped, l.Deliveries.Unchanged, l.Deliveries.Stale, l.PartitionConflicts, l.ControlCalls, l.ConfirmCalls,
	} {
		c.Inc()
	}
	l.QueueWait.Observe(1)
	l.EventDelivery.Observe(1)
	l.Attempts.Of("ok").Inc()
	l.Retries.Of("failed").Inc()
	l.FieldsOmitted.Of("phone", "invalid").Inc()
	l.Ambiguous.Of("timeout").Inc()
	l.SetState(StateFailed)

	d.DeadLetters.Written.Of("rejected").Inc()
	d.DeadLetters.WriteFailures.Inc()
	d.DeadLetters.Waiting.Set(1)
	d.DeadLetters.Undecodable.Set(1)
	d.DeadLetters.Latched.Set(1)

	useState(d.State)
}

func useState(s *State) {
	for _, g := range []prometheus.Gauge{s.Entries, s.Loading, s.Pending} {
		g.Set(1)
	}
	for _, c := range []prometheus.Counter{s.Loaded, s.Writes.Success, s.Writes.Error} {
		c.Inc()
	}
	s.Unknown.Of("doubt").Inc()
}

func gather(t *testing.T, g prometheus.Gatherer) []*dto.MetricFamily {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

func labels(m *dto.Metric) map[string]string {
	all := map[string]string{}
	for _, l := range m.Label {
		all[l.GetName()] = l.GetValue()
	}
	return all
}

// describe writes what a scrape is made of, without values.
func describe(t *testing.T, families []*dto.MetricFamily) string {
	t.Helper()
	var b strings.Builder
	for _, f := range families {
		fmt.Fprintf(&b, "%s (%s)\n\t%s\n", f.GetName(), strings.ToLower(f.GetType().String()), f.GetHelp())
		for _, m := range f.Metric {
			var pairs []string
			for _, l := range m.Label {
				v := l.GetValue()
				if l.GetName() == "goversion" {
					v = "..."
				}
				pairs = append(pairs, fmt.Sprintf("%s=%q", l.GetName(), v))
			}
			fmt.Fprintf(&b, "\t{%s}\n", strings.Join(pairs, ","))
			if f.GetType() == dto.MetricType_HISTOGRAM && (len(m.Histogram.Bucket) == 0 || m.Histogram.Schema == nil) {
				t.Errorf("%s is not both classic and native", f.GetName())
			}
		}
	}
	return b.String()
}

// value is that of the one series of a destination.
func value(t *testing.T, g prometheus.Gatherer, name, destination string, pairs ...string) float64 {
	t.Helper()
	for _, f := range gather(t, g) {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.Metric {
			got := labels(m)
			matches := got["destination"] == destination
			for i := 0; i < len(pairs); i += 2 {
				matches = matches && got[pairs[i]] == pairs[i+1]
			}
			if matches {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return math.NaN()
}
