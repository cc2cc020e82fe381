package metrics

import (
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const topic = "app.public.users"

// A lag that nobody measures any more must not stay on show.
func TestPartitionSeriesLiveFromAssignToRevoke(t *testing.T) {
	reg := prometheus.NewRegistry()
	c := New(reg, "taptalk").For("taptalk").Consumer
	names := []string{
		"usersync_consumer_frontier_offset", "usersync_consumer_lag_records", "usersync_consumer_uncommitted_records", "usersync_consumer_partition_halted",
		"usersync_consumer_partition_waiting", "usersync_consumer_retention_headroom_records", "usersync_consumer_retention_headroom_seconds",
	}
	exist := func(partition string) int {
		n := 0
		for _, name := range names {
			if !math.IsNaN(value(t, reg, name, "taptalk", "topic", topic, "partition", partition)) {
				n++
			}
		}
		return n
	}
	x := Progress{LogStart: 0, Frontier: 10, Position: 15, LogEnd: 40}
	one, two := c.Assign(topic, 1), c.Assign(topic, 2)
	for _, p := range []*Partition{one, two} {
		p.Records.Add(3)
		p.Observe(x, time.Unix(0, 0))
		p.Halt("corrupt")
		p.Wait(WaitsForLeader)
	}
	if c.Assign(topic, 1) != one {
		t.Error("a second Assign made another Partition")
	}
	if got := value(t, reg, "usersync_consumer_assigned_partitions", "taptalk", "topic", topic); got != 2 {
		t.Errorf("%v partitions assigned, want 2", got)
	}
	if exist("1") != len(names) || exist("2") != len(names) {
		t.Errorf("%d and %d series exist, want %d each", exist("1"), exist("2"), len(names))
	}

	c.Revoke(topic, 1)
	c.Revoke(topic, 1)
	c.Revoke(topic, 99)
	one.Observe(x, time.Unix(60, 0)) // a late report of the old generation
	one.Halt("corrupt")
	one.Wait(WaitsForLeader)
	if exist("1") != 0 || exist("2") != len(names) {
		t.Errorf("after the revoke %d and %d series exist, want 0 and %d", exist("1"), exist("2"), len(names))
	}
	if got := value(t, reg, "usersync_consumer_assigned_partitions", "taptalk", "topic", topic); got != 1 {
		t.Errorf("%v partitions assigned, want 1", got)
	}
	if got := value(t, reg, "usersync_consumer_records_total", "taptalk", "topic", topic); got != 6 {
		t.Errorf("%v records, want 6: the topic's counter must not go back", got)
	}

	again := c.Assign(topic, 1)
	one.Halt("corrupt") // the old generation's, still
	if got := value(t, reg, "usersync_consumer_partition_halted", "taptalk", "partition", "1"); !math.IsNaN(got) {
		t.Errorf("the new owner's partition is halted by the old one: %v", got)
	}
	again.Halt("made up")
	if got := value(t, reg, "usersync_consumer_partition_halted", "taptalk", "partition", "1", "reason", "other"); got != 1 {
		t.Errorf("halted for another reason: %v, want 1", got)
	}
}

func TestPartitionObserve(t *testing.T) {
	inf := math.Inf(1)
	type look struct {
		after time.Duration // since the first
		x     Progress
	}
	day := 24 * time.Hour
	tests := []struct {
		name                        string
		looks                       []look
		lag, held, records, seconds float64
	}{
		{"nothing waits", []look{{0, Progress{0, 10, 10, 10}}}, 0, 0, 10, inf},
		{"unread", []look{{0, Progress{0, 10, 10, 40}}}, 30, 0, 10, inf},
		{"held", []look{{0, Progress{0, 10, 25, 40}}}, 30, 15, 10, inf},
		{"nothing is known yet", nil, 0, 0, 0, inf},
		{"the log's end was seen late", []look{{0, Progress{0, 40, 40, 10}}}, 0, 0, 40, inf},
		{"log start does not move", []look{{0, Progress{5, 10, 10, 40}}, {day, Progress{5, 10, 10, 40}}}, 30, 0, 5, inf},
		// 7,200 in two hours are one a second; 500 are left.
		{"log start moves", []look{{0, Progress{0, 7700, 7700, 9000}}, {2 * time.Hour, Progress{7200, 7700, 7700, 9000}}}, 1300, 0, 500, 500},
		// A whole segment went at once; that says nothing about the next second.
		{"a jump", []look{{0, Progress{0, 7200, 7200, 9000}}, {time.Second, Progress{3600, 7200, 7200, 9000}}}, 1800, 0, 3600, 3600},
		{"moves, nothing waits", []look{{0, Progress{0, 9000, 9000, 9000}}, {2 * time.Hour, Progress{7200, 9000, 9000, 9000}}}, 0, 0, 1800, inf},
		{"retention was faster", []look{{0, Progress{20, 10, 10, 40}}}, 30, 0, 0, 0},
		// What moved long ago is forgotten: after two windows without any.
		{"stopped moving", []look{
			{0, Progress{0, 9000, 9000, 9900}},
			{time.Hour, Progress{3600, 9000, 9000, 9900}},
			{7 * time.Hour, Progress{3600, 9000, 9000, 9900}},
			{14 * time.Hour, Progress{3600, 9000, 9000, 9900}},
		}, 900, 0, 5400, inf},
		{"another log", []look{{0, Progress{500, 600, 600, 900}}, {time.Hour, Progress{0, 10, 10, 40}}}, 30, 0, 10, inf},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			p := New(reg).For("taptalk").Consumer.Assign(topic, 0)
			for _, l := range tt.looks {
				p.Observe(l.x, time.Unix(1_000_000, 0).Add(l.after))
			}
			for name, want := range map[string]float64{
				"lag_records": tt.lag, "uncommitted_records": tt.held,
				"retention_headroom_records": tt.records, "retention_headroom_seconds": tt.seconds,
			} {
				if got := value(t, reg, "usersync_consumer_"+name, "taptalk"); got != want {
					t.Errorf("%s = %v, want %v", name, got, want)
				}
			}
		})
	}
}

func TestLaneShowsOneState(t *testing.T) {
	reg := prometheus.NewRegistry()
	l := New(reg).For("taptalk").Lane
	shown := func() []string {
		var on []string
		for s := range l.states {
			if value(t, reg, "usersync_lane_state", "taptalk", "reason", s) == 1 {
				on = append(on, s)
			}
		}
		return on
	}
	if got := shown(); len(got) != 1 || got[0] != StateRunning {
		t.Fatalf("a new lane shows %v, want running", got)
	}
	for _, tt := range []struct{ set, want string }{
		{StateRefused, StateRefused},
		{StateRefused, StateRefused},
		{StateThrottled, StateThrottled},
		{"made up", other},
		{"made up too", other},
		{StateRunning, StateRunning},
	} {
		l.SetState(tt.set)
		if got := shown(); len(got) != 1 || got[0] != tt.want {
			t.Errorf("SetState(%q) shows %v, want %q alone", tt.set, got, tt.want)
		}
	}
}

// Since when a lane is in its state is what an operator asks next.
func TestLaneShowsSinceWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		l := New(reg).For("taptalk").Lane
		begun := time.Now()
		for _, step := range []struct {
			set  string
			want time.Duration
		}{{StateRunning, 0}, {StateFailed, 2 * time.Minute}, {StateFailed, 2 * time.Minute}, {StateRunning, 4 * time.Minute}} {
			time.Sleep(time.Minute)
			l.SetState(step.set)
			if got := value(t, reg, "usersync_lane_state_timestamp_seconds", "taptalk") - float64(begun.Unix()); got != step.want.Seconds() {
				t.Errorf("%s since %v s, want %v", step.set, got, step.want)
			}
		}
	})
}

// Who reads a lag of 0 can tell by the frontier whether it was measured.
func TestFrontierIsShownOnceTheLogWasSeen(t *testing.T) {
	reg := prometheus.NewRegistry()
	p := New(reg).For("taptalk").Consumer.Assign(topic, 1)
	if got := value(t, reg, "usersync_consumer_frontier_offset", "taptalk"); !math.IsNaN(got) {
		t.Errorf("a frontier of %v before the log was seen", got)
	}
	p.Observe(Progress{}, time.Unix(0, 0)) // an empty log
	if got := value(t, reg, "usersync_consumer_frontier_offset", "taptalk"); got != 0 {
		t.Errorf("a frontier of %v in an empty log", got)
	}
}

// A topic that is gone must not stay on show.
func TestTopics(t *testing.T) {
	reg := prometheus.NewRegistry()
	c := New(reg).For("taptalk").Consumer
	c.Topics(map[string]int{"one": 3, "two": 5})
	c.Topics(map[string]int{"one": 6})
	if got := value(t, reg, "usersync_consumer_topic_partitions", "taptalk", "topic", "one"); got != 6 {
		t.Errorf("%v partitions, want 6", got)
	}
	if got := value(t, reg, "usersync_consumer_topic_partitions", "taptalk", "topic", "two"); !math.IsNaN(got) {
		t.Errorf("a topic that is gone has %v partitions", got)
	}
}

func TestEventsCountEachRecordOnce(t *testing.T) {
	reg := prometheus.NewRegistry()
	e := New(reg).For("taptalk").Events
	e.Decoded("update")
	e.Decoded("update")
	e.Skipped("delete", "delete")
	e.Skipped("heartbeat", "heartbeat")
	e.Undecodable("bad_json")
	sum := 0.0
	for _, f := range gather(t, reg) {
		if f.GetName() == "usersync_events_total" {
			for _, m := range f.Metric {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	if sum != 5 {
		t.Errorf("events_total adds up to %v, want 5", sum)
	}
	for _, tt := range []struct {
		name  string
		pairs []string
		want  float64
	}{
		{"usersync_events_total", []string{"op", "update", "outcome", "decoded"}, 2},
		{"usersync_events_total", []string{"op", "delete", "outcome", "skipped"}, 1},
		{"usersync_events_total", []string{"op", "heartbeat", "outcome", "skipped"}, 1},
		{"usersync_events_total", []string{"op", "unknown", "outcome", "undecodable"}, 1},
		{"usersync_events_skipped_total", []string{"reason", "heartbeat"}, 1},
		{"usersync_events_undecodable_total", []string{"code", "bad_json"}, 1},
	} {
		if got := value(t, reg, tt.name, "taptalk", tt.pairs...); got != tt.want {
			t.Errorf("%s%v = %v, want %v", tt.name, tt.pairs, got, tt.want)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestTransport(t *testing.T) {
	down := errors.New("connection refused")
	tests := []struct {
		name string
		next roundTrip
		code string
		err  error
	}{
		{"reply", func(*http.Request) (*http.Response, error) { return &http.Response{StatusCode: 503}, nil }, "503", nil},
		{"odd status", func(*http.Request) (*http.Response, error) { return &http.Response{StatusCode: 491}, nil }, "491", nil},
		{"no reply", func(*http.Request) (*http.Response, error) { return nil, down }, "error", down},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reg := prometheus.NewRegistry()
				c := New(reg).For("taptalk").Calls
				slow := roundTrip(func(req *http.Request) (*http.Response, error) {
					time.Sleep(3 * time.Second) // virtual
					return tt.next(req)
				})
				resp, err := c.Transport(slow).RoundTrip(httptest.NewRequest(http.MethodPost, "/", nil))
				if !errors.Is(err, tt.err) || (err == nil) != (resp != nil) {
					t.Errorf("got %v, %v", resp, err)
				}
				if got := value(t, reg, "usersync_http_requests_total", "taptalk", "code", tt.code); got != 1 {
					t.Errorf("counted %v for %q, want 1", got, tt.code)
				}
				for _, f := range gather(t, reg) {
					if f.GetName() != "usersync_http_request_duration_seconds" {
						continue
					}
					if h := f.Metric[0].Histogram; h.GetSampleCount() != 1 || h.GetSampleSum() != 3 {
						t.Errorf("%d requests took %v s, want 1 and 3 s", h.GetSampleCount(), h.GetSampleSum())
					}
				}
			})
		})
	}
}

// The loop of a pipeline, its committer and a scrape run at the same time; the
// race detector watches.
func TestStagesConcurrently(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := New(reg, "taptalk")
	shared := m.For("taptalk").Consumer.Assign(topic, 2)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			d := m.For("taptalk")
			for n := range 50 {
				p := d.Consumer.Assign(topic, i%2)
				p.Observe(Progress{LogEnd: int64(n)}, time.Unix(int64(n), 0))
				shared.Observe(Progress{LogStart: int64(50 - n), LogEnd: 100}, time.Unix(int64(n), 0))
				p.Halt("corrupt")
				d.Consumer.Revoke(topic, i%2)
				d.Lane.SetState([]string{StateRunning, StateFailed}[n%2])
			}
		})
	}
	for range 10 {
		gather(t, reg)
	}
	wg.Wait()
	m.For("taptalk").Consumer.Revoke(topic, 2)
	if got := value(t, reg, "usersync_consumer_assigned_partitions", "taptalk"); got != 0 {
		t.Errorf("%v partitions assigned after each was revoked, want 0", got)
	}
	if got := value(t, reg, "usersync_consumer_partition_halted", "taptalk"); !math.IsNaN(got) {
		t.Errorf("a revoked partition is shown as halted: %v", got)
	}
}
