package app

import (
	"errors"
	"flag"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"usersync/metrics"
)

var updateStatus = flag.Bool("update-status", false, "rewrite the golden status pages")

// statusTest is a worker of which only the metrics and what asks its pipelines are made up.
type statusTest struct {
	*metrics.Destination
	admin *admin
	lane  *statusLane
}

// newStatusTest has a worker that owns two of three partitions, in which nothing waits.
func newStatusTest() *statusTest {
	a := newTestAdmin()
	a.status = statusPage{started: time.Now().Add(-26 * time.Hour), version: "v1.2.3", host: "usersync-0", lanes: make([]statusLane, 1)}
	w := &statusTest{Destination: metrics.New(a.metrics).For("taptalk"), admin: a, lane: &a.status.lanes[0]}
	fine := func() error { return nil }
	*w.lane = statusLane{
		name: "taptalk", group: "usersync.taptalk", rateLimit: 20, budget: 100,
		alive: fine, joined: fine, stateful: fine, failures: w.Failures, member: func() string { return "usersync@usersync-0-d3b0" },
	}
	w.Consumer.Topics(map[string]int{"users": 3})
	w.Consumer.Generations.Inc()
	w.Consumer.LastCommit.Set(unix(-2 * time.Second))
	w.Consumer.LeaseValid.Set(1)
	w.Lane.Workers.Set(16)
	w.Lane.WindowBytes.Set(64 << 20)
	w.Lane.RateLimit.Set(13.33)
	w.Lane.LastSuccess.Set(unix(-time.Minute))
	w.at(0, metrics.Progress{LogStart: 10, Frontier: 500, Position: 500, LogEnd: 500})
	w.at(1, metrics.Progress{LogStart: 0, Frontier: 1_234_567, Position: 1_234_567, LogEnd: 1_234_567})
	return w
}

func (w *statusTest) at(partition int, x metrics.Progress) {
	w.Consumer.Assign("users", partition).Observe(x, time.Now())
}

// behind has 1,200 records waiting, the oldest for two hours.
func (w *statusTest) behind() {
	w.at(1, metrics.Progress{LogStart: 0, Frontier: 1_234_567, Position: 1_235_000, LogEnd: 1_235_767})
	w.Events.OldestPending.Set(unix(-2 * time.Hour))
	w.Lane.QueueUsers.Set(400)
}

func unix(ago time.Duration) float64 { return float64(time.Now().Add(ago).UnixMilli()) / 1000 }

func (w *statusTest) page(t *testing.T) string {
	t.Helper()
	rec := httptest.NewRecorder()
	w.admin.handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
	if rec.Code != http.StatusOK {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	return rec.Body.String()
}

// statusStates are the states of a destination that an operator tells apart.
var statusStates = []struct {
	name  string
	setup func(*statusTest)
	want  string // the beginning of the headline
}{
	{"in_sync", func(*statusTest) {}, "Every user of these 2 partitions is in sync."},
	{"in_sync_but_letters", func(w *statusTest) { w.DeadLetters.Written.Of("rejected").Add(3) }, "Every user of these 2 partitions is in sync, but for 3 dead letters written since the start."},
	{"working", func(w *statusTest) {
		w.behind()
		w.Events.OldestPending.Set(unix(-4 * time.Second))
		w.Lane.InFlight.Set(16)
	}, "At work: the oldest change that is not delivered is 4 s old."},
	{"gathering", func(w *statusTest) {
		w.behind()
		w.Lane.GatheringUsers.Set(350)
	}, "At work: the oldest change that is not delivered is 2 h 0 min old; 350 users waiting until more of a backlog is read."},
	{"awaiting", func(w *statusTest) {
		w.behind()
		w.Lane.AwaitingUsers.Set(350)
	}, "At work: the oldest change that is not delivered is 2 h 0 min old; 350 users waiting until the state of another partition is loaded."},
	{"no_source_time", func(w *statusTest) {
		w.behind()
		w.Events.OldestPending.Set(0)
	}, "At work: 400 users waiting and 0 calls in flight."},
	{"lost_replies", func(w *statusTest) {
		w.Lane.AmbiguousUsers.Set(1)
		w.Lane.Ambiguous.Of("timeout").Inc()
		w.at(0, metrics.Progress{Frontier: 499, Position: 500, LogEnd: 500})
	}, "Every change was delivered, but an older call whose outcome is unknown may still undo that for 1 user,"},
	{"failed", func(w *statusTest) {
		w.behind()
		w.Lane.SetState(metrics.StateFailed)
		w.Failures.Note(time.Now().Add(-time.Minute), "rejected", "40002", "phone")
		w.Failures.Note(time.Now(), "failed", "http_503", "")
	}, "Not every user is in sync, since 1999-12-31 22:00:00 UTC (2 h 0 min): held: the destination fails for everyone (last: http_503)."},
	{"refused", func(w *statusTest) {
		w.behind()
		w.Lane.SetState(metrics.StateRefused)
		w.Failures.Note(time.Now(), "refused", "http_401", "")
	}, "Not every user is in sync, since 1999-12-31 22:00:00 UTC (2 h 0 min): held: the destination refuses the credentials"},
	{"rejected", func(w *statusTest) { w.behind(); w.Lane.SetState(metrics.StateRejected) }, "Not every user is in sync, since 1999-12-31 22:00:00 UTC (2 h 0 min): held: the destination rejects everyone."},
	{"throttled", func(w *statusTest) { w.behind(); w.Lane.SetState(metrics.StateThrottled) }, "At work: the oldest change that is not delivered is 2 h 0 min old; the destination asked to be left alone"},
	{"unmapped", func(w *statusTest) {
		w.behind()
		w.Lane.SetState(metrics.StateUnmapped)
		w.Failures.Note(time.Now(), "invalid_payload", "missing", "fullName")
	}, "Not every user is in sync, since 1999-12-31 22:00:00 UTC (2 h 0 min): rows have no payload, and no later row has one (last: missing, field fullName)."},
	{"paused", func(w *statusTest) { w.behind(); w.Lane.SetState(metrics.StatePaused) }, "Not every user is in sync, since 1999-12-31 22:00:00 UTC (2 h 0 min): an operator has paused the destination."},
	{"paused_idle", func(w *statusTest) { w.Lane.SetState(metrics.StatePaused) }, "Nothing waits at the moment, but: an operator has paused the destination."},
	{"latched", func(w *statusTest) {
		w.behind()
		w.Lane.SetState(metrics.StateLatched)
		w.DeadLetters.Waiting.Set(101)
	}, "Not every user is in sync, since 1999-12-31 22:00:00 UTC (2 h 0 min): latched: more records are at fault than dead_letters.budget (100)"},
	{"halted", func(w *statusTest) {
		w.behind()
		w.Consumer.Assign("users", 0).Halt("out_of_range_below")
		w.Consumer.Assign("users", 2).Halt("topic_gone")
	}, "Not every user is in sync, as far as is known: 1 partition is not read any further (out_of_range_below)."},
	{"loading", func(w *statusTest) {
		w.lane.remembers = true
		w.State.Loading.Set(1)
		w.State.Entries.Set(1_000_000)
		w.Consumer.Assign("users", 2).Wait(metrics.WaitsForState)
	}, "As far as is known, nothing waits; 1 partition is not read (state)"},
	{"unreachable", func(w *statusTest) { w.Consumer.Assign("users", 2).Wait(metrics.WaitsForLeader) }, "Not every user is in sync, as far as is known: 1 partition is not read (unreachable)"},
	{"not_fetched", func(w *statusTest) { w.Consumer.Assign("users", 1).Wait(metrics.WaitsForFetch) }, "Not every user is in sync, as far as is known: 1 partition is not read (fetch): it cannot be fetched"},
	{"not_measured", func(w *statusTest) { w.Consumer.Assign("users", 2) }, "Not known yet: not all partitions were read since this worker got them."},
	{"no_lease", func(w *statusTest) {
		w.behind()
		w.Consumer.LeaseValid.Set(0)
		w.Consumer.LastCommit.Set(unix(-5 * time.Minute))
	}, "Not every user is in sync, since 1999-12-31 22:00:00 UTC (2 h 0 min): no call may start before a commit proves"},
	{"joining", func(w *statusTest) {
		w.revoke()
		w.lane.joined = func() error { return errors.New("taptalk: no such topic: [users]; create it or check kafka.topics") }
	}, "This worker brings no user up to date: no such topic: [users]"},
	{"stuck", func(w *statusTest) {
		w.behind()
		w.lane.alive = func() error { return errors.New("taptalk: the pipeline has not turned for 2m0s") }
	}, "Not every user is in sync, since 1999-12-31 22:00:00 UTC (2 h 0 min): the pipeline has not turned for 2m0s."},
	{"idle", func(w *statusTest) { w.revoke() }, "This worker owns no partition: other workers have them, or a rebalance is under way."},
	{"deaf", func(w *statusTest) { w.Consumer.ControlUnreadable.Set(1) }, "Nothing waits at the moment, but: the control topic cannot be read"},
	{"held_one_by_one", func(w *statusTest) {
		w.behind()
		w.Lane.BackoffUsers.Set(2)
		w.Lane.UnmappedUsers.Set(1)
		w.Lane.QueueBytes.Set(64 << 20)
		w.DeadLetters.Waiting.Set(1)
		w.DeadLetters.Undecodable.Set(5)
		w.DeadLetters.WriteFailures.Inc()
	}, "Not every user is in sync, since 1999-12-31 22:00:00 UTC (2 h 0 min): dead letters cannot be written"},
}

func (w *statusTest) revoke() {
	w.Consumer.Revoke("users", 0)
	w.Consumer.Revoke("users", 1)
}

// Each state has its headline, and the whole page beside it is looked at in review.
func TestStatusStates(t *testing.T) {
	for _, tt := range statusStates {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newStatusTest()
				tt.setup(w)
				page := w.page(t)
				if got := headlineOf(page, "taptalk"); !strings.HasPrefix(got, tt.want) {
					t.Errorf("headline %q, want %q", got, tt.want)
				}
				golden(t, filepath.Join("testdata", "status", tt.name+".html"), mainOf(t, page))
			})
		})
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *updateStatus {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s has changed; if that is meant, run: go test ./cmd/internal/app -run Status -update-status\n%s", file, got)
	}
}

// mainOf is what a page shows, without the style and the script around it.
func mainOf(t *testing.T, page string) string {
	t.Helper()
	begin, end := strings.Index(page, "<main>"), strings.Index(page, "</main>")
	if begin < 0 || end < 0 {
		t.Fatalf("no main in %s", page)
	}
	return page[begin:end] + "</main>\n"
}

// headlineOf is the sentence of a destination.
func headlineOf(page, destination string) string {
	_, rest, _ := strings.Cut(sectionOf(page, destination), `<p class="headline">`)
	text, _, _ := strings.Cut(rest, "</p>")
	return html.UnescapeString(text)
}

// sectionOf is what a page shows of one destination.
func sectionOf(page, destination string) string {
	_, rest, _ := strings.Cut(page, `<section id="`+destination+`"`)
	section, _, _ := strings.Cut(rest, "</section>")
	return section
}

// A worker that is in no group at the moment says so.
func TestStatusOfNoMember(t *testing.T) {
	w := newStatusTest()
	if got, want := w.page(t), "<dd>usersync.taptalk, joined 1 time; member usersync@usersync-0-d3b0</dd>"; !strings.Contains(got, want) {
		t.Errorf("no %q in\n%s", want, got)
	}
	w.lane.member = func() string { return "" }
	if got, want := w.page(t), "<dd>usersync.taptalk, joined 1 time; no member at the moment</dd>"; !strings.Contains(got, want) {
		t.Errorf("no %q in\n%s", want, got)
	}
}

// Trouble with the state leads to the page of that, by whether it is to be read or written.
func TestStatusOfTheState(t *testing.T) {
	for loading, want := range map[float64]string{0: "UserSyncStateUnwritable", 1: "UserSyncPartitionWaiting"} {
		w := newStatusTest()
		w.lane.stateful = func() error { return errors.New("taptalk: the state of users/0 cannot be had") }
		w.State.Loading.Set(loading)
		if got, want := w.page(t), `the state of users/0 cannot be had. <a href="runbooks/`+want+`.md">`; !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// What a name or a code holds stays text, and stays short.
func TestStatusEscapes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const hostile = `</td></main><script>alert("1")</script><img src=x onerror=alert(2)>'"{{.}}`
		w := newStatusTest()
		w.lane.group, w.admin.status.host, w.admin.status.version = hostile, hostile, hostile
		w.lane.joined = func() error { return errors.New(hostile) }
		w.Consumer.Topics(map[string]int{hostile: 1})
		w.Consumer.Assign(hostile, 0).Halt("corrupt")
		w.Failures.Note(time.Now(), "rejected", hostile, strings.Repeat("x", 10_000)+hostile)
		w.DeadLetters.Written.Of(hostile).Inc()
		w.Lane.SetState(metrics.StateRejected)
		page := w.page(t)
		body := mainOf(t, page)
		for _, bad := range []string{"<script", "<img", "alert(\"", strings.Repeat("x", 100)} {
			if strings.Contains(body, bad) {
				t.Errorf("the page holds %q:\n%s", bad, body)
			}
		}
		if !strings.Contains(body, "&lt;script&gt;alert(") {
			t.Error("the hostile text is not shown at all, so nothing was tested")
		}
		if strings.Count(page, "</main>") != 1 || strings.Count(page, "<script") != 1 {
			t.Error("a name has changed what the page is made of")
		}
	})
}

// Thousands of partitions are a table of fifty, the worst first.
func TestStatusIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStatusTest()
		w.revoke()
		for n := range 5000 {
			w.at(n, metrics.Progress{Frontier: 0, Position: 10, LogEnd: int64(n)})
		}
		for n := range 500 { // each kind of which a counter has room for
			w.DeadLetters.Written.Of(fmt.Sprintf("reason_%03d", n)).Add(float64(1000 - n))
			w.Failures.Note(time.Now(), "failed", fmt.Sprintf("code_%03d", n), "")
		}
		w.Consumer.Assign("users", 17).Halt("corrupt")
		page := w.page(t)
		if len(page) > 64<<10 {
			t.Errorf("the page has %d bytes", len(page))
		}
		rows := regexp.MustCompile(`<tr><td>(users/\d+)</td>`).FindAllStringSubmatch(page, -1)
		if len(rows) != maxRows || rows[0][1] != "users/17" || rows[1][1] != "users/4999" {
			t.Errorf("%d rows: %v", len(rows), rows)
		}
		for _, want := range []string{
			"And 4,950 more partitions with less lag,", "reason_007: 993; reason_008: 992; ", "191 others: ", "<td>code_492</td>",
		} {
			if !strings.Contains(page, want) {
				t.Errorf("no %q", want)
			}
		}
		if strings.Contains(page, "reason_011") || strings.Contains(page, "code_491") {
			t.Error("more kinds are named than anybody reads")
		}
	})
}
