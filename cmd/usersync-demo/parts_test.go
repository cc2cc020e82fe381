package main

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"usersync/cmd/internal/app"
	"usersync/sync/vendortest"
)

func TestPlan(t *testing.T) {
	begin := time.Unix(1000, 0)
	vendors := []*vendor{{title: "A"}, {title: "B"}}
	for _, whole := range []time.Duration{4 * time.Second, 40 * time.Second, time.Hour} {
		before := begin
		last := map[*vendor]bool{}
		for _, x := range plan(kinds, vendors, begin, whole) {
			if x.at.Before(before) || x.lasts > longest || x.lasts <= 0 {
				t.Errorf("in %v: %s at %v for %v, before the end of the former at %v", whole, x.name, x.at, x.lasts, before)
			}
			before = x.at.Add(x.lasts)
			last[x.vendor] = true
			if x.both != (x.vendor == nil) {
				t.Errorf("%s hits %v", x.name, x.vendor)
			}
		}
		if before.After(begin.Add(whole)) {
			t.Errorf("in %v: the last ends at %v", whole, before)
		}
		if !last[vendors[0]] || !last[vendors[1]] {
			t.Error("one vendor has no trouble")
		}
	}
}

func TestChosen(t *testing.T) {
	for _, tt := range []struct{ names, want string }{
		{"all", "poison slow down key limit kill"},
		{"none", ""},
		{"kill,poison", "poison kill"},
		{"none,down", "down"},
	} {
		got, err := chosen(strings.Split(tt.names, ","))
		var names []string
		for _, k := range got {
			names = append(names, k.name)
		}
		if err != nil || strings.Join(names, " ") != tt.want {
			t.Errorf("%s: %v %v, want %s", tt.names, names, err, tt.want)
		}
	}
}

// The configuration is one that the worker takes, and what the header says of the
// defaults is so.
func TestConfig(t *testing.T) {
	vendors, err := startVendors(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range vendors {
		t.Cleanup(v.close)
	}
	path := filepath.Join(t.TempDir(), "usersync.yaml")
	k := &kafka{brokers: []string{"127.0.0.1:9092", "127.0.0.1:9093"}, group: "g", users: "users", dead: "dead"}
	if err := writeConfig(path, k, vendors); err != nil {
		t.Fatal(err)
	}
	c, warnings, err := app.Load(path, os.LookupEnv)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%v, warnings %v", err, warnings)
	}
	if !reflect.DeepEqual(c.Kafka.Brokers, k.brokers) || c.Kafka.GroupID != "g" || c.TapTalk.BaseURL != vendors[0].url || c.Haptik.BaseURL != vendors[1].url {
		t.Errorf("the file says %+v", c)
	}
	var defaults strings.Builder
	if err := app.PrintDefaults(&defaults); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range scaled {
		name := s.key[strings.LastIndexByte(s.key, '.')+1:]
		if !strings.Contains(defaults.String(), " "+name+": "+s.production+"\n") {
			t.Errorf("%s is not the default of %s", s.production, s.key)
		}
		if !strings.Contains(string(file), name+": "+s.demo) {
			t.Errorf("%s is not set to %s", s.key, s.demo)
		}
	}
}

func TestParseMetrics(t *testing.T) {
	s, err := parseMetrics(strings.NewReader(`# HELP usersync_lane_state 1 for the state
# TYPE usersync_lane_state gauge
usersync_lane_state{destination="haptik",reason="running"} 1
usersync_lane_state{destination="taptalk",reason="refused"} 1
usersync_lane_state{destination="taptalk",reason="running"} 0
usersync_inflight_users{destination="haptik"} 12
go_info{version="go 1"} 1
x +Inf
`))
	if err != nil {
		t.Fatal(err)
	}
	if s.state("taptalk") != "refused" || s.state("haptik") != "running" || s.state("crm") != "" {
		t.Errorf("states %q, %q, %q", s.state("taptalk"), s.state("haptik"), s.state("crm"))
	}
	if s.inFlight("haptik") != 12 || s.inFlight("taptalk") != 0 {
		t.Errorf("in flight %d, %d", s.inFlight("haptik"), s.inFlight("taptalk"))
	}
	if _, err := parseMetrics(strings.NewReader("x y\n")); err == nil {
		t.Error("a value that is no number passes")
	}
}

func TestMailbox(t *testing.T) {
	m := newMailbox()
	for _, l := range []letter{
		{"900001", "taptalk", "rejected"},
		{"900001", "taptalk", "rejected"}, // written twice
		{"900002", "taptalk", "rejected"},
		{"7", "taptalk", "rejected"},
		{"not a number", "taptalk", "undecodable"},
		{"900001", "haptik", "rejected"},
	} {
		m.take(l)
	}
	if planted, others := m.of("taptalk"); planted != 2 || others != 2 {
		t.Errorf("taptalk: %d planted, %d others", planted, others)
	}
	if planted, others := m.of("haptik"); planted != 1 || others != 0 {
		t.Errorf("haptik: %d planted, %d others", planted, others)
	}
}

func TestOffsets(t *testing.T) {
	tests := []struct {
		a, b offsets
		want bool
	}{
		{offsets{}, offsets{}, true},
		{offsets{0: 5, 1: 7}, offsets{0: 5, 1: 6}, true},
		{offsets{0: 5, 1: 5}, offsets{0: 5, 1: 6}, false},
		{offsets{0: 9}, offsets{0: 5, 1: 1}, false},
		{nil, offsets{0: 1}, false},
	}
	for _, tt := range tests {
		if got := tt.a.covers(tt.b); got != tt.want {
			t.Errorf("%v covers %v: %v", tt.a, tt.b, got)
		}
	}
	if n := (offsets{0: 5, 3: 7}).sum(); n != 12 {
		t.Errorf("sum %d", n)
	}
}

// The rate is kept whatever the beat, and ends with the context.
func TestGeneratorRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		steps := 0
		db := newDatabase(1)
		g := newGenerator(db, 1, func(change) { steps++ })
		g.snapshot(100)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		g.run(ctx, 333)
		n := db.tally()
		bursts := 6 * burstSize // in 10 s
		if made := n.updates - bursts + n.deletes; made < 3300 || made > 3340 {
			t.Errorf("%d changes in 10 s at 333 a second", made)
		}
	})
}

// A vendor's outage comes before its judgement, and ends alone.
func TestVendorScript(t *testing.T) {
	s := &scripted{}
	v := &vendor{sim: s}
	v.reject(900001)
	v.fault(vendortest.Rule{Name: "down", Status: 503})
	v.fault(vendortest.Rule{Name: "slow", Latency: time.Second})
	if got := s.names(); got != "latency down slow poison" {
		t.Errorf("rules %s", got)
	}
	v.mend("down")
	if got := s.names(); got != "latency slow poison" {
		t.Errorf("rules %s", got)
	}
}

type scripted struct {
	simulator
	rules []vendortest.Rule
}

func (s *scripted) SetRules(rules ...vendortest.Rule) { s.rules = rules }

func (s *scripted) names() string {
	var names []string
	for _, r := range s.rules {
		names = append(names, r.Name)
	}
	return strings.Join(names, " ")
}

// A worker that cannot start says why.
func TestWorkerCannotStart(t *testing.T) {
	dir := t.TempDir()
	w, err := startWorker(t.Context(), filepath.Join(dir, "nowhere.yaml"), filepath.Join(dir, "log"))
	if err == nil || !strings.Contains(err.Error(), "nowhere.yaml: cannot be read") {
		t.Errorf("it started with %v", err)
	}
	if !w.ended() {
		t.Error("it runs")
	}
}
