package app

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
)

// planned is what a plan says of a destination; of a time in seconds, -1 is never.
type planned struct {
	most               float64
	inFlight           int
	concurrency        int
	first, again, left float64
}

// planCase is what is planned for, and what has to come of it.
type planCase struct {
	edit                 func(*Config)
	options              PlanOptions
	replicas, partitions int
	memory               int64 // MiB
	load                 float64
	taptalk, haptik      planned
	problems, advice     []string // what each holds
}

func withState(c *Config) { c.Kafka.StateTopic = "state" }

var planCases = map[string]planCase{
	// The README says the same: 83 minutes, and twice that at an empty Haptik.
	"defaults": {
		options:  PlanOptions{Users: 100_000, Latency: 20 * time.Millisecond},
		replicas: 2, partitions: 6, memory: 344,
		taptalk: planned{20, 1, 16, 5000, 5000, 0}, haptik: planned{20, 1, 16, 10_000, 5000, 0},
	},
	"a slow vendor needs many calls at once": {
		options:  PlanOptions{Users: 1000, Changes: 10, Latency: 2 * time.Second, RateLimit: new(100.0), Outage: time.Minute},
		replicas: 2, partitions: 6, memory: 344,
		taptalk: planned{100, 200, 200, 1000. / 90, 1000. / 90, 600. / 90}, haptik: planned{100, 200, 200, 2000. / 90, 1000. / 90, 600. / 90},
		advice: []string{"taptalk: set destinations.taptalk.concurrency to 200; 16 ", "haptik: set destinations.haptik.concurrency to 200; 16 "},
	},
	"one may be away": {
		options:  PlanOptions{Users: 1000, Changes: 10, Latency: time.Second, RateLimit: new(100.0), Replicas: 5, Concurrency: 25},
		replicas: 5, partitions: 10, memory: 344,
		taptalk: planned{100, 100, 25, 1000. / 90, 1000. / 90, 0}, haptik: planned{100, 100, 25, 2000. / 90, 1000. / 90, 0},
	},
	"no limit": {
		options:  PlanOptions{Users: 1_000_000, Changes: 3000, Latency: 100 * time.Millisecond, RateLimit: new(0.0), Outage: time.Hour},
		replicas: 4, partitions: 8, memory: 344,
		// The outage costs a call for each user and not for each of 10,800,000 changes.
		taptalk: planned{6000, 600, 200, 1000. / 3, 1000. / 3, 1000. / 3}, haptik: planned{6000, 600, 200, 2000. / 3, 1000. / 3, 1000. / 3},
		advice: []string{"taptalk: set", "haptik: set"},
	},
	"no limit and nothing changes": {
		options:  PlanOptions{Users: 1600, Latency: time.Second, RateLimit: new(0.0), Outage: time.Hour},
		replicas: 2, partitions: 6, memory: 344,
		taptalk: planned{16, 16, 16, 100, 100, 0}, haptik: planned{16, 16, 16, 200, 100, 0},
	},
	"the state spares snapshots, and takes memory": {
		edit: withState, options: PlanOptions{Users: 1_000_000, Latency: time.Second, RateLimit: new(16.0), Replicas: 3},
		replicas: 3, partitions: 6, memory: 344 + 2*500_000*225>>20, load: 10,
		taptalk: planned{16, 16, 16, 62_500, 0, 0}, haptik: planned{16, 16, 16, 125_000, 0, 0},
	},
	"more users than are remembered": {
		edit:    func(c *Config) { withState(c); c.TapTalk.StateUsers, c.Haptik = 1000, nil },
		options: PlanOptions{Users: 3600, Latency: time.Second, RateLimit: new(16.0)}, replicas: 2, partitions: 6, memory: 184, load: 0.02,
		taptalk: planned{16, 16, 16, 225, 162.5, 0},
	},
	"an empty tenant": {
		edit: func(c *Config) { c.Haptik.FirstWrite = "post" }, options: PlanOptions{Users: 1600, Latency: time.Second, RateLimit: new(16.0)},
		replicas: 2, partitions: 6, memory: 344, taptalk: planned{16, 16, 16, 100, 100, 0}, haptik: planned{16, 16, 16, 100, 100, 0},
	},
	"changes at the limit": {
		options:  PlanOptions{Users: 1600, Changes: 20, Latency: time.Second, Outage: time.Second},
		replicas: 2, partitions: 6, memory: 344, taptalk: planned{20, 20, 20, -1, -1, -1}, haptik: planned{20, 20, 20, -1, -1, -1},
		problems: []string{"taptalk: 20 changes a second at 20 calls a second", "haptik: 20 changes"},
		advice:   []string{"taptalk: set", "haptik: set"},
	},
	"slower than the timeout": {
		edit: func(c *Config) { c.Haptik = nil }, options: PlanOptions{Users: 20, Latency: 10 * time.Second, Concurrency: 200},
		replicas: 2, partitions: 6, memory: 184, taptalk: planned{20, 200, 200, 1, 1, 0},
		problems: []string{"taptalk: a call takes 10s, and is given up after 10s"},
	},
	"too few processes": {
		edit: func(c *Config) { c.Haptik = nil }, options: PlanOptions{Users: 2000, Latency: time.Millisecond, RateLimit: new(9000.0), Replicas: 2},
		replicas: 2, partitions: 6, memory: 184, taptalk: planned{2000, 2, 16, 1, 1, 0},
		advice: []string{"taptalk: 2 processes, of which one may be away, make about 2000 calls"},
	},
	"too few processes for the changes": {
		edit: func(c *Config) { c.Haptik = nil }, options: PlanOptions{Users: 2000, Changes: 5000, Latency: time.Millisecond, RateLimit: new(0.0), Replicas: 3},
		replicas: 3, partitions: 6, memory: 184, taptalk: planned{4000, 4, 16, -1, -1, 0},
		problems: []string{"taptalk: 5000 changes a second, and 3 processes, of which one may be away, make about 4000 calls: it never gets to the end; take at least 4 replicas"},
	},
	"one process for too many changes": {
		edit: func(c *Config) { c.Haptik = nil }, options: PlanOptions{Users: 2000, Changes: 2000, Latency: time.Millisecond, RateLimit: new(0.0), Replicas: 1},
		replicas: 1, partitions: 6, memory: 184, taptalk: planned{2000, 2, 16, -1, -1, 0},
		problems: []string{"taptalk: 2000 changes a second, and one process makes about 2000 calls: it never gets to the end; take at least 3 replicas"},
	},
	"too many processes": {
		edit: func(c *Config) { c.Haptik = nil }, options: PlanOptions{Users: 20, Latency: time.Second, Replicas: 7, Partitions: 6},
		replicas: 7, partitions: 6, memory: 184, taptalk: planned{20, 20, 16, 1, 1, 0},
		problems: []string{"7 processes for 6 partitions"},
	},
	"uneven shares": {
		edit: func(c *Config) { c.Haptik = nil }, options: PlanOptions{Users: 20, Latency: time.Second, Replicas: 4, Partitions: 6},
		replicas: 4, partitions: 6, memory: 184, taptalk: planned{20, 20, 16, 1, 1, 0}, advice: []string{"partitions that are a multiple"},
	},
}

func TestPlan(t *testing.T) {
	for name, tt := range planCases {
		t.Run(name, func(t *testing.T) {
			c := defaults()
			if tt.edit != nil {
				tt.edit(c)
			}
			if err := tt.options.problems(); err != nil {
				t.Fatal(err)
			}
			r := newPlan(c, tt.options)
			if r.Replicas != tt.replicas || r.Partitions != tt.partitions || r.Memory>>20 != tt.memory || math.Abs(r.Load-tt.load) > 1e-9 {
				t.Errorf("%d replicas, %d partitions, %d MiB, %g s; want %d, %d, %d and %g", r.Replicas, r.Partitions, r.Memory>>20, r.Load, tt.replicas, tt.partitions, tt.memory, tt.load)
			}
			for _, x := range r.Destinations {
				want := tt.taptalk
				if x.Name == haptikName {
					want = tt.haptik
				}
				got := planned{x.Most, x.InFlight, x.Concurrency, never(x.First), never(x.Again), never(x.Drain)}
				if !got.near(want) {
					t.Errorf("%s: %+v, want %+v", x.Name, got, want)
				}
			}
			said(t, "problems", r.Problems, tt.problems)
			said(t, "advice", r.Advice, tt.advice)
		})
	}
}

func never(s *float64) float64 {
	if s == nil {
		return -1
	}
	return *s
}

func (p planned) near(q planned) bool {
	near := func(a, b float64) bool { return math.Abs(a-b) <= 1e-9*math.Abs(b) }
	return near(p.most, q.most) && p.inFlight == q.inFlight && p.concurrency == q.concurrency &&
		near(p.first, q.first) && near(p.again, q.again) && near(p.left, q.left)
}

func said(t *testing.T, what string, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s %q, want %q", what, got, want)
		return
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("%s: %q, want %q", what, got[i], want[i])
		}
	}
}

// What cannot be planned for is said flag by flag.
func TestPlanOfNonsense(t *testing.T) {
	good := PlanOptions{Users: 1, Latency: time.Second}
	nan, negative := math.NaN(), -1.0
	for flag, edits := range map[string][]func(*PlanOptions){
		"users":       {func(o *PlanOptions) { o.Users = 0 }, func(o *PlanOptions) { o.Users = -1 }, func(o *PlanOptions) { o.Users = math.MaxInt64 }},
		"changes":     {func(o *PlanOptions) { o.Changes = -1 }, func(o *PlanOptions) { o.Changes = nan }, func(o *PlanOptions) { o.Changes = math.Inf(1) }},
		"latency":     {func(o *PlanOptions) { o.Latency = 0 }, func(o *PlanOptions) { o.Latency = -1 }, func(o *PlanOptions) { o.Latency = math.MaxInt64 }},
		"outage":      {func(o *PlanOptions) { o.Outage = -1 }, func(o *PlanOptions) { o.Outage = math.MaxInt64 }},
		"rate-limit":  {func(o *PlanOptions) { o.RateLimit = &nan }, func(o *PlanOptions) { o.RateLimit = &negative }},
		"concurrency": {func(o *PlanOptions) { o.Concurrency = -1 }, func(o *PlanOptions) { o.Concurrency = math.MaxInt }},
		"replicas":    {func(o *PlanOptions) { o.Replicas = -1 }, func(o *PlanOptions) { o.Replicas = math.MaxInt }},
		"partitions":  {func(o *PlanOptions) { o.Partitions = -1 }, func(o *PlanOptions) { o.Partitions = math.MaxInt }},
	} {
		for _, edit := range edits {
			o := good
			edit(&o)
			var out bytes.Buffer
			if err := Plan(nil, o, &out); err == nil || !strings.HasPrefix(err.Error(), "--"+flag+": must be ") || out.Len() > 0 {
				t.Errorf("%s: %v, and %q", flag, err, out.String())
			}
		}
	}
}

// The largest and the smallest that is allowed overflow nowhere: both forms are written,
// and no number is negative.
func TestPlanOfExtremes(t *testing.T) {
	tiny, huge := 5e-324, 1e9
	for _, o := range []PlanOptions{
		{Users: 1e12, Changes: 1e9, Latency: time.Hour, Outage: 8784 * time.Hour, RateLimit: &huge},
		{Users: 1e12, Changes: 0, Latency: time.Hour, Outage: 8784 * time.Hour, RateLimit: &tiny},
		{Users: 1, Changes: tiny, Latency: 1, RateLimit: new(0.0), Replicas: 1, Concurrency: atMost, Partitions: 1},
		{Users: 1e12, Changes: 1e9, Latency: time.Hour, Outage: 8784 * time.Hour, Replicas: 1, Concurrency: 1, Partitions: atMost},
	} {
		c := defaults()
		c.Kafka.StateTopic = "state"
		c.TapTalk.WindowBytes, c.TapTalk.StateUsers = math.MaxInt, math.MaxInt
		for _, o.JSON = range []bool{false, true} {
			var out bytes.Buffer
			if err := Plan(c, o, &out); err != nil && err.Error() != "this cannot work: see the problems" {
				t.Error(err)
			}
			if strings.Contains(out.String(), "NaN") || strings.Contains(out.String(), "Inf") || strings.Contains(out.String(), " -") {
				t.Errorf("%s", out.String())
			}
			var r planReport
			if err := json.Unmarshal(out.Bytes(), &r); o.JSON && (err != nil || r.Memory <= 0) {
				t.Errorf("%v, %d bytes", err, r.Memory)
			}
		}
	}
}

// TestPlanIsPrinted: each figure has its reason beside it.
func TestPlanIsPrinted(t *testing.T) {
	var out bytes.Buffer
	err := Plan(nil, PlanOptions{Users: 1_000_000, Changes: 50, Latency: 200 * time.Millisecond, Outage: time.Hour}, &out)
	if err == nil {
		t.Error("50 changes a second at 20 calls a second, and there is no error")
	}
	for _, want := range []string{
		"1,000,000 users, 50 changes a second, calls of 200 ms, an outage of 60 minutes\n",
		"replicas    2        one may be away",
		"calls a second, at most  20     the rate limit, of all processes together",
		"first snapshot           never  one call for each user",
		"problem: haptik: 50 changes a second at 20 calls a second",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("does not say %q:\n%s", want, out.String())
		}
	}
}
